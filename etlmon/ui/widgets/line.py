"""Lines of styled text, cut and padded to a width in columns of the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import urwid
from urwid.canvas import TextCanvas
from wcwidth import iter_graphemes

from etlmon.ui.format import text_width, visible

Piece = tuple[str, str]
"""A style and a text; control characters should be ``visible`` in it, for its width to be right."""

_CUT = "\u2026"
_INDENT = " " * 4

# Terminals of today read UTF-8, though the locale may be C: over SSH it often is.
urwid.set_encoding("utf-8")


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Give a text exactly ``width`` columns wide: padded, or cut with an ellipsis."""
    taken = text_width(text)
    if taken > width:
        text = cut(text, width)
        taken = text_width(text)
    space = " " * (width - taken)
    return space + text if right else text + space


def cut(text: str, width: int, *, keep_end: bool = False) -> str:
    """Give a text at most ``width`` columns wide; an ellipsis says that there is more.

    It stands at the end, or with ``keep_end`` at the beginning: paths differ in their ends.
    """
    if text_width(text) <= width:
        return text
    if width < 1:
        return ""
    characters = list(text if text.isascii() else iter_graphemes(text))
    if keep_end:
        characters.reverse()
    kept: list[str] = []
    left = width - text_width(_CUT)
    for seen in characters:
        left -= text_width(seen)
        if left < 0:
            break
        kept.append(seen)
    return _CUT + "".join(reversed(kept)) if keep_end else "".join(kept) + _CUT


def pieces_width(pieces: Iterable[Piece]) -> int:
    """Give the width of pieces side by side."""
    return sum(text_width(text) for _, text in pieces)


def wrapped(pieces: Sequence[Piece], width: int) -> list[list[Piece]]:
    """Give a line as lines at most ``width`` columns wide; those after the first are set in."""
    if pieces_width(pieces) <= width or width < 2 * len(_INDENT):
        return [list(pieces)]
    lines: list[list[Piece]] = [[]]
    left = width
    for style, text in pieces:
        begin = 0
        seen = list(text if text.isascii() else iter_graphemes(text))
        for place, character in enumerate(seen):
            left -= text_width(character)
            if left < 0:
                lines[-1].append((style, "".join(seen[begin:place])))
                lines.append([("text", _INDENT)])
                begin = place
                left = width - len(_INDENT) - text_width(character)
        lines[-1].append((style, "".join(seen[begin:])))
    return lines


def lines_canvas(lines: Sequence[Sequence[Piece]], width: int) -> TextCanvas:
    """Give a canvas of lines, each cut or padded to ``width`` columns.

    All text of the screen goes through here: what no one has made ``visible`` before is made so.
    """
    texts: list[bytes] = []
    attributes: list[list[tuple[Hashable, int]]] = []
    for pieces in lines:
        line = ""
        spans: list[tuple[Hashable, int]] = []
        for place, (style, given) in enumerate(pieces):
            left = width - text_width(line)
            words = visible(given)
            if text_width(words) == left and any(text for _, text in pieces[place + 1 :]):
                words += _CUT  # what follows has no room to say that there is more
            shown = cut(words, left)
            if text_width(line + shown) > width:  # the end of one and the beginning of the next
                shown = cut(words, left - 1)  # make one wide character together
            line += shown
            spans.append((style, len(shown.encode())))
            if shown != words:
                break
        space = width - text_width(line)
        texts.append((line + " " * space).encode())
        attributes.append([*spans, ("text", space)])
    return TextCanvas(texts, attributes, maxcol=width)
