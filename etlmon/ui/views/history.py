"""A history as a line of blocks, with what it spans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from etlmon.ui.format import format_moment
from etlmon.ui.widgets.bar import sparkline
from etlmon.ui.widgets.line import Piece

T = TypeVar("T", int, float)

WIDTH = 60
"""How many points a history on the screen has at most."""


def history_lines(
    points: Sequence[Any],
    what: str,
    value: Callable[[Any], T | None],
    show: Callable[[T], str],
) -> list[list[Piece]]:
    """Give the line of a history, and its span in time and in figures.

    ``points`` have ``collected_at``; ``value`` gives a point's figure, None for one that has none.
    """
    figures = [figure for point in points if (figure := value(point)) is not None]
    if len(figures) < 2:
        return [[("dim", "  Its history begins now: come back in some minutes.")]]
    first, last = (format_moment(points[place].collected_at) for place in (0, -1))
    extent = f"{show(min(figures))} to {show(max(figures))}"
    return [
        [("text", "  "), ("bar ok", sparkline(figures, WIDTH))],
        [("dim", f"  {what}, {first} to {last}: {extent}")],
    ]
