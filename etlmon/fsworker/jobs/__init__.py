"""What the child can do. Nothing is imported here but this folder and the standard library."""
