"""Entries of transfer logs: what goes in, what is found by which filter, what adds up."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from etlmon.records.xferlog import (
    XferlogBlock,
    XferlogEntry,
    XferlogLanding,
    XferlogLine,
    XferlogPending,
    XferlogSummary,
)
from etlmon.store.tables.xferlog_entries import TABLE, Wanted, following, newest, summary
from etlmon.units import utc

HOUR = 3_600_000
LINE = XferlogLine(
    log_time_ms=1_000,
    remote_host="10.0.0.1",
    username="etl",
    filename="/in/a.csv",
    bytes=10,
    transfer_time_sec=2,
    direction="upload",
    status="complete",
    landing=None,
    transfer_type="binary",
    action_flags="_",
    access_mode="real",
    service="ftp",
    auth_method="none",
    auth_user=None,
    pid=None,
    rate_bytes_per_second=None,
    log_format="xferlog",
    time_text="Thu Jan  1 00:00:01 1970",
    ts_quality="exact",
    flags="[]",
    reason=None,
    line=None,
    offset=0,
)


def store(cursor: sqlite3.Cursor, *lines: XferlogLine, at: float = 5, inode: int = 7) -> None:
    block = XferlogBlock(
        log_path="/var/log/xferlog", source_inode=inode, created_at=utc(at), lines=[*lines]
    )
    TABLE.inserts[XferlogBlock](cursor, [block])


def ids(entries: list[XferlogEntry]) -> list[int]:
    return [entry.id for entry in entries]


def test_a_line_becomes_an_entry(cursor: sqlite3.Cursor) -> None:
    store(cursor, LINE._replace(flags='["ambiguous"]', rate_bytes_per_second=1.5, offset=90))
    assert newest(cursor, Wanted(), 5) == [
        XferlogEntry(
            id=1,
            log_time=utc(1),
            remote_host="10.0.0.1",
            username="etl",
            filename="/in/a.csv",
            bytes=10,
            transfer_time_sec=2,
            direction="upload",
            status="complete",
            transfer_type="binary",
            action_flags="_",
            access_mode="real",
            service="ftp",
            auth_method="none",
            rate_bytes_per_second=1.5,
            log_format="xferlog",
            time_text="Thu Jan  1 00:00:01 1970",
            ts_quality="exact",
            flags=["ambiguous"],
            log_path="/var/log/xferlog",
            source_inode=7,
            offset=90,
            created_at=utc(5),
        )
    ]


def test_equal_lines_are_separate_entries_in_their_order(cursor: sqlite3.Cursor) -> None:
    store(cursor, LINE, LINE._replace(log_time_ms=500), LINE)
    store(cursor, LINE)
    assert ids(newest(cursor, Wanted(), 3)) == [4, 3, 2]
    assert ids(newest(cursor, Wanted(), 3, before=3)) == [2, 1]
    assert ids(following(cursor, Wanted(), 2, after=1)) == [2, 3]
    assert ids(following(cursor, Wanted(), 2, after=4)) == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"user": "etl"}, [1, 2, 4, 5]),
        ({"user": "ETL"}, []),
        ({"host": "::1"}, [3]),
        ({"direction": "download"}, [2]),
        ({"status": "unparsed"}, [6]),
        ({"landing": "partial"}, [4]),
        ({"filename": "*.csv"}, [1, 4]),
        ({"filename": "a.csv"}, [1, 4]),
        ({"filename": "A.csv"}, []),
        ({"filename": "/in/*"}, [1, 2, 4]),
        ({"filename": "/*/b.tx?"}, [2]),
        ({"filename": "[ab].*"}, [1, 2, 4]),
        ({"filename": "한글*"}, [5]),
        ({"filename": "' OR 1=1 --"}, []),
        ({"user": "etl", "direction": "upload", "filename": "*.csv"}, [1, 4]),
        ({"since": utc(2)}, [2, 3]),
        ({"until": utc(2)}, [1, 2, 4, 5]),
        ({"since": utc(2), "until": utc(2)}, [2]),
    ],
)
def test_filters(cursor: sqlite3.Cursor, wanted: dict[str, Any], found: list[int]) -> None:
    store(
        cursor,
        LINE,
        LINE._replace(filename="/in/b.txt", direction="download", log_time_ms=2_000),
        LINE._replace(filename="x", username="other", remote_host="::1", log_time_ms=3_000),
        LINE._replace(filename="/in/sub/a.csv", landing="partial"),
        LINE._replace(filename="/up/한글.gz"),
        LINE._replace(
            filename=None, direction=None, username=None, log_time_ms=None, status="unparsed"
        ),
    )
    assert ids(newest(cursor, Wanted(**wanted), 9)) == found[::-1]
    assert ids(following(cursor, Wanted(**wanted), 9, after=0)) == found


def test_a_glob_of_many_stars_takes_no_time(cursor: sqlite3.Cursor) -> None:
    store(cursor, *[LINE._replace(filename="/" + "a" * 5_000)] * 20)
    began = time.process_time()
    assert newest(cursor, Wanted(filename="*a" * 127), 9) != []
    assert newest(cursor, Wanted(filename="*a" * 127 + "b"), 9) == []
    assert time.process_time() - began < 2


def test_what_was_read_long_before_is_not_even_looked_at(
    cursor: sqlite3.Cursor, effort: Callable[[Callable[[], object]], int]
) -> None:
    day = 86_400
    for number in range(100):
        store(cursor, *[LINE._replace(log_time_ms=number * day * 1000)] * 20, at=number * day)
    all_of_it = effort(lambda: summary(cursor, Wanted(since=utc(0)), ["username"], 9, 0))
    the_end = effort(lambda: summary(cursor, Wanted(since=utc(98 * day)), ["username"], 9, 0))
    assert the_end < all_of_it / 10


# --- what became of uploads -----------------------------------------------------------------------

LANDING = XferlogLanding(
    log_path="/var/log/xferlog",
    source_inode=7,
    offset=90,
    landing="landed",
    landing_reason="as large as what was sent",
    landed_path="/srv/in/a.csv",
    landed_bytes=10,
    landing_checked_at=utc(9),
)


def land(cursor: sqlite3.Cursor, *landings: XferlogLanding) -> None:
    TABLE.inserts[XferlogLanding](cursor, landings)


def test_a_landing_changes_the_entry_that_it_is_of(cursor: sqlite3.Cursor) -> None:
    store(cursor, LINE._replace(landing="pending", offset=0))
    store(cursor, LINE._replace(landing="pending", offset=90), LINE._replace(offset=90), inode=8)
    store(cursor, LINE._replace(landing="pending", offset=90))
    land(cursor, LANDING)
    assert [entry.landing for entry in newest(cursor, Wanted(), 9)] == [
        "landed",
        None,
        "pending",
        "pending",
    ]
    (entry,) = newest(cursor, Wanted(landing="landed"), 9)
    assert (entry.landed_path, entry.landed_bytes) == ("/srv/in/a.csv", 10)
    assert (entry.landing_reason, entry.landing_checked_at) == (
        "as large as what was sent",
        utc(9),
    )


def test_of_two_entries_at_one_place_the_newer_is_meant(cursor: sqlite3.Cursor) -> None:
    """The inode of a file that is gone is given out again."""
    for _ in range(2):
        store(cursor, LINE._replace(landing="pending", offset=90))
    land(cursor, LANDING)
    assert [entry.landing for entry in newest(cursor, Wanted(), 9)] == ["landed", "pending"]


def test_a_landing_of_what_is_no_longer_stored_changes_nothing(cursor: sqlite3.Cursor) -> None:
    land(cursor, LANDING, replace(LANDING, source_inode=None))
    assert newest(cursor, Wanted(), 9) == []


def test_a_landing_finds_its_entry_by_an_index(
    cursor: sqlite3.Cursor, plans: Callable[[Callable[[], object]], dict[str, list[str]]]
) -> None:
    (plan,) = plans(lambda: land(cursor, LANDING)).values()
    assert any("USING INDEX xferlog_entries_landing" in step for step in plan) or any(
        "xferlog_entries_landing" in step for step in plan
    )
    assert not any(step.startswith("SCAN") for step in plan)


def test_what_is_not_settled_is_given_back(cursor: sqlite3.Cursor) -> None:
    for place, landing in enumerate(["pending", "landed", "partial", None, "vanished"]):
        store(cursor, LINE._replace(landing=landing, offset=place))
    unsettled = TABLE.saved[XferlogPending]
    assert [(one.offset, one.landing) for one in unsettled(cursor, "/var/log/xferlog")] == [
        (0, "pending"),
        (2, "partial"),
    ]
    assert unsettled(cursor, "/var/log/other") == []


# --- summaries ------------------------------------------------------------------------------------


def fill(cursor: sqlite3.Cursor) -> None:
    store(
        cursor,
        LINE,
        LINE._replace(log_time_ms=2_000, bytes=5, status="incomplete"),
        LINE._replace(log_time_ms=HOUR, direction="download", username="other"),
        LINE._replace(log_time_ms=HOUR + 1, remote_host="::1"),
        LINE._replace(log_time_ms=-1, bytes=None, transfer_time_sec=None),
        LINE._replace(direction=None, status="unparsed"),
    )


def test_transfers_add_up(cursor: sqlite3.Cursor) -> None:
    fill(cursor)
    found, total = summary(cursor, Wanted(), ["hour", "username", "remote_host", "direction"], 9, 0)
    assert total == len(found) == 4
    assert [(one.hour, one.username, one.remote_host, one.direction) for one in found] == [
        (utc(3600), "etl", "::1", "upload"),
        (utc(3600), "other", "10.0.0.1", "download"),
        (utc(0), "etl", "10.0.0.1", "upload"),
        (utc(-3600), "etl", "10.0.0.1", "upload"),
    ]
    assert found[2] == XferlogSummary(
        hour=utc(0),
        username="etl",
        remote_host="10.0.0.1",
        direction="upload",
        count=2,
        failures=1,
        bytes=15,
        transfer_time_sec=4,
        last_arrival_at=utc(2),
    )
    assert (found[3].bytes, found[3].transfer_time_sec) == (0, 0)


def test_transfers_add_up_by_less(cursor: sqlite3.Cursor) -> None:
    fill(cursor)
    found, total = summary(cursor, Wanted(direction="upload"), ["username"], 9, 0)
    assert (total, [(one.username, one.hour, one.count) for one in found]) == (
        1,
        [("etl", None, 4)],
    )
    found, total = summary(cursor, Wanted(), [], 9, 0)
    assert (total, [one.count for one in found]) == (1, [5])


def test_pages_of_a_summary(cursor: sqlite3.Cursor) -> None:
    fill(cursor)
    found, total = summary(cursor, Wanted(), ["hour"], 1, 1)
    assert (total, [one.hour for one in found]) == (3, [utc(0)])
    assert summary(cursor, Wanted(), ["hour"], 1, 9) == ([], 3)


@pytest.mark.parametrize("by", [[], ["hour"]])
def test_nothing_adds_up_to_nothing(cursor: sqlite3.Cursor, by: list[str]) -> None:
    assert summary(cursor, Wanted(), by, 9, 0) == ([], 0)


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 123])
def test_any_number_of_lines_goes_in_in_its_order(cursor: sqlite3.Cursor, count: int) -> None:
    store(cursor, *(LINE._replace(offset=place) for place in range(count)))
    found = following(cursor, Wanted(), 1_000, after=0)
    assert [entry.offset for entry in found] == list(range(count))
