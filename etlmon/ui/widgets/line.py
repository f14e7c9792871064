"""Lines of styled text, cut and padded to a width in columns of the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import urwid
from urwid.canvas import TextCanvas

from etlmon.ui.format import text_width

Piece = tuple[str, str]
"""A style and a text; the text has no control characters."""

_CUT = "\u2026"


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Give a text exactly ``width`` columns wide: padded, or cut with an ellipsis."""
    taken = text_width(text)
    if taken > width:
        text = cut(text, width)
        taken = text_width(text)
    space = " " * (width - taken)
    return space + text if right else text + space


def cut(text: str, width: int) -> str:
    """Give a text at most ``width`` columns wide; an ellipsis says that there is more."""
    if text_width(text) <= width:
        return text
    if width < 1:
        return ""
    kept: list[str] = []
    left = width - 1
    for character in text:
        left -= text_width(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + _CUT


def pieces_width(pieces: Iterable[Piece]) -> int:
    """Give the width of pieces side by side."""
    return sum(text_width(text) for _, text in pieces)


def lines_canvas(lines: Sequence[Sequence[Piece]], width: int) -> TextCanvas:
    """Give a canvas of lines, each cut or padded to ``width`` columns."""
    texts: list[bytes] = []
    attributes: list[list[tuple[Hashable, int]]] = []
    charsets: list[Any] = []
    for pieces in lines:
        text, left = b"", width
        spans: list[tuple[Hashable, int]] = []
        charset: list[Any] = []
        for style, words in pieces:
            shown = words if text_width(words) <= left else cut(words, left)
            if not shown:
                continue
            encoded, runs = urwid.apply_target_encoding(shown)
            text += encoded
            spans.append((style, len(encoded)))
            charset.extend(runs)
            left -= text_width(shown)
            if shown is not words:
                break
        if left > 0:
            text += b" " * left
            spans.append(("text", left))
            charset.append((None, left))
        texts.append(text)
        attributes.append(spans)
        charsets.append(charset)
    return TextCanvas(texts, attributes, charsets, maxcol=width)
