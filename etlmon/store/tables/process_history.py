"""How the CPU and memory of watches, and of their processes, went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.process import ProcessUsage
from etlmon.store.tables.base import Table, columns, insert_sql, records, row, spread
from etlmon.units import to_millis

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

_INSERT = insert_sql("process_history", ProcessUsage)


def _newest_point(pid: int | None) -> str:
    # A number, never text of others: it can stand in the SQL, which has one place for a name.
    which = "IS NULL" if pid is None else f"= {int(pid)}"
    return f"""
    SELECT {", ".join(columns(ProcessUsage))} FROM process_history
    WHERE watch = :of AND pid {which} AND collected_at > :after AND collected_at <= :until
    ORDER BY collected_at DESC LIMIT 1
    """


def _insert(cursor: sqlite3.Cursor, usages: Sequence[ProcessUsage]) -> None:
    cursor.executemany(_INSERT, [row(usage) for usage in usages])


TABLE = Table(
    "process_history", {ProcessUsage: _insert}, time_column="collected_at", may_be_held=True
)


def history(
    cursor: sqlite3.Cursor,
    watch: str,
    pid: int | None,
    since: datetime,
    until: datetime,
    points: int,
) -> list[ProcessUsage] | None:
    """Give at most ``points`` samples from ``since`` to ``until``, evenly spread.

    They are the sums of a watch, or of one ``pid`` of it - which, over days, may have been several
    processes: their identities differ. None if nothing is stored of it.
    """
    known = cursor.execute(
        "SELECT 1 FROM process_history WHERE watch = ? AND pid IS ? LIMIT 1", (watch, pid)
    ).fetchone()
    if known is None:
        return None
    first, last = to_millis(since), to_millis(until)
    return records(ProcessUsage, spread(cursor, _newest_point(pid), watch, first, last, points))
