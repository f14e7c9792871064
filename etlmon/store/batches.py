"""Batches of records, as work for the writer's connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etlmon.store.queue import Waiting

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from etlmon.records.base import Record
    from etlmon.store.tables.base import Table

_BURST_RECORDS = 1_000
"""A batch so large waits for no other, and none after it: it is no trickle to wait for."""


class Batches:
    """Knows which table each type of record goes to, and what a record weighs there."""

    def __init__(self, tables: Iterable[Table]) -> None:
        tables = tuple(tables)
        self._inserts = {kind: table for table in tables for kind in table.inserts}
        self._weights = {kind: weigh for table in tables for kind, weigh in table.weight.items()}

    def of(self, records: Sequence[Record], *, may_wait: bool) -> Waiting:
        """Give what stores these records, all or none of them; it may be done again."""
        groups: dict[type[Record], list[Record]] = {}
        size = 0
        for record in records:
            groups.setdefault(type(record), []).append(record)
            weigh = self._weights.get(type(record))
            size += 1 if weigh is None else weigh(record)
        tables = {kind: self._inserts[kind] for kind in groups}
        stored: list[Any] = []

        def insert(cursor: sqlite3.Cursor) -> None:
            stored.clear()
            for kind, group in groups.items():
                stored.extend(tables[kind].inserts[kind](cursor, group) or ())

        return Waiting(
            insert,
            max(1, size),
            frozenset(table.name for table in tables.values()),
            is_burst=size >= _BURST_RECORDS,
            records=size,
            stored=stored,
            may_be_held=all(table.may_be_held for table in tables.values()),
            may_wait=may_wait,
        )
