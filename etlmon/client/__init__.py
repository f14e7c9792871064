"""The API from the other side: a typed client of the contract."""
