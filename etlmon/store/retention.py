"""Keeps the histories within their limits, in small steps that let the collectors in between."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.store import sizes
from etlmon.store.deletions import (
    ROWS_A_STEP,
    delete_after,
    delete_aged,
    delete_before,
    delete_oldest,
    free_pages,
)
from etlmon.store.room import Room
from etlmon.units import format_duration

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from etlmon.config.node import RetentionSection
    from etlmon.store.database import StoreService
    from etlmon.store.tables.base import Table

_EVERY_SECONDS = 60.0
_DAY_SECONDS = 86_400
_NEVER_MS = 1 << 62
_EVEN_SECONDS = 86_400.0
"""So long must the clock have gone evenly before evidence grows old by it."""
_STEP_SECONDS = 5.0
"""A clock that has moved so much more or less than the time that has passed has been set."""
_ROWS_A_PIECE = 100_000
"""Counted in one read: some milliseconds, or some tens where they come from the disk."""
_LEAST_ROWS_A_STEP = 8
_ROWS_A_PAGE = 20
"""Of a step: to free a page takes as long as to delete so many rows."""
_SLACK = 100
"""Of so many rows that a large table may have one more goes: not every minute needs a count."""


class RetentionService(TimerService):
    """Once a minute deletes what is too old or too much, and gives the freed pages back.

    Each step deletes at most 5,000 rows, in the transaction of the batches that wait just then,
    which take the place that it frees. Where the database comes near its greatest size, the oldest
    rows of the largest histories go before their time, which is the work of ``room``.

    Rows grow old only by a clock that has gone evenly for some time in the life of this node
    (``settle_seconds``), and evidence by one that has for a day: one that is wrong at boot until it
    is set, or was set by mistake and back, takes nothing away.
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
        settle_seconds: float = 600.0,
    ) -> None:
        super().__init__(_EVERY_SECONDS, self._tick)
        self.clock: Any = clock
        self._store = store
        self._names = [table.name for table in tables]
        self._tables = [table for table in tables if table.time_column is not None]
        self.room = Room(store, self._tables, max_bytes, clock)
        self.limits = limits
        self._wall_clock = wall_clock
        self._settle_seconds = settle_seconds
        self._stopping = False
        self._clocks: tuple[float, float] | None = None
        self._even_since = 0.0
        self._step_seconds = 0.0
        """By how much the clock was set last, as far as was seen."""
        self._last_error: str | None = None
        self._running: Deferred[None] | None = None
        self._counted: dict[str, _Counted] = {}
        self._rows_a_step = self._asked_rows = ROWS_A_STEP

    def startService(self) -> None:
        """Begin with a first run at once."""
        self._stopping = False
        self._counted.clear()
        self.room.start()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Stop; a step that waits for the writer is left to it. Fires when the run has ended.

        Waiting for the step could take for ever: a full disk holds it up until there is space.
        """
        self._stopping = True
        self.room.stop()
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
        if before is None:
            self._even_since = now
            return
        step = (wall - before[1]) - (now - before[0])
        if abs(step) >= _STEP_SECONDS:
            self._even_since, self._step_seconds = now, step
            self.log.warn("{warning}", warning=self._of_step)

    @property
    def warning(self) -> str | None:
        """What an operator should know: that the clock was set; None once it is trusted again."""
        is_over = self._step_seconds == 0.0 or self._is_trusted(self._settle_seconds)
        return None if is_over else self._of_step

    @property
    def _of_step(self) -> str:
        step = self._step_seconds
        size = round(abs(step) / 60) * 60 if abs(step) >= 600 else round(abs(step))
        return (
            f"The clock has gone {'ahead' if step > 0 else 'back'} by {format_duration(size)}: it"
            " was set, or the host slept. No row goes by its age until it has gone evenly for"
            f" {format_duration(self._settle_seconds)}."
        )

    def _is_trusted(self, seconds: float) -> bool:
        """Tell whether the time of day has gone evenly for so long."""
        return bool(self.clock.seconds() - self._even_since >= seconds)

    async def _run(self) -> None:
        self._look_at_clocks()
        self.room.mind()
        if not self._store.is_open:
            return  # why, and until when, is told by the store
        for table in self._tables:
            await self._trim(table)
        await self._trim_bytes()
        await self._give_back()
        await self.room.limit()
        if self._last_error is not None:
            self.log.info("Retention works again.")
        self._last_error = None

    async def _trim(self, table: Table) -> None:
        limits = self.limits(table.name)
        tomorrow_ms = int((self._wall_clock() + _DAY_SECONDS) * 1000)
        settled = self._is_trusted(_EVEN_SECONDS if table.is_evidence else self._settle_seconds)
        if limits.max_age is not None and settled:
            oldest = int((self._wall_clock() - limits.max_age) * 1000)

            def delete(rows: int) -> Callable[[sqlite3.Cursor], int]:
                if table.ages_by_id:
                    return delete_aged(table, oldest, tomorrow_ms, rows)
                return delete_before(table, oldest, rows)

            is_more = True
            while is_more:
                is_more = await self._step(delete, table.name) >= self._asked_rows
        if (
            not table.ages_by_id
            and settled
            and not self._stopping
            and await self._store.read(_newest(table)) > tomorrow_ms
        ):
            await self._step(partial(delete_after, table, tomorrow_ms), table.name)
        if limits.max_rows is not None and not self._stopping:
            await self._trim_rows(table, limits.max_rows)

    async def _trim_bytes(self) -> None:
        """Bring the tables whose bytes are bounded within their bounds."""
        bounds = [
            (table, limit)
            for table in self._tables
            if (limit := self.limits(table.name).max_bytes) is not None
        ]
        if not bounds or self._stopping:
            return
        least = min(limit for _, limit in bounds)
        found = await self._store.read(lambda cursor: self._sizes(cursor, least))
        for table, limit in bounds:
            size = found.get(table.name)
            if size is not None and size.bytes > limit:
                await self._delete(table, math.ceil(size.rows * (1 - limit / size.bytes)))

    def _sizes(self, cursor: sqlite3.Cursor, least_bytes: int) -> dict[str, sizes.Size]:
        """Give the sizes of the tables; of none where all together take no more than that."""
        if sizes.pages(cursor).content_bytes <= least_bytes:
            return {}
        # With those that are no histories: else their pages would be shared out to the others.
        return sizes.reckon(cursor, self._names)

    async def _trim_rows(self, table: Table, most: int) -> None:
        """Delete what a table has beyond so many rows.

        It never has more than there are numbers from the first to the last, nor than were counted
        last and have been added since. Only where these are too many is there a count.
        """
        found = await self._store.read(lambda cursor: sizes.ends(cursor, table.name))
        if found is None:
            return
        first, last = found
        rows = last - first + 1
        if table.ages_by_id and table.kinds is None:
            # Before a number, not so many rows: where somebody has left a hole that would be all.
            await self._delete(table, rows - most, before=last + 1 - most)
            return
        known = self._counted.get(table.name)
        if known is not None and known.last <= last:
            rows = min(rows, known.rows + last - known.last)
        if rows > most:
            rows = await self._count(table)
            slack = most // _SLACK if rows > _ROWS_A_PIECE else 0
            if rows > most:
                rows -= await self._delete(table, rows - most + slack)
            self._counted[table.name] = _Counted(rows, last)

    async def _count(self, table: Table) -> int:
        """Count the rows of a table in pieces, for all of a large one is a long read."""
        rows, since = 0, -_NEVER_MS
        while not self._stopping:
            found, since = await self._store.read(_count_later(table, since))
            rows += found
            if found < _ROWS_A_PIECE:
                break
        return rows

    async def _delete(self, table: Table, rows: int, before: int | None = None) -> int:
        """Delete the oldest ``rows`` rows in steps, ``before`` an id; give how many went."""
        left = rows
        while left > 0:
            step = partial(delete_oldest, table, left, before=before)
            deleted = await self._step(step, table.name)
            if not deleted:
                break
            left -= deleted
        return rows - left

    async def _give_back(self) -> None:
        """Give free pages back to the disk.

        SQLite cuts the file itself when the write-ahead log has been brought into it: where little
        is written, that would be much later.
        """
        steps, left = 0, 1
        while left > 0:
            left = await self._step(
                lambda rows: lambda cursor: free_pages(cursor, max(4, rows // _ROWS_A_PAGE))
            )
            steps += 1
        if steps > 1:
            with suppress(StoreError, CancelledError):  # what is wrong is told by the store
                await self._store.checkpoint()

    async def _step(
        self, work: Callable[[int], Callable[[sqlite3.Cursor], int]], *tables: str
    ) -> int:
        """Do a step and give its result; 0 for one that is left out since the service stops.

        ``work`` is given how many rows it may delete. A step that failed, as on a disk that is
        full, is tried again with fewer: a deletion needs room, too, in the write-ahead log.
        """
        if self._stopping:
            return 0
        tries = 0

        def step(cursor: sqlite3.Cursor) -> int:
            nonlocal tries
            if tries:
                self._rows_a_step = max(_LEAST_ROWS_A_STEP, self._rows_a_step // 4)
            tries += 1
            self._asked_rows = self._rows_a_step
            return work(self._asked_rows)(cursor)

        done = await self._store.run(step, tables, joins=True)
        if tries == 1:
            self._rows_a_step = min(ROWS_A_STEP, 2 * self._rows_a_step)
        return done


@dataclass(frozen=True)
class _Counted:
    """What a table has had since it was counted last, less what was deleted then."""

    rows: int
    last: int
    """The number of its last row."""


def _count_later(table: Table, since_ms: int) -> Callable[[sqlite3.Cursor], tuple[int, int]]:
    """Count the first rows later than a moment, and give up to which moment; by an index."""
    at = table.time_column

    def count(cursor: sqlite3.Cursor) -> tuple[int, int]:
        found = cursor.execute(
            f"SELECT {at} FROM {table.name} WHERE {at} > ? ORDER BY {at}"
            f" LIMIT 1 OFFSET {_ROWS_A_PIECE - 1}",
            (since_ms,),
        ).fetchone()
        until_ms = _NEVER_MS if found is None else found[0]
        (rows,) = cursor.execute(
            f"SELECT count(*) FROM {table.name} WHERE {at} > ? AND {at} <= ?", (since_ms, until_ms)
        ).fetchone()
        return rows, until_ms

    return count


def _newest(table: Table) -> Callable[[sqlite3.Cursor], int]:
    def newest(cursor: sqlite3.Cursor) -> int:
        found = cursor.execute(f"SELECT max({table.time_column}) FROM {table.name}").fetchone()[0]
        return found or 0

    return newest
