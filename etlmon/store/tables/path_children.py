"""What is below each direct subdirectory of a path: of the newest complete scan, no older one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.path import ChildrenCounted, PathChild, path_id
from etlmon.store.tables.base import Table, columns, insert_sql, records, row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

_COLUMNS = ", ".join(columns(PathChild))
_INSERT = insert_sql("path_children", PathChild)


def _insert(cursor: sqlite3.Cursor, counted: Sequence[ChildrenCounted]) -> None:
    for each in counted:
        forget(cursor, [path_id(each.path)])
        cursor.executemany(_INSERT, [row(child) for child in each.children])


TABLE = Table(
    "path_children",
    {ChildrenCounted: _insert},
    may_be_held=True,
    rows={ChildrenCounted: lambda counted: len(counted.children)},
)


def forget(cursor: sqlite3.Cursor, path_ids: Iterable[str]) -> None:
    """Delete what is known of paths, within the transaction of the cursor."""
    cursor.executemany(
        "DELETE FROM path_children WHERE path_id = ?", [(path_id,) for path_id in path_ids]
    )


def children(cursor: sqlite3.Cursor, path_id: str) -> list[PathChild] | None:
    """Give the rows of a path, largest first; none before a complete scan, None if unknown."""
    known = cursor.execute("SELECT 1 FROM path_stats WHERE id = ?", (path_id,)).fetchone()
    if known is None:
        return None
    rows = cursor.execute(
        f"SELECT {_COLUMNS} FROM path_children WHERE path_id = ? ORDER BY place", (path_id,)
    )
    return records(PathChild, rows)
