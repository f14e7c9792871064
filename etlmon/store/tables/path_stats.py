"""The newest counts of each configured path. Each scan that ends goes into path_history too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.path import (
    EndedScan,
    PathScanCancelled,
    PathScanned,
    PathScanProgress,
    PathScanStarted,
    PathsConfigured,
    PathStats,
    path_id,
)
from etlmon.store.tables import path_children, path_expected, path_history
from etlmon.store.tables.base import Table, columns, records, row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_COLUMNS = ", ".join(columns(PathStats))
_SCANNED = columns(PathScanned)

# A new row where there is none; otherwise the counts of the scan before stay while this one runs.
_STARTED = """
INSERT INTO path_stats (id, path, status, complete, troubles, scan_started_at, next_scan_at)
VALUES (?, ?, 'SCANNING', 0, '[]', ?, ?)
ON CONFLICT (path) DO UPDATE SET
    status = excluded.status,
    scan_started_at = excluded.scan_started_at,
    next_scan_at = excluded.next_scan_at,
    scan_file_count = NULL,
    scan_dir_count = NULL,
    scan_waits_for = NULL
"""
# Not where it has ended meanwhile.
_PROGRESS = """
UPDATE path_stats SET scan_file_count = ?, scan_dir_count = ?, scan_waits_for = ?
WHERE path = ? AND status = 'SCANNING'
"""
_ENDED = f"""
INSERT INTO path_stats (id, {", ".join(_SCANNED)})
VALUES (?, {", ".join("?" * len(_SCANNED))})
ON CONFLICT (path) DO UPDATE SET
    file_count_change = NULL,
    scan_file_count = NULL,
    scan_dir_count = NULL,
    scan_waits_for = NULL,
    {", ".join(f"{name} = excluded.{name}" for name in _SCANNED if name != "path")}
"""
_COMPLETE = """
UPDATE path_stats SET
    file_count_change = file_count - last_complete_file_count,
    last_complete_file_count = file_count,
    last_complete_dir_count = dir_count,
    last_complete_other_count = other_count,
    last_complete_at = collected_at
WHERE path = ? AND complete
"""
# Not where the result of the scan came in before its cancellation.
_CANCELLED = f"""
UPDATE path_stats SET
    status = 'PARTIAL',
    complete = 0,
    file_count_change = NULL,
    newest_change_at = NULL,
    skipped_mounts = NULL,
    troubles = '[]',
    scan_file_count = NULL,
    scan_dir_count = NULL,
    scan_waits_for = NULL,
    {", ".join(f"{name} = :{name}" for name in columns(PathScanCancelled) if name != "path")}
WHERE path = :path AND status = 'SCANNING'
"""
_INTERRUPTED = """
UPDATE path_stats SET
    status = 'ERROR',
    error_message = 'the scan was interrupted',
    complete = 0,
    scan_file_count = NULL,
    scan_dir_count = NULL,
    scan_waits_for = NULL
WHERE status = 'SCANNING'
"""


def _insert_started(cursor: sqlite3.Cursor, scans: Sequence[PathScanStarted]) -> None:
    cursor.executemany(_STARTED, [(path_id(scan.path), *row(scan)) for scan in scans])
    path_expected.note(cursor, [path_id(scan.path) for scan in scans])


def _insert_progress(cursor: sqlite3.Cursor, scans: Sequence[PathScanProgress]) -> None:
    cursor.executemany(_PROGRESS, [(*row(scan)[1:], scan.path) for scan in scans])


def _insert_scanned(cursor: sqlite3.Cursor, scans: Sequence[PathScanned]) -> None:
    cursor.executemany(_ENDED, [(path_id(scan.path), *row(scan)) for scan in scans])
    cursor.executemany(_COMPLETE, [(scan.path,) for scan in scans])
    path_history.insert(
        cursor,
        [
            EndedScan(
                path_id=path_id(scan.path),
                collected_at=scan.collected_at,
                file_count=scan.file_count,
                dir_count=scan.dir_count,
                other_count=scan.other_count,
                complete=scan.complete,
                status=scan.status,
                scan_duration_ms=scan.scan_duration_ms,
            )
            for scan in scans
        ],
    )


def _insert_cancelled(cursor: sqlite3.Cursor, scans: Sequence[PathScanCancelled]) -> None:
    for scan in scans:
        values = dict(zip(columns(PathScanCancelled), row(scan), strict=True))
        if cursor.execute(_CANCELLED, values).rowcount:
            ended = EndedScan(
                path_id=path_id(scan.path),
                collected_at=scan.collected_at,
                file_count=scan.file_count,
                dir_count=scan.dir_count,
                other_count=scan.other_count,
                complete=False,
                status="PARTIAL",
                scan_duration_ms=scan.scan_duration_ms,
            )
            path_history.insert(cursor, [ended])


def _insert_configured(cursor: sqlite3.Cursor, configured: Sequence[PathsConfigured]) -> None:
    wanted = set(configured[-1].paths)
    known = [path for (path,) in cursor.execute("SELECT path FROM path_stats")]
    gone = [path for path in known if path not in wanted]
    cursor.executemany("DELETE FROM path_stats WHERE path = ?", [(path,) for path in gone])
    for table in (path_history, path_children):
        table.forget(cursor, map(path_id, gone))
    path_expected.keep_only(cursor, set(map(path_id, configured[-1].expecting)))


TABLE = Table(
    "path_stats",
    {
        PathScanStarted: _insert_started,
        PathScanProgress: _insert_progress,
        PathScanned: _insert_scanned,
        PathScanCancelled: _insert_cancelled,
        PathsConfigured: _insert_configured,
    },
    may_be_held=True,
    at_open=_INTERRUPTED,
)


def newest(cursor: sqlite3.Cursor) -> list[PathStats]:
    """Give the newest counts of every configured path, by path."""
    return records(PathStats, cursor.execute(f"SELECT {_COLUMNS} FROM path_stats ORDER BY path"))
