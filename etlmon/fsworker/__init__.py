"""Child processes for calls that may hang or burn CPU: walks and statvfs."""
