"""Keeps the database file sound, small and quick: checks, statistics, compaction, figures."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.application.internet import TimerService
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.records.database import (
    CompactJob,
    DatabaseCheck,
    DatabaseContent,
    DatabaseFigures,
    TableContent,
    TableFigures,
)
from etlmon.store import sizes
from etlmon.store.damage import DamagedError, check
from etlmon.store.deletions import free_pages
from etlmon.store.leftovers import clear
from etlmon.store.vacuum import lacking_room, vacuum
from etlmon.units import from_millis, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    from etlmon.config.node import RetentionSection
    from etlmon.records.database import BackupState
    from etlmon.store.database import StoreService
    from etlmon.store.tables.base import Table

    T = TypeVar("T")

_EVERY_SECONDS = 86_400.0
_FIRST_AFTER_SECONDS = 600.0
_AGAIN_SECONDS = 600.0
"""By then what a check found has been mended, or a new database has been begun."""
_MOST_CHECKED_BYTES = 256 << 20
"""A larger table would hold a read transaction open for seconds; SQLite cannot be interrupted."""
_DAY_MS = 86_400_000
_LOOK_FIRST_AFTER_SECONDS, _LOOK_EVERY_SECONDS = 5.0, 600.0
"""Into the tables, which takes some 10 ms in a reader's thread."""


class MaintenanceService(TimerService):
    """Once a day, first ten minutes after the start: a check, and what ``optimize`` wants.

    What copies that were killed have left goes, too. Every ten minutes it looks how much is in the
    tables, so that ``/health`` can tell from memory.

    Compaction runs on request. What is told is kept in memory; the next start begins anew.
    """

    log = Logger()

    def __init__(
        self,
        store: StoreService,
        tables: Sequence[Table],
        limits: Callable[[Any], RetentionSection],
        clock: Any,
        wall_clock: Callable[[], float],
    ) -> None:
        super().__init__(_EVERY_SECONDS, self._tick)
        self.clock: Any = clock
        self.limits = limits
        self.check: DatabaseCheck | None = None
        self.content: DatabaseContent | None = None
        """What was in the tables when they were looked at last."""
        self.compaction: CompactJob | None = None
        self._store = store
        self._tables = tables
        self._wall_clock = wall_clock
        self._first: Any = None
        self._look: Any = None
        self._running: set[Deferred[None]] = set()

    def startService(self) -> None:
        """Begin the schedule; the hour after a start has enough to do."""
        self._look = self.clock.callLater(_LOOK_FIRST_AFTER_SECONDS, self._take_content)
        self._first = self.clock.callLater(_FIRST_AFTER_SECONDS, super().startService)

    def stopService(self) -> Deferred[Any]:
        """End the schedule, and no longer wait for what is under way; SQLite ends it."""
        for waiting in (self._first, self._look):
            if waiting is not None and waiting.active():
                waiting.cancel()
        stopped = maybeDeferred(super().stopService) if self.running else succeed(None)
        for running in tuple(self._running):
            running.cancel()
        return stopped

    def compact(self, *, full: bool) -> CompactJob | None:
        """Begin a compaction and tell of it; None while one is running."""
        before = self.compaction
        if before is not None and before.state == "running":
            return None
        self.compaction = CompactJob(
            id=1 if before is None else before.id + 1,
            full=full,
            state="running",
            phase="checkpoint",
            started_at=utc(self._wall_clock()),
        )
        self._watch(Deferred.fromCoroutine(self._compact(full=full)))
        return self.compaction

    async def lacking_room(self) -> str | None:
        """Say which room a full compaction needs that is not there; None if there is enough."""
        pages = await self._store.read(sizes.pages)
        return await self._in_thread(partial(lacking_room, self._store.path, pages.content_bytes))

    async def figures(self, backup: BackupState | None) -> DatabaseFigures:
        """Give the database in figures. Raises StoreError if it cannot be read."""
        pages, tables = await self._look_into_tables()
        health = self._store.health()
        return DatabaseFigures(
            path=str(self._store.path),
            size_bytes=pages.pages * pages.page_bytes,
            content_bytes=pages.content_bytes,
            free_bytes=pages.free_pages * pages.page_bytes,
            wal_bytes=health.wal_bytes or 0,
            page_bytes=pages.page_bytes,
            max_bytes=self._store.max_bytes,
            bytes_last_day=_last_day(tables),
            schema_version=health.schema_version,
            tables=tables,
            check=self.check,
            backup=backup,
            compaction=self.compaction,
        )

    async def _look_into_tables(self) -> tuple[sizes.Pages, list[TableFigures]]:
        wall_seconds = self._wall_clock()
        pages, tables = await self._store.read(
            lambda cursor: (
                sizes.pages(cursor),
                self._table_figures(cursor, int(wall_seconds * 1000)),
            )
        )
        self.content = DatabaseContent(
            taken_at=utc(wall_seconds),
            bytes_last_day=_last_day(tables),
            tables=[
                TableContent(
                    table=one.table,
                    rows=one.rows,
                    size_bytes=one.size_bytes,
                    bytes_last_day=one.bytes_last_day,
                )
                for one in tables
            ],
        )
        return pages, tables

    def _take_content(self) -> None:
        self._look = self.clock.callLater(_LOOK_EVERY_SECONDS, self._take_content)
        looking = Deferred.fromCoroutine(self._look_into_tables())
        # A database that cannot be read is told of by the store; the figures say when they are of.
        looking.addErrback(lambda failure: failure.trap(StoreError, CancelledError))
        self._watch(looking.addCallback(lambda _: None))

    def _table_figures(self, cursor: sqlite3.Cursor, now_ms: int) -> list[TableFigures]:
        known = {table.name: table for table in self._tables}
        found = _all_sizes(cursor)
        figures = [
            self._figures_of(cursor, name, size, known.get(name), now_ms)
            for name, size in found.items()
        ]
        return sorted(figures, key=lambda one: (-one.size_bytes, one.table))

    def _figures_of(
        self,
        cursor: sqlite3.Cursor,
        name: str,
        size: sizes.Size,
        table: Table | None,
        now_ms: int,
    ) -> TableFigures:
        if table is None or table.time_column is None:
            return TableFigures(table=name, rows=size.rows, size_bytes=size.bytes)
        limits = self.limits(name)
        oldest, recent = _ages(cursor, table, size, now_ms - _DAY_MS)
        return TableFigures(
            table=name,
            rows=size.rows,
            size_bytes=size.bytes,
            oldest_at=None if oldest is None else from_millis(oldest),
            rows_last_day=recent,
            bytes_last_day=round(size.bytes * recent / size.rows) if size.rows else 0,
            max_rows=limits.max_rows,
            max_age_seconds=limits.max_age,
            max_bytes=limits.max_bytes,
        )

    def _tick(self) -> Deferred[None]:
        return self._watch(Deferred.fromCoroutine(self._run()))

    def _watch(self, running: Deferred[None]) -> Deferred[None]:
        """Nothing may leave a call of the timer: it would be its last."""
        self._running.add(running)

        def ended(result: Any) -> None:
            self._running.discard(running)
            if result is not None and not result.check(CancelledError, StoreError):
                self.log.failure("Maintenance failed.", result)
            elif result is not None and result.check(StoreError):
                self.log.warn("Maintenance failed: {error}", error=str(result.value))

        return running.addBoth(ended)

    async def _run(self) -> None:
        wall_seconds = self._wall_clock()
        await self._in_thread(partial(clear, self._store.path, wall_seconds, is_locked=False))
        self.check = await self.checked()
        if self.check.state == "damaged":
            self.log.error("The database's check: {found}", found=self.check.message)
            self._store.suspect(DamagedError(str(self.check.message)))
        if self.check.state != "ok":
            await deferLater(self.clock, _AGAIN_SECONDS)
            self.check = await self.checked()
        if self.check.state != "damaged":
            await self._store.run(_optimize, in_transaction=False)

    async def checked(self) -> DatabaseCheck:
        """Check each table that is small enough, one after the other, each on its own."""
        began, began_at = self.clock.seconds(), utc(self._wall_clock())
        found, message, count = "ok", None, 0
        left_out: list[str] = []
        try:
            for name, size in (await self._store.read(_all_sizes)).items():
                if size.bytes > _MOST_CHECKED_BYTES:
                    left_out.append(name)
                    continue
                look = partial(check, self._store.path, name, with_indexes=True)
                message = await self._in_thread(look)
                count += 1
                if message is not None:
                    found = "damaged"
                    break
        except StoreError as error:
            found, message = "error", str(error)
        return DatabaseCheck(
            checked_at=began_at,
            duration_ms=round((self.clock.seconds() - began) * 1000),
            state=found,
            message=message,
            tables=count,
            left_out=left_out,
        )

    async def _compact(self, *, full: bool) -> None:
        self.log.info("Compaction begins{how}.", how=", the file is written anew" if full else "")
        try:
            pages = await self._store.read(sizes.pages)
            before = pages.pages * pages.page_bytes + (self._store.health().wal_bytes or 0)
            self._note(pages_to_free=pages.free_pages, size_before_bytes=before)
            await self._store.checkpoint()
            if full:
                self._note(phase="vacuum")
                await self._store.run(vacuum, in_transaction=False)
            else:
                self._note(phase="freeing pages")
                while (left := await self._store.run(free_pages)) > 0:
                    self._note(pages_freed=max(0, pages.free_pages - left))
            self._note(phase="checkpoint", pages_freed=pages.free_pages)
            cut = await self._store.checkpoint()
            after = await self._store.read(sizes.pages)
        except (StoreError, CancelledError) as error:
            words = str(error) or "the node stops"
            self._note(state="failed", error_message=words, ended_at=utc(self._wall_clock()))
            self.log.warn("Compaction failed: {error}", error=words)
            return
        wal_bytes = 0 if cut else self._store.health().wal_bytes or 0
        self._note(
            state="done",
            phase="done",
            size_after_bytes=after.pages * after.page_bytes + wal_bytes,
            ended_at=utc(self._wall_clock()),
        )
        self.log.info(
            "Compaction ended: {before} bytes before, {after} after.",
            before=before,
            after=after.pages * after.page_bytes + wal_bytes,
        )

    def _note(self, **changes: Any) -> None:
        assert self.compaction is not None
        self.compaction = replace(self.compaction, **changes)

    def _in_thread(self, function: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self.clock, self.clock.getThreadPool(), function)


def _last_day(tables: Iterable[TableFigures]) -> int:
    return sum(table.bytes_last_day or 0 for table in tables)


def _all_sizes(cursor: sqlite3.Cursor) -> dict[str, sizes.Size]:
    names = cursor.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL %'"
    ).fetchall()
    return sizes.reckon(cursor, [name for (name,) in names if not name.startswith("sqlite_")])


def _ages(
    cursor: sqlite3.Cursor, table: Table, size: sizes.Size, since_ms: int
) -> tuple[int | None, int]:
    """Give the moment of the first row, and about how many rows are later than ``since_ms``.

    Rows come in the order of time, but for those of a clock that was wrong: so halving finds the
    first of them.
    """
    found = sizes.ends(cursor, table.name)
    if found is None:
        return None, 0
    first, last = found
    low, high = first, last + 1
    while low < high:
        middle = (low + high) // 2
        is_before = _moment(cursor, table, middle) <= since_ms
        low, high = (middle + 1, high) if is_before else (low, middle)
    recent = round(size.rows * (last + 1 - low) / (last + 1 - first))
    return _moment(cursor, table, first), recent


def _moment(cursor: sqlite3.Cursor, table: Table, number: int) -> int:
    """Give the moment of a row, or of the first behind that number."""
    found: int = cursor.execute(
        f"SELECT {table.time_column} FROM {table.name} WHERE rowid >= ? ORDER BY rowid LIMIT 1",
        (number,),
    ).fetchone()[0]
    return found


def _optimize(cursor: sqlite3.Cursor) -> None:
    """Let SQLite look at some rows of what changed, so that it chooses the right index."""
    cursor.execute("PRAGMA analysis_limit = 400")
    cursor.execute("PRAGMA optimize").fetchall()
