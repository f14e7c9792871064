"""The writer on a database of SQLite: each row once and in order, whatever comes in between."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from etlmon.errors import StoreError
from etlmon.store.database import StoreService
from tests.store.writer_bench import run_of

Until = Callable[[Callable[[], object]], Awaitable[None]]
Sql = Callable[..., list[tuple[Any, ...]]]
Flush = Callable[..., list[Any]]

NUMBERS = "SELECT records FROM collector_run ORDER BY rowid"


async def test_everything_is_stored_once_in_order(store: StoreService, sql: Sql) -> None:
    sizes = random.Random(1).choices([1, 2, 10, 400], k=100)
    numbers = iter(range(sum(sizes)))
    done = [store.write([run_of(next(numbers)) for _ in range(size)]) for size in sizes]
    await gatherResults(done)
    assert sql(NUMBERS) == [(number,) for number in range(sum(sizes))]
    assert 3 <= store.health().commits <= 10  # 5,000 records each at most


async def test_rows_are_there_when_the_deferred_fires(store: StoreService, sql: Sql) -> None:
    for number in range(10):
        await store.write([run_of(number)])
        assert sql("SELECT max(records) FROM collector_run") == [(number,)]


async def test_batch_at_fault_leaves_no_row_behind(store: StoreService, sql: Sql) -> None:
    too_large = [run_of(20), replace(run_of(21), duration_ms=1 << 63)]
    none = [run_of(30), replace(run_of(31), collector=None)]
    done = [
        store.write([run_of(1), run_of(2)]),
        store.write(too_large),
        store.write([run_of(3)]),
        store.write(none),
        store.write([run_of(4)]),
    ]
    for good in (0, 2, 4):
        await done[good]
    with pytest.raises(StoreError, match=r"not stored: .*too large"):
        await done[1]
    with pytest.raises(StoreError, match="not stored: NOT NULL constraint failed"):
        await done[3]
    assert sql(NUMBERS) == [(1,), (2,), (3,), (4,)]
    assert store.health().state == "ok"


async def test_locked_by_another_connection(
    store: StoreService,
    path: Path,
    sql: Sql,
    until: Until,
    flush_logged_errors: Flush,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Samples are held: nobody waits for them, and all are there when the lock is gone."""
    monkeypatch.setattr("etlmon.store.trouble._SETTLED_SECONDS", 3600.0)
    await store.run(lambda cursor: cursor.execute("PRAGMA busy_timeout = 10"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        heard: list[Any] = []
        store.on_records(heard.extend)
        done = [store.write([run_of(number)]) for number in range(5)]
        await until(lambda: store.health().state == "degraded")
        assert store.health().last_error == "database is locked"
        assert (store.health().pending_batches, store.health().held_records) == (5, 5)
        assert store.health().reason == (
            "database is locked; trying again; 5 samples wait in memory"
        )
        done += [store.write([run_of(number)]) for number in range(5, 10)]
        await gatherResults(done)
        assert await store.read(lambda cursor: cursor.execute(NUMBERS).fetchall()) == []
        assert len(heard) == 10
        other.execute("ROLLBACK")
    await until(lambda: not store.health().held_records)
    assert str(store.health().reason).startswith(
        "database is locked, a moment ago; writing goes on"
    )
    assert len(heard) == 10
    monkeypatch.setattr("etlmon.store.trouble._SETTLED_SECONDS", 0.0)
    await until(lambda: store.health().state == "ok")
    assert store.health().reason is None
    assert sql(NUMBERS) == [(number,) for number in range(10)]
    flush_logged_errors("takes no writes: database is locked")


async def test_full_until_there_is_space(
    path: Path, sql: Sql, until: Until, flush_logged_errors: Flush
) -> None:
    store = StoreService(path, reactor, lambda: 0.0, max_bytes=1 << 30)
    store.startService()
    await store.write([run_of(0)])

    def limit(pages: int) -> Callable[[sqlite3.Cursor], None]:
        return lambda cursor: cursor.execute(f"PRAGMA max_page_count = {pages}").close()

    ((pages,),) = sql("PRAGMA page_count")
    await store.run(limit(pages + 20))
    for number in range(1, 21):
        store.write([run_of(number, "x" * 1000)] * 10)
    await until(lambda: store.health().state == "degraded")
    assert store.health().last_error == "database or disk is full"
    await store.run(limit(100_000), in_transaction=False, makes_room=True)
    await until(lambda: not store.health().held_records and store.health().state == "ok")
    assert sql(NUMBERS) == [(0,)] + [(number,) for number in range(1, 21) for _ in range(10)]
    assert sql("PRAGMA integrity_check") == [("ok",)]
    flush_logged_errors("takes no writes: database or disk is full")
    await store.stopService()


async def test_stop_while_locked_ends(
    path: Path, sql: Sql, until: Until, flush_logged_errors: Flush
) -> None:
    store = StoreService(path, reactor, lambda: 0.0)
    store.startService()
    await store.run(lambda cursor: cursor.execute("PRAGMA busy_timeout = 10"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await store.write([run_of(1)])
        waiting = store.run(lambda cursor: None)
        await until(lambda: store.health().state == "degraded")
        await store.stopService()
        with pytest.raises(StoreError, match="not stored: database is locked"):
            await waiting
    assert sql(NUMBERS) == []
    assert store.health().dropped_records == 1
    flush_logged_errors("takes no writes", "2 batches were not stored")
