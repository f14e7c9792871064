"""Bars and sparklines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.ui.widgets.bar import bar, sparkline
from etlmon.ui.widgets.line import pieces_width


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (0, "····"),
        (0.001, "▏···"),
        (12.5, "▌···"),
        (50, "██··"),
        (99.9, "████"),
        (100, "████"),
        (140, "████"),
        (-5, "····"),
        (53.2, "██▏·"),
    ],
)
def test_a_bar_by_example(percent: float, expected: str) -> None:
    assert "".join(text for _, text in bar(percent, 4, "ok")) == expected


@given(st.floats(allow_nan=False), st.integers(1, 100))
def test_a_bar_has_its_width_and_shows_what_is_there(percent: float, width: int) -> None:
    pieces = bar(percent, width, "ok")
    assert pieces_width(pieces) == width
    assert [style for style, _ in pieces] == ["ok", "dim"]
    assert bool(pieces[0][1]) == (percent > 0)


@pytest.mark.parametrize(
    ("values", "width", "expected"),
    [
        ([], 5, ""),
        ([1], 5, "▄"),
        ([3, 3, 3], 5, "▄▄▄"),
        ([0, 7], 5, "▁█"),
        (list(range(8)), 8, "▁▂▃▄▅▆▇█"),
        (list(range(8)), 3, "▁▅█"),
        ([1, 2], 0, ""),
        ([1, 2], -1, ""),
    ],
)
def test_a_sparkline_by_example(values: list[int], width: int, expected: str) -> None:
    assert sparkline(values, width) == expected


@given(st.lists(st.integers(0, 1 << 60)), st.integers(1, 50))
def test_a_sparkline_shows_the_newest_and_where_they_are_highest(
    values: list[int], width: int
) -> None:
    line = sparkline(values, width)
    shown = values[-width:]
    assert len(line) == len(shown)
    if len(set(shown)) > 1:
        assert line[shown.index(max(shown))] == "█"
        assert line[shown.index(min(shown))] == "▁"
