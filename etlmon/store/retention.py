"""Keeps the histories within their limits, in small steps that let the collectors in between."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.store import sizes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from etlmon.config.node import RetentionSection
    from etlmon.store.database import StoreService
    from etlmon.store.tables.base import Table

_EVERY_SECONDS = 60.0
_ROWS_A_STEP = 5_000
_PAGES_A_STEP = 250
"""Some 20 ms: what a collector has for the database waits no longer than that."""
_DAY_SECONDS = 86_400
_NEVER_MS = 1 << 62
_EVEN_SECONDS = 86_400.0
"""So long must the clock have gone evenly before evidence grows old by it."""
_STEP_SECONDS = 5.0
"""A clock that has moved so much more or less than the time that has passed has been set."""
_NEARLY_FULL, _ROOMY = 0.9, 0.8
"""Parts of the greatest size: from the one on the oldest rows go, down to the other."""


class RetentionService(TimerService):
    """Once a minute deletes what is too old or too much, and gives the freed pages back.

    Each step deletes at most 5,000 rows, in the transaction of the batches that wait just then,
    which take the place that it frees. Where the database comes near its greatest size, the oldest
    rows of the largest histories go before their time, and those steps go first, alone.

    Evidence grows old only by a clock that has gone evenly for a day, in the life of this node:
    one that was wrong at boot, or was set ahead, takes none of it away.
    """

    log = Logger()

    def __init__(
        self,
        store: StoreService,
        tables: tuple[Table, ...],
        limits: Callable[[Any], RetentionSection],
        clock: Any,
        wall_clock: Callable[[], float],
        max_bytes: int | None = None,
    ) -> None:
        super().__init__(_EVERY_SECONDS, self._tick)
        self.clock: Any = clock
        self._store = store
        self._max_bytes = max_bytes
        self._tables = [table for table in tables if table.time_column is not None]
        self.limits = limits
        self._wall_clock = wall_clock
        self._stopping = False
        self._clocks: tuple[float, float] | None = None
        self._even_since = 0.0
        self._last_error: str | None = None
        self._running: Deferred[None] | None = None
        self._again = False

    def startService(self) -> None:
        """Begin with a first run at once."""
        self._stopping = False
        super().startService()

    def full(self) -> None:
        """Make room at once where a greatest size is set; the disk's end is not ours to mend."""
        if self._max_bytes is None or not self.running:
            return
        if self._running is not None:
            self._again = True
        else:
            self._tick()

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
        running.addErrback(self._note)
        return running.addBoth(self._ended)

    def _ended(self, _: object) -> None:
        self._running = None
        if self._again and not self._stopping:
            self._again = False
            self._tick()

    def _note(self, failure: Any) -> None:
        if self._stopping:
            return
        error = str(failure.value)
        if not failure.check(StoreError):
            self.log.failure("Retention failed.", failure)
        elif error != self._last_error:
            self.log.error("Retention failed: {error}", error=error)
        self._last_error = error

    def _look_at_clocks(self) -> None:
        """Note since when the time of day has gone as the time that passes."""
        now, wall = self.clock.seconds(), self._wall_clock()
        before, self._clocks = self._clocks, (now, wall)
        if before is None or abs((wall - before[1]) - (now - before[0])) >= _STEP_SECONDS:
            self._even_since = now

    @property
    def _is_even(self) -> bool:
        return bool(self.clock.seconds() - self._even_since >= _EVEN_SECONDS)

    async def _run(self) -> None:
        self._look_at_clocks()
        await self._make_room()
        for table in self._tables:
            await self._trim(table)
        await self._trim_bytes()
        pages = 1
        while pages > 0:
            pages = await self._step(free_pages)
        if self._last_error is not None:
            self.log.info("Retention works again.")
        self._last_error = None

    async def _trim(self, table: Table) -> None:
        limits = self.limits(table.name)
        tomorrow_ms = int((self._wall_clock() + _DAY_SECONDS) * 1000)
        if limits.max_age is not None and (self._is_even or not table.is_evidence):
            oldest = int((self._wall_clock() - limits.max_age) * 1000)
            delete = (
                _delete_outside(table, oldest, _NEVER_MS if table.is_evidence else tomorrow_ms)
                if table.ages_by_id
                else _delete_before(table, oldest)
            )
            deleted = _ROWS_A_STEP
            while deleted == _ROWS_A_STEP:
                deleted = await self._step(delete, table.name)
        if (
            not table.ages_by_id
            and not self._stopping
            and await self._store.read(_newest(table)) > tomorrow_ms
        ):
            await self._step(_delete_after(table, tomorrow_ms), table.name)
        if limits.max_rows is not None and not self._stopping:
            await self._delete(table, await self._store.read(_count(table)) - limits.max_rows)

    async def _trim_bytes(self) -> None:
        """Bring the tables whose bytes are bounded within their bounds."""
        bounds = [
            (table, limit)
            for table in self._tables
            if (limit := self.limits(table.name).max_bytes) is not None
        ]
        if not bounds or self._stopping:
            return
        found = await self._store.read(self._sizes)
        for table, limit in bounds:
            size = found[table.name]
            if size.bytes > limit:
                await self._delete(table, math.ceil(size.rows * (1 - limit / size.bytes)))

    def _sizes(self, cursor: sqlite3.Cursor) -> dict[str, sizes.Size]:
        return sizes.reckon(cursor, [table.name for table in self._tables])

    async def _make_room(self) -> None:
        """Keep the whole database clear of its greatest size."""
        most = self._max_bytes
        while most is not None and not self._stopping:
            pages = await self._store.read(sizes.pages)
            if pages.content_bytes <= most * _NEARLY_FULL:
                return
            found = await self._store.read(self._sizes)
            largest = max(self._tables, key=lambda table: found[table.name].bytes)
            size = found[largest.name]
            part = (pages.content_bytes - most * _ROOMY) / max(1, size.bytes)
            if not await self._delete(largest, math.ceil(size.rows * min(1.0, part)), room=True):
                return

    async def _delete(self, table: Table, rows: int, *, room: bool = False) -> int:
        """Delete the oldest ``rows`` rows in steps; give how many went."""
        left = rows
        while left > 0:
            deleted = await self._step(_delete_oldest(table, left), table.name, room=room)
            if not deleted:
                break
            left -= deleted
        return rows - left

    async def _step(
        self, work: Callable[[sqlite3.Cursor], int], *tables: str, room: bool = False
    ) -> int:
        """Do a step and give its result; 0 for one that is left out since the service stops."""
        if self._again and not room:
            self._again = False
            await self._make_room()
        if self._stopping:
            return 0
        return await self._store.run(work, tables, makes_room=room, joins=not room)


def _count(table: Table) -> Callable[[sqlite3.Cursor], int]:
    # Two subqueries, each a step at an end of the table: min and max in one would read it all.
    rows = (
        f"(SELECT max(id) FROM {table.name}) - (SELECT min(id) FROM {table.name}) + 1"
        if table.ages_by_id
        else f"(SELECT count(*) FROM {table.name})"
    )

    def count(cursor: sqlite3.Cursor) -> int:
        found: int | None = cursor.execute(f"SELECT {rows}").fetchone()[0]
        return found or 0

    return count


def _newest(table: Table) -> Callable[[sqlite3.Cursor], int]:
    def newest(cursor: sqlite3.Cursor) -> int:
        found = cursor.execute(f"SELECT max({table.time_column}) FROM {table.name}").fetchone()[0]
        return found or 0

    return newest


def _delete_outside(
    table: Table, oldest_ms: int, newest_ms: int
) -> Callable[[sqlite3.Cursor], int]:
    """Delete rows from the head of the table, up to the first that lies within the times.

    As many as a step may; gives how many. One that has a later time than its successors, from a
    clock that was wrong, goes when it is the first.
    """
    at = table.time_column

    def delete(cursor: sqlite3.Cursor) -> int:
        first_to_stay = cursor.execute(
            f"SELECT id FROM (SELECT id, {at} FROM {table.name} ORDER BY id LIMIT {_ROWS_A_STEP})"
            f" WHERE {at} BETWEEN ? AND ? ORDER BY id LIMIT 1",
            (oldest_ms, newest_ms),
        ).fetchone()
        if first_to_stay is None:
            return _delete_oldest(table, _ROWS_A_STEP)(cursor)
        cursor.execute(f"DELETE FROM {table.name} WHERE id < ?", first_to_stay)
        return _trimmed(table, cursor)

    return delete


def _trimmed(table: Table, cursor: sqlite3.Cursor) -> int:
    """Do what follows a deletion; give how many rows went."""
    deleted = cursor.rowcount
    if deleted and table.trimmed is not None:
        cursor.execute(table.trimmed)
    return deleted


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
    which = (
        f"id < (SELECT min(id) FROM {table.name}) + ?"
        if table.ages_by_id
        else f"rowid IN (SELECT rowid FROM {table.name} ORDER BY {table.time_column} LIMIT ?)"
    )

    def delete(cursor: sqlite3.Cursor) -> int:
        cursor.execute(f"DELETE FROM {table.name} WHERE {which}", (min(rows, _ROWS_A_STEP),))
        return _trimmed(table, cursor)

    return delete


def free_pages(cursor: sqlite3.Cursor) -> int:
    """Give free pages back to the file system, as many as a step may; gives how many are left.

    One at a time: Python's sqlite3 ends the pragma after the first page, whatever number it is
    given, and ``executescript``, which does not, would commit first.
    """
    free: int = cursor.execute("PRAGMA freelist_count").fetchone()[0]
    for _ in range(min(free, _PAGES_A_STEP)):
        cursor.execute("PRAGMA incremental_vacuum(1)")
    left: int = cursor.execute("PRAGMA freelist_count").fetchone()[0]
    return left if left < free else 0
