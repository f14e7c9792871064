"""SQLite's write-ahead log: how it is begun anew, and the bug that some versions have in that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

_BUG_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""sqlite.org/wal.html#the_wal_reset_bug: fixed in 3.51.3, and carried back to two older lines."""


def has_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite can corrupt a database when two connections write at one instant."""
    return not any(
        version >= fixed and (version[:2] == fixed[:2] or fixed is _BUG_FIXED[0])
        for fixed in _BUG_FIXED
    )


def checkpoint(cursor: sqlite3.Cursor) -> bool:
    """Bring the whole log into the file and cut it to nothing; False if a reader is in the way.

    Without patience: the writer's thread would wait for the reader, and every batch with it.
    """
    patience = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        is_busy: int = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {patience}")
    return not is_busy
