"""Entries of transfer logs: what goes in, what is found by which filter, what adds up."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from etlmon.records.xferlog import (
    PLAIN_FIELDS,
    XferlogBlock,
    XferlogEntry,
    XferlogLanding,
    XferlogLine,
    XferlogPending,
    XferlogRun,
    XferlogSummary,
)
from etlmon.store.migrate import load_migrations, migrate
from etlmon.store.tables import xferlog_entries
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


def store(
    cursor: sqlite3.Cursor, *lines: XferlogLine | XferlogRun, at: float = 5, inode: int = 7
) -> None:
    block = XferlogBlock(
        log_path="/var/log/xferlog", source_inode=inode, created_at=utc(at), lines=[*lines]
    )
    TABLE.inserts[XferlogBlock](cursor, [block])


def ids(entries: list[XferlogEntry]) -> list[int]:
    return [entry.id for entry in entries]


def test_long_names_are_counted_in_runs_and_in_other_lines() -> None:
    plain = dict.fromkeys(PLAIN_FIELDS) | {"filename": "x" * 4_000, "username": "y" * 500}
    lines = [XferlogRun([*plain.values()] * 2), LINE._replace(line="z" * 9_000)]
    block = XferlogBlock(
        log_path="/var/log/xferlog", source_inode=7, created_at=utc(5), lines=[*lines]
    )
    assert 18_000 < TABLE.characters[XferlogBlock](block) < 18_200
    assert TABLE.rows[XferlogBlock](block) == 3


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
    assert time.process_time() - began < 20


def test_what_ended_at_other_times_is_not_even_looked_at(
    cursor: sqlite3.Cursor,
    effort: Callable[[Callable[[], object]], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though all was read at one time."""
    monkeypatch.setattr(xferlog_entries, "_MOST_BLOCK_ENTRIES", 20)
    day = 86_400
    for number in range(100):
        store(cursor, *[LINE._replace(log_time_ms=number * day * 1000)] * 20)

    def summed(**wanted: Any) -> Callable[[], object]:
        return lambda: summary(cursor, Wanted(**wanted), ["username"], 9, 0)

    all_of_it = effort(summed(since=utc(0)))
    assert effort(summed(since=utc(98 * day))) < all_of_it / 10
    assert effort(summed(until=utc(2 * day))) < all_of_it / 10
    found, _ = summary(cursor, Wanted(since=utc(98 * day)), ["username"], 9, 0)
    assert [one.count for one in found] == [2 * 20]


@pytest.mark.parametrize("most", [1, 2, 5_000])
def test_times_are_found_in_whatever_order_they_stand(
    cursor: sqlite3.Cursor, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(xferlog_entries, "_MOST_BLOCK_ENTRIES", most)
    times = [None, 9, 1, 8, None, None, 2]
    for at in times:
        store(cursor, LINE._replace(log_time_ms=None if at is None else at * 1000))
    for since in range(11):
        for until in range(since, 11):
            wanted = Wanted(since=utc(since), until=utc(until))
            assert ids(following(cursor, wanted, 9, after=0)) == [
                place
                for place, at in enumerate(times, start=1)
                if at is not None and since <= at <= until
            ]


def test_entries_of_an_older_schema_are_found_by_time(path: Path) -> None:
    migrations = load_migrations()
    (place,) = (at for at, one in enumerate(migrations) if one.name == "xferlog_blocks")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, 0, migrations[:place])
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO xferlog_entries"
            " (log_time, status, ts_quality, flags, log_path, created_at)"
            " VALUES (?, 'complete', 'exact', '[]', '/x', 0)",
            [(at * 1000,) for at in range(12_000)],
        )
        connection.execute("COMMIT")
        migrate(connection, path, 0, migrations)
        found = newest(connection.cursor(), Wanted(since=utc(11_998)), 9)
        assert ids(found) == [12_000, 11_999]
        assert connection.execute("SELECT count(*) FROM xferlog_blocks").fetchone() == (3,)


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
    unsettled = ("pending", "partial", "vanished", "ambiguous", "unknown")
    for place, landing in enumerate([*unsettled, "landed", "overwritten", None]):
        store(cursor, LINE._replace(landing=landing, offset=place))
    find = TABLE.saved[XferlogPending]
    found = find(cursor, "/var/log/xferlog")
    assert [(one.offset, one.landing) for one in found] == [*enumerate(unsettled)]
    assert find(cursor, "/var/log/other") == []


def test_what_is_not_settled_is_found_by_its_index(cursor: sqlite3.Cursor) -> None:
    plan = cursor.execute(f"EXPLAIN QUERY PLAN {xferlog_entries._UNSETTLED}", ("/l",)).fetchall()
    assert [step[-1] for step in plan] == [
        "SEARCH xferlog_entries USING INDEX xferlog_entries_unsettled (log_path=?)"
    ]


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


def test_transfers_that_add_up_to_more_than_can_be_stored_do_so(cursor: sqlite3.Cursor) -> None:
    most = (1 << 63) - 1
    store(cursor, *[LINE._replace(bytes=most, transfer_time_sec=most)] * 3)
    store(cursor, *[LINE._replace(username="other", bytes=1 << 40, transfer_time_sec=-1)] * 3)
    (one, other), _ = summary(cursor, Wanted(), ["username"], 9, 0)
    assert (one.bytes, one.transfer_time_sec) == (most, most)
    assert (other.bytes, other.transfer_time_sec) == (3 << 40, -3)
    store(cursor, *[LINE._replace(username="least", transfer_time_sec=-most)] * 3)
    (least,), _ = summary(cursor, Wanted(user="least"), ["username"], 9, 0)
    assert least.transfer_time_sec == -most


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


@pytest.mark.parametrize("count", [0, 1, 4, 5, 49, 50, 500, 1_161])
def test_any_number_of_lines_goes_in_in_its_order(cursor: sqlite3.Cursor, count: int) -> None:
    store(cursor, *(LINE._replace(offset=place) for place in range(count)))
    found = following(cursor, Wanted(), 2_000, after=0)
    assert [entry.offset for entry in found] == list(range(count))


def run(*lines: XferlogLine) -> XferlogRun:
    return XferlogRun([getattr(line, name) for line in lines for name in PLAIN_FIELDS])


def test_a_run_is_stored_as_its_lines_are_one_by_one(cursor: sqlite3.Cursor) -> None:
    lines = [LINE._replace(offset=place, log_time_ms=place * 1000) for place in range(113)]
    lines[5] = LINE._replace(offset=5, log_time_ms=None, ts_quality="unknown", auth_user="x")
    odd = LINE._replace(offset=200, line="odd", flags='["cut"]')
    assert [*run(*lines).lines()] == lines
    store(cursor, run(*lines[:7]), odd, run(*lines[7:]), odd, odd)
    store(cursor, *lines[:7], odd, *lines[7:], odd, odd)
    found = following(cursor, Wanted(), 1_000, after=0)
    assert len(found) == 2 * 116
    for one, other in zip(found[:116], found[116:], strict=True):
        assert one == replace(other, id=one.id)


def test_blocks_cover_all_entries_and_no_others(cursor: sqlite3.Cursor) -> None:
    for count in (1, 0, 4_998, 1, 1, 5_001, 3):
        store(cursor, *[LINE] * count)
    blocks = cursor.execute("SELECT first_id, last_id FROM xferlog_blocks").fetchall()
    assert blocks == [(1, 5_000), (5_001, 5_001), (5_002, 10_002), (10_003, 10_005)]
    cursor.execute("DELETE FROM xferlog_entries WHERE id < 5001")
    assert TABLE.trimmed is not None
    cursor.execute(TABLE.trimmed)
    assert cursor.execute("SELECT min(first_id) FROM xferlog_blocks").fetchone() == (5_001,)
    cursor.execute("DELETE FROM xferlog_entries")
    cursor.execute(TABLE.trimmed)
    assert cursor.execute("SELECT count(*) FROM xferlog_blocks").fetchone() == (0,)
    store(cursor, LINE)
    assert cursor.execute("SELECT first_id, last_id FROM xferlog_blocks").fetchall() == [
        (10_006, 10_006)
    ]
