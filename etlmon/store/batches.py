"""Batches of records, as work for the writer's connection."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from etlmon.store import sizes
from etlmon.store.queue import Waiting

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from etlmon.records.base import Record
    from etlmon.store.sizes import Pages
    from etlmon.store.tables.base import Table

    Work = Callable[[sqlite3.Cursor], Any]
    Done = tuple[list[Any], Pages | None]

_BURST_RECORDS = 1_000
"""A batch so large waits for no other, and none after it: it is no trickle to wait for."""
_LONG_CHARACTERS = 256
"""So much text counts as a row, so that what bounds the rows bounds the bytes, too."""
_SHORT = (
    inspect.BoolType,
    inspect.DateTimeType,
    inspect.FloatType,
    inspect.IntType,
    inspect.LiteralType,
    inspect.NoneType,
)


class Batches:
    """Knows which table each type of record goes to, and what a record weighs there."""

    def __init__(self, tables: Iterable[Table]) -> None:
        tables = tuple(tables)
        self._inserts = {kind: table for table in tables for kind in table.inserts}
        self._rows = {kind: count for table in tables for kind, count in table.rows.items()}
        self._texts = {kind: count for table in tables for kind, count in table.characters.items()}

    def of(self, records: Sequence[Record], *, may_wait: bool) -> Waiting:
        """Give what stores these records, all or none of them; it may be done again."""
        groups: dict[type[Record], list[Record]] = {}
        rows = characters = 0
        for record in records:
            kind = type(record)
            groups.setdefault(kind, []).append(record)
            count = self._rows.get(kind)
            rows += 1 if count is None else count(record)
            characters += self._texts.get(kind, _characters)(record)
        size = max(1, rows, characters // _LONG_CHARACTERS)
        names, works, may_be_held = set(), [], True
        for kind, group in groups.items():
            table = self._inserts[kind]
            names.add(table.name)
            works.append((table.inserts[kind], group))
            may_be_held = may_be_held and table.may_be_held
        stored: list[Any] = []

        def insert(cursor: sqlite3.Cursor) -> None:
            stored.clear()
            for work, group in works:
                stored.extend(work(cursor, group) or ())

        return Waiting(
            insert,
            size,
            frozenset(names),
            is_burst=size >= _BURST_RECORDS,
            given=records,
            records=rows,
            characters=characters,
            stored=stored,
            may_be_held=may_be_held,
            may_wait=may_wait,
        )


def _characters(record: msgspec.Struct) -> int:
    """Give how much text is in a record, and in those within it."""
    found = 0
    for name in _names_of_text(type(record)):
        found += _length(getattr(record, name))
    return found


def _length(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, str):
        return len(value)
    if isinstance(value, (list, tuple)):
        return sum(map(_length, value))
    return _characters(value) if isinstance(value, msgspec.Struct) else 0


@cache
def _names_of_text(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Give the fields that may hold text: of a thousand processes most fields are numbers."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return tuple(field.name for field in info.fields if not _is_short(field.type))


def _is_short(found: inspect.Type) -> bool:
    if isinstance(found, inspect.Metadata):
        return _is_short(found.type)
    if isinstance(found, inspect.UnionType):
        return all(map(_is_short, found.types))
    return isinstance(found, _SHORT)


def in_one_transaction(cursor: Any, works: Sequence[Work], *, counts: bool) -> Done:
    """Do the works in one transaction; adbapi rolls it back if one raises, or the commit.

    Gives what they give, and if it ``counts`` them the pages that the file has then.
    """
    connection = cursor.connection
    cursor.execute("BEGIN IMMEDIATE")
    results = [work(cursor) for work in works]
    pages = sizes.pages(connection.cursor()) if counts else None
    cursor.close()  # no statement is left in progress
    connection.commit()
    return results, pages


def without_transaction(cursor: Any, works: Sequence[Work]) -> Done:
    """Do the works, each by itself."""
    return [work(cursor) for work in works], None
