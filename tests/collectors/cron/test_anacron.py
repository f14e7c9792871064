"""anacrontab: what its lines mean, and on which day a job is due."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.collectors.cron.anacron import AnacronJob, Hours, may_by_hour, parse_anacrontab, window

NOW = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)


def only(text: str) -> AnacronJob:
    (job,) = parse_anacrontab(text.encode()).jobs
    return job


def test_a_line_is_taken_apart() -> None:
    job = only("\n# x\n  7\t25 \\\ncron.weekly   nice run-parts /etc/cron.weekly\n")
    assert (job.line, job.text, job.identifier) == (3, "7 25", b"cron.weekly")
    assert (job.command, job.period_days) == ("nice run-parts /etc/cron.weekly", 7)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("1 5 a true", None),
        ("@monthly 5 a true", None),
        ("@fortnightly 5 a true", "is no period"),
        ("1 x a true", "invalid syntax"),
        ("1 5 a/b true", "invalid syntax"),
        ("1 5 a", "invalid syntax"),
        ("99999999999 5 a true", "period is out of range"),
        ("1 99999999999 a true", "delay is out of range"),
    ],
)
def test_lines_that_it_passes_over(line: str, error: str | None) -> None:
    found = only(line + "\n").error
    assert (found is None) if error is None else error in str(found)


def test_hours_count_for_the_whole_file() -> None:
    tab = parse_anacrontab(b"1 5 a x\nSTART_HOURS_RANGE=3-22\n1 5 b y\nSTART_HOURS_RANGE=9-2\n")
    assert [job.hours for job in tab.jobs] == [Hours(3, 22)] * 2
    assert [one.line for one in tab.lint] == [4]


@pytest.mark.parametrize(
    ("line", "stamp", "hours", "day", "end"),
    [
        ("1 5 a x", "20261126", "3-22", "2026-11-27 03", "2026-11-27 22"),
        ("1 5 a x", "20261125", "3-22", "2026-11-26 14", "2026-11-26 22"),
        ("1 5 a x", "20261125", "3-10", "2026-11-27 03", "2026-11-27 10"),
        ("1 5 a x", None, "", "2026-11-26 14", "2026-11-27 00"),
        ("7 5 a x", "20261126", "", "2026-12-03 00", "2026-12-04 00"),
        ("@weekly 5 a x", "20261126", "", "2026-12-03 00", "2026-12-04 00"),
        ("@daily 5 a x", "20261126", "", "2026-11-27 00", "2026-11-28 00"),
        ("@monthly 5 a x", "20261101", "", "2026-12-01 00", "2026-12-02 00"),
        ("@monthly 5 a x", "20260131", "", "2026-11-26 14", "2026-11-27 00"),
        ("@yearly 5 a x", "20260301", "", "2027-03-01 00", "2027-03-02 00"),
        ("1 5 a x", "20301126", "", "2026-11-26 14", "2026-11-27 00"),  # from the future
    ],
)
def test_when_a_job_is_due(line: str, stamp: str | None, hours: str, day: str, end: str) -> None:
    job = only((f"START_HOURS_RANGE={hours}\n" if hours else "") + line + "\n")
    found = window(job, stamp, NOW, UTC)
    assert found is not None
    assert [f"{moment:%Y-%m-%d %H}" for moment in found] == [day, end]


@pytest.mark.parametrize(
    ("line", "stamp", "hours", "marks"),
    [
        # NOW is 14:07; a mark for each hour from 14 on, the rest is 0.
        ("1 5 a x", "20261126", "3-22", [0] * 13 + [1] * 11),
        ("1 5 a x", "20261125", "3-22", [1] * 8 + [0] * 5 + [1] * 11),
        ("1 5 a x", "20261125", "3-10", [0] * 13 + [1] * 7),
        ("2 5 a x", "20261125", "3-22", [0] * 13 + [1] * 11),
        ("7 5 a x", None, "3-16", [1, 1]),
        ("7 5 a x", "20261125", "", []),
        ("1 5 a x", "20261125", "5-5", []),
        ("0 5 a x", "20261126", "", [1] * 24),
    ],
)
def test_hours_in_which_a_job_may_begin(
    line: str, stamp: str | None, hours: str, marks: list[int]
) -> None:
    job = only((f"START_HOURS_RANGE={hours}\n" if hours else "") + line + "\n")
    assert may_by_hour(job, stamp, NOW, UTC) == [*marks, *[0] * (24 - len(marks))]


def test_no_hour_means_never() -> None:
    assert window(only("START_HOURS_RANGE=5-5\n1 5 a x\n"), "20261125", NOW, UTC) is None


def test_hours_are_those_of_the_zone() -> None:
    job = only("START_HOURS_RANGE=3-22\n1 5 a x\n")
    found = window(job, "20261126", NOW, ZoneInfo("Asia/Seoul"))
    assert found is not None
    assert found[0].isoformat() == "2026-11-27T03:00:00+09:00"


@given(st.binary(max_size=200))
def test_whatever_a_file_holds_it_is_read(content: bytes) -> None:
    for job in parse_anacrontab(content + b"\n1 5 a x").jobs:
        if job.error is None:
            window(job, "20261125", NOW, UTC)
