"""The node in numbers, for Prometheus: what it sees of its host, and how it fares itself."""
