"""The command line: a module for each command, or for a few that belong together.

Each command imports what it needs when it is called, so that start is quick. ``main`` has them all.
"""
