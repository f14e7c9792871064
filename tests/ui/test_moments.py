"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from etlmon.ui.moments import read_moment

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("11:30", datetime(2026, 11, 24, 11, 30, tzinfo=UTC)),
        ("13:30", datetime(2026, 11, 23, 13, 30, tzinfo=UTC)),
        ("11:30:59Z", datetime(2026, 11, 24, 11, 30, 59, tzinfo=UTC)),
        ("yesterday 8:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("yesterday", datetime(2026, 11, 23, tzinfo=UTC)),
        ("11-20 14:02:33", datetime(2026, 11, 20, 14, 2, 33, tzinfo=UTC)),
        ("2025-12-31T23:59", datetime(2025, 12, 31, 23, 59, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("-15m", datetime(2026, 11, 24, 11, 45, tzinfo=UTC)),
        ("1h 30m ago", datetime(2026, 11, 24, 10, 30, tzinfo=UTC)),
    ],
)
def test_what_is_meant(text: str, moment: datetime) -> None:
    assert read_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "x", "25:00", "13-45", "2026-11", "-9999999999d", "12", "Z"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="that is no time; write 14:02"):
        read_moment(text, NOW)
