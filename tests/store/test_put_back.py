"""A database of which only indexes are damaged: all rows are in the one that takes its place."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from etlmon.errors import StoreError
from etlmon.store import aside, current
from etlmon.store.damage import set_aside
from etlmon.store.database import StoreService
from etlmon.store.migrate import load_migrations, migrate
from etlmon.store.restore import put_back
from tests.store.test_damage import make, run_of
from tests.store.test_indexes import NUMBERS, lose_pages
from tests.waiting import PATIENCE_SECONDS

Until = Callable[[Callable[[], object]], Awaitable[None]]
Sql = Callable[..., list[tuple[Any, ...]]]
Flush = Callable[..., list[Any]]

NOW = 1_800_000_000.0
LABEL = "corrupt-20270115T080000Z"


@pytest.fixture
def rows(path: Path, sql: Sql) -> list[tuple[Any, ...]]:
    """Make a database; give its rows."""
    make(path)
    return sql(NUMBERS)


@pytest.fixture
def store(path: Path, rows: object) -> Iterator[StoreService]:
    """Give a store that runs, on a database that has lost pages of an index since it began."""
    one = StoreService(path, reactor, lambda: NOW)
    one.startService()
    lose_pages(path, "collector_run_by_time", slice(1, None))
    yield one
    if one.running:
        pytest_twisted.blockon(one.stopService())


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give what the disk has free; the last number holds."""
    told = [100]
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 0, told[-1]))
    return told


@pytest.mark.parametrize("schema", [0, 3])
async def test_one_that_is_killed_meanwhile_loses_no_row(
    path: Path, rows: list[Any], sql: Sql, flush_logged_errors: Flush, schema: int
) -> None:
    """The next start goes on with it, also where a new database had been begun already."""
    lose_pages(path, "collector_run_by_time", slice(1, None))
    kept = set_aside(path, LABEL)
    if schema:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            migrate(connection, path, 0, load_migrations()[:schema])
            log = path.with_name(f"{path.name}-wal")
            content = log.read_bytes()
        log.write_bytes(content)
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    assert (store.set_aside, store.is_put_back) == (kept, True)
    await store.stopService()
    assert sql(NUMBERS) == rows
    assert sql("PRAGMA integrity_check") == [("ok",)]
    flush_logged_errors("all rows are in the one in its place")


async def test_samples_are_held_meanwhile(
    store: StoreService,
    rows: list[Any],
    sql: Sql,
    until: Until,
    flush_logged_errors: Flush,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may take minutes, for which no collector stands still."""
    may_go_on = Event()

    def slowly(kept: Path, real: Path, cancelled: Callable[[], bool]) -> bool:
        assert may_go_on.wait(PATIENCE_SECONDS)
        return put_back(kept, real, cancelled)

    monkeypatch.setattr(aside, "put_back", slowly)
    store.suspect(StoreError("a doubt"))
    await store.write([run_of(9_999)])
    assert store.health().held_records == 1
    assert str(store.reason).startswith("the file is damaged, and another takes its place")
    may_go_on.set()
    await until(lambda: store.is_put_back and not store.health().held_records)
    assert sql(NUMBERS) == [*rows, (9_999,)]
    flush_logged_errors("all rows are in the one in its place", "takes no writes")


async def test_one_that_stops_meanwhile_leaves_it_to_the_next(
    path: Path,
    rows: list[Any],
    store: StoreService,
    sql: Sql,
    until: Until,
    flush_logged_errors: Flush,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It begins no new database: that would be worth keeping for the next."""
    begun = Event()
    found: list[bool] = []

    def slowly(kept: Path, real: Path, cancelled: Callable[[], bool]) -> bool:
        begun.set()
        while not cancelled():
            time.sleep(0.001)
        found.append(put_back(kept, real, cancelled))
        return found[0]

    monkeypatch.setattr(aside, "put_back", slowly)
    store.suspect(StoreError("a doubt"))
    await until(begun.is_set)
    await store.stopService()
    assert not found, "it was given up"
    assert path.stat().st_size == 0  # noqa: ASYNC240
    assert not list(path.parent.glob("*restored*"))
    monkeypatch.undo()
    again = StoreService(path, reactor, lambda: NOW)
    again.startService()
    assert again.is_put_back
    await again.stopService()
    assert sql(NUMBERS) == rows
    flush_logged_errors("all rows are in the one in its place", "takes no writes")


async def test_want_of_room_is_told(
    path: Path,
    store: StoreService,
    sql: Sql,
    until: Until,
    flush_logged_errors: Flush,
    free: list[int],
) -> None:
    store.suspect(StoreError("a doubt"))
    await until(lambda: store.set_aside is not None and store.health().state == "ok")
    assert not store.is_put_back
    words = rf"{re.escape(str(path.parent))} has {free[0]} bytes free, \d+ are needed"
    assert re.fullmatch(words, str(store.why_not_put_back))
    assert re.search(f"could not be found out: {words}", str(store.health().last_error))
    assert sql("SELECT count(*) FROM collector_run") == [(0,)]
    assert len(flush_logged_errors("could not be found out: .* has 100 bytes free")) == 1
    flush_logged_errors("takes no writes")


async def test_while_no_other_is_begun_either_room_is_waited_for(
    store: StoreService,
    rows: list[Any],
    sql: Sql,
    until: Until,
    flush_logged_errors: Flush,
    free: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare = current.prepare

    def prepare_with_room(path: Path, **how: Any) -> int:
        if free[-1] < 1 << 30:
            why = os.strerror(errno.ENOSPC)
            raise StoreError(f"cannot open it: {why}") from OSError(errno.ENOSPC, why)
        return prepare(path, **how)

    monkeypatch.setattr(current, "prepare", prepare_with_room)
    monkeypatch.setattr(current, "_TRY_AGAIN_SECONDS", 0.01)
    store.suspect(StoreError("a doubt"))
    await until(lambda: "disk is full" in str(store.reason))
    assert not store.is_put_back
    free.append(1 << 40)
    await until(lambda: store.health().state == "ok")
    assert store.is_put_back
    assert sql(NUMBERS) == rows
    flush_logged_errors("could not be found out", "takes no writes", "cannot be opened")
