"""The styles of the screen, in 256 colours, in 16 and in none.

State is told by glyph and word first; colour only repeats it. Views name styles, never colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Entry = tuple[str, str, str, str, str, str]

_STYLES: tuple[Entry, ...] = (
    # name, foreground, background, monochrome, foreground of 256, background of 256
    ("text", "default", "default", "default", "default", "default"),
    ("dim", "dark gray", "default", "default", "g54", "default"),
    ("title", "default,bold", "default", "bold", "default,bold", "default"),
    ("tab", "default", "default", "default", "g70", "default"),
    ("tab chosen", "black", "dark cyan", "standout", "g93,bold", "#068"),
    ("heading", "dark cyan", "default", "underline", "#0af,underline", "default"),
    ("ok", "dark green", "default", "default", "#0a0", "default"),
    ("warning", "brown,bold", "default", "bold", "#fa0,bold", "default"),
    ("critical", "light red,bold", "default", "bold,underline", "#f55,bold", "default"),
    ("line error", "light red", "default", "default", "#f88", "default"),
    ("line warning", "brown", "default", "default", "#fc6", "default"),
    ("match", "black", "brown", "standout", "#000", "#fc0"),
    ("key", "dark cyan,bold", "default", "bold", "#0af,bold", "default"),
    ("message", "default,bold", "default", "bold", "default,bold", "default"),
    ("bar ok", "dark green", "default", "default", "#0a0", "default"),
    ("bar warning", "brown", "default", "default", "#fa0", "default"),
    ("bar critical", "light red", "default", "default", "#f55", "default"),
)


def _chosen(style: Entry) -> Entry:
    """Give the style of a piece in the chosen row: it keeps its colour, turned round."""
    name, foreground, background, _mono, foreground_256, background_256 = style
    return (
        f"chosen {name}",
        f"{foreground},standout",
        background,
        "standout",
        f"{foreground_256},standout",
        background_256,
    )


PALETTE = (*_STYLES, *map(_chosen, _STYLES))


def colours(environ: Mapping[str, str]) -> int:
    """Give how many colours to use: 256, 16, or 1 for none.

    NO_COLOR (no-color.org), when it is there and not empty, means none, as does a terminal that
    has none.
    """
    if environ.get("NO_COLOR"):
        return 1
    term = environ.get("TERM", "")
    if term in ("", "dumb") or term.startswith(("vt", "ansi-m")):
        return 1
    if "256" in term or "direct" in term or environ.get("COLORTERM") in ("truecolor", "24bit"):
        return 256
    return 16
