"""The schema, step by step: NNNN_name.sql, never edited once released."""
