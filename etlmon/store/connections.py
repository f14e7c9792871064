"""The connections to the database: one that writes, and those that only read."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import Deferred, DeferredLock, DeferredSemaphore

from etlmon.errors import StoreError
from etlmon.store.damage import is_damage, read_only_uri
from etlmon.store.open import reader_pragmas, writer_pragmas
from etlmon.store.slowest import place_of
from etlmon.threads import Threads

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from twisted.python.failure import Failure

    from etlmon.store.slowest import Slowest

T = TypeVar("T")
P = TypeVar("P", bound=ConnectionPool)

_READERS = 4
_LONGEST_READ_SECONDS = 5.0
"""An older read transaction would keep the write-ahead log from being used again."""
_STEPS_BETWEEN_LOOKS = 100_000
_MOST_SQL_CHARACTERS = 300


class WriterPool(ConnectionPool):
    """A pool of the one connection that writes."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.threadID = lambda: 0  # any thread has the one connection, none its own

    def run_here(self, function: Callable[..., T], *arguments: Any) -> T:
        """Do what ``runWithConnection`` does, in the thread that calls.

        Nobody else may use the connection meanwhile.
        """
        result: T = self._runWithConnection(function, *arguments)
        return result


class Connections:
    """A pool of one connection for the writer, and a pool for reading."""

    def __init__(
        self,
        path: Path,
        reactor: Any,
        max_bytes: int | None,
        slowest: Slowest,
        suspected: Callable[[BaseException], None],
    ) -> None:
        """``suspected`` is called when a read finds that the file is damaged."""
        self._reactor = reactor
        self._slowest = slowest
        self._suspected = suspected
        self._reading = DeferredSemaphore(_READERS)
        self._without_reads = DeferredLock()
        self._is_closed = False
        self.writing = _pool(
            WriterPool,
            str(path),
            partial(writer_pragmas, max_bytes=max_bytes),
            size=1,
            reactor=reactor,
        )
        self._readers = _pool(
            ConnectionPool, read_only_uri(path), reader_pragmas, size=_READERS, reactor=reactor
        )

    def read(self, query: Callable[[sqlite3.Cursor], T]) -> Deferred[T]:
        """Run a query in a thread, in one read transaction that is ended after 5 s.

        Fires with what ``query`` returns; fails with StoreError if the database cannot be read.
        """
        asked_at = self._reactor.seconds()

        def transaction(cursor: Any) -> T:
            began_at = self._reactor.seconds()
            give_up_at = began_at + _LONGEST_READ_SECONDS
            statements: list[str] = []
            cursor.connection.set_progress_handler(
                lambda: self._reactor.seconds() > give_up_at, _STEPS_BETWEEN_LOOKS
            )
            cursor.execute("BEGIN")
            cursor.connection.set_trace_callback(
                lambda sql: (
                    statements.append(sql[:_MOST_SQL_CHARACTERS]) if not statements else None
                )
            )
            try:
                return query(cursor)
            finally:
                cursor.connection.set_trace_callback(None)
                self._slowest.note(
                    "read",
                    place_of(query),
                    self._reactor.seconds() - began_at,
                    waited_seconds=began_at - asked_at,
                    detail=" ".join("".join(statements).split()),
                )

        answer = self._reading.run(self._begin, transaction)
        return answer.addErrback(self._reading_failed)

    def _begin(self, transaction: Callable[[Any], T]) -> Deferred[T]:
        """Begin a read in its turn: a pool that has been closed meanwhile would never answer."""
        if self._is_closed:
            raise StoreError("the database has been closed")
        begun: Deferred[T] = self._readers.runInteraction(transaction)
        return begun

    def _reading_failed(self, failure: Failure) -> NoReturn:
        failure.trap(sqlite3.Error)
        error = failure.value
        assert error is not None
        if is_damage(error):
            self._suspected(error)
        raise StoreError(f"the database cannot be read: {error}") from error

    @asynccontextmanager
    async def no_reads(self) -> AsyncGenerator[None, None]:
        """Let the reads under way end, and no other begin."""
        async with self._without_reads:  # two that have taken half of them wait for ever
            held = 0
            try:
                for _ in range(_READERS):
                    await self._reading.acquire()
                    held += 1
                yield
            finally:
                for _ in range(held):
                    self._reading.release()

    def close(self) -> None:
        """Close all, within ``no_reads``: closing waits for the threads, in the reactor's."""
        self._is_closed = True
        self._readers.close()
        self.writing.close()


def _pool(
    kind: type[P],
    database: str,
    pragmas: Callable[[sqlite3.Connection], None],
    *,
    size: int,
    reactor: Any,
) -> P:
    """Make a pool. adbapi closes connections in another thread than it opened them in."""
    pool = kind(
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
    pool.threadpool.stop()  # adbapi has none other, and has started it where the reactor runs
    pool.threadpool = threads = Threads("store", size)  # type: ignore[assignment]  # used as one
    threads.start()  # a writer that finds no thread later would store nothing any more
    return pool
