"""The local SQLite database: one writer, read-only readers, migrations, retention."""
