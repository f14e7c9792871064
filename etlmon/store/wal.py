"""SQLite's write-ahead log: how it is begun anew, and the bug that some versions have in that."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from etlmon.errors import StoreError

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
        reactor: Any,
        writer: Writer,
        connections: Callable[[], Connections | None],
        is_halted: Callable[[], bool],
    ) -> None:
        """``connections`` gives those that are open, ``is_halted`` whether others halt it."""
        self._reactor = reactor
        self._writer = writer
        self._connections = connections
        self._is_halted = is_halted
        self._going_on: Deferred[bool] | None = None
        self._began_at = -math.inf
        self._held_by_others = False
        self._wal_bytes = 0

    def mind(self, wal_bytes: int) -> None:
        """Begin where the log is large; where others prevent that, not all the time."""
        self._wal_bytes = wal_bytes
        if wal_bytes < _LARGE_BYTES or self._going_on is not None:
            return
        wait = _TRY_AGAIN_SECONDS if self._held_by_others else 0.0
        if self._reactor.seconds() - self._began_at >= wait:
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
        done = await self._try()
        if not done:
            if self._wal_bytes > _LARGEST_BYTES:
                self._writer.halt()
            try:
                async with connections.no_reads():
                    self._writer.resume()
                    done = await self._try()
            finally:
                if not self._is_halted():
                    self._writer.resume()
        self._held_by_others = not done
        return done

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
