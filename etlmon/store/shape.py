"""What a schema's tables, indexes and so on are, and in what a database differs from that."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from etlmon.store.migrate import RECORD, load_migrations
from etlmon.store.sizes import quoted
from etlmon.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_ID = 1 << 62
"""Half of the ids that there are: at a million rows a second they last 146,000 years."""
_BEGINNINGS = {
    "table": ("CREATE TABLE ", "CREATE VIRTUAL TABLE "),
    "index": ("CREATE INDEX ", "CREATE UNIQUE INDEX "),
    "view": ("CREATE VIEW ",),
    "trigger": ("CREATE TRIGGER ",),
}
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL %'"
"""But those of which a module of SQLite makes what it likes."""
_STATISTICS = "type = 'table' AND name GLOB 'sqlite_stat[1-4]'"
_MOST_PARTS, _MOST_SQL_BYTES = 1_000, 20_000
"""Some forty are ours, of some kilobytes; whoever looks into the file may have added a few."""
_MOST_SECONDS = 10.0
"""To look at a schema takes some milliseconds."""
_STEPS_BETWEEN_LOOKS = 100
"""Of SQLite, each of which may search all of what is as long as it may be, some milliseconds."""
_TOKEN = re.compile(
    r"""
    (?:--[^\n]*|/\*.*?(?:\*/|\Z)|\s+)
    |(?P<name>"(?:[^"]|"")*(?:"|\Z)|`(?:[^`]|``)*(?:`|\Z)|\[[^\]]*(?:\]|\Z))
    |(?P<text>'(?:[^']|'')*(?:'|\Z))
    |(?P<other>[\w$]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)


@contextmanager
def be_wary(connection: sqlite3.Connection) -> Iterator[None]:
    """Bound what a file of somebody else may cost a connection that looks at its schema only.

    That reads the statistics, too, and so computes whatever stands in their place. Not all of what
    takes too long fails: SQLite can do without statistics.
    """
    until = time.monotonic() + _MOST_SECONDS
    before = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_SQL_BYTES)
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, before)


def strange(connection: sqlite3.Connection) -> str | None:
    """Say what of a schema SQLite never writes; None if there is nothing.

    It reads in its own way what stands there all the same, and who compares it would be misled.
    """
    (parts,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if parts > _MOST_PARTS:
        return f"it has {parts} tables, indexes and so on"
    for found in connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_schema"):
        if not all(isinstance(one, str) and "\0" not in one for one in found):
            return "its schema holds what is no text"
        kind, name, sql = found
        if not sql.startswith(_BEGINNINGS.get(kind, "?")) and (sql or kind != "index"):
            return f"its schema has something that is no {kind}: {name}"
    return None


def lacking(connection: sqlite3.Connection, version: int) -> str | None:
    """Name a table or column that a database of a schema has not got; None if all are there.

    Of a schema that is not known here nothing is said.
    """
    with closing(_made(version)) as whole:
        known = _columns(whole)
        present = _columns(connection, {name for name, _ in known})
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


def drop_foreign(connection: sqlite3.Connection, version: int) -> list[str]:
    """Drop what is not of a schema, and give what that was, for people; statistics do not count.

    A trigger that somebody has planted would run with each row that a node stores, a constraint on
    a table of his with each check of it. So nothing of it is run: what has no pages of its own is
    only taken out of the schema, and so is what cannot be dropped, as where it is damaged. Then its
    pages are lost, as a check of the file tells. ``connection`` is in autocommit mode. Blocks.
    """
    with closing(_made(version)) as whole:
        known, present = _parts(whole), _parts(connection)
    foreign = [part for part, sql in present.items() if known.get(part) != sql]
    tables = {name for (name,) in connection.execute(_TABLES)}
    without_pages = [
        (kind, name)
        for kind, name in foreign
        if kind in ("trigger", "view") or (kind == "table" and name not in tables)
    ]
    _forget(connection, without_pages)
    _drop(connection, sorted(set(foreign).difference(without_pages)))  # indexes first
    return [f"{kind} {one_line(name)}" for kind, name in foreign]


def drop_statistics(connection: sqlite3.Connection) -> bool:
    """Drop the statistics by which SQLite chooses its indexes; give whether there were any."""
    found = connection.execute(
        f"SELECT type, name FROM sqlite_schema WHERE {_STATISTICS}"
    ).fetchall()
    _drop(connection, found)
    return bool(found)


def _drop(connection: sqlite3.Connection, parts: Iterable[tuple[str, str]]) -> None:
    for kind, name in parts:
        try:
            connection.execute(f"DROP {kind} IF EXISTS {quoted(name)}")
        except sqlite3.Error:
            _forget(connection, [(kind, name)])


def _forget(connection: sqlite3.Connection, parts: Iterable[tuple[str, str]]) -> None:
    connection.execute("PRAGMA writable_schema = ON")
    connection.executemany("DELETE FROM sqlite_schema WHERE type = ? AND name = ?", parts)
    connection.execute("PRAGMA writable_schema = RESET")


def put_right(connection: sqlite3.Connection, version: int, *, takes_statistics: bool) -> None:
    """Make the indexes that a database of a schema lacks, and take statistics if asked to. Blocks.

    ``connection`` is in autocommit mode; its tables lack nothing.
    """
    with closing(_made(version)) as whole:
        known, present = _parts(whole), _parts(connection)
    connection.execute("BEGIN IMMEDIATE")
    for part in known:
        if part not in present:
            connection.execute(known[part])
    connection.execute("COMMIT")
    if takes_statistics:
        connection.execute("PRAGMA analysis_limit = 400")
        connection.execute("ANALYZE")


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


def _columns(
    connection: sqlite3.Connection, names: Iterable[str] | None = None
) -> set[tuple[str, str]]:
    """Give the columns of all tables, or of those of certain names.

    No view is asked for its columns, as ``pragma_table_list`` asks each: one that is made of
    others, and these of others, takes hours.
    """
    found = {name for (name,) in connection.execute(_TABLES)}
    return {
        (table, column)
        for table in (found if names is None else found.intersection(names))
        for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    }


def _parts(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Give what a database is made of by kind and name, with its SQL; a table's does not count.

    But what SQLite has made itself: statistics, and the indexes of what is unique.
    """
    return {
        (kind, name): "" if kind == "table" else sql
        for kind, name, sql in connection.execute(
            "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
            f" AND NOT ({_STATISTICS}) AND name <> 'sqlite_sequence'"
        )
    }
