"""How the counts of each configured path went: a row for each scan that has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.path import EndedScan, PathPoint
from etlmon.store.tables.base import Table, insert_sql, records, row, spread
from etlmon.units import to_millis

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_INSERT = insert_sql("path_history", EndedScan)


def _newest(complete: int, counts: str) -> str:
    return f"""
    SELECT collected_at, {counts}, complete, status, scan_duration_ms FROM path_history
    WHERE path_id = :of AND complete = {complete}
        AND collected_at > :after AND collected_at <= :until
    ORDER BY collected_at DESC LIMIT 1
    """


_COMPLETE = _newest(1, "file_count, dir_count, other_count, NULL")
_OTHER = _newest(0, "NULL, NULL, NULL, file_count")
# Where the first part gives a row the second is not even looked at.
_NEWEST_POINT = f"SELECT * FROM ({_COMPLETE}) UNION ALL SELECT * FROM ({_OTHER}) LIMIT 1"


def insert(cursor: sqlite3.Cursor, scans: Sequence[EndedScan]) -> None:
    """Add scans, within the transaction of the cursor."""
    cursor.executemany(_INSERT, [row(scan) for scan in scans])


TABLE = Table("path_history", {EndedScan: insert}, time_column="collected_at", may_be_held=True)


def forget(cursor: sqlite3.Cursor, path_ids: Iterable[str]) -> None:
    """Delete all scans of paths, within the transaction of the cursor."""
    cursor.executemany(
        "DELETE FROM path_history WHERE path_id = ?", [(path_id,) for path_id in path_ids]
    )


def history(
    cursor: sqlite3.Cursor, path_id: str, since: datetime, until: datetime, points: int
) -> list[PathPoint] | None:
    """Give at most ``points`` scans that ended from ``since`` to ``until``, evenly spread.

    The newest complete scan of a stretch stands for it; where there is none, the newest other
    one. None for a path that is not known.
    """
    known = cursor.execute("SELECT 1 FROM path_stats WHERE id = ?", (path_id,)).fetchone()
    if known is None:
        return None
    first, last = to_millis(since), to_millis(until)
    return records(PathPoint, spread(cursor, _NEWEST_POINT, path_id, first, last, points))
