"""Files of logs: their positions outlive the node, a reload and, for a week, their section."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etlmon.records.base import Record
from etlmon.records.log import (
    LogBlock,
    LogFile,
    LogFileGone,
    LogFileRead,
    LogSaved,
    LogsConfigured,
    LogSwitched,
    LogUnseen,
)
from etlmon.store.tables import log_files, log_lines

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
INSERTS = {
    kind: insert
    for table in (log_files.TABLE, log_files.SWITCHES, log_lines.TABLE)
    for kind, insert in table.inserts.items()
}


def store(cursor: sqlite3.Cursor, *records: Record) -> None:
    for record in records:
        INSERTS[type(record)](cursor, [record])


def read(name: str = "app", path: str = "/a", **more: Any) -> LogFileRead:
    given = {"state": "following", "updated_at": AT, "cursor": "here", **more}
    return LogFileRead(log_name=name, log_path=path, **given)


def saved(cursor: sqlite3.Cursor, name: str = "app") -> LogSaved:
    (one,) = log_files.TABLE.saved[LogSaved](cursor, name)
    assert isinstance(one, LogSaved)
    return one


def listed(cursor: sqlite3.Cursor) -> list[tuple[str, str, str]]:
    return [(one.name, one.path, one.state) for one in log_files.listed(cursor)]


def test_what_was_read_last_holds(cursor: sqlite3.Cursor) -> None:
    block = LogBlock(log_name="app", log_path="/a", created_at=AT, lines=["x", "y"])
    store(cursor, block, read(state="waiting", error_message="no such file"), block)
    store(
        cursor,
        read(offset=4, size=9, lag_bytes=5, watch_mode="inotify", source_inode=3, cursor="there"),
    )
    assert log_files.listed(cursor) == [
        LogFile(
            name="app",
            path="/a",
            state="following",
            watch_mode="inotify",
            offset=4,
            size=9,
            lag_bytes=5,
            source_inode=3,
            lines_total=4,
            last_line_at=AT,
            updated_at=AT,
        )
    ]
    assert saved(cursor) == LogSaved(cursors={"/a": "there"})


def test_nothing_is_saved_at_first(cursor: sqlite3.Cursor) -> None:
    assert saved(cursor) == LogSaved(paused=None, cursors={})


def test_files_without_a_cursor_have_none(cursor: sqlite3.Cursor) -> None:
    store(cursor, read(path="/*", cursor=None), read(path="/a"), read(path="/b"))
    assert saved(cursor).cursors == {"/a": "here", "/b": "here"}
    store(cursor, LogFileGone(log_name="app", log_path="/a"), read(path="/b", cursor=None))
    assert saved(cursor).cursors == {}
    assert listed(cursor) == [("app", "/*", "following"), ("app", "/b", "following")]


def test_positions_that_went_with_a_damaged_database_are_told(cursor: sqlite3.Cursor) -> None:
    """Of the logs that were configured then, and of no later one."""
    cursor.execute("INSERT INTO meta VALUES ('in_place_of', 'etlmon.db.corrupt-x')")
    assert "kept as etlmon.db.corrupt-x, a new one was begun" in str(saved(cursor).missed)
    store(cursor, LogsConfigured(names=("app", "b")), LogsConfigured(names=("app", "later")))
    assert (saved(cursor).missed is None, saved(cursor, "later").missed) == (False, None)


def test_a_switch_is_shown_at_once_and_kept(cursor: sqlite3.Cursor) -> None:
    store(cursor, read(), read("other"))
    store(cursor, LogSwitched(log_name="app", paused=True, switched_at=AT))
    assert listed(cursor) == [("app", "/a", "paused"), ("other", "/a", "following")]
    assert (saved(cursor).paused, saved(cursor, "other").paused) == (True, None)
    store(cursor, LogSwitched(log_name="app", paused=False, switched_at=AT))
    assert saved(cursor).paused is False


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("following", None), ("waiting", "resumed: not looked at yet")),
        (("paused", "no answer"), ("waiting", "no answer")),
    ],
)
def test_what_is_resumed_is_not_paused_any_more(
    cursor: sqlite3.Cursor, before: tuple[str, str | None], after: tuple[str, str]
) -> None:
    """Its files may be where nothing answers: how they are is told once they are looked at."""
    store(cursor, read(state=before[0], error_message=before[1]), read("other", state="paused"))
    for paused in (True, False):
        store(cursor, LogSwitched(log_name="app", paused=paused, switched_at=AT))
    one, other = log_files.listed(cursor)
    assert ((one.state, one.error_message), other.state) == (after, "paused")
    store(cursor, read(), LogSwitched(log_name="app", paused=False, switched_at=AT))
    assert listed(cursor)[0] == ("app", "/a", "following"), "it was resumed already"


def test_files_that_cannot_be_looked_at(cursor: sqlite3.Cursor) -> None:
    """What was known of them stays; where nothing was, the name is told that they are to have."""
    unseen = LogUnseen(
        log_name="app", log_path="/*", state="error", error_message="no answer", updated_at=AT
    )
    store(cursor, unseen)
    assert listed(cursor) == [("app", "/*", "error")]
    store(cursor, LogFileGone(log_name="app", log_path="/*"), read(offset=4), read(path="/b"))
    store(cursor, read("other"), unseen)
    assert listed(cursor) == [
        ("app", "/a", "error"),
        ("app", "/b", "error"),
        ("other", "/a", "following"),
    ]
    (one, *_) = log_files.listed(cursor)
    assert (one.offset, one.error_message) == (4, "no answer")
    assert saved(cursor).cursors == {"/a": "here", "/b": "here"}


def test_a_log_that_is_not_configured_comes_back_as_it_was(cursor: sqlite3.Cursor) -> None:
    store(cursor, read(), LogSwitched(log_name="app", paused=True, switched_at=AT))
    store(cursor, read("other"), LogsConfigured(names=("other",)))
    assert listed(cursor) == [("other", "/a", "following")]
    assert saved(cursor) == LogSaved(paused=True, cursors={"/a": "here"})
    store(cursor, LogsConfigured(names=("app", "other")))
    assert listed(cursor) == [("app", "/a", "paused"), ("other", "/a", "following")]


def test_after_a_week_it_is_forgotten(cursor: sqlite3.Cursor) -> None:
    store(cursor, read(), LogSwitched(log_name="app", paused=True, switched_at=AT))
    store(cursor, LogsConfigured(names=("other",)), read("other", updated_at=AT))
    later = AT + timedelta(days=7, seconds=1)
    store(cursor, read("other", updated_at=later), LogsConfigured(names=("other",)))
    assert cursor.execute("SELECT log_name FROM log_files").fetchall() == [("other",)]
    store(cursor, LogsConfigured(names=("other",)))
    assert saved(cursor) == LogSaved()
