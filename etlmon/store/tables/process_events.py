"""What became of watched processes: starts, exits, restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from etlmon.records.process import NewProcessEvent, ProcessesFound, ProcessEvent
from etlmon.store.tables.base import Table, columns, insert_sql, records, row
from etlmon.units import to_millis

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

_INSERT = insert_sql("process_events", NewProcessEvent)
_COLUMNS = ", ".join(columns(ProcessEvent))
# What ran when the node looked last, and does not when it begins: its end is not known better.
_MISSED = """
INSERT INTO process_events
    (watch, event, occurred_at, pid, process_name, identity, runtime_sec, detail)
SELECT watch, 'exited', collected_at, pid, process_name, identity, runtime_sec,
    'ended while this node did not look; it was seen last then'
FROM process_stats
WHERE status = 'RUNNING' AND NOT is_child
    AND identity NOT IN (SELECT value FROM json_each(?))
ORDER BY rowid
"""


def _insert(cursor: sqlite3.Cursor, events: Sequence[NewProcessEvent]) -> None:
    cursor.executemany(_INSERT, [row(event) for event in events])


def _insert_missed(cursor: sqlite3.Cursor, found: Sequence[ProcessesFound]) -> None:
    cursor.execute(_MISSED, (msgspec.json.encode(found[-1].identities).decode(),))


TABLE = Table(
    "process_events",
    {ProcessesFound: _insert_missed, NewProcessEvent: _insert},
    time_column="occurred_at",
    may_be_held=True,
)


def newest(
    cursor: sqlite3.Cursor,
    *,
    watch: str | None = None,
    pid: int | None = None,
    since: datetime | None = None,
    after: int | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[list[ProcessEvent], int]:
    """Give a part of the events that are asked for, and how many there are in all.

    The newest come first; those ``after`` an id come in the order in which they were stored.
    """
    conditions: list[str] = []
    values: list[Any] = []
    for column, value in (
        ("watch =", watch),
        ("pid =", pid),
        ("occurred_at >=", None if since is None else to_millis(since)),
        ("id >", after),
    ):
        if value is not None:
            conditions.append(f"{column} ?")
            values.append(value)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = "id DESC" if after is None else "id"
    total = cursor.execute(f"SELECT count(*) FROM process_events {where}", values).fetchone()[0]
    found = records(
        ProcessEvent,
        cursor.execute(
            f"SELECT {_COLUMNS} FROM process_events {where} ORDER BY {order} LIMIT ? OFFSET ?",
            (*values, limit, offset),
        ),
    )
    return found, total
