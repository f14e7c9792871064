"""The node: what its parts are, how they are put together, started and stopped."""
