"""What is expected below each path today: whether it has arrived, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from etlmon.records.path import ExpectationsChecked, ExpectedState, PathExpected, path_id
from etlmon.store.tables.base import Table, columns, insert_sql, records, row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

_NAMES = columns(PathExpected)
_KEPT = ("path_id", "place", "arrived_at", "previous_due_at", "previous_state")
# A day that has passed leaves its state behind; what has arrived keeps the time when it first had.
_CHECKED = f"""
{insert_sql("path_expected", PathExpected)}
ON CONFLICT (path_id, place) DO UPDATE SET
    previous_due_at = CASE WHEN pattern <> excluded.pattern THEN NULL
        WHEN due_at < excluded.due_at THEN due_at ELSE previous_due_at END,
    previous_state = CASE WHEN pattern <> excluded.pattern THEN NULL
        WHEN due_at < excluded.due_at THEN state ELSE previous_state END,
    arrived_at = CASE WHEN (excluded.arrived_at IS NOT NULL OR excluded.state = 'unknown')
        AND arrived_at IS NOT NULL AND pattern = excluded.pattern AND due_at = excluded.due_at
        THEN arrived_at ELSE excluded.arrived_at END,
    {", ".join(f"{name} = excluded.{name}" for name in _NAMES if name not in _KEPT)}
"""
_WORST_FIRST = " ".join(
    f"WHEN '{state}' THEN {place}" for place, state in enumerate(get_args(ExpectedState))
)
_NOTE = f"""
UPDATE path_stats SET expectation_state = (
    SELECT state FROM path_expected WHERE path_id = path_stats.id
    ORDER BY CASE state {_WORST_FIRST} END LIMIT 1
) WHERE id = ?
"""


def note(cursor: sqlite3.Cursor, path_ids: Iterable[str]) -> None:
    """Put the worst state of each path's expectations into its row of path_stats."""
    cursor.executemany(_NOTE, [(path_id,) for path_id in path_ids])


def _insert(cursor: sqlite3.Cursor, checked: Sequence[ExpectationsChecked]) -> None:
    for each in checked:
        of = path_id(each.path)
        cursor.execute(
            "DELETE FROM path_expected WHERE path_id = ? AND place >= ?", (of, len(each.expected))
        )
        cursor.executemany(_CHECKED, [row(one) for one in each.expected])
        note(cursor, [of])


def _saved(cursor: sqlite3.Cursor, path_id: str) -> list[PathExpected]:
    return expected(cursor, path_id) or []


TABLE = Table(
    "path_expected",
    {ExpectationsChecked: _insert},
    may_be_held=True,
    saved={PathExpected: _saved},
)


def keep_only(cursor: sqlite3.Cursor, path_ids: set[str]) -> None:
    """Forget what was expected below other paths, within the transaction of the cursor."""
    known = {of for (of,) in cursor.execute("SELECT DISTINCT path_id FROM path_expected")}
    gone = known - path_ids
    cursor.executemany("DELETE FROM path_expected WHERE path_id = ?", [(of,) for of in gone])
    note(cursor, gone)


def expected(cursor: sqlite3.Cursor, path_id: str) -> list[PathExpected] | None:
    """Give what is expected below a path, in the order of the configuration; None if unknown."""
    rows = cursor.execute(
        f"SELECT {', '.join(_NAMES)} FROM path_expected WHERE path_id = ? ORDER BY place",
        (path_id,),
    )
    found = records(PathExpected, rows)
    if found:
        return found
    known = cursor.execute("SELECT 1 FROM path_stats WHERE id = ?", (path_id,)).fetchone()
    return None if known is None else []
