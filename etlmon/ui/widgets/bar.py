"""Figures as bars and lines of blocks."""

from __future__ import annotations

from collections.abc import Sequence

from etlmon.ui.widgets.line import Piece

_EIGHTHS = " \u258f\u258e\u258d\u258c\u258b\u258a\u2589\u2588"
_HEIGHTS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_EMPTY = "\u00b7"


def bar(percent: float, width: int, style: str) -> list[Piece]:
    """Give a bar ``width`` columns wide, filled to ``percent``; anything above 0 is seen."""
    eighths = round(min(100.0, max(0.0, percent)) / 100 * width * 8)
    if percent > 0:
        eighths = max(1, eighths)
    full, part = divmod(eighths, 8)
    filled = _EIGHTHS[8] * full + (_EIGHTHS[part] if part else "")
    return [(style, filled), ("dim", _EMPTY * (width - len(filled)))]


def sparkline(values: Sequence[float], width: int) -> str:
    """Give values as heights, at most ``width`` of them: the newest if there are more.

    The lowest value stands at the bottom and the highest at the top; equal ones in the middle.
    """
    shown = values[-width:] if width > 0 else ()
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if high == low:
        return _HEIGHTS[3] * len(shown)
    return "".join(
        _HEIGHTS[round((value - low) / (high - low) * (len(_HEIGHTS) - 1))] for value in shown
    )
