"""Text that others have written: names from the host, words from clients."""

from __future__ import annotations

import os
import re
import shlex

_MOST_LOGGED_CHARACTERS = 500

TOKEN_PREFIX = "etlmon_"  # noqa: S105 - it begins every token, and is none
"""How every token of ours begins, so that it is known wherever it turns up."""
_TOKEN = re.compile(TOKEN_PREFIX + "[A-Za-z0-9_-]{40,}")

_ESCAPE = re.compile(rb"\\x(5c|[89a-f][0-9a-f])")
_LIKE_ESCAPE = re.compile(rb"\\(?=x(?:5c|[89a-f][0-9a-f]))")


def host_text(raw: bytes) -> str:
    r"""Decode a name from the host: UTF-8, and ``\xNN`` for each byte that is not.

    The kernel allows any byte but NUL in a name (and ``/`` between names), so neither UTF-8 nor
    printable characters are to be relied on; what is shown on a terminal is cleaned there, what is
    logged by ``one_line``.
    """
    return raw.decode("utf-8", "backslashreplace")


def host_path(raw: bytes) -> str:
    r"""Decode the path of a file, or another name by which something is known again.

    As ``host_text``, and no two have the same text: a backslash that would be read as one of these
    escapes, for the name has ``\xff`` in letters, is written ``\x5c``.
    """
    return host_text(_LIKE_ESCAPE.sub(rb"\\x5c", raw))


def path_bytes(text: str) -> bytes:
    """Give the path that ``host_path`` has made text of."""
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), os.fsencode(text))


def one_line(text: str) -> str:
    """Give text of others so that it can neither forge a line of the log nor fill it.

    A token that somebody has put where it does not belong is taken out.
    """
    safe = without_tokens(text)
    shown = safe[:_MOST_LOGGED_CHARACTERS]
    plain = (c if c.isprintable() and c != "\\" else ascii(c)[1:-1] for c in shown)
    return "".join(plain) + ("" if shown == safe else "...")


def shell_word(text: str) -> str:
    """Give a path, or another word, as it is typed in a shell, whatever is in it.

    What is not printable is written in the way of bash, ksh and zsh.
    """
    if text.isprintable():
        return shlex.quote(text)
    plain = set(range(0x20, 0x7F)) - set(b"'\\")
    typed = (chr(one) if one in plain else f"\\x{one:02x}" for one in os.fsencode(text))
    return f"$'{''.join(typed)}'"


def without_tokens(text: str) -> str:
    """Give text with every token of etlmon's in it made unusable."""
    return _TOKEN.sub(TOKEN_PREFIX + "...", text)
