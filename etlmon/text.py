"""Bytes from the host as text that JSON and SQLite can hold."""

from __future__ import annotations


def host_text(raw: bytes) -> str:
    r"""Decode a name from the host: UTF-8, and ``\xNN`` for each byte that is not.

    The kernel allows any byte but NUL in a name (and ``/`` between names), so neither UTF-8 nor
    printable characters are to be relied on; what is shown on a terminal is cleaned there.
    """
    return raw.decode("utf-8", "backslashreplace")
