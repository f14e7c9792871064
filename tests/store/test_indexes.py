"""Indexes that do not fit their tables are made anew, within the room that there is."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from etlmon.errors import StoreError
from etlmon.store import current, indexes
from etlmon.store.backup import back_up
from etlmon.store.database import StoreService
from etlmon.store.faults import NoRoomError
from etlmon.store.indexes import mend_indexes
from etlmon.store.open import limit
from etlmon.store.restore import restore
from etlmon.store.tables.all import HISTORIES
from tests.store.test_damage import make, run_of, spoil_index

Until = Callable[[Callable[[], object]], Awaitable[None]]
Sql = Callable[..., list[tuple[Any, ...]]]
Flush = Callable[..., list[Any]]
Size = Callable[..., int]

NOW = 1_800_000_000.0
ROWS = 20_000
SPARE_BYTES = 64 << 10

NUMBERS = "SELECT records FROM collector_run ORDER BY rowid"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection to a database of which an index lacks a row."""
    make(path, rows=10)
    spoil_index(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as one:
        yield one


@pytest.fixture
def most_bytes(path: Path) -> int:
    """Make a database of which an index has lost all; give a size that has no room for a new."""
    make(path, rows=0)
    spoil_index(path, rows=ROWS)
    return path.stat().st_size + SPARE_BYTES


def test_they_fit_then(connection: sqlite3.Connection, path: Path) -> None:
    assert mend_indexes(connection, path) is True
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert mend_indexes(connection, path) is False


def lose_pages(path: Path, name: str, which: slice) -> None:
    """Have the disk give something else for pages of a table or index."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        pages = connection.execute("SELECT pageno FROM dbstat WHERE name = ?", (name,)).fetchall()
    with path.open("r+b") as file:
        for (page,) in pages[which]:
            file.seek((page - 1) * 4096)
            file.write(random.Random(page).randbytes(4096))


@pytest.mark.parametrize(
    "which", [slice(1), slice(2, 4), slice(None)], ids=["root", "leaves", "all"]
)
def test_those_of_a_copy_are_made_anew_though_pages_are_lost(
    path: Path, tmp_path: Path, sql: Sql, which: slice
) -> None:
    make(path)
    schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 2"
    rows, before = sql(NUMBERS), sql(schema)
    lose_pages(path, "collector_run_by_time", which)
    copy = tmp_path / "copy"
    assert back_up(path, copy).is_mended
    damaged = path.read_bytes()
    kept = restore(path.rename(tmp_path / "damaged"), path, NOW).kept
    assert kept is None
    assert (sql(NUMBERS), sql(schema)) == (rows, before)
    assert sql("PRAGMA integrity_check") == [("ok",)]
    assert (tmp_path / "damaged").read_bytes() == damaged
    assert restore(copy, path, NOW + 1).left_out == []
    assert sql(NUMBERS) == rows


async def test_a_database_that_has_lost_pages_of_an_index_alone_keeps_all_rows(
    path: Path, until: Until, sql: Sql, flush_logged_errors: Flush
) -> None:
    """The file as it was found is set aside, and nothing is written to it."""
    make(path)
    rows = sql(NUMBERS)
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    lose_pages(path, "collector_run_by_time", slice(1, None))
    found = path.read_bytes()  # noqa: ASYNC240
    store.suspect(StoreError("a doubt"))
    await until(lambda: store.set_aside is not None and store.health().state == "ok")
    assert store.set_aside is not None
    assert store.set_aside.read_bytes() == found
    assert store.is_put_back
    assert "all rows are in the one in its place" in str(store.health().last_error)
    await store.write([run_of(9_999)])
    await store.stopService()
    assert sql(NUMBERS) == [*rows, (9_999,)]
    assert sql("PRAGMA integrity_check") == [("ok",)]
    assert sql("SELECT * FROM meta WHERE key = 'in_place_of'") == []
    assert not list(path.parent.glob("*restored*"))
    flush_logged_errors("all rows are in the one in its place", "takes no writes")


@pytest.mark.parametrize("others", ["collector_run", "sqlite_autoindex_path_stats_1"])
def test_a_table_that_is_lost_is_not_taken_for_sound(
    path: Path, tmp_path: Path, others: str
) -> None:
    make(path)
    lose_pages(path, "collector_run_by_time", slice(1))
    lose_pages(path, others, slice(-1, None))
    with pytest.raises(StoreError, match="damaged"):
        back_up(path, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def mended(path: Path, most_bytes: int) -> list[int]:
    """Mend it below a greatest size; give how many rows went."""
    schema = "SELECT name, sql FROM sqlite_schema ORDER BY 1"
    went: list[int] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        limit(connection, most_bytes)
        before = connection.execute(schema).fetchall()
        assert mend_indexes(connection, path, histories=HISTORIES, went=went.append) is True
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute(schema).fetchall() == before
    assert path.stat().st_size <= most_bytes
    return went


def test_one_without_room_has_it_for_fewer_rows(path: Path, most_bytes: int, sql: Sql) -> None:
    """The greatest size holds, and the oldest rows go for that."""
    (gone,) = mended(path, most_bytes)
    assert 0 < gone < ROWS
    assert [number for (number,) in sql(NUMBERS)] == list(range(7 + gone, 7 + ROWS))


def test_so_has_one_of_another_table(path: Path, sql: Sql) -> None:
    """Which may be no history, or have few rows: those of the largest history go."""
    make(path)
    sql("CREATE TABLE other (x TEXT)")
    sql("CREATE INDEX other_by_x ON other (x)")
    spoil_index(path, 1_000, "other_by_x", "INTO other SELECT printf('%0200d', i)")
    assert mended(path, path.stat().st_size + SPARE_BYTES) == [500]
    assert [number for (number,) in sql(NUMBERS)] == list(range(500, 2_000))
    assert sql("SELECT count(*) FROM other") == [(1_000,)]


def test_those_of_sound_tables_are_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be large: without room for them nothing would be mended."""
    make(path)
    row = "INTO path_history SELECT 'id', i, 0, 0, 0, 1, 'OK', 0"
    spoil_index(path, name="path_history_by_time", insert=row)
    asked: list[str] = []
    bytes_of = indexes.index_bytes
    monkeypatch.setattr(indexes, "index_bytes", lambda *how: asked.append(how[1]) or bytes_of(*how))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert mend_indexes(connection, path) is True
    assert set(asked) == {"path_history"}


def test_without_histories_it_says_so(path: Path, most_bytes: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        limit(connection, most_bytes)
        with pytest.raises(NoRoomError, match="needs more free space on the disk"):
            mend_indexes(connection, path)
        assert not connection.in_transaction
        log = path.with_name(f"{path.name}-wal")
        assert log.stat().st_size == 0, "what was begun takes no room any more"


async def test_the_greatest_size_holds_in_a_running_node(
    path: Path, most_bytes: int, sql: Sql, size: Size, flush_logged_errors: Flush
) -> None:
    store = StoreService(path, reactor, lambda: NOW, max_bytes=most_bytes)
    store.startService()
    await store.run(lambda cursor: cursor.execute("DELETE FROM collector_run WHERE records = 7"))
    await store.write([run_of(-1)])
    assert store.set_aside is None
    assert sql("PRAGMA integrity_check") == [("ok",)]
    health = store.health()
    numbers = [number for (number,) in sql(NUMBERS)]
    assert numbers == [*range(7 + health.early_rows, 7 + ROWS), -1]
    assert health.early_rows > 0
    await store.checkpoint()
    assert size() <= most_bytes
    await store.stopService()
    flush_logged_errors("takes no writes")


async def test_a_disk_without_room_is_waited_for(
    path: Path,
    sql: Sql,
    until: Until,
    flush_logged_errors: Flush,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is stored can be read meanwhile; what is to be stored waits, and the reason is told."""
    make(path, rows=10)
    spoil_index(path)
    lacking: list[str | None] = ["9999 bytes of free space beside the database"]
    monkeypatch.setattr(indexes, "lacking_room", lambda *_: lacking[0])
    monkeypatch.setattr(current, "_TRY_AGAIN_SECONDS", 0.01)
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    done = store.run(lambda cursor: cursor.execute("DELETE FROM collector_run WHERE records = 7"))
    await until(
        lambda: "making collector_run_by_time anew needs 9999 bytes" in str(store.health().reason)
    )
    await store.write([run_of(-1)])
    assert store.health().held_records == 1
    rows = "SELECT count(*) FROM collector_run NOT INDEXED"
    assert await store.read(lambda cursor: cursor.execute(rows).fetchone()) == (11,)
    lacking[0] = None
    await done
    await until(lambda: not store.health().held_records and store.health().state == "ok")
    assert sql("PRAGMA integrity_check") == [("ok",)]
    assert sql(rows) == [(10,)], "two of number 7 went, and one came"
    await store.stopService()
    flush_logged_errors("takes no writes")


async def test_at_a_stop_it_is_given_up(
    path: Path, until: Until, flush_logged_errors: Flush, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(path, rows=10)
    spoil_index(path)
    monkeypatch.setattr(indexes, "lacking_room", lambda *_: "room")
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    store.write([run_of(1)])
    done = store.run(lambda cursor: cursor.execute("DELETE FROM collector_run WHERE records = 7"))
    done.addErrback(lambda _: None)
    await until(
        lambda: "making collector_run_by_time anew needs room" in str(store.health().reason)
    )
    await store.stopService()
    flush_logged_errors("takes no writes", "not stored")
