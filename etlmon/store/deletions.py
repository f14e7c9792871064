"""The small steps by which histories are cut: each is work for the writer's connection."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from etlmon.store.tables.base import Table

ROWS_A_STEP = 5_000
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the rows of the largest history, tried in turn where all of something must be written at once,
and the greatest size leaves it no room."""
_NO_ID = 1 << 62
"""Larger than any."""
_PAGES_A_STEP = 250
"""Some 20 ms: what a collector has for the database waits no longer than that."""


def delete_aged(
    table: Table, oldest_ms: int, newest_ms: int, most: int = ROWS_A_STEP
) -> Callable[[sqlite3.Cursor], int]:
    """Delete rows from the head of the table, up to the last that is too old; gives how many.

    At most ``most``, and none behind the first that is not too old. One later than ``newest_ms``,
    from a clock that was wrong, counts as old as the first behind it that is not.
    """
    at = table.time_column

    def delete(cursor: sqlite3.Cursor) -> int:
        head = f"SELECT id, {at} FROM {table.name} WHERE id < ? ORDER BY id LIMIT {most}"
        young = cursor.execute(
            f"SELECT id FROM ({head}) WHERE {at} BETWEEN ? AND ? ORDER BY id LIMIT 1",
            (_NO_ID, oldest_ms, newest_ms),
        ).fetchone()
        (end,) = young or (_NO_ID,)
        (last,) = cursor.execute(
            f"SELECT max(id) FROM ({head}) WHERE {at} < ?", (end, oldest_ms)
        ).fetchone()
        if young is None and last is None and _first_until(table, newest_ms, cursor) < oldest_ms:
            (last,) = cursor.execute(f"SELECT max(id) FROM ({head})", (end,)).fetchone()
        cursor.execute(f"DELETE FROM {table.name} WHERE id <= ?", (last,))
        return _trimmed(table, cursor)

    return delete


def _first_until(table: Table, newest_ms: int, cursor: sqlite3.Cursor) -> float:
    """Give the moment of the first row that is no later than that; infinity if there is none.

    It looks at all rows before that one: of thousands from the future, some 10 ms.
    """
    found = cursor.execute(
        f"SELECT {table.time_column} FROM {table.name} WHERE {table.time_column} <= ?"
        " ORDER BY id LIMIT 1",
        (newest_ms,),
    ).fetchone()
    return math.inf if found is None else float(found[0])


def delete_before(
    table: Table, oldest_ms: int, most: int = ROWS_A_STEP
) -> Callable[[sqlite3.Cursor], int]:
    """Delete rows older than ``oldest_ms``, at most ``most``; gives how many."""

    def delete(cursor: sqlite3.Cursor) -> int:
        cursor.execute(
            f"DELETE FROM {table.name} WHERE rowid IN (SELECT rowid FROM {table.name}"
            f" WHERE {table.time_column} < ? ORDER BY {table.time_column} LIMIT {most})",
            (oldest_ms,),
        )
        return cursor.rowcount

    return delete


def delete_after(
    table: Table, newest_ms: int, most: int = ROWS_A_STEP
) -> Callable[[sqlite3.Cursor], int]:
    """Delete rows from the future, at most ``most``; gives how many.

    A clock that was wrong has left them: they would never grow old, and push out good ones.
    """

    def delete(cursor: sqlite3.Cursor) -> int:
        cursor.execute(
            f"DELETE FROM {table.name} WHERE rowid IN (SELECT rowid FROM {table.name}"
            f" WHERE {table.time_column} > ? LIMIT {most})",
            (newest_ms,),
        )
        return cursor.rowcount

    return delete


def delete_oldest(
    table: Table, rows: int, most: int = ROWS_A_STEP, *, before: int | None = None
) -> Callable[[sqlite3.Cursor], int]:
    """Delete the ``rows`` oldest rows, but at most ``most``; gives how many.

    Where a table has kinds of rows, they are the oldest of those kinds that have the most. Where it
    ages by its ids, none goes from ``before`` on.
    """
    if table.kinds is not None:
        return lambda cursor: _delete_of_kinds(table, min(rows, most), cursor)
    which = (
        f"id < min((SELECT min(id) FROM {table.name}) + ?, {_NO_ID if before is None else before})"
        if table.ages_by_id
        else f"rowid IN (SELECT rowid FROM {table.name} ORDER BY {table.time_column} LIMIT ?)"
    )

    def delete(cursor: sqlite3.Cursor) -> int:
        cursor.execute(f"DELETE FROM {table.name} WHERE {which}", (min(rows, most),))
        return _trimmed(table, cursor)

    return delete


def _delete_of_kinds(table: Table, rows: int, cursor: sqlite3.Cursor) -> int:
    # To count 100,000 rows by kind takes some 50 ms; retention deletes 1,000 of so many at a time.
    counts: dict[str, int] = dict(
        cursor.execute(f"SELECT {table.kinds}, count(*) FROM {table.name} GROUP BY 1").fetchall()
    )
    most = _level(counts.values(), sum(counts.values()) - rows)
    deleted = 0
    for kind, count in sorted(counts.items()):
        cursor.execute(
            f"DELETE FROM {table.name} WHERE id IN (SELECT id FROM {table.name}"
            f" WHERE {table.kinds} = ? ORDER BY id LIMIT ?)",
            (kind, min(max(0, count - most), rows - deleted)),
        )
        deleted += _trimmed(table, cursor)
    return deleted


def _level(counts: Iterable[int], left: int) -> int:
    """Give how many each may keep at most, so that no more than ``left`` are kept in all."""
    ordered = sorted(counts)
    for place, count in enumerate(ordered):
        share = max(0, left) // (len(ordered) - place)
        if count > share:
            return share
        left -= count
    return ordered[-1] if ordered else 0


def _trimmed(table: Table, cursor: sqlite3.Cursor) -> int:
    """Do what follows a deletion; give how many rows went."""
    deleted = cursor.rowcount
    if deleted and table.trimmed is not None:
        cursor.execute(table.trimmed)
    return deleted


def delete_share(table: Table, share: float) -> Callable[[sqlite3.Cursor], int]:
    """Delete a share of a table's rows, the oldest, in one step; gives how many.

    For what must find room in the same transaction; where there is time, smaller steps are better.
    """

    def delete(cursor: sqlite3.Cursor) -> int:
        (rows,) = cursor.execute(f"SELECT count(*) FROM {table.name}").fetchone()
        return delete_oldest(table, math.ceil(rows * share), rows)(cursor)

    return delete


def free_pages(cursor: sqlite3.Cursor, most: int = _PAGES_A_STEP) -> int:
    """Give free pages back to the file system, at most ``most``; gives how many are left.

    One at a time: Python's sqlite3 ends the pragma after the first page, whatever number it is
    given, and ``executescript``, which does not, would commit first.
    """
    free: int = cursor.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(free, most)):
        cursor.execute("PRAGMA incremental_vacuum(1)")
    left: int = cursor.execute("PRAGMA freelist_count").fetchone()[0]
    return left if left < free else 0
