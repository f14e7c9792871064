"""The screens: each shows what a session holds, and asks nobody itself."""
