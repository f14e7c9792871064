"""The store as a whole: reads beside writes, health, start and stop, a disk that is full."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.threads import deferToThread

from etlmon.errors import StoreError
from etlmon.records.health import CollectorRun
from etlmon.store import database, ondisk
from etlmon.store.database import StoreService
from etlmon.store.migrate import load_migrations
from etlmon.store.ondisk import OnDisk
from etlmon.store.wal import has_reset_bug
from etlmon.units import utc
from tests.waiting import PATIENCE_SECONDS

TOP = Path(__file__).parents[2]

Until = Callable[[Callable[[], object]], Awaitable[None]]
Size = Callable[..., int]
Sql = Callable[..., list[tuple[Any, ...]]]


def run_of(number: int) -> CollectorRun:
    return CollectorRun(
        collector="test",
        instance="",
        started_at=utc(number),
        duration_ms=0,
        state="ok",
        records=number,
    )


def count(cursor: sqlite3.Cursor) -> int:
    found: int = cursor.execute("SELECT count(*) FROM collector_run").fetchone()[0]
    return found


# --- reads ----------------------------------------------------------------------------------------


async def test_read_before_the_first_write(store: StoreService) -> None:
    assert await store.read(count) == 0


async def test_read_sees_one_moment_while_rows_are_written(store: StoreService) -> None:
    """Two counts within one read are equal, whatever is committed between them."""
    await store.write([run_of(0)])
    first_done, go_on = threading.Event(), threading.Event()

    def query(cursor: sqlite3.Cursor) -> tuple[int, int]:
        first = count(cursor)
        first_done.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return first, count(cursor)

    slow = store.read(query)
    await deferToThread(first_done.wait, PATIENCE_SECONDS)
    await store.write([run_of(1)])
    assert await store.read(count) == 2
    go_on.set()
    assert await slow == (1, 1)
    assert await store.read(count) == 2


async def test_many_reads_beside_many_writes(store: StoreService) -> None:
    writes = [store.write([run_of(number)] * 10) for number in range(200)]
    reads = [store.read(count) for _ in range(200)]
    counts = await gatherResults(reads)
    await gatherResults(writes)
    assert all(found % 10 == 0 for found in counts)
    assert await store.read(count) == 2000


async def test_error_of_sqlite_becomes_a_store_error(store: StoreService) -> None:
    with pytest.raises(StoreError, match="cannot be read: no such table: nowhere") as caught:
        await store.read(lambda cursor: cursor.execute("SELECT * FROM nowhere").fetchall())
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert await store.read(count) == 0


async def test_error_of_the_query_stays_what_it_is(store: StoreService) -> None:
    with pytest.raises(ZeroDivisionError):
        await store.read(lambda cursor: 1 // 0)
    assert await store.read(count) == 0


async def test_reads_leave_no_transaction_open(store: StoreService, sql: Sql) -> None:
    """Nothing then keeps a checkpoint from emptying the write-ahead log."""
    await store.write([run_of(1)])
    await gatherResults([store.read(count) for _ in range(20)])
    with pytest.raises(StoreError):
        await store.read(lambda cursor: cursor.execute("SELECT * FROM nowhere"))
    busy, in_wal, moved = sql("PRAGMA wal_checkpoint(TRUNCATE)")[0]
    assert (busy, in_wal, moved) == (0, 0, 0)


# --- commits --------------------------------------------------------------------------------------


async def test_listeners_hear_of_tables_and_one_that_fails_harms_nobody(
    store: StoreService, flush_logged_errors: Callable[..., list[Any]]
) -> None:
    heard: list[frozenset[str]] = []

    def fails(tables: frozenset[str], stored: Any) -> None:
        raise LookupError("a listener's own fault")

    store.on_commit(fails)
    store.on_commit(lambda tables, _: heard.append(tables))
    await store.write([run_of(1)])
    await store.run(lambda cursor: None, ["meta"])
    assert heard == [frozenset({"collector_run"}), frozenset({"meta"})]
    assert await store.read(count) == 1
    assert len(flush_logged_errors(LookupError)) == 2


async def test_listeners_hear_of_records_that_were_taken_and_of_no_others(
    store: StoreService, flush_logged_errors: Callable[..., list[Any]]
) -> None:
    """What is refused has not happened; a listener that fails harms nobody."""
    heard: list[Any] = []

    def fails(records: Any) -> None:
        raise LookupError("a listener's own fault")

    store.on_records(fails)
    store.on_records(heard.append)
    good, bad = run_of(1), replace(run_of(2), state=None)
    await store.write([good])
    with pytest.raises(StoreError):
        await store.write([bad])
    assert heard == [[good]]
    assert len(flush_logged_errors(LookupError)) == 1


async def test_listeners_hear_of_records_whose_writer_has_gone(store: StoreService) -> None:
    """They are stored all the same; a run whose settings a reload has changed is cut short."""
    heard: list[Any] = []
    store.on_records(heard.extend)
    gone = store.write([run_of(1)])
    gone.addErrback(lambda failure: failure.trap(CancelledError))
    gone.cancel()
    await store.write([run_of(2)])
    assert heard == [run_of(1), run_of(2)]
    assert await store.read(count) == 2


async def test_other_work_gives_its_result_and_is_rolled_back_when_it_fails(
    store: StoreService,
) -> None:
    def work(cursor: sqlite3.Cursor) -> None:
        cursor.execute("DELETE FROM meta")
        raise LookupError("on second thoughts")

    with pytest.raises(StoreError, match="on second thoughts"):
        await store.run(work)
    kept = await store.run(lambda cursor: cursor.execute("SELECT count(*) FROM meta").fetchone())
    assert kept == (2,)


async def test_saved_records_are_those_written_before(
    store: StoreService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(cursor: sqlite3.Cursor, instance: str) -> list[CollectorRun]:
        (number,) = cursor.execute("SELECT count(*) FROM collector_run").fetchone()
        return [run_of(number), run_of(len(instance))]

    monkeypatch.setitem(database._SAVED, CollectorRun, read)
    waiting = [store.write([run_of(number)]) for number in range(3)]
    assert await store.saved(CollectorRun, "me") == [run_of(3), run_of(2)]
    assert all(done.called for done in waiting)


# --- health ---------------------------------------------------------------------------------------


async def test_health(
    store: StoreService, path: Path, size: Size, now: float, until: Until
) -> None:
    before = store.health()
    assert (before.state, before.commits, before.last_commit_at) == ("ok", 0, None)
    assert before.size_bytes == size()
    await store.write([run_of(number) for number in range(100)])
    await until(lambda: store.health().wal_bytes == size("-wal"))
    after = store.health()
    assert after.path == str(path)
    assert after.wal_bytes == size("-wal") > 0
    assert after.schema_version == load_migrations()[-1].schema_version
    assert after.sqlite_version == sqlite3.sqlite_version
    assert after.wal_reset_bug == has_reset_bug(sqlite3.sqlite_version_info)
    assert (after.commits, after.pending_batches) == (1, 0)
    assert after.last_commit_at == utc(now)
    assert (after.last_error, after.last_error_at) == (None, None)


async def test_health_of_a_database_that_is_gone(
    store: StoreService, path: Path, until: Until, flush_logged_errors: Callable[..., list[Any]]
) -> None:
    await store.write([run_of(1)])
    for file in path.parent.iterdir():
        file.unlink()
    store.health()
    await until(lambda: store.health().size_bytes is None)
    assert store.health().wal_bytes is None
    flush_logged_errors("was removed or replaced")


# --- start and stop -------------------------------------------------------------------------------


async def test_use_before_the_start(path: Path) -> None:
    store = StoreService(path, reactor, lambda: 0.0)
    for use in (store.read(count), store.write([run_of(1)]), store.run(count)):
        with pytest.raises(StoreError, match="the database is not open"):
            await use
    with pytest.raises(StoreError, match="the database is not open"):
        store.health()
    await store.stopService()
    assert not list(path.parent.iterdir())


async def test_stop_commits_then_closes_and_leaves_nothing(path: Path, sql: Sql) -> None:
    threads = set(threading.enumerate())
    store = StoreService(path, reactor, lambda: 0.0)
    store.startService()
    writes = [store.write([run_of(number)]) for number in range(50)]
    reads = [store.read(count) for _ in range(50)]
    stopped = store.stopService()
    assert not stopped.called
    for use in (store.read(count), store.write([run_of(1)]), store.run(count)):
        with pytest.raises(StoreError):
            await use
    await stopped
    assert all(done.called for done in writes + reads)
    await gatherResults(writes + reads)
    assert set(threading.enumerate()) <= threads
    assert {file.name for file in path.parent.iterdir()} == {"etlmon.db", "etlmon.db.lock"}
    assert sql("SELECT count(*) FROM collector_run") == [(50,)]


async def test_stop_waits_for_a_read_without_blocking_the_reactor(path: Path) -> None:
    store = StoreService(path, reactor, lambda: 0.0)
    store.startService()
    begun, go_on = threading.Event(), threading.Event()

    def query(cursor: sqlite3.Cursor) -> int:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return count(cursor)

    slow = store.read(query)
    await deferToThread(begun.wait, PATIENCE_SECONDS)
    stopped = store.stopService()
    reactor.callLater(0.02, go_on.set)  # comes only if the reactor turns
    await stopped
    assert await slow == 0


async def test_two_stops_and_another_start(path: Path) -> None:
    store = StoreService(path, reactor, lambda: 0.0)
    store.startService()
    done = store.write([run_of(1)])
    await gatherResults([store.stopService(), store.stopService()])
    await done
    store.startService()
    assert await store.read(count) == 1
    await store.stopService()


async def test_start_on_a_database_in_use_by_a_reader(
    store: StoreService, path: Path, sql: Sql
) -> None:
    """A shell beside the node reads what was committed."""
    await store.write([run_of(1)])
    assert sql("SELECT count(*) FROM collector_run") == [(1,)]
    await store.write([run_of(2)])
    assert await store.read(count) == 2


# --- a disk that is full --------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to mount a small file system")
@pytest.mark.parametrize("sizes", [("8m",), ("640k", "1m")])
def test_disk_full_until_there_is_space(tmp_path: Path, sizes: tuple[str, ...]) -> None:
    """Nothing lost, nothing twice, the file whole; also where the database alone has filled it."""
    size, *larger = sizes
    mount = f"mount -t tmpfs -o size={size} tmpfs {tmp_path} && exec "
    program = [sys.executable, str(Path(__file__).with_name("full_disk.py")), str(tmp_path)]
    program += larger
    found = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount + '"$@"', "sh", *program],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        stdout=subprocess.PIPE,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert json.loads(found.stdout) == {
        "was_degraded": True,
        "last_error": "the disk is full: database or disk is full",
        "state": "ok",
        "in_order": True,
        "rows": 2000,
        "integrity": "ok",
    }


async def test_a_read_that_takes_too_long_is_given_up(
    store: StoreService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etlmon.store.connections._LONGEST_READ_SECONDS", 0.05)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(StoreError, match="cannot be read: interrupted"):
        await store.read(lambda cursor: cursor.execute(endless).fetchone())
    assert await store.read(lambda cursor: cursor.execute("SELECT 1").fetchone()) == (1,)


async def test_a_file_that_is_removed_is_told(
    store: StoreService,
    path: Path,
    now: float,
    until: Any,
    flush_logged_errors: Callable[..., list[Any]],
) -> None:
    """SQLite itself goes on with the file that nobody sees any more. The log tells it once."""
    assert store.health().state == "ok"
    for times in (1, 2):
        away = path.rename(path.with_name("away"))  # noqa: ASYNC240
        await until(lambda: store.health().state == "degraded")
        assert "was removed or replaced" in str(store.health().last_error)
        assert store.health().last_error_at == utc(now)
        path.touch()  # noqa: ASYNC240 - another is no better than none
        await until(lambda: store.health().size_bytes == 0)
        away.rename(path)
        await until(lambda: store.health().state == "ok")
        assert len(flush_logged_errors("the database file was removed or replaced")) == 1, times


async def test_a_commit_wakes_no_other_thread_to_look_at_the_file(
    store: StoreService, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = await store.run(lambda _: threading.get_ident())
    looking: list[int] = []

    def look(path: Path) -> OnDisk:
        looking.append(threading.get_ident())
        return ondisk.look(path)

    monkeypatch.setattr(database, "look", look)
    monkeypatch.setattr(store, "_looked_at", -math.inf)
    await store.write([run_of(1)])
    assert looking == [writing]
    assert store._current.files.found.identity == ondisk.look(store.path).identity


@pytest.mark.parametrize("end", ["-wal", "-shm"])
async def test_a_file_beside_it_that_is_removed_is_told(
    path: Path, until: Any, sql: Sql, flush_logged_errors: Callable[..., list[Any]], end: str
) -> None:
    """A stop in order brings what is in it into the database."""
    store = StoreService(path, reactor, lambda: 0.0)
    store.startService()
    await store.write([run_of(1)])
    assert store.health().state == "ok"
    await until(lambda: store.health().wal_bytes)
    path.with_name(path.name + end).unlink()
    await until(lambda: store.health().state == "degraded")
    assert "(-wal, -shm) was removed or replaced; restart" in str(store.health().reason)
    await store.write([run_of(2)])
    await store.stopService()
    assert sql("SELECT records FROM collector_run ORDER BY rowid") == [(1,), (2,)]
    flush_logged_errors("was removed or replaced")
