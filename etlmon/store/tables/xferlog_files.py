"""How far each transfer log has been read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.xferlog import (
    XferlogFile,
    XferlogFileRead,
    XferlogFileRow,
    XferlogsConfigured,
)
from etlmon.store.tables.base import Table, columns, records, row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_READ = columns(XferlogFileRead)
_ADDED = {
    "lines": "lines_total",
    "transfers": "transfers_total",
    "unparsed": "unparsed_total",
    "events": "events_total",
    "skipped": "skipped_total",
    "gaps": "gaps",
}
_STORED = [_ADDED.get(name, name) for name in _READ]


def _update(column: str) -> str:
    if column in _ADDED.values():
        return f"{column} = {column} + excluded.{column}"
    if column == "last_line_at":
        return f"{column} = coalesce(excluded.{column}, {column})"
    return f"{column} = excluded.{column}"


_UPSERT = (
    f"INSERT INTO xferlog_files ({', '.join(_STORED)}) VALUES ({', '.join('?' * len(_STORED))})"
    f" ON CONFLICT (path) DO UPDATE SET {', '.join(_update(name) for name in _STORED[1:])}"
)


def _read(cursor: sqlite3.Cursor, reads: Sequence[XferlogFileRead]) -> None:
    cursor.executemany(_UPSERT, [row(read) for read in reads])


def _configured(cursor: sqlite3.Cursor, declared: Sequence[XferlogsConfigured]) -> None:
    kept = set(declared[-1].paths)
    known = [path for (path,) in cursor.execute("SELECT path FROM xferlog_files")]
    cursor.executemany(
        "DELETE FROM xferlog_files WHERE path = ?", [(path,) for path in known if path not in kept]
    )


def _saved(cursor: sqlite3.Cursor, path: str) -> list[XferlogFileRow]:
    names = ", ".join(columns(XferlogFileRow))
    return records(
        XferlogFileRow,
        cursor.execute(f"SELECT {names} FROM xferlog_files WHERE path = ?", (path,)),
    )


TABLE = Table(
    "xferlog_files",
    {XferlogFileRead: _read, XferlogsConfigured: _configured},
    saved={XferlogFileRow: _saved},
)


def files(cursor: sqlite3.Cursor) -> list[XferlogFile]:
    """Give all logs that are followed, by path."""
    names = ", ".join(columns(XferlogFile))
    return records(XferlogFile, cursor.execute(f"SELECT {names} FROM xferlog_files ORDER BY path"))
