"""Times at the beginning of lines."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.times import TimeReader

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time_format", "line", "expected"),
    [
        ("%Y-%m-%d %H:%M:%S", "2026-02-03 04:05:06 x", "2026-02-03T03:05:06+00:00"),
        (
            "%Y-%m-%dT%H:%M:%S.%f%z",
            "2026-02-03T04:05:06.789Z x",
            "2026-02-03T04:05:06.789+00:00",
        ),
        ("[%d/%b/%Y:%H:%M:%S %z]", "[03/Feb/2026:04:05:06 -0500]", "2026-02-03T09:05:06+00:00"),
        ("%b %d %H:%M:%S", "Feb  3 04:05:06 host x", "2026-02-03T03:05:06+00:00"),
        ("%b %d %H:%M:%S", "Dec 31 23:59:59 host x", "2025-12-31T22:59:59+00:00"),
        ("%b %d %H:%M:%S", "Mar  2 00:00:00 host x", "2026-03-01T23:00:00+00:00"),
        ("%Y-%j", "no time", None),
        ("%Y-%m-%d", "2026-99-99", None),
        ("%d %b %H", "", None),
    ],
)
def test_at_the_beginning_of_a_line(time_format: str, line: str, expected: str | None) -> None:
    found = TimeReader(time_format, ZoneInfo("Europe/Berlin")).millis(line, NOW)
    wanted = None if expected is None else datetime.fromisoformat(expected).timestamp() * 1000
    assert found == wanted


@pytest.mark.parametrize(
    ("time_format", "why"),
    [
        ("%Q", "has %Q; write only"),
        ("%Y-%m-%d %", "has %; write only"),
        ("%H:%M:%S", "tells no day"),
        ("%d %H:%M", "tells no day"),
        ("%m/%Y %%d", "tells no day"),
        ("%d %b %d", "tells something twice"),
    ],
)
def test_format_that_is_none(time_format: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        TimeReader(time_format, None)


@given(line=st.text(max_size=40))
def test_any_line_is_taken(line: str) -> None:
    TimeReader("%b %d %H:%M:%S", None).millis(line, NOW)
