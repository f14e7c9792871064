"""How grave a line is, and how its time is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from etlmon.records.log import LogLine
from etlmon.ui.logtext import TIME_FORMATS, severity_of, time_text

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("2026-11-24 ERROR loader: no", "error"),
        ("2026-11-24 [warn] no", "warning"),
        ("level=error msg=x", "error"),
        ('{"severity": "Warning"}', "warning"),
        ("error: no such file", "error"),
        ("java.lang.IllegalStateException: no", "error"),
        ("Traceback (most recent call last):", "error"),
        ("<11>cron: x", "error"),
        ("<12>cron: x", "warning"),
        ("DEBUG x", "debug"),
        ("INFO no ERROR here", None),
        ("0 errors, no warning", None),
        ("TERROR and WARNINGS", None),
        ("x" * 300 + " ERROR", None),
        ("", None),
    ],
)
def test_how_grave_a_line_is(text: str, severity: str | None) -> None:
    assert severity_of(text) == severity


def test_times_are_as_wide_as_each_other() -> None:
    for how in TIME_FORMATS:
        widths = set()
        for days in (0, 1, 40, 400):
            moment = NOW - timedelta(days=days, seconds=5)
            line = LogLine(
                id=1, log_name="a", log_path="/a", created_at=moment, logged_at=moment, line="x"
            )
            widths.add(len(time_text(line, how, NOW)))
        assert len(widths) == 1


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (NOW, "12:00:00.000"),
        (NOW.replace(month=3), "03-24 12:00:00"),
        (NOW.replace(year=2025), "2025-11-24 12:00:00"),
        (None, "                  -"),
    ],
)
def test_the_time_that_a_line_tells_may_be_of_any_year(moment: datetime | None, shown: str) -> None:
    line = LogLine(id=1, log_name="a", log_path="/a", created_at=NOW, logged_at=moment, line="x")
    assert time_text(line, "own", NOW) == f"{shown:<19}"
