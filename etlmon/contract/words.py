"""What is wrong with a request, in words for the one who made it."""

from __future__ import annotations

from difflib import get_close_matches

import msgspec

_MOST_CHARACTERS = 300
"""What is said of a field that there is not holds its name as it was sent."""


def in_words(error: msgspec.ValidationError) -> str:
    """Put msgspec's words (Expected `int` >= 1 - at `$.limit`) into a sentence."""
    what, _, where = str(error).replace("`", "").partition(" - at ")
    place = where.removeprefix("$").removeprefix(".")
    what = what if len(what) <= _MOST_CHARACTERS else what[:_MOST_CHARACTERS] + "..."
    return f"{place}: {what}." if place else f"{what}."


def shown(name: str) -> str:
    """Give a name that somebody asked for, cut short and safe to print."""
    return ascii(name[:50])[1:-1]


def unknown_parameter(name: str, known: tuple[str, ...]) -> str:
    """Say that there is no such parameter, and which one may have been meant."""
    there_is_none = f"There is no parameter {shown(name)} here"
    near = get_close_matches(name[:50], known, 1)
    if near:
        return f"{there_is_none}; did you mean {near[0]}?"
    if known:
        return f"{there_is_none}; there are {', '.join(known)}."
    return f"{there_is_none}; this call takes none."
