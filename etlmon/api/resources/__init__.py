"""One module for each resource: from a query to a value, by way of the store or of control."""
