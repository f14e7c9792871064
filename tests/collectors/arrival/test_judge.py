"""Today's files: which day it is, by when, and what is an arrival."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from etlmon.collectors.arrival.judge import Today, judge, today
from etlmon.config.watched import PathExpectation
from etlmon.fsworker.find import Found, FoundFile


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def expectation(**fields: Any) -> PathExpectation:
    return PathExpectation(**{"pattern": "sales_%Y%m%d.csv", "by": "06:00", **fields})


@pytest.mark.parametrize(
    ("zone", "now", "glob", "since", "due", "ends"),
    [
        # A moment before midnight and one after it, in a zone far from UTC.
        (
            "Asia/Seoul",
            "2026-11-24T23:59:59+09:00",
            "sales_20261124.csv",
            "2026-11-24T00:00+09:00",
            "2026-11-24T06:00+09:00",
            "2026-11-25T00:00+09:00",
        ),
        (
            "Asia/Seoul",
            "2026-11-25T00:00:00+09:00",
            "sales_20261125.csv",
            "2026-11-25T00:00+09:00",
            "2026-11-25T06:00+09:00",
            "2026-11-26T00:00+09:00",
        ),
        # The days on which the clock is put forward and back have 23 and 25 hours.
        (
            "Europe/Berlin",
            "2026-03-29T12:00+02:00",
            "sales_20260329.csv",
            "2026-03-29T00:00+01:00",
            "2026-03-29T06:00+02:00",
            "2026-03-30T00:00+02:00",
        ),
        (
            "Europe/Berlin",
            "2026-10-25T12:00+01:00",
            "sales_20261025.csv",
            "2026-10-25T00:00+02:00",
            "2026-10-25T06:00+01:00",
            "2026-10-26T00:00+01:00",
        ),
        # Where the clock is put forward at midnight, the day begins at one.
        (
            "America/Santiago",
            "2026-09-06T12:00-03:00",
            "sales_20260906.csv",
            "2026-09-06T01:00-03:00",
            "2026-09-06T06:00-03:00",
            "2026-09-07T00:00-03:00",
        ),
    ],
)
def test_a_day_is_that_of_its_zone(
    zone: str, now: str, glob: str, since: str, due: str, ends: str
) -> None:
    assert today(expectation(), moment(now), ZoneInfo(zone)) == Today(
        glob=glob, since=moment(since), due_at=moment(due), ends_at=moment(ends)
    )


@pytest.mark.parametrize(
    ("day", "due"),
    [
        ("2026-03-29T12:00+02:00", "2026-03-29T03:30+02:00"),  # 02:30 is left out
        ("2026-10-25T12:00+01:00", "2026-10-25T02:30+02:00"),  # 02:30 comes twice
    ],
)
def test_a_time_that_the_clock_leaves_out_or_repeats(day: str, due: str) -> None:
    found = today(expectation(by="02:30"), moment(day), ZoneInfo("Europe/Berlin"))
    assert found.due_at == moment(due)


def test_within_reaches_back_from_the_time_when_they_are_due() -> None:
    day = today(expectation(by="01:00", within=7200.0), moment("2026-11-24T12:00Z"), UTC)
    assert day.since == moment("2026-11-23T23:00Z")


def test_the_date_in_the_name_may_be_that_of_a_day_before() -> None:
    day = today(expectation(days_before=1), moment("2026-03-01T12:00Z"), UTC)
    assert day.glob == "sales_20260228.csv"


DAY = today(expectation(), moment("2026-11-24T12:00Z"), UTC)
BEFORE, AFTER = DAY.due_at - timedelta(seconds=1), DAY.due_at + timedelta(seconds=10)


def found(*sizes: int, least: int = 1) -> Found:
    return Found(
        matched=len(sizes) + 3,
        recent=len(sizes),
        arrived=sum(size >= least for size in sizes),
        empty=sizes.count(0),
        recent_bytes=sum(sizes),
        newest=[],
    )


def growing(size: int) -> FoundFile:
    return FoundFile(path=f"f{size}", size_bytes=size, modified_at=AFTER)


@pytest.mark.parametrize(
    ("sizes", "young", "fields", "before", "after"),
    [
        ([], [], {}, "waiting", "late"),
        ([9], [], {}, "arrived", "arrived"),
        ([9], [9], {}, "waiting", "late"),
        ([0], [], {}, "empty", "empty"),
        ([0], [0], {}, "waiting", "late"),
        ([0], [], {"min_bytes": 0}, "arrived", "arrived"),
        ([9], [], {"min_bytes": 10}, "small", "small"),
        ([9, 10], [], {"min_bytes": 10}, "arrived", "arrived"),
        ([9, 10], [10], {"min_bytes": 10}, "waiting", "late"),
        ([9], [], {"min_count": 2}, "waiting", "late"),
        ([9, 9], [9], {"min_count": 2}, "waiting", "late"),
        ([9, 0], [], {"min_count": 2}, "empty", "empty"),
        ([9, 5], [], {"min_count": 2, "min_bytes": 9}, "small", "small"),
        ([9, 5, 0], [], {"min_count": 3, "min_bytes": 9}, "empty", "empty"),
        ([9, 9, 0], [], {"min_count": 2}, "arrived", "arrived"),
    ],
)
def test_states(
    sizes: list[int], young: list[int], fields: dict[str, Any], before: str, after: str
) -> None:
    one = expectation(**fields)
    files = [growing(size) for size in young]
    seen = found(*sizes, least=one.min_bytes)
    assert judge(one, DAY, seen, files, BEFORE).state == before
    assert judge(one, DAY, seen, files, AFTER).state == after


def test_what_came_at_the_last_moment_is_not_late_before_it_could_settle() -> None:
    at = DAY.due_at + timedelta(seconds=9)
    assert judge(expectation(), DAY, found(9), [growing(9)], at).state == "waiting"


def test_files_are_counted_by_what_they_are() -> None:
    one = expectation(min_bytes=10)
    verdict = judge(one, DAY, found(0, 5, 10, 20, 30, least=10), [growing(30), growing(5)], AFTER)
    assert (verdict.arrived, verdict.growing, verdict.small, verdict.empty) == (2, 2, 0, 1)
