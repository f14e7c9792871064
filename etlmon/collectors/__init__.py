"""What is collected from the host, one folder for each kind."""
