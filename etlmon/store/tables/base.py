"""What the table modules share: records to rows and back, and what a table tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from etlmon.records.base import Record
from etlmon.units import from_millis, to_millis

if TYPE_CHECKING:
    import sqlite3

R = TypeVar("R", bound=Record)

Insert = Callable[["sqlite3.Cursor", Sequence[Any]], Sequence[Any] | None]
"""Writes records of one type, within the transaction of the cursor.

Gives what those who hear of the commit need not read again; most give nothing.
"""
Saved = Callable[["sqlite3.Cursor", str], Sequence[Any]]
"""Gives the records of one type that are stored for an instance of a collector."""


@dataclass(frozen=True)
class Table:
    """A table of the database, as the store must know it."""

    name: str
    inserts: dict[type[Record], Insert]
    time_column: str | None = None
    """The moment (ms) by which its rows grow old; None for a table that is no history."""
    may_be_held: bool = False
    """Whether its rows are samples, of which the newest are kept in memory while the database
    takes no writes. What can be read again at its source, or is a command's record, is not."""
    ages_by_id: bool = False
    """Its rows go in the order of their ``id``: no index by time is needed. That has no holes, but
    for those that ``kinds`` leave at the old end."""
    kinds: str | None = None
    """SQL that gives the kind of a row. Where there are too many rows, the oldest of the kind that
    has the most go: what comes in masses pushes out its like, and nothing that is rare."""
    is_evidence: bool = False
    """A clock that is wrong must not make its rows go: they grow old only by one that has gone
    evenly for long."""
    trimmed: str | None = None
    """SQL that follows when rows of it have been deleted, in the same transaction."""
    rows: dict[type[Record], Callable[[Any], int]] = field(default_factory=dict)
    """How many rows a record makes, where that is not one."""
    characters: dict[type[Record], Callable[[Any], int]] = field(default_factory=dict)
    """How much text is in a record, where that is not what its fields tell."""
    at_open: str | None = None
    """SQL that sets right, at each start, what a node that was killed left behind."""
    saved: dict[type[Record], Saved] = field(default_factory=dict)
    """What a collector may ask for again, to go on where it had stopped."""


def columns(record_type: type[Record]) -> tuple[str, ...]:
    """Give the column names of a record's fields, in their order."""
    return record_type.__struct_fields__


def insert_sql(table: str, record_type: type[Record]) -> str:
    """Give the INSERT that takes a ``row`` of this record."""
    names = columns(record_type)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def row(record: Record) -> tuple[Any, ...]:
    """Give the values of a record as SQLite stores them, in the order of its fields."""
    values = msgspec.structs.astuple(record)
    places = _places(type(record))
    if not places:
        return values
    stored = list(values)
    for place in places:
        stored[place] = _stored(stored[place])
    return tuple(stored)


def records(record_type: type[R], rows: Iterator[tuple[Any, ...]]) -> list[R]:
    """Give the records of rows whose columns are the record's fields, in their order."""
    names = columns(record_type)
    readers = _readers(record_type)
    return [
        record_type(
            **{
                name: value if value is None or read is None else read(value)
                for name, read, value in zip(names, readers, values, strict=True)
            }
        )
        for values in rows
    ]


def spread(
    cursor: sqlite3.Cursor, newest: str, of: str, first_ms: int, last_ms: int, steps: int
) -> Iterator[tuple[Any, ...]]:
    """Give what ``newest`` finds in each of ``steps`` equal stretches of time, oldest first.

    ``newest`` is SQL that gives the row to stand for a stretch, if there is one: of the history
    named ``:of``, later than ``:after`` and not later than ``:until`` (ms). Where that is a seek
    in an index, the effort depends on ``steps`` alone, however long the history is.
    """
    for step in range(steps):
        after = first_ms + (last_ms - first_ms) * step // steps - (step == 0)
        until = first_ms + (last_ms - first_ms) * (step + 1) // steps
        found = cursor.execute(newest, {"of": of, "after": after, "until": until}).fetchone()
        if found is not None:
            yield found


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_millis(value)
    if isinstance(value, list):
        return msgspec.json.encode(value).decode()
    return value


@lru_cache
def _places(record_type: type[Record]) -> tuple[int, ...]:
    """Give where a record has what SQLite stores in another form: moments and lists."""
    hints = get_type_hints(record_type)
    return tuple(
        place
        for place, name in enumerate(columns(record_type))
        if _reader(hints[name]) not in (None, bool)
    )


@lru_cache
def _readers(record_type: type[Record]) -> tuple[Callable[[Any], Any] | None, ...]:
    hints = get_type_hints(record_type)
    return tuple(_reader(hints[name]) for name in columns(record_type))


def _reader(hint: Any) -> Callable[[Any], Any] | None:
    """Give what turns a stored value into the field's; None where they are the same."""
    for kind in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if kind is datetime:
            return from_millis
        if kind is bool:
            return bool
        if get_origin(kind) is list:
            return msgspec.json.Decoder(kind).decode
    return None
