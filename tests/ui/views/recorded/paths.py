"""Paths, how one of them went, what is in it and what is expected there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from etlmon.records.path import PathChild, PathExpected, PathPoint, PathStats, ScanTrouble
from etlmon.records.top import LargeDirectory, LargeFile, TopJob
from tests.ui.views.recorded.base import GIB, NOW
from tests.ui.views.recorded.disk import HISTORY

COUNTS = [
    PathPoint(
        collected_at=point.collected_at,
        file_count=None if n % 20 == 9 else 120_000 + 60 * n,
        dir_count=None if n % 20 == 9 else 100,
        other_count=None if n % 20 == 9 else 0,
        partial_file_count=80_000 if n % 20 == 9 else None,
        complete=n % 20 != 9,
        status="PARTIAL" if n % 20 == 9 else "OK",
        scan_duration_ms=420,
    )
    for n, point in enumerate(HISTORY)
]


def path(name: str, status: str = "OK", **fields: Any) -> PathStats:
    """Give a path that was scanned five minutes ago."""
    fields = {
        "file_count": 1234,
        "dir_count": 56,
        "other_count": 7,
        "file_count_change": 0,
        "scan_duration_ms": 420,
        "collected_at": NOW - timedelta(minutes=5),
        "complete": True,
        "next_scan_at": NOW + timedelta(seconds=30),
    } | fields
    return PathStats(id=f"id{name}", path=name, status=status, **fields)


NEVER = dict.fromkeys(
    (
        "file_count",
        "dir_count",
        "other_count",
        "file_count_change",
        "scan_duration_ms",
        "collected_at",
    )
)
PATHS = [
    path(
        "/data/in",
        expectation_state="waiting",
        file_count=1_204_311,
        dir_count=10_100,
        file_count_change=+5_120,
    ),
    path(
        "/data/out",
        expectation_state="arrived",
        file_count_change=-17,
        collected_at=NOW - timedelta(days=3),
    ),
    path(
        "/data/한국어",
        "SCANNING",
        next_scan_at=None,
        scan_started_at=NOW - timedelta(seconds=34),
        scan_file_count=1_234_567,
        scan_dir_count=890,
    ),
    path(
        "/data/new",
        "SCANNING",
        complete=False,
        next_scan_at=None,
        scan_started_at=NOW - timedelta(seconds=75),
        scan_waits_for="the scan of /data/in, begun 2026-11-24T11:58:00Z",
        **NEVER,
    ),
    path(
        "/gone", "ERROR", error_message="/gone: No such file or directory", complete=False, **NEVER
    ),
    path(
        "/data/part",
        "PARTIAL",
        error_message="timeout after 10m; 90,000 entries counted",
        complete=False,
        file_count=80_000,
        file_count_change=None,
        last_complete_file_count=123_456,
        last_complete_dir_count=100,
        last_complete_other_count=0,
        last_complete_at=NOW - timedelta(hours=1),
        troubles=[ScanTrouble(kind="EACCES", count=3, example="private/keys")],
    ),
    path("/srv/late", expectation_state="late"),
]
EXPECTED = [
    PathExpected(
        path_id="x",
        place=place,
        pattern="",
        glob=glob,
        state=state,
        due_at=NOW - timedelta(hours=6),
        since=NOW - timedelta(hours=12),
        min_count=1 + place,
        min_bytes=1,
        checked_at=NOW,
        **fields,
    )
    for place, (glob, state, fields) in enumerate(
        [
            (
                "sales_20261124.csv",
                "arrived",
                {
                    "arrived_count": 1,
                    "newest_path": "sales_20261124.csv",
                    "newest_bytes": 5 << 20,
                    "arrived_at": NOW - timedelta(hours=7),
                },
            ),
            (
                "in/한국어_*.gz",
                "late",
                {
                    "arrived_count": 1,
                    "growing_count": 1,
                    "empty_count": 2,
                    "link_count": 1,
                    "newest_path": "in/한국어_2.gz",
                    "newest_bytes": 0,
                    "previous_due_at": NOW - timedelta(hours=30),
                    "previous_state": "late",
                },
            ),
        ]
    )
]
CHILDREN = [
    PathChild(
        path_id="x",
        place=place,
        kind=kind,
        name=name,
        directory_count=count,
        file_count=files,
        dir_count=files // 1_000,
        other_count=place,
        collected_at=NOW - timedelta(hours=1),
    )
    for place, (kind, name, count, files) in enumerate(
        [
            ("directory", "2026-11", 1, 100_000),
            ("directory", "한국어", 1, 20_000),
            ("rest", None, 1_200, 3_400),
            ("itself", None, 0, 56),
        ]
    )
]
LARGE = [
    LargeFile(
        path="2026-11/dump.csv",
        allocated_bytes=80 * GIB,
        apparent_bytes=81 * GIB,
        modified_at=NOW - timedelta(days=1),
    ),
    LargeFile(
        path="한국어/데이터.gz", allocated_bytes=5 << 20, apparent_bytes=5 << 20, modified_at=NOW
    ),
]
TOP = TopJob(
    id="x",
    path="/data/part",
    state="done",
    count=20,
    started_at=NOW - timedelta(seconds=90),
    ended_at=NOW - timedelta(seconds=20),
    duration_ms=70_000,
    entries=123_556,
    allocated_bytes=82 * GIB,
    apparent_bytes=93 * GIB,
    files_by_allocated=LARGE,
    files_by_apparent=[
        LARGE[0],
        LargeFile(
            path="sparse.img", allocated_bytes=4096, apparent_bytes=10 * GIB, modified_at=None
        ),
    ],
    directories_by_allocated=[
        LargeDirectory(path="", allocated_bytes=82 * GIB, apparent_bytes=93 * GIB, files=123_456),
        LargeDirectory(
            path="2026-11", allocated_bytes=80 * GIB, apparent_bytes=81 * GIB, files=100_000
        ),
    ],
)
