"""Ended scans over time: what goes in, what stands for a stretch, what is forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from etlmon.records.path import (
    PathPoint,
    PathScanCancelled,
    PathScanned,
    PathScanStarted,
    PathsConfigured,
    path_id,
)
from etlmon.store.tables import path_stats
from etlmon.store.tables.path_history import history
from etlmon.units import utc
from tests.scanned import scanned

SCAN = scanned(utc(100))


def complete(at: float, **fields: Any) -> PathScanned:
    return replace(SCAN, collected_at=utc(at), **fields)


def partial(at: float, **fields: Any) -> PathScanned:
    return complete(at, complete=False, status="PARTIAL", file_count=4, **fields)


def failed(at: float, **fields: Any) -> PathScanned:
    nothing = {"file_count": None, "dir_count": None, "other_count": None}
    return complete(at, complete=False, status="ERROR", **nothing, **fields)


def store(cursor: sqlite3.Cursor, *records: Any) -> None:
    for record in records:
        path_stats.TABLE.inserts[type(record)](cursor, [record])


def points(
    cursor: sqlite3.Cursor, since: float, until: float, count: int, path: str = SCAN.path
) -> list[tuple[float, str]]:
    found = history(cursor, path_id(path), utc(since), utc(until), count)
    assert found is not None
    return [(one.collected_at.timestamp(), one.status) for one in found]


def test_every_scan_that_ends_is_a_point(cursor: sqlite3.Cursor) -> None:
    begun = PathScanStarted(path=SCAN.path, scan_started_at=utc(0), next_scan_at=utc(160))
    store(cursor, begun, complete(10), begun, partial(20), begun, failed(30), begun)
    assert history(cursor, path_id(SCAN.path), utc(0), utc(100), 1000) == [
        PathPoint(
            collected_at=utc(10),
            file_count=10,
            dir_count=2,
            other_count=1,
            partial_file_count=None,
            complete=True,
            status="OK",
            scan_duration_ms=5,
        ),
        PathPoint(
            collected_at=utc(20),
            file_count=None,
            dir_count=None,
            other_count=None,
            partial_file_count=4,
            complete=False,
            status="PARTIAL",
            scan_duration_ms=5,
        ),
        PathPoint(
            collected_at=utc(30),
            file_count=None,
            dir_count=None,
            other_count=None,
            partial_file_count=None,
            complete=False,
            status="ERROR",
            scan_duration_ms=5,
        ),
    ]


def test_a_cancelled_scan_is_a_point_with_what_it_had_counted(cursor: sqlite3.Cursor) -> None:
    begun = PathScanStarted(path=SCAN.path, scan_started_at=utc(18), next_scan_at=utc(160))
    cancelled = PathScanCancelled(
        path=SCAN.path,
        file_count=5,
        dir_count=4,
        other_count=3,
        scanned_dirs=2,
        reused_dirs=1,
        scan_duration_ms=2000,
        error_message="cancelled, 12 entries counted",
        collected_at=utc(20),
    )
    store(cursor, complete(10), begun, cancelled)
    (_, point) = history(cursor, path_id(SCAN.path), utc(0), utc(100), 1000) or []
    assert (point.collected_at, point.scan_duration_ms) == (utc(20), 2000)
    assert (point.status, point.complete) == ("PARTIAL", False)
    assert (point.file_count, point.partial_file_count) == (None, 5)


def test_a_complete_scan_stands_for_its_stretch_whatever_follows_it(cursor: sqlite3.Cursor) -> None:
    store(cursor, *(complete(at) for at in (10, 20)), partial(30), failed(40))
    store(cursor, failed(110), partial(120))
    store(cursor, partial(210), complete(220))
    assert points(cursor, 0, 300, 3) == [(20, "OK"), (120, "PARTIAL"), (220, "OK")]
    assert points(cursor, 0, 300, 1) == [(220, "OK")]


def test_the_bounds_belong_to_it_and_empty_stretches_are_left_out(cursor: sqlite3.Cursor) -> None:
    store(cursor, *(complete(at) for at in (9.999, 10, 11, 50, 50.001)))
    assert points(cursor, 10, 50, 10) == [(11, "OK"), (50, "OK")]
    assert points(cursor, 10, 50, 1000) == [(10, "OK"), (11, "OK"), (50, "OK")]


def test_paths_have_histories_of_their_own(cursor: sqlite3.Cursor) -> None:
    store(cursor, complete(10), complete(20, path="/b"))
    assert points(cursor, 0, 100, 100) == [(10, "OK")]
    assert points(cursor, 0, 100, 100, "/b") == [(20, "OK")]


def test_a_path_that_is_not_known_has_none(cursor: sqlite3.Cursor) -> None:
    assert history(cursor, path_id(SCAN.path), utc(0), utc(100), 10) is None


def test_a_path_of_which_no_scan_has_ended_has_an_empty_one(cursor: sqlite3.Cursor) -> None:
    store(cursor, PathScanStarted(path="/b", scan_started_at=utc(0), next_scan_at=utc(160)))
    assert points(cursor, 0, 100, 10, "/b") == []


def test_it_is_forgotten_with_the_path(cursor: sqlite3.Cursor) -> None:
    store(cursor, complete(10), complete(20, path="/b"), PathsConfigured(paths=("/b",)))
    assert history(cursor, path_id(SCAN.path), utc(0), utc(100), 10) is None
    assert points(cursor, 0, 100, 10, "/b") == [(20, "OK")]
    store(cursor, complete(30))
    assert points(cursor, 0, 100, 10) == [(30, "OK")], "the old ones do not come back"


# --- by the indexes -------------------------------------------------------------------------------


def test_no_query_reads_the_whole_table(
    cursor: sqlite3.Cursor, plans: Callable[[Callable[[], object]], dict[str, list[str]]]
) -> None:
    store(cursor, *(complete(at) for at in range(20)))

    def work() -> None:
        points(cursor, 0, 20, 3)
        store(cursor, PathsConfigured(paths=()))

    seeks = 0
    for text, plan in plans(work).items():
        steps = [step for step in plan if "path_history" in step]
        seeks += len(steps)
        for step in steps:
            assert "SEARCH path_history USING" in step, text
            assert "path_history_by_path" in step, text
            if "SELECT" in text:
                assert "path_id=? AND complete=? AND collected_at>? AND collected_at<?" in step
        assert not any("TEMP B-TREE" in step for step in plan), text
    assert seeks == 2 * 3 + 1


@pytest.mark.parametrize("newest", [complete, partial], ids=["complete", "partial"])
def test_effort_does_not_grow_with_the_history(
    cursor: sqlite3.Cursor,
    effort: Callable[[Callable[[], object]], int],
    newest: Callable[[float], PathScanned],
) -> None:
    """A month of scans of each minute, as cheap as an hour of them."""

    def fill(first: int, last: int) -> None:
        cursor.execute("BEGIN")
        path_stats.TABLE.inserts[PathScanned](
            cursor, [newest(60.0 * number) for number in range(first, last)]
        )
        cursor.execute("COMMIT")

    fill(0, 60)
    few = effort(lambda: points(cursor, 0, 3600, 200))
    fill(60, 10_000)
    many = effort(lambda: points(cursor, 0, 3600, 200))
    assert many < 2 * few + 100
