"""StoreService: the database as the rest of the node sees it."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import quote

from twisted.application.service import Service
from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import Deferred, DeferredSemaphore, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.records.health import DatabaseHealth
from etlmon.store.open import lock, prepare, reader_pragmas, writer_pragmas
from etlmon.store.tables.all import TABLES
from etlmon.store.writer import Writer
from etlmon.units import to_millis, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import IO

    from twisted.python.failure import Failure

    from etlmon.records.base import Record

T = TypeVar("T")

_READERS = 4
_LOST = "the database file was removed or replaced; what is collected is lost at the next stop"
_LONGEST_READ_SECONDS = 5.0
"""An older read transaction would keep the write-ahead log from being used again."""
_STEPS_BETWEEN_LOOKS = 100_000
_WAL_BUG_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""sqlite.org/wal.html#the_wal_reset_bug: fixed in 3.51.3, and carried back to two older lines."""


class StoreService(Service):
    """Holds the lock, the writer's connection and the readers' from start to stop.

    Starting is synchronous, so that a database which cannot be used stops the daemon there.
    """

    name = "store"
    log = Logger()

    def __init__(
        self,
        path: Path,
        reactor: Any,
        wall_clock: Callable[[], float],
        *,
        network_filesystem_allowed: bool = False,
        proc: Path = Path("/proc"),
    ) -> None:
        self.path = path
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._network_filesystem_allowed = network_filesystem_allowed
        self._proc = proc
        self._lock: IO[bytes] | None = None
        self._writer: Writer | None = None
        self._pools: list[ConnectionPool] = []
        self._readers: ConnectionPool | None = None
        self._reading = DeferredSemaphore(_READERS)
        self._schema_version = 0
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._opened = self._on_disk = _OnDisk(None, None, None)
        self._looking = False

    def startService(self) -> None:
        """Take the lock, bring the schema up, open the pools. Raises StoreError."""
        self._lock = lock(self.path)
        try:
            self._schema_version = prepare(
                self.path,
                now_ms=to_millis(utc(self._wall_clock())),
                network_filesystem_allowed=self._network_filesystem_allowed,
                proc=self._proc,
            )
        except BaseException:
            self._lock.close()
            raise
        writing = _pool(str(self.path), writer_pragmas, size=1, reactor=self._reactor)
        self._readers = _pool(
            f"file:{quote(os.fsencode(self.path))}?mode=ro",
            reader_pragmas,
            size=_READERS,
            reactor=self._reactor,
        )
        self._reading = DeferredSemaphore(_READERS)
        self._pools = [self._readers, writing]
        self._opened = self._on_disk = _look(self.path)
        self._writer = Writer(writing, TABLES, self._reactor, self._wall_clock, self._tell)
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Commit what waits, let reads end, close the connections, give up the lock, in this order.

        Fires when that is done. Reads and writes that are asked for from now on are refused.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        pools, self._pools = self._pools, []
        held, self._lock = self._lock, None
        if self._writer is not None:
            await self._writer.close()
        if pools:
            for _ in range(_READERS):  # closing a pool waits for its threads, in the reactor's
                await self._reading.acquire()
        for pool in pools:
            pool.close()
        if held is not None:
            held.close()

    def write(self, records: Sequence[Record]) -> Deferred[None]:
        """Store records in one transaction; fires when they are committed (see Writer.write)."""
        return fail(_not_open()) if self._writer is None else self._writer.write(records)

    def run(self, work: Callable[[sqlite3.Cursor], T], tables: Iterable[str] = ()) -> Deferred[T]:
        """Do other work on the writer's connection (see Writer.run)."""
        return fail(_not_open()) if self._writer is None else self._writer.run(work, tables)

    def read(self, query: Callable[[sqlite3.Cursor], T]) -> Deferred[T]:
        """Run a query in a thread, on a read-only connection, in one short read transaction.

        Fires with what ``query`` returns; fails with StoreError if the database cannot be read.
        """
        if self._readers is None or not self.running:
            return fail(_not_open())

        def transaction(cursor: Any) -> T:
            give_up_at = self._reactor.seconds() + _LONGEST_READ_SECONDS
            cursor.connection.set_progress_handler(
                lambda: self._reactor.seconds() > give_up_at, _STEPS_BETWEEN_LOOKS
            )
            cursor.execute("BEGIN")
            return query(cursor)

        answer: Deferred[T] = self._reading.run(self._readers.runInteraction, transaction)
        answer.addErrback(_reading_failed)
        return answer

    def on_commit(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call ``listener`` with the names of the tables that changed, after each commit."""
        self._listeners.append(listener)

    def health(self) -> DatabaseHealth:
        """Tell how the database fares, from memory; the sizes are as of the last time asked.

        Raises StoreError before the first start.
        """
        if self._writer is None:
            raise _not_open()
        state = self._writer.state
        self._look_later()
        is_lost = self._on_disk.identity != self._opened.identity
        return DatabaseHealth(
            state="degraded" if state.failing or is_lost else "ok",
            path=str(self.path),
            size_bytes=self._on_disk.size_bytes,
            wal_bytes=self._on_disk.wal_bytes,
            schema_version=self._schema_version,
            sqlite_version=sqlite3.sqlite_version,
            wal_reset_bug=has_wal_reset_bug(sqlite3.sqlite_version_info),
            commits=state.commits,
            pending_batches=self._writer.pending,
            last_commit_at=None if state.last_commit_at is None else utc(state.last_commit_at),
            last_error=_LOST if is_lost else state.last_error,
            last_error_at=None if state.last_error_at is None else utc(state.last_error_at),
        )

    def _look_later(self) -> None:
        """Have a thread look at the file; nobody waits for it."""
        if self._looking or self._readers is None or not self.running:
            return
        self._looking = True

        def looked(found: Any) -> None:
            self._looking = False
            if isinstance(found, _OnDisk):
                self._on_disk = found

        deferToThreadPool(self._reactor, self._readers.threadpool, _look, self.path).addBoth(looked)

    def _tell(self, tables: frozenset[str]) -> None:
        for listener in self._listeners:
            try:
                listener(tables)
            except Exception:
                self.log.failure("A listener to commits failed.")


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite can corrupt a database when two connections write at one instant."""
    return not any(
        version >= fixed and (version[:2] == fixed[:2] or fixed is _WAL_BUG_FIXED[0])
        for fixed in _WAL_BUG_FIXED
    )


def _pool(
    database: str, pragmas: Callable[[sqlite3.Connection], None], *, size: int, reactor: Any
) -> ConnectionPool:
    """Make a pool. adbapi closes connections in another thread than it opened them in."""
    return ConnectionPool(
        "sqlite3",
        database,
        uri=database.startswith("file:"),
        isolation_level=None,
        check_same_thread=False,
        cp_min=1,
        cp_max=size,
        cp_noisy=False,
        cp_openfun=pragmas,
        cp_reactor=reactor,
    )


def _not_open() -> StoreError:
    return StoreError("the database is not open")


def _reading_failed(failure: Failure) -> NoReturn:
    failure.trap(sqlite3.Error)
    raise StoreError(f"the database cannot be read: {failure.value}") from failure.value


@dataclass(frozen=True)
class _OnDisk:
    """The database file as it is found by its name: its identity and the bytes it takes."""

    identity: tuple[int, int] | None
    size_bytes: int | None
    wal_bytes: int | None


def _look(path: Path) -> _OnDisk:
    path = path.resolve()
    found, wal = _stat(path), _stat(path.with_name(path.name + "-wal"))
    return _OnDisk(
        identity=(found.st_dev, found.st_ino) if found else None,
        size_bytes=found.st_size if found else None,
        wal_bytes=wal.st_size if wal else None,
    )


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
