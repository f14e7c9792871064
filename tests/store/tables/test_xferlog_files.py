"""How far transfer logs have been read: what is added, what is kept, what is forgotten."""

from __future__ import annotations

import sqlite3

from msgspec.structs import replace

from etlmon.records.xferlog import (
    XferlogFile,
    XferlogFileRead,
    XferlogFileRow,
    XferlogsConfigured,
)
from etlmon.store.tables.xferlog_files import TABLE, files
from etlmon.units import utc

READ = XferlogFileRead(
    path="/var/log/xferlog",
    state="following",
    watch_mode="inotify",
    offset=100,
    size=200,
    lag_bytes=100,
    lines=5,
    transfers=3,
    unparsed=1,
    events=1,
    skipped=2,
    gaps=1,
    last_line_at=utc(5),
    updated_at=utc(6),
    cursor="{}",
)


def store(cursor: sqlite3.Cursor, *reads: XferlogFileRead) -> None:
    TABLE.inserts[XferlogFileRead](cursor, reads)


def test_counts_are_added_and_positions_replaced(cursor: sqlite3.Cursor) -> None:
    later = replace(READ, offset=150, lag_bytes=50, last_line_at=utc(8), updated_at=utc(9))
    store(cursor, READ, later)
    assert files(cursor) == [
        XferlogFile(
            path="/var/log/xferlog",
            state="following",
            watch_mode="inotify",
            offset=150,
            size=200,
            lag_bytes=50,
            lines_total=10,
            transfers_total=6,
            unparsed_total=2,
            events_total=2,
            skipped_total=4,
            gaps=2,
            last_line_at=utc(8),
            updated_at=utc(9),
        )
    ]


def test_a_look_that_finds_no_line_keeps_when_the_last_one_came(cursor: sqlite3.Cursor) -> None:
    nothing = replace(READ, lines=0, transfers=0, last_line_at=None, state="waiting", message="no")
    store(cursor, READ, nothing)
    (found,) = files(cursor)
    assert (found.last_line_at, found.lines_total) == (utc(5), 5)
    assert (found.state, found.message) == ("waiting", "no")


def test_the_cursor_is_given_back(cursor: sqlite3.Cursor) -> None:
    saved = TABLE.saved[XferlogFileRow]
    assert saved(cursor, READ.path) == []
    store(cursor, READ, replace(READ, path="/other", cursor=None))
    (row,) = saved(cursor, READ.path)
    assert isinstance(row, XferlogFileRow)
    assert (row.cursor, row.offset) == ("{}", 100)


def test_what_is_not_configured_any_more_is_forgotten(cursor: sqlite3.Cursor) -> None:
    store(cursor, READ, replace(READ, path="/other"))
    TABLE.inserts[XferlogsConfigured](cursor, [XferlogsConfigured(paths=("/other", "/new"))])
    assert [one.path for one in files(cursor)] == ["/other"]
