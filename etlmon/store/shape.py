"""What a schema's tables, indexes and so on are, and in what a database differs from that."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from etlmon.store.migrate import RECORD, load_migrations
from etlmon.store.sizes import quoted
from etlmon.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

_KINDS = ("trigger", "view", "index", "table")
"""In this order they can be dropped: with a table go its triggers and indexes."""


def lacking(connection: sqlite3.Connection, version: int) -> str | None:
    """Name a table or column that a database of a schema has not got; None if all are there.

    Of a schema that is not known here nothing is said.
    """
    with closing(_made(version)) as whole:
        known, present = _columns(whole), _columns(connection)
    for table, column in sorted(known - present):
        is_there = any(name == table for name, _ in present)
        return f"column {column} of the table {table}" if is_there else f"table {table}"
    return None


def put_right(connection: sqlite3.Connection, version: int) -> list[str]:
    """Drop what is not of a schema, and make the indexes anew that lack, or are others.

    A trigger that somebody has planted would run with each row that a node stores. What is dropped
    is given, for people. ``connection`` is in autocommit mode; its tables lack nothing. Blocks.
    """
    with closing(_made(version)) as whole:
        known, present = _parts(whole), _parts(connection)
    foreign = [part for part, sql in present.items() if known.get(part) != sql]
    lost = [part for part in known if part not in present or part in foreign]
    connection.execute("BEGIN IMMEDIATE")
    for kind, name in sorted(foreign, key=lambda part: _KINDS.index(part[0])):
        connection.execute(f"DROP {kind} IF EXISTS {quoted(name)}")
    for part in lost:
        connection.execute(known[part])
    connection.execute("COMMIT")
    return [f"{kind} {one_line(name)}" for kind, name in foreign]


def _made(version: int) -> sqlite3.Connection:
    """Give an empty database of a schema, in memory."""
    whole = sqlite3.connect(":memory:", isolation_level=None)
    for sql in (RECORD, *_scripts(version)):
        whole.executescript(sql)
    return whole


def _scripts(version: int) -> Iterable[str]:
    return (step.sql for step in load_migrations() if step.schema_version <= version)


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(
        connection.execute(
            "SELECT t.name, c.name FROM pragma_table_list t, pragma_table_info(t.name) c"
            " WHERE t.schema = 'main' AND t.type = 'table'"
        )
    )


def _parts(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Give what a database is made of by kind and name, with its SQL; a table's does not count.

    But what SQLite has made itself: statistics, and the indexes of what is unique.
    """
    return {
        (kind, name): "" if kind == "table" else sql
        for kind, name, sql in connection.execute(
            "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
            " AND NOT (type = 'table' AND name LIKE 'sqlite\\_%' ESCAPE '\\')"
        )
    }
