"""Keeps the histories within their limits, in small steps that let the collectors in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from etlmon.errors import StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from etlmon.config.node import RetentionSection
    from etlmon.store.database import StoreService
    from etlmon.store.tables.base import Table

_EVERY_SECONDS = 60.0
_ROWS_A_STEP = 5_000
_PAGES_A_STEP = 1_000
_DAY_SECONDS = 86_400


class RetentionService(TimerService):
    """Once a minute deletes what is too old or too much, and gives the freed pages back.

    Each step is a transaction of at most 5,000 rows in the writer's queue, behind the batches
    that wait there already.
    """

    log = Logger()

    def __init__(
        self,
        store: StoreService,
        tables: tuple[Table, ...],
        limits: Callable[[Any], RetentionSection],
        clock: Any,
        wall_clock: Callable[[], float],
    ) -> None:
        super().__init__(_EVERY_SECONDS, self._tick)
        self.clock = clock
        self._store = store
        self._tables = [table for table in tables if table.time_column is not None]
        self.limits = limits
        self._wall_clock = wall_clock
        self._stopping = False
        self._last_error: str | None = None
        self._running: Deferred[None] | None = None

    def startService(self) -> None:
        """Begin with a first run at once."""
        self._stopping = False
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Stop; a step that waits for the writer is left to it. Fires when the run has ended.

        Waiting for the step could take for ever: a full disk holds it up until there is space.
        """
        self._stopping = True
        stopped: Deferred[None] = super().stopService()
        if self._running is not None:
            self._running.cancel()
        return stopped

    def _tick(self) -> Deferred[None]:
        # TimerService ends for good at the first failure: nothing may leave this call.
        running = self._running = Deferred.fromCoroutine(self._run())
        return running.addErrback(self._note)

    def _note(self, failure: Any) -> None:
        if self._stopping:
            return
        error = str(failure.value)
        if not failure.check(StoreError):
            self.log.failure("Retention failed.", failure)
        elif error != self._last_error:
            self.log.error("Retention failed: {error}", error=error)
        self._last_error = error

    async def _run(self) -> None:
        for table in self._tables:
            await self._trim(table)
        while await self._step(_free_pages) > 0:
            pass
        self._last_error = None

    async def _trim(self, table: Table) -> None:
        limits = self.limits(table.name)
        if limits.max_age is not None:
            oldest = int((self._wall_clock() - limits.max_age) * 1000)
            delete = _delete_before(table, oldest)
            while await self._step(delete, table.name) == _ROWS_A_STEP:
                pass
        tomorrow_ms = int((self._wall_clock() + _DAY_SECONDS) * 1000)
        if not self._stopping and await self._store.read(_newest(table)) > tomorrow_ms:
            await self._step(_delete_after(table, tomorrow_ms), table.name)
        if limits.max_rows is not None and not self._stopping:
            excess = await self._store.read(_count(table)) - limits.max_rows
            while excess > 0:
                deleted = await self._step(_delete_oldest(table, excess), table.name)
                excess = excess - deleted if deleted else 0

    async def _step(self, work: Callable[[sqlite3.Cursor], int], *tables: str) -> int:
        """Do a step and give its result; 0 for one that is left out since the service stops."""
        return 0 if self._stopping else await self._store.run(work, tables)


def _count(table: Table) -> Callable[[sqlite3.Cursor], int]:
    def count(cursor: sqlite3.Cursor) -> int:
        found: int = cursor.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0]
        return found

    return count


def _newest(table: Table) -> Callable[[sqlite3.Cursor], int]:
    def newest(cursor: sqlite3.Cursor) -> int:
        found = cursor.execute(f"SELECT max({table.time_column}) FROM {table.name}").fetchone()[0]
        return found or 0

    return newest


def _delete_before(table: Table, oldest_ms: int) -> Callable[[sqlite3.Cursor], int]:
    """Delete rows older than ``oldest_ms``, as many as a step may; gives how many."""

    def delete(cursor: sqlite3.Cursor) -> int:
        cursor.execute(
            f"DELETE FROM {table.name} WHERE rowid IN (SELECT rowid FROM {table.name}"
            f" WHERE {table.time_column} < ? ORDER BY {table.time_column} LIMIT {_ROWS_A_STEP})",
            (oldest_ms,),
        )
        return cursor.rowcount

    return delete


def _delete_after(table: Table, newest_ms: int) -> Callable[[sqlite3.Cursor], int]:
    """Delete rows from the future, as many as a step may; gives how many.

    A clock that was wrong has left them: they would never grow old, and push out good ones.
    """

    def delete(cursor: sqlite3.Cursor) -> int:
        cursor.execute(
            f"DELETE FROM {table.name} WHERE rowid IN (SELECT rowid FROM {table.name}"
            f" WHERE {table.time_column} > ? LIMIT {_ROWS_A_STEP})",
            (newest_ms,),
        )
        return cursor.rowcount

    return delete


def _delete_oldest(table: Table, rows: int) -> Callable[[sqlite3.Cursor], int]:
    """Delete the ``rows`` oldest rows, or as many as a step may; gives how many."""

    def delete(cursor: sqlite3.Cursor) -> int:
        cursor.execute(
            f"DELETE FROM {table.name} WHERE rowid IN (SELECT rowid FROM {table.name}"
            f" ORDER BY {table.time_column} LIMIT ?)",
            (min(rows, _ROWS_A_STEP),),
        )
        return cursor.rowcount

    return delete


def _free_pages(cursor: sqlite3.Cursor) -> int:
    """Give free pages back to the file system, as many as a step may; gives how many are left.

    One at a time: Python's sqlite3 ends the pragma after the first page, whatever number it is
    given, and ``executescript``, which does not, would commit first.
    """
    free: int = cursor.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(free, _PAGES_A_STEP)):
        cursor.execute("PRAGMA incremental_vacuum(1)")
    left: int = cursor.execute("PRAGMA freelist_count").fetchone()[0]
    return left if left < free else 0
