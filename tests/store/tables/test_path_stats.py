"""Counts of paths: what a scan changes when it begins, when it ends, and when it never does."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from etlmon.records.base import Record
from etlmon.records.path import (
    PathScanCancelled,
    PathScanned,
    PathScanProgress,
    PathScanStarted,
    PathsConfigured,
    PathStats,
    ScanTrouble,
    path_id,
)
from etlmon.store.open import prepare
from etlmon.store.tables.path_stats import TABLE, newest
from etlmon.units import utc
from tests.scanned import scanned

STARTED = PathScanStarted(path="/데이터", scan_started_at=utc(100), next_scan_at=utc(160))
COMPLETE = scanned(utc(101), newest_change_at=utc(50), reused_dirs=2, next_scan_at=utc(160))
PARTIAL = replace(
    COMPLETE,
    file_count=4,
    dir_count=1,
    other_count=0,
    status="PARTIAL",
    error_message="timed out",
    collected_at=utc(201),
    complete=False,
    troubles=[ScanTrouble(kind="EACCES", count=1, example="비밀")],
    next_scan_at=utc(260),
)
FAILED = replace(
    PARTIAL,
    file_count=None,
    dir_count=None,
    other_count=None,
    status="ERROR",
    error_message="no such directory",
    newest_change_at=None,
    scanned_dirs=None,
    reused_dirs=None,
    skipped_mounts=None,
    troubles=[],
)


def store(cursor: sqlite3.Cursor, *records: Record) -> None:
    for record in records:
        TABLE.inserts[type(record)](cursor, [record])


def only(cursor: sqlite3.Cursor) -> PathStats:
    (found,) = newest(cursor)
    return found


def changes(before: PathStats, after: PathStats) -> dict[str, Any]:
    return {
        name: getattr(after, name)
        for name in before.__struct_fields__
        if getattr(after, name) != getattr(before, name)
    }


def test_first_scan_begins(cursor: sqlite3.Cursor) -> None:
    store(cursor, STARTED)
    assert only(cursor) == PathStats(
        id=path_id("/데이터"),
        path="/데이터",
        status="SCANNING",
        scan_started_at=utc(100),
        next_scan_at=utc(160),
    )


def test_complete_scan_is_the_last_complete_one(cursor: sqlite3.Cursor) -> None:
    store(cursor, STARTED, COMPLETE)
    assert only(cursor) == PathStats(
        id=path_id("/데이터"),
        path="/데이터",
        file_count=10,
        dir_count=2,
        other_count=1,
        scan_duration_ms=5,
        status="OK",
        collected_at=utc(101),
        complete=True,
        last_complete_file_count=10,
        last_complete_dir_count=2,
        last_complete_other_count=1,
        last_complete_at=utc(101),
        newest_change_at=utc(50),
        scanned_dirs=3,
        reused_dirs=2,
        skipped_mounts=0,
        scan_started_at=utc(100),
        next_scan_at=utc(160),
    )


def test_scan_that_begins_keeps_the_old_counts(cursor: sqlite3.Cursor) -> None:
    store(cursor, STARTED, COMPLETE)
    before = only(cursor)
    store(cursor, replace(STARTED, scan_started_at=utc(160), next_scan_at=utc(220)))
    assert changes(before, only(cursor)) == {
        "status": "SCANNING",
        "scan_started_at": utc(160),
        "next_scan_at": utc(220),
    }


@pytest.mark.parametrize("ended", [PARTIAL, FAILED], ids=["partial", "failed"])
def test_scan_that_is_not_complete_keeps_the_last_complete_one_beside_it(
    cursor: sqlite3.Cursor, ended: PathScanned
) -> None:
    store(cursor, STARTED, COMPLETE, STARTED, ended)
    found = only(cursor)
    assert {name: getattr(found, name) for name in ended.__struct_fields__} == {
        name: getattr(ended, name) for name in ended.__struct_fields__
    }
    assert (
        found.last_complete_file_count,
        found.last_complete_dir_count,
        found.last_complete_other_count,
        found.last_complete_at,
    ) == (10, 2, 1, utc(101))
    store(cursor, replace(COMPLETE, file_count=11, collected_at=utc(301)))
    assert only(cursor).last_complete_file_count == 11
    assert only(cursor).last_complete_at == utc(301)
    assert only(cursor).error_message is None


def test_change_is_against_the_complete_scan_before(cursor: sqlite3.Cursor) -> None:
    store(cursor, COMPLETE)
    assert only(cursor).file_count_change is None
    store(cursor, replace(COMPLETE, file_count=13))
    assert only(cursor).file_count_change == 3
    store(cursor, PARTIAL)
    assert only(cursor).file_count_change is None
    store(cursor, replace(COMPLETE, file_count=9))
    assert only(cursor).file_count_change == -4
    store(cursor, STARTED)
    assert only(cursor).file_count_change == -4


def test_scan_that_was_never_complete_has_no_last_complete_one(cursor: sqlite3.Cursor) -> None:
    store(cursor, PARTIAL)
    assert only(cursor).last_complete_at is None
    assert only(cursor).troubles == PARTIAL.troubles


def test_end_without_a_beginning(cursor: sqlite3.Cursor) -> None:
    store(cursor, COMPLETE)
    assert (only(cursor).status, only(cursor).scan_started_at) == ("OK", None)


def test_several_of_one_batch(cursor: sqlite3.Cursor) -> None:
    other = replace(COMPLETE, path="/b", file_count=20)
    TABLE.inserts[PathScanned](cursor, [COMPLETE, other, replace(COMPLETE, file_count=11)])
    assert [(one.path, one.last_complete_file_count) for one in newest(cursor)] == [
        ("/b", 20),
        ("/데이터", 11),
    ]


def test_paths_no_longer_configured_are_forgotten(cursor: sqlite3.Cursor) -> None:
    store(cursor, *(replace(COMPLETE, path=path) for path in ("/a", "/b", "/c")))
    store(cursor, PathsConfigured(paths=("/c", "/a", "/new")))
    assert [one.path for one in newest(cursor)] == ["/a", "/c"]
    store(cursor, PathsConfigured(paths=()))
    assert newest(cursor) == []


def test_configuring_anew_leaves_a_running_scan_alone(cursor: sqlite3.Cursor) -> None:
    """A reload is no interruption."""
    store(cursor, STARTED, PathsConfigured(paths=("/데이터",)))
    assert only(cursor).status == "SCANNING"


CANCELLED = PathScanCancelled(
    path="/데이터",
    file_count=5,
    dir_count=4,
    other_count=3,
    scanned_dirs=2,
    reused_dirs=1,
    scan_duration_ms=2000,
    error_message="cancelled, 12 entries counted",
    collected_at=utc(162),
)


def test_scan_that_was_cancelled_keeps_the_last_complete_counts(cursor: sqlite3.Cursor) -> None:
    store(cursor, STARTED, COMPLETE)
    before = only(cursor)
    store(cursor, STARTED, CANCELLED)
    found = only(cursor)
    assert (found.status, found.complete, found.error_message) == (
        "PARTIAL",
        False,
        "cancelled, 12 entries counted",
    )
    assert (found.file_count, found.dir_count, found.other_count) == (5, 4, 3)
    assert (found.scanned_dirs, found.reused_dirs, found.skipped_mounts) == (2, 1, None)
    assert (found.scan_duration_ms, found.collected_at) == (2000, utc(162))
    assert (found.file_count_change, found.newest_change_at, found.troubles) == (None, None, [])
    assert found.last_complete_file_count == before.file_count
    assert found.last_complete_at == before.collected_at
    store(cursor, STARTED, COMPLETE)
    assert (only(cursor).status, only(cursor).error_message) == ("OK", None)


def test_first_scan_that_was_cancelled_before_it_counted(cursor: sqlite3.Cursor) -> None:
    nothing = dict.fromkeys(("file_count", "dir_count", "other_count"))
    store(cursor, STARTED, replace(CANCELLED, error_message="cancelled", **nothing))
    found = only(cursor)
    assert (found.status, found.error_message) == ("PARTIAL", "cancelled")
    assert (found.file_count, found.last_complete_at) == (None, None)


@pytest.mark.parametrize("ended", [COMPLETE, PARTIAL], ids=["complete", "partial"])
def test_cancellation_that_comes_after_the_result_changes_nothing(
    cursor: sqlite3.Cursor, ended: PathScanned
) -> None:
    store(cursor, STARTED, ended)
    before = only(cursor)
    store(cursor, CANCELLED, replace(CANCELLED, path="/forgotten"))
    assert newest(cursor) == [before]
    assert cursor.execute("SELECT count(*) FROM path_history").fetchone() == (1,)


def test_scan_that_the_end_of_the_node_interrupted(cursor: sqlite3.Cursor, path: Path) -> None:
    """The next start says so, and only of those that were running."""
    store(cursor, COMPLETE, replace(STARTED, scan_started_at=utc(160)))
    store(cursor, replace(PARTIAL, path="/a"))
    others, before = newest(cursor)
    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
    same, after = newest(cursor)
    assert same == others
    assert changes(before, after) == {
        "status": "ERROR",
        "error_message": "the scan was interrupted",
        "complete": False,
    }
    assert after.file_count == 10


# --- progress -------------------------------------------------------------------------------------

PROGRESS = PathScanProgress(path="/데이터", scan_file_count=7, scan_dir_count=3)


@pytest.mark.parametrize("end", [COMPLETE, CANCELLED, STARTED])
def test_progress_is_kept_beside_the_counts_until_the_scan_ends(
    cursor: sqlite3.Cursor, end: Record
) -> None:
    store(cursor, STARTED, COMPLETE, STARTED)
    before = only(cursor)
    store(cursor, PROGRESS)
    assert changes(before, only(cursor)) == {"scan_file_count": 7, "scan_dir_count": 3}
    store(cursor, end)
    assert (only(cursor).scan_file_count, only(cursor).scan_dir_count) == (None, None)


@pytest.mark.parametrize("end", [PROGRESS, COMPLETE, CANCELLED, STARTED])
def test_what_a_scan_waits_for_is_kept_until_it_counts(cursor: sqlite3.Cursor, end: Record) -> None:
    store(cursor, STARTED, PathScanProgress(path=STARTED.path, scan_waits_for="a free worker"))
    assert (only(cursor).scan_waits_for, only(cursor).scan_file_count) == ("a free worker", None)
    store(cursor, end)
    assert only(cursor).scan_waits_for is None


def test_progress_that_comes_after_the_end_is_forgotten(cursor: sqlite3.Cursor) -> None:
    store(cursor, STARTED, COMPLETE)
    before = only(cursor)
    store(cursor, PROGRESS)
    assert only(cursor) == before


def test_progress_is_forgotten_at_the_next_start(cursor: sqlite3.Cursor) -> None:
    store(cursor, STARTED, PROGRESS)
    assert TABLE.at_open
    cursor.execute(TABLE.at_open)
    assert (only(cursor).status, only(cursor).scan_file_count) == ("ERROR", None)
