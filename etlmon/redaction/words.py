"""The text of commands, taken apart as a shell would: words, and what stands between commands."""

from __future__ import annotations

import re

# No two alternatives begin alike, but for quotes that are never closed: of these a text holds one
# of each kind, so that the time taken is that of its length.
_PIECE = re.compile(
    r"""\s+|[;|&()]+|(?:[^\s"'\\;|&()]+|\\.|"(?:[^"\\]|\\.)*"|'[^']*'|["'\\])+""", re.DOTALL
)
_QUOTES = "\"'"


def pieces(text: str) -> list[str]:
    """Give words, blanks and ends of commands, which put together are the text again."""
    return _PIECE.findall(text)


def is_end(piece: str) -> bool:
    """Whether another command begins after this piece."""
    return piece[0] in ";|&()"


def unquoted(word: str) -> tuple[str, str, str]:
    """Give a word without quotes around the whole of it, between these, which may be nothing."""
    if len(word) > 1 and word[0] in _QUOTES and word[-1] == word[0]:
        return word[0], word[1:-1], word[0]
    return "", word, ""
