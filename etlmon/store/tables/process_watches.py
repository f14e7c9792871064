"""How each watch of processes is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from etlmon.records.process import ProcessWatchStatus, WatchesConfigured
from etlmon.store.tables.base import Table, columns, records, row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_COLUMNS = columns(ProcessWatchStatus)
_REPLACE = (
    f"INSERT OR REPLACE INTO process_watches ({', '.join(_COLUMNS)})"
    f" VALUES ({', '.join('?' * len(_COLUMNS))})"
)


def _insert(cursor: sqlite3.Cursor, watches: Sequence[ProcessWatchStatus]) -> None:
    cursor.executemany(_REPLACE, [row(watch) for watch in watches])


def _insert_configured(cursor: sqlite3.Cursor, configured: Sequence[WatchesConfigured]) -> None:
    wanted = msgspec.json.encode(configured[-1].watches).decode()
    for table in ("process_watches", "process_stats"):
        cursor.execute(
            f"DELETE FROM {table} WHERE watch NOT IN (SELECT value FROM json_each(?))", (wanted,)
        )


TABLE = Table(
    "process_watches",
    {ProcessWatchStatus: _insert, WatchesConfigured: _insert_configured},
    may_be_held=True,
)


def newest(cursor: sqlite3.Cursor) -> list[ProcessWatchStatus]:
    """Give all watches, in the order of the configuration."""
    return records(
        ProcessWatchStatus,
        cursor.execute(f"SELECT {', '.join(_COLUMNS)} FROM process_watches ORDER BY rowid"),
    )
