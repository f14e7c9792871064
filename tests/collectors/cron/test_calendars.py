"""Calendar events of timers: systemd itself says what they mean."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.collectors.cron.calendars import read_event
from etlmon.collectors.cron.next import Runs
from etlmon.collectors.cron.offsets import Offsets

BASE = "2026-11-26 14:07:30 UTC"


def judged(written: str, count: int) -> tuple[str, list[datetime]]:
    """Give an event as systemd writes it itself, and when it comes."""
    done = subprocess.run(
        ["systemd-analyze", "calendar", f"--base-time={BASE}", f"--iterations={count}", written],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    found = re.search(r"(?:Normalized form|Original form): (.*)", done.stdout)
    normal = re.search(r"Normalized form: (.*)", done.stdout)
    shown = normal or found
    assert shown is not None
    moments = re.findall(r"(?:elapse|#[0-9]+): \S+ (\S+ \S+) UTC", done.stdout)
    return shown[1], [datetime.fromisoformat(one).replace(tzinfo=UTC) for one in moments]


@pytest.mark.parametrize(
    "written",
    ["daily", "hourly", "weekly", "quarterly", "Mon..Fri 08:00,30", "*:0/15", "Sat *-*-1..7 18:00",
     "06,18:00", "02..05/2:10", "Wed,Fri..Sun 3:00", "*-2/3-31 1:00", "*-*-* 0/7:5/20"],
)  # fmt: skip
def test_systemd_elapses_when_the_schedule_says(written: str) -> None:
    normal, moments = judged(written, 12)
    event = read_event(normal)
    assert event is not None
    assert event.times_a_minute == 1
    since = int(datetime.fromisoformat(BASE[:19]).replace(tzinfo=UTC).timestamp() // 60)
    runs = Runs(Offsets(UTC), "debian").after(event.schedule, since)
    assert len(moments) == 12
    assert [next(runs) * 60 for _ in moments] == [one.timestamp() for one in moments]


def test_seconds_are_counted() -> None:
    event = read_event(judged("*:*:0/10", 1)[0])
    assert event is not None
    assert event.times_a_minute == 6


@pytest.mark.parametrize(
    "written",
    ["08:30 Europe/Berlin", "*-02~03 00:00", "2030-01-01 00:00", "*:*:0.5", "2030..2040-1-1"],
)
def test_what_is_of_another_kind_is_not_read(written: str) -> None:
    assert read_event(judged(written, 1)[0]) is None


@pytest.mark.parametrize(
    "text", ["", "daily", "*-*-* 25:00:00", "*-*-* 5..3:00:00", "Fri..Mon *-*-* 01:00:00",
             "Son *-*-* 01:00:00", "*-*-* 1/0:00:00", "*-*-* 1,:00:00", "*-0-* 01:00:00"]
)  # fmt: skip
def test_what_systemd_would_not_write_is_not_read(text: str) -> None:
    assert read_event(text) is None


@given(st.text(alphabet="*0123456789-:,./ MonTue", max_size=30))
def test_any_text(text: str) -> None:
    event = read_event(text)
    assert event is None or event.schedule.minute
