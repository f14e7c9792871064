"""What a schema's tables, indexes and so on are, and in what a database differs from that."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from etlmon.store.migrate import RECORD, load_migrations
from etlmon.store.sizes import quoted
from etlmon.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_ID = 1 << 62
"""Half of the ids that there are: at a million rows a second they last 146,000 years."""
_KINDS = ("trigger", "view", "index", "table")
"""In this order they can be dropped: with a table go its triggers and indexes."""
_TOKEN = re.compile(
    r"""
    (?:--[^\n]*|/\*.*?(?:\*/|\Z)|\s+)
    |(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    |(?P<text>'(?:[^']|'')*')
    |(?P<other>[\w$]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)


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


def altered(connection: sqlite3.Connection, version: int) -> str | None:
    """Name a table that is made otherwise than a schema has it; None if none is.

    One that somebody has added a constraint or a column to may refuse each row that a node stores.
    Only the schema is read: what stands in it is not evaluated, as a check of the rows would. Of a
    schema that is not known here nothing is said.
    """
    if version not in {step.schema_version for step in load_migrations()}:
        return None
    with closing(_made(version)) as whole:
        known, present = _tables(whole), _tables(connection)
    return next((name for name, sql in present.items() if known.get(name, sql) != sql), None)


def used_up(connection: sqlite3.Connection, version: int) -> str | None:
    """Name a table with no more ids to give, in which nothing could be stored; None if none is.

    The tables are as their schema has them. Raises sqlite3.Error where they cannot be read.
    """
    with closing(_made(version)) as whole:
        counted = whole.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%AUTOINCREMENT%'")
        names: list[str] = [name for (name,) in counted]
    for name in names:
        (is_used_up,) = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1"
            " AND NOT (typeof(seq) = 'integer' AND seq BETWEEN 0 AND ?2))"
            f" OR coalesce((SELECT max(rowid) FROM {quoted(name)}), 0) > ?2",
            (name, _MOST_ID),
        ).fetchone()
        if is_used_up:
            return name
    return None


def put_right(connection: sqlite3.Connection, version: int) -> list[str]:
    """Drop what is not of a schema, and make the indexes anew that lack, or are others.

    A trigger that somebody has planted would run with each row that a node stores. What is dropped
    is given, for people. Statistics that are there are taken anew: whoever has changed them makes
    queries slow. ``connection`` is in autocommit mode; its tables lack nothing. Blocks.
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
    had = connection.execute("SELECT name FROM sqlite_schema WHERE name GLOB 'sqlite_stat[1-4]'")
    statistics = [name for (name,) in had]
    for name in statistics:
        connection.execute(f"DROP TABLE {quoted(name)}")
    connection.execute("COMMIT")
    if statistics:
        connection.execute("PRAGMA analysis_limit = 400")
        connection.execute("ANALYZE")
    return [f"{kind} {one_line(name)}" for kind, name in foreign]


def _tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Give how each table is made, whatever its comments, its spaces, and the quotes of names."""
    made = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
    return {name: [*_tokens(sql)] for name, sql in made if sql is not None}


def _tokens(sql: str) -> Iterator[str]:
    for token in _TOKEN.finditer(sql):
        if token["text"]:
            yield token["text"]
        elif token["name"] or token["other"]:
            yield (token["other"] or token["name"][1:-1]).lower()


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
