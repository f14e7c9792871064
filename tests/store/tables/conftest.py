"""A connection with the schema in it; what is done on it can be explained."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from etlmon.store.open import prepare


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
    with closing(sqlite3.connect(path, isolation_level=None)) as one:
        yield one


@pytest.fixture
def cursor(connection: sqlite3.Connection) -> sqlite3.Cursor:
    return connection.cursor()


@pytest.fixture
def plans(
    connection: sqlite3.Connection,
) -> Callable[[Callable[[], object]], dict[str, list[str]]]:
    """Give what runs something and tells the query plan of each of its statements."""

    def explain(work: Callable[[], object]) -> dict[str, list[str]]:
        seen: list[str] = []
        connection.set_trace_callback(seen.append)
        work()
        connection.set_trace_callback(None)
        return {
            text: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}")]
            for text in seen
        }

    return explain


@pytest.fixture
def effort(connection: sqlite3.Connection) -> Callable[[Callable[[], object]], int]:
    """Give what runs something and counts the instructions that SQLite needs for it."""

    def measure(work: Callable[[], object]) -> int:
        counted = 0

        def count() -> int:
            nonlocal counted
            counted += 1
            return 0

        connection.set_progress_handler(count, 1)
        work()
        connection.set_progress_handler(None, 0)
        return counted

    return measure
