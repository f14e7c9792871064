"""A database that cannot be opened just now: it is waited for, and whatever it is then is met."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task
from twisted.logger import capturedLogs

from etlmon.config.node import RetentionSection
from etlmon.errors import StoreError
from etlmon.store import aside, current
from etlmon.store import open as open_module
from etlmon.store.database import StoreService
from etlmon.store.faults import NoRoomError, why_not_yet
from etlmon.store.lock import lock
from etlmon.store.migrate import Migration, load_migrations
from etlmon.store.open import prepare
from etlmon.store.retention import RetentionService
from etlmon.store.tables.all import TABLES
from tests.store.test_damage import make, run_of, spoil, spoil_index

Until = Callable[[Callable[[], object]], Awaitable[None]]
Flush = Callable[..., list[Any]]
NOW = 1_800_000_000.0


class Disk:
    """Lets the database be opened, or not."""

    def __init__(self) -> None:
        self.trouble: OSError | None = None
        self.tries = 0

    def __call__(self, path: Path, **how: Any) -> int:
        self.tries += 1
        if self.trouble is not None:
            raise StoreError(f"cannot use {path}: {self.trouble.strerror}") from self.trouble
        return prepare(path, **how)


def error_of(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    one = Disk()
    monkeypatch.setattr(current, "prepare", one)
    monkeypatch.setattr(current, "_TRY_AGAIN_SECONDS", 0.01)
    return one


@pytest.fixture
def expected(flush_logged_errors: Flush) -> Iterator[list[str]]:
    """Take the patterns of what the log is told; they are looked for at the end."""
    patterns: list[str] = []
    yield patterns
    for pattern in patterns:
        assert flush_logged_errors(pattern), pattern


@pytest.fixture
def waiting(path: Path, disk: Disk, expected: list[str]) -> Iterator[StoreService]:
    """Give a store with a database that waits, for the disk is full; it is stopped at the end."""
    make(path)
    disk.trouble = error_of(errno.ENOSPC)
    expected.append("the disk is full")
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    yield store
    pytest_twisted.blockon(store.stopService())


async def has_stored(store: StoreService, until: Until | None = None) -> int:
    """Wait until nothing waits in memory; give the rows."""
    if until is not None:
        await until(lambda: not store.health().held_records)
    (rows,) = await store.read(
        lambda cursor: cursor.execute("SELECT count(*) FROM collector_run").fetchone()
    )
    return int(rows)


async def test_one_that_is_damaged_besides_is_set_aside(
    waiting: StoreService, disk: Disk, path: Path, until: Until, expected: list[str]
) -> None:
    expected.append("is damaged")
    taken = waiting.write([run_of(1)])
    with path.open("r+b") as file:
        file.write(b"SQLite format 3\0" + os.urandom(8176))
    disk.trouble = None
    await taken
    assert await has_stored(waiting, until) == 1
    assert waiting.set_aside is not None
    assert waiting.set_aside.exists()


@pytest.mark.parametrize("is_index", [True, False])
async def test_damage_that_an_upgrade_meets(
    path: Path, flush_logged_errors: Flush, monkeypatch: pytest.MonkeyPatch, *, is_index: bool
) -> None:
    """An index is made anew, and the upgrade is done; else the file is set aside."""
    make(path)
    if is_index:
        spoil_index(path)
    else:
        spoil(path, path.stat().st_size // 8192 * 4096)  # noqa: ASYNC240
    known = load_migrations()
    sql = "DELETE FROM collector_run WHERE records > 5"
    upgrade = Migration(known[-1].schema_version + 1, "upgrade", sql)
    monkeypatch.setattr(open_module, "load_migrations", lambda: (*known, upgrade))
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    assert (store.set_aside is None) is is_index
    assert store.health().schema_version == upgrade.schema_version
    assert await has_stored(store) == (6 if is_index else 0)
    await store.stopService()
    flush_logged_errors("is damaged")


async def test_an_upgrade_keeps_to_the_greatest_size(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(path)
    most_bytes = path.stat().st_size + (64 << 10)  # noqa: ASYNC240
    known = load_migrations()
    sql = "CREATE INDEX collector_run_by_instance ON collector_run (instance, records)"
    upgrade = Migration(known[-1].schema_version + 1, "upgrade", sql)
    monkeypatch.setattr(open_module, "load_migrations", lambda: (*known, upgrade))
    store = StoreService(path, reactor, lambda: NOW, max_bytes=most_bytes)
    with capturedLogs() as logged:
        store.startService()
    assert store.health().schema_version == upgrade.schema_version
    rows = await has_stored(store)
    assert 0 < rows < 2_000
    assert [event["rows"] for event in logged if "rows" in event] == [2_000 - rows]
    await store.checkpoint()
    assert path.stat().st_size <= most_bytes  # noqa: ASYNC240
    await store.stopService()


async def test_what_has_no_room_is_not_tried_before_there_is_more(
    path: Path, until: Until, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try would fill the disk, for all who are on it."""
    make(path)
    tries, asked, is_over = 0, 0, False

    def more() -> bool:
        nonlocal asked
        asked += 1
        return is_over

    def lack(path: Path, **how: Any) -> int:
        nonlocal tries
        tries += 1
        if not is_over:
            raise NoRoomError("migration 99 failed: database or disk is full", more)
        return prepare(path, **how)

    monkeypatch.setattr(current, "prepare", lack)
    monkeypatch.setattr(current, "_TRY_AGAIN_SECONDS", 0.01)
    expected.append("the disk is full")
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    await store.write([run_of(1)])
    await until(lambda: asked > 3)
    assert tries == 1
    assert reason(store).startswith("the disk is full: migration 99 failed")
    is_over = True
    await until(lambda: not store.health().held_records)
    assert tries == 2
    await store.stopService()


def reason(store: StoreService) -> str:
    return str(store.health().reason)


async def test_health_tells_what_it_waits_for_now(
    waiting: StoreService, disk: Disk, until: Until, flush_logged_errors: Flush
) -> None:
    def tells(words: str) -> bool:
        return reason(waiting).startswith(words)

    assert tells("the disk is full: cannot use")
    with pytest.raises(StoreError, match="the database is not open: the disk is full: cannot use"):
        await waiting.read(lambda _cursor: None)
    disk.trouble = error_of(errno.EIO)
    await until(lambda: tells("cannot use"))
    assert "Input/output error; trying again" in reason(waiting)
    tries = disk.tries
    await until(lambda: disk.tries > tries + 3)
    disk.trouble = None
    await until(lambda: waiting.health().reason is None or "a moment ago" in reason(waiting))
    assert len(flush_logged_errors("Input/output error")) == 1


async def test_none_is_begun_in_the_place_of_one_that_has_gone(
    waiting: StoreService, disk: Disk, path: Path, until: Until, expected: list[str]
) -> None:
    """As that of a file system which is unmounted to be repaired, while the node waits for it."""
    expected.append("is not now")
    away = path.rename(path.with_name("away"))  # noqa: ASYNC240
    disk.trouble = None
    await until(lambda: "was there at the start, and is not now" in reason(waiting))
    tries = disk.tries
    assert not path.exists()  # noqa: ASYNC240
    away.rename(path)
    await waiting.write([run_of(1)])
    assert await has_stored(waiting, until) == 2_001
    assert disk.tries == tries + 1


async def test_a_directory_that_cannot_be_looked_into_is_waited_for_too(
    waiting: StoreService,
    disk: Disk,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    expected: list[str],
) -> None:
    """Such as one that a failing disk, or a change of rights, keeps from being read."""
    expected.append("Permission denied")

    def refuse(_path: Path) -> bool:
        raise error_of(errno.EACCES)

    with monkeypatch.context() as rights:
        rights.setattr(Path, "exists", refuse)
        disk.trouble = None
        await until(lambda: "Permission denied; trying again" in reason(waiting))
    await waiting.write([run_of(1)])
    assert await has_stored(waiting, until) == 2_001


async def test_retention_says_nothing_meanwhile(waiting: StoreService) -> None:
    """Why the database is not open is told once, by the store."""
    service = RetentionService(
        waiting, TABLES, lambda _table: RetentionSection(), task.Clock(), lambda: NOW
    )
    service.startService()
    await service.stopService()


async def test_samples_are_held_while_a_damaged_one_cannot_be_set_aside(
    path: Path,
    disk: Disk,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    flush_logged_errors: Flush,
) -> None:
    """Nobody waits for their commit, or the collectors would stand still."""
    make(path)

    def refuse(_path: Path, _label: str) -> Path:
        raise StoreError("cannot set it aside") from error_of(errno.EROFS)

    monkeypatch.setattr(aside, "set_aside", refuse)
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    spoil(path)
    store.suspect(StoreError("a doubt"))
    before = store.write([run_of(1)])
    await before
    await store.write([run_of(2)])
    assert store.health().held_records == 2
    await until(lambda: "the file system is read-only: cannot set" in reason(store))
    monkeypatch.undo()
    monkeypatch.setattr(current, "_TRY_AGAIN_SECONDS", 0.01)
    await until(lambda: not store.health().held_records)
    await store.stopService()
    flush_logged_errors("takes no writes", "is damaged", "cannot be opened")


async def test_the_lock_is_waited_for_too(
    path: Path,
    disk: Disk,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    flush_logged_errors: Flush,
) -> None:
    """A full disk has no room for a new name either."""
    full = [True]

    def no_room(at: Path, proc: Path) -> Any:
        if full[0]:
            raise StoreError("cannot open the lock") from error_of(errno.ENOSPC)
        return lock(at, proc)

    monkeypatch.setattr(current, "lock", no_room)
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    assert str(store.health().reason).startswith("the disk is full: cannot open the lock")
    full[0] = False
    await until(lambda: disk.tries)
    with pytest.raises(StoreError, match="in use by another node"):
        lock(path)
    await store.stopService()
    flush_logged_errors("the disk is full")


async def test_the_lock_is_kept_until_what_has_begun_has_ended(
    waiting: StoreService, path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node would find a schema that is being brought up."""
    begun, may_end = Event(), Event()

    def slowly(_path: Path, **_how: Any) -> int:
        begun.set()
        may_end.wait(30)
        return 1

    monkeypatch.setattr(current, "prepare", slowly)
    await until(begun.is_set)
    stopped = waiting.stopService()
    await task.deferLater(reactor, 0.05)
    assert not stopped.called
    with pytest.raises(StoreError, match="in use by another node"):
        lock(path)
    may_end.set()
    await stopped
    lock(path).close()


def sqlite_error(code: int) -> StoreError:
    cause = sqlite3.OperationalError("words")
    cause.sqlite_errorcode = code
    error = StoreError("cannot use it")
    error.__cause__ = cause
    return error


async def test_another_program_that_writes_is_waited_for(
    path: Path, until: Until, flush_logged_errors: Flush, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a shell with a transaction: systemd would give up to start a node that ends."""
    monkeypatch.setattr(current, "_TRY_AGAIN_SECONDS", 0.01)
    make(path)
    store = StoreService(path, reactor, lambda: NOW)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.startService()
        assert reason(store).startswith("another program has locked it: cannot use the database")
        taken = store.write([run_of(1)])
        other.execute("ROLLBACK")
    await taken
    assert await has_stored(store, until) == 2_001
    await store.stopService()
    flush_logged_errors("has locked it")


class TestWhyNotYet:
    def test_full_is_full_whatever_is_free_by_now(self, path: Path) -> None:
        """What was tried, such as the copy before an upgrade, has been taken away again."""
        assert why_not_yet(sqlite_error(sqlite3.SQLITE_FULL), path) == "the disk is full"

    def test_an_error_of_a_disk_with_room_does_not_pass(self, path: Path) -> None:
        assert why_not_yet(sqlite_error(sqlite3.SQLITE_IOERR), path) is None

    def test_read_only_is_waited_for_where_there_is_a_database(self, path: Path) -> None:
        """Where there is none, the node is not to write there: a mistake in node.yaml."""
        error = StoreError("cannot use it")
        error.__cause__ = error_of(errno.EROFS)
        assert why_not_yet(error, path) is None
        path.write_bytes(b"SQLite format 3\0")
        assert why_not_yet(error, path) == "the file system is read-only"
