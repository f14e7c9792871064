"""The HTTP API: JSON from the database, and commands that have passed the policy."""
