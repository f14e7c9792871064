"""SQLite's write-ahead log: how it is begun anew, and the bug that some versions have in that."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from etlmon.errors import StoreError
from etlmon.store.holders import readers
from etlmon.text import shell_word
from etlmon.units import mebibytes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from etlmon.store.connections import Connections
    from etlmon.store.writer import Writer

_BUG_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""sqlite.org/wal.html#the_wal_reset_bug: fixed in 3.51.3, and carried back to two older lines."""
_LARGE_BYTES = 24 << 20
"""From here on the write-ahead log is brought into the file on purpose, and begun anew."""
_LARGEST_BYTES = 48 << 20
"""From here on writing waits for that."""
_MOST_BYTES = 1 << 30
"""So large it may be, or as the database if that may not, while others keep it from being begun
anew; then nothing is written until they do not."""
_LEAST_MOST_BYTES = 64 << 20
_TRY_AGAIN_SECONDS = 5.0


def has_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite can corrupt a database when two connections write at one instant."""
    return not any(
        version >= fixed and (version[:2] == fixed[:2] or fixed is _BUG_FIXED[0])
        for fixed in _BUG_FIXED
    )


def checkpoint(cursor: sqlite3.Cursor) -> bool:
    """Bring the whole log into the file and cut it to nothing; False if a reader is in the way.

    Without patience: the writer's thread would wait for the reader, and every batch with it.
    """
    patience = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        is_busy: int = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {patience}")
    return not is_busy


def begin_anew(connection: sqlite3.Connection, path: Path, least_bytes: int = _LARGE_BYTES) -> None:
    """Begin the log of the database at ``path`` anew, if it is so large. Blocks."""
    log = path.resolve().with_name(f"{path.resolve().name}-wal")
    if log.exists() and log.stat().st_size >= least_bytes:
        checkpoint(connection.cursor())


class Checkpoints:
    """Begins the log anew where it has grown large, and on request; one at a time."""

    def __init__(
        self,
        path: Path,
        reactor: Any,
        writer: Writer,
        connections: Callable[[], Connections | None],
        is_halted: Callable[[], bool],
        *,
        max_bytes: int | None,
        proc: Path,
    ) -> None:
        """``connections`` gives those that are open, ``is_halted`` whether others halt it.

        ``max_bytes`` is the greatest size of the database, if it has one.
        """
        self.warning: str | None = None
        """Who keeps a large log from being begun anew; None if nobody does."""
        self._path = path
        self._reactor = reactor
        self._writer = writer
        self._connections = connections
        self._is_halted = is_halted
        self._most_bytes = max(min(max_bytes or _MOST_BYTES, _MOST_BYTES), _LEAST_MOST_BYTES)
        self._proc = proc
        self._going_on: Deferred[bool] | None = None
        self._began_at = -math.inf
        self._held_by_others = False
        self._waits_for_reads = False
        self._wal_bytes = 0

    def mind(self, wal_bytes: int) -> None:
        """Begin where the log is large; where others prevent that, not all the time."""
        self._wal_bytes = wal_bytes
        if self._going_on is not None:
            self._halt_if_large()
            return
        if wal_bytes < _LARGE_BYTES:
            self.warning = None  # if another database has taken the place of that one
            return
        is_urgent = not self._held_by_others or wal_bytes >= self._most_bytes
        self._begin_unless_within(0.0 if is_urgent else _TRY_AGAIN_SECONDS)

    def make_room(self) -> None:
        """Begin where there is no room for a commit, however small the log is, every few seconds.

        Others that have read for long have let it grow, perhaps until the disk was full: where they
        have ended no commit that succeeds begins it anew, for none does.
        """
        if self._going_on is None:
            self._begin_unless_within(_TRY_AGAIN_SECONDS)

    def _begin_unless_within(self, seconds: float) -> None:
        if self._reactor.seconds() - self._began_at >= seconds:
            self.begin().addErrback(lambda failure: failure.trap(StoreError, CancelledError))

    def begin(self) -> Deferred[bool]:
        """Bring the log into the database; fires with whether it was done.

        Reads that began before are waited for, at most their 5 s, and new ones wait meanwhile.
        """
        if self._going_on is None:
            self._began_at = self._reactor.seconds()
            going_on = self._going_on = Deferred.fromCoroutine(self._run())
            going_on.addBoth(self._ended)
        waiting: Deferred[bool] = Deferred()
        self._going_on.addBoth(_passed_on_to(waiting))
        return waiting

    def cancel(self) -> None:
        """Give up the one that is going on."""
        if self._going_on is not None:
            self._going_on.cancel()

    def _ended(self, result: Any) -> Any:
        self._going_on = None
        return result

    async def _run(self) -> bool:
        connections = self._connections()
        if connections is None:
            raise StoreError("the database is not open")
        done = await self._attempt(connections)
        if not done and self._wal_bytes >= self._most_bytes:
            done = await self._wait(connections)
        self._held_by_others = not done
        if done or self._wal_bytes <= _LARGEST_BYTES:
            self.warning = None
        else:
            self.warning = await self._who_reads()
        return done

    async def _attempt(self, connections: Connections) -> bool:
        done = await self._try()
        if not done:
            self._waits_for_reads = True
            self._halt_if_large()
            try:
                async with connections.no_reads():
                    self._waits_for_reads = False
                    self._writer.resume()
                    done = await self._try()
            finally:
                self._waits_for_reads = False
                if not self._is_halted():
                    self._writer.resume()
        return done

    def _halt_if_large(self) -> None:
        """Let the reads that are waited for end first, also where the log grows meanwhile."""
        if self._waits_for_reads and self._wal_bytes > _LARGEST_BYTES:
            self._writer.halt()

    async def _wait(self, connections: Connections) -> bool:
        """Let nothing be written until the log can be begun anew: it would fill the disk."""
        done = False
        try:
            while not done:
                self._writer.halt()  # at once, before another batch is begun
                self.warning = await self._who_reads()
                self._writer.halt(StoreError(self.warning))
                await deferLater(self._reactor, _TRY_AGAIN_SECONDS)
                self._writer.resume()
                done = await self._attempt(connections)
        finally:
            if not self._is_halted():
                self._writer.resume(connections.writing)
        return done

    async def _who_reads(self) -> str:
        """Say who keeps the log from being begun anew."""
        pool = self._reactor.getThreadPool()
        found = await deferToThreadPool(
            self._reactor, pool, lambda: readers(self._path, self._proc)
        )
        others = ", ".join(str(pid) for pid in found if pid != os.getpid())
        grown = (
            f"the write-ahead log has grown to {mebibytes(self._wal_bytes)}, of at most"
            f" {mebibytes(self._most_bytes)}"
        )
        if others:
            return (
                f"{grown}: another program (pid {others}) reads the database all the time; end it,"
                " unless it makes a copy"
            )
        return (
            f"{grown}: a copy of the database is made, or another program reads it all the time"
            f" (fuser -v {shell_word(str(self._path))} names it)"
        )

    def _try(self) -> Deferred[bool]:
        return self._writer.run(checkpoint, in_transaction=False, makes_room=True)


def _passed_on_to(waiting: Deferred[Any]) -> Callable[[Any], Any]:
    """Give a callback that tells ``waiting`` too; a failure goes to it alone."""

    def tell(result: Any) -> Any:
        if isinstance(result, Failure):
            waiting.errback(result)
            return None
        waiting.callback(result)
        return result

    return tell
