"""Writes schema-N.sql beside itself: a database of the schema of today, or of N, with rows in it.

At each release: `./run exec python tests/store/released/make.py`. What is there already is never
written again: it is what such a release has left on the disks of its users.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from etlmon.store.migrate import load_migrations, migrate

ROWS = 3
NOW_MS = 1_790_000_000_000
HERE = Path(__file__).parent
_JSON = re.compile(r"^\s*(?:ALTER TABLE \w+ ADD COLUMN )?(\w+) TEXT\b.*-- JSON list", re.MULTILINE)


def value(name: str, kind: str, number: int, lists: set[str]) -> int | float | str:
    """Give something that such a column may hold, another one in each row."""
    if name in lists:
        return "[]"
    if kind == "TEXT":
        return f"{name} {number} ; ' \u00fc \ud55c"
    if kind == "REAL":
        return number + 0.5
    return NOW_MS + number if name.endswith("_at") else number


def rows(connection: sqlite3.Connection, table: str, lists: set[str]) -> Iterator[list[object]]:
    info = connection.execute(f"PRAGMA table_info({table})").fetchall()
    for number in range(1, ROWS + 1):
        yield [value(name, kind, number, lists) for _, name, kind, *_ in info]


def script(number: int) -> str:
    """Give the SQL that makes a database of a schema."""
    steps = load_migrations()[:number]
    lists = {name for step in steps for name in _JSON.findall(step.sql)}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, Path("none"), NOW_MS, steps)
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        for (table,) in tables:
            if table == "migrations":
                continue
            for row in rows(connection, table, lists):
                places = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} VALUES ({places})", row)
        return "\n".join(connection.iterdump()) + "\n"


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else load_migrations()[-1].schema_version
    with (HERE / f"schema-{wanted}.sql").open("x", encoding="utf-8") as file:
        file.write(script(wanted))
