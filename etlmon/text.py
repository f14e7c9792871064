"""Text that others have written: names from the host, words from clients."""

from __future__ import annotations

_MOST_LOGGED_CHARACTERS = 500


def host_text(raw: bytes) -> str:
    r"""Decode a name from the host: UTF-8, and ``\xNN`` for each byte that is not.

    The kernel allows any byte but NUL in a name (and ``/`` between names), so neither UTF-8 nor
    printable characters are to be relied on; what is shown on a terminal is cleaned there, what is
    logged by ``one_line``.
    """
    return raw.decode("utf-8", "backslashreplace")


def one_line(text: str) -> str:
    """Give text of others so that it can neither forge a line of the log nor fill it."""
    shown = text[:_MOST_LOGGED_CHARACTERS]
    plain = (c if c.isprintable() and c != "\\" else ascii(c)[1:-1] for c in shown)
    return "".join(plain) + ("" if shown == text else "...")
