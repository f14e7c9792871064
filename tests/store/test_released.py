"""A database of each released schema: opened, copied first, whole; and what cannot be opened."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from etlmon.errors import StoreError
from etlmon.records.health import CollectorRun
from etlmon.store import migrate as migrate_module
from etlmon.store import open as open_module
from etlmon.store.database import StoreService
from etlmon.store.migrate import Migration, load_migrations, schema_version
from etlmon.store.open import prepare
from etlmon.store.restore import restore
from etlmon.units import utc
from tests.store.killed import killed
from tests.store.released.make import script as script_of

Rows = dict[str, list[dict[str, Any]]]

RELEASED = Path(__file__).parent / "released"
SCRIPTS = sorted(RELEASED.glob("schema-*.sql"), key=lambda script: script.stem.zfill(20))
NEWEST = load_migrations()[-1].schema_version


def number_of(script: Path) -> int:
    found = re.fullmatch(r"schema-(\d+)", script.stem)
    assert found
    return int(found[1])


NUMBERS = range(1, NEWEST + 1)
"""Of all schemas: who has built etlmon himself has one that no release left with its users."""
OLDER = [script for script in SCRIPTS if number_of(script) < NEWEST]


def make(path: Path, script: Path) -> None:
    """Leave a database behind as a node of that release does."""
    text = script.read_text("utf-8") if script.exists() else script_of(number_of(script))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.executescript(text)


def read(path: Path) -> Rows:
    """Give all rows of all tables, but for what the opening notes of itself."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        connection.row_factory = sqlite3.Row
        return {
            table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
            for (table,) in tables
            if table not in ("migrations", "meta")
        }


def shape(path: Path) -> set[tuple[Any, ...]]:
    """Give each table's columns and indexes, however they came to be there."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return set(
            connection.execute(
                'SELECT t.name, c.name, c.type, c."notnull", c.pk FROM pragma_table_list t'
                " JOIN pragma_table_info(t.name) c WHERE t.schema = 'main'"
            )
        ) | set(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index'"))


def within(before: Rows, after: Rows) -> bool:
    """Whether every row is there yet with every value; new columns may have come."""
    return all(
        [{name: row[name] for name in old} for old, row in zip(rows, after[table], strict=True)]
        == rows
        for table, rows in before.items()
    )


def test_the_first_and_the_newest_are_there() -> None:
    assert number_of(SCRIPTS[0]) == 1
    for script in SCRIPTS:
        assert number_of(script) <= NEWEST


@pytest.mark.parametrize("number", NUMBERS)
async def test_it_opens_with_every_row(path: Path, tmp_path: Path, number: int) -> None:
    make(path, RELEASED / f"schema-{number}.sql")
    before = read(path)
    assert all(before.values())
    store = StoreService(path, reactor, lambda: 1_800_000_000.0)
    store.startService()
    assert store.health().schema_version == NEWEST
    after = read(path)
    assert within(before, after)
    await store.write(
        [
            CollectorRun(
                collector="test",
                instance="",
                started_at=utc(0),
                duration_ms=0,
                state="ok",
                records=-1,
            )
        ]
    )
    await store.stopService()
    assert len(read(path)["collector_run"]) == len(before["collector_run"]) + 1
    fresh = tmp_path / "fresh.db"
    store = StoreService(fresh, reactor, lambda: 1_800_000_000.0)
    store.startService()
    await store.stopService()
    assert shape(path) == shape(fresh)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_copy_of_it_can_be_put_back(path: Path, tmp_path: Path, number: int) -> None:
    """Nothing in it is taken for what somebody has changed, though its tables grew in steps."""
    make(tmp_path / "copy", RELEASED / f"schema-{number}.sql")
    assert restore(tmp_path / "copy", path, 1_800_000_000.0).left_out == []
    assert read(path) == read(tmp_path / "copy")


@pytest.mark.parametrize("script", OLDER, ids=lambda script: script.stem)
async def test_a_copy_of_it_is_made_first(path: Path, script: Path) -> None:
    """The copy is the database as the older release left it."""
    make(path, script)
    before = read(path)
    store = StoreService(path, reactor, lambda: 1_800_000_000.0)
    store.startService()
    await store.stopService()
    copy = path.with_name(f"{path.name}.schema-{number_of(script)}")
    assert read(copy) == before
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT max(schema_version) FROM migrations").fetchone() == (
            number_of(script),
        )


def upgrade(path: Path) -> None:
    """Upgrade it in a process that may be killed before each statement, too."""
    statements = migrate_module._statements

    def watched(sql: str) -> Iterator[str]:
        for statement in statements(sql):
            sys.audit("sqlite3.statement")
            yield statement

    migrate_module._statements = watched
    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))


async def test_killed_at_any_step_of_it_the_next_start_upgrades_it(
    path: Path, tmp_path: Path
) -> None:
    make(path, SCRIPTS[0])
    before, content = read(path), path.read_bytes()  # noqa: ASYNC240
    copy = path.with_name(f"{path.name}.schema-1")
    step, was_killed, versions = 0, True, set()
    while was_killed:
        step += 7
        for one in tmp_path.glob("etlmon.db*"):  # noqa: ASYNC240
            one.unlink()
        path.write_bytes(content)  # noqa: ASYNC240
        was_killed = killed(step, lambda: upgrade(path))
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            versions.add(schema_version(connection))
        store = StoreService(path, reactor, lambda: 1_800_000_000.0)
        store.startService()
        await store.stopService()
        assert within(before, read(path)), step
        assert read(copy) == before, step
        assert not [*tmp_path.glob("*-part-*")], step  # noqa: ASYNC240
    assert versions == {1, NEWEST}
    assert step > 50


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
async def test_a_migration_that_fails_leaves_it_working(
    path: Path, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both for the older release, if it is put back, and for one whose migration is mended."""
    make(path, script)
    before, then = read(path), load_migrations()[: number_of(script)]
    broken = Migration(
        number_of(script) + 1,
        "broken",
        "DELETE FROM collector_run; CREATE TABLE half (id INTEGER); DROP TABLE no_such_table;",
    )
    monkeypatch.setattr(open_module, "load_migrations", lambda: (*then, broken))
    with pytest.raises(StoreError, match=r"\(broken\) failed: .*the database is as it was before"):
        StoreService(path, reactor, lambda: 0.0).startService()
    assert read(path) == before
    monkeypatch.setattr(open_module, "TABLES", ())  # those of then are not here any more
    monkeypatch.setattr(open_module, "load_migrations", lambda: then)
    store = StoreService(path, reactor, lambda: 0.0)
    store.startService()
    assert store.health().schema_version == number_of(script)
    await store.stopService()
    assert read(path) == before


async def test_a_newer_one_is_refused_and_left_alone(path: Path) -> None:
    make(path, SCRIPTS[-1])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES (9999, 'later', 0, '9.9.9')")
    before = path.read_bytes()  # noqa: ASYNC240
    with pytest.raises(StoreError, match=r"schema 9999.*install the newer etlmon again"):
        StoreService(path, reactor, lambda: 0.0).startService()
    assert path.read_bytes() == before  # noqa: ASYNC240
    assert not list(path.parent.glob("*.schema-*"))
