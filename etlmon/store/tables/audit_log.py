"""The audit: a row for each command. An id is given once; there are holes only at the old end.

That is where rows have gone for want of room: those of routine, and refusals, before kills and
consoles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from etlmon.records.audit import AuditEntry, AuditEvent
from etlmon.store.tables.base import Table, columns, insert_sql, records, row
from etlmon.units import to_millis

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from etlmon.contract.audit import AuditQuery

_COLUMNS = ", ".join(columns(AuditEntry))
_EVENT = columns(AuditEvent)
_INSERT = insert_sql("audit_log", AuditEvent)
# Only what is begun changes: what has ended is never written again.
_FINISH = f"""
UPDATE audit_log SET {", ".join(f"{name} = ?" for name in _EVENT)}
WHERE id = ? AND outcome = 'begun'
"""
_INTERRUPTED = """
UPDATE audit_log SET outcome = 'interrupted', detail =
    ifnull(detail || '; ', '') || 'the node ended before this command did'
WHERE outcome = 'begun'
"""
# A scan a second is routine, and of refusals a stranger can make as many as he likes: neither may
# push out who ended a process, or was at the console.
_KINDS = """
CASE WHEN outcome = 'refused' THEN 'refusal'
    WHEN command IN ('kill_process', 'console') THEN 'grave' ELSE 'routine' END
"""


def _insert(cursor: sqlite3.Cursor, events: Sequence[AuditEvent]) -> None:
    cursor.executemany(_INSERT, [row(event) for event in events])


TABLE = Table(
    "audit_log",
    {AuditEvent: _insert},
    time_column="requested_at",
    ages_by_id=True,
    kinds=_KINDS,
    is_evidence=True,
    at_open=_INTERRUPTED,
)


def begin(cursor: sqlite3.Cursor, event: AuditEvent) -> int:
    """Add a row for a command that is not over yet, and give its id."""
    cursor.execute(_INSERT, row(event))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def finish(cursor: sqlite3.Cursor, row_id: int, event: AuditEvent) -> None:
    """Say how the command ended for which a row was begun."""
    cursor.execute(_FINISH, (*row(event), row_id))


class Rows(NamedTuple):
    """A part of the audit."""

    entries: list[AuditEntry]
    total: int
    """How many rows there are that the query asks for, on all pages."""
    has_more: bool
    """Whether further ones follow behind these."""


def find(cursor: sqlite3.Cursor, query: AuditQuery, most: int) -> Rows:
    """Give the rows that a query asks for, at most ``most``.

    The newest come first; with ``after`` the oldest, so that one can read on from there.
    """
    where, values = _conditions(query)
    found = f"FROM audit_log WHERE {' AND '.join(where)}"
    total = cursor.execute(f"SELECT count(*) {found}", values).fetchone()[0]
    place = {"after": query.after, "before": query.before}
    if query.after is not None:
        found += " AND id > :after"
    if query.before is not None:
        found += " AND id < :before"
    entries = records(
        AuditEntry,
        cursor.execute(
            f"SELECT {_COLUMNS} {found} ORDER BY id {'ASC' if query.after is not None else 'DESC'}"
            " LIMIT :limit OFFSET :offset",
            {**values, **place, "limit": most + 1, "offset": query.offset},
        ),
    )
    return Rows(entries[:most], total, len(entries) > most)


def _conditions(query: AuditQuery) -> tuple[list[str], dict[str, Any]]:
    """Give what the rows must meet, and the values that the SQL of it names."""
    where, values = ["TRUE"], dict[str, Any]()
    for name in ("who", "command", "outcome"):
        if getattr(query, name) is not None:
            where.append(f"{name} = :{name}")
            values[name] = getattr(query, name)
    if query.since is not None:
        where.append("requested_at >= :since")
        values["since"] = to_millis(query.since)
    if query.until is not None:
        where.append("requested_at <= :until")
        values["until"] = to_millis(query.until)
    return where, values
