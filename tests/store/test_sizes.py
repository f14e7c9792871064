"""The reckoned size of tables, against SQLite's own account page by page."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from etlmon.store import sizes
from etlmon.store.open import prepare


def fill(path: Path) -> sqlite3.Connection:
    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
    connection = sqlite3.connect(path)
    chance = random.Random(1)
    connection.executemany(
        "INSERT INTO collector_run VALUES ('a', ?, ?, 0, 'ok', NULL, ?)",
        [("x" * chance.randrange(400), n, n) for n in range(20_000)],
    )
    connection.executemany(
        "INSERT INTO path_history (path_id, collected_at, file_count, dir_count, other_count,"
        " complete, status, scan_duration_ms) VALUES (?, ?, 1, 1, 1, 1, 'OK', 1)",
        [(f"{n % 7:016x}", n) for n in range(30_000)],
    )
    connection.commit()
    return connection


def test_near_what_sqlite_says(path: Path) -> None:
    with closing(fill(path)) as connection:
        found = sizes.reckon(connection.cursor(), ["collector_run", "path_history", "meta"])
        owner = dict(connection.execute("SELECT name, tbl_name FROM sqlite_schema"))
        exact = dict.fromkeys(found, 0)
        for name, amount in connection.execute(
            "SELECT name, sum(pgsize) FROM dbstat GROUP BY name"
        ):
            if owner.get(name, name) in exact:
                exact[owner.get(name, name)] += amount
    assert (found["collector_run"].rows, found["path_history"].rows) == (20_000, 30_000)
    for table in ("collector_run", "path_history"):
        assert 0.85 < found[table].bytes / exact[table] < 1.15, (table, found, exact)


def test_pages(path: Path) -> None:
    with closing(fill(path)) as connection:
        connection.execute("DELETE FROM collector_run")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found = sizes.pages(connection.cursor())
    assert found.pages * found.page_bytes == path.stat().st_size
    assert found.free_pages > 500
    assert found.content_bytes == (found.pages - found.free_pages) * found.page_bytes


def test_an_empty_database(path: Path) -> None:
    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
    with closing(sqlite3.connect(path)) as connection:
        found = sizes.reckon(connection.cursor(), ["collector_run"])
    assert found["collector_run"] == sizes.Size(0, 0)


def test_a_large_table_is_not_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers tell how many rows it has, nearly so where there are holes between them."""
    monkeypatch.setattr("etlmon.store.sizes._MOST_COUNTED", 1_000)
    with closing(fill(path)) as connection:
        seen: list[str] = []
        connection.set_trace_callback(seen.append)
        cursor = connection.cursor()
        assert sizes.reckon(cursor, ["collector_run"])["collector_run"].rows == 20_000
        connection.execute("DELETE FROM collector_run WHERE rowid % 10 IN (3, 4, 5)")
        connection.execute("DELETE FROM collector_run WHERE rowid BETWEEN 5000 AND 9000")
        found = sizes.reckon(cursor, ["collector_run"])["collector_run"].rows
        assert not [text for text in seen if "count(" in text]
        (exact,) = connection.execute("SELECT count(*) FROM collector_run").fetchone()
    assert found == pytest.approx(exact, rel=0.15)


def test_of_long_rows_fewer_are_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a row is read for its length: two hundred of a megabyte would take seconds."""
    monkeypatch.setattr(sizes, "_MOST_SAMPLED_BYTES", 2_000)
    with closing(fill(path)) as connection:
        seen: list[str] = []
        connection.set_trace_callback(seen.append)
        found = sizes.reckon(connection.cursor(), ["collector_run"])["collector_run"]
    assert found.rows == 20_000
    assert 1 < sum("ORDER BY rowid LIMIT 1" in text for text in seen) < 20
    assert found.bytes > 1 << 20
