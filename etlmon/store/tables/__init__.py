"""One module for each table: how its records go in, and the queries that give them out."""
