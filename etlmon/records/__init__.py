"""The vocabulary: one module for each resource, spoken by every room and importing none.

A record is a frozen msgspec Struct. Each field's ``Meta`` says what it means; the unit stands in
the name (``_bytes``, ``_seconds``, ``_percent``, ``_ms``, ``_at``) or, where the requirements fix
another name, in the help text. Table columns, JSON, OpenAPI and screen titles all follow from it.
"""
