"""Keeps the database clear of its greatest size: the oldest rows go before those that come."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.store import sizes
from etlmon.store.deletions import delete_oldest
from etlmon.store.open import limit
from etlmon.units import format_size

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from etlmon.store.database import StoreService
    from etlmon.store.tables.base import Table

_ROWS_A_STEP = 20_000
"""Some 20 ms, as much as several transactions of small rows bring."""
_LEAST_MARGIN, _MOST_AT_FIRST = 0.1, 0.25
"""Parts of the greatest size that are kept free: always, and for a burst that may come."""
_BURST_BYTES = 4 << 20
"""So much may a burst bring with its first transaction."""
_AT_ONCE = 0.02
"""Part of the greatest size by which a deletion goes further, so that not each needs one."""
_ROOMY = 0.7
"""Part of the high-water mark below which there is room again, if so for ten minutes."""
_ROOMY_SECONDS = 600.0
_KNOWN_SECONDS, _KNOWN_PART = 60.0, 0.2
"""So long, or until such a part of the rows has gone, the sizes of the tables are good for choosing
the largest."""
_NEAR_BYTES = 16 << 20
"""No transaction is larger: further from its greatest size it is not that which stops it."""


class Room:
    """Looks after each commit how full the file is, and deletes from the high-water mark on.

    Those deletions go along in the next transaction, so that the rows that come find their room in
    the same: SQLite's own limit is never met, but by a burst such as has not been seen before. Then
    a commit has failed; the mark is lowered until it succeeds.

    The mark is as far below the greatest size as twice what a transaction has brought lately.
    """

    log = Logger()

    def __init__(
        self, store: StoreService, tables: Sequence[Table], most_bytes: int | None, clock: Any
    ) -> None:
        """``most_bytes``: None for no greatest size; then nothing is done."""
        self._store = store
        self._tables = tables
        self._most_bytes = most_bytes
        self._clock = clock
        self._growth_bytes = 0
        self._content_bytes: int | None = None
        self._sizes: dict[str, sizes.Size] = {}
        self._reckoned_at = -math.inf
        self._cut_bytes = 0.0  # since then
        self._running: Deferred[None] | None = None
        self._reckoning: Deferred[Any] | None = None
        self._stopping = True
        self._cut_at = -math.inf
        self._is_short = False
        self._was_larger = True
        """Than the greatest size, as far as is known."""

    def start(self) -> None:
        """Begin to look."""
        self._stopping = False

    def stop(self) -> None:
        """Look no more; a deletion that waits for the writer is left to it."""
        self._stopping = True
        if self._running is not None:
            self._running.cancel()

    @property
    def warning(self) -> str | None:
        """What an operator should know: that rows go before their time, and what to do."""
        if not self._is_short or self._most_bytes is None:
            return None
        return (
            f"The database has come near node.db_max_bytes ({format_size(self._most_bytes)}): the"
            f" oldest rows go before their time, those of {_largest(self._sizes)} first; raise it,"
            " or keep less by retention."
        )

    def committed(self, _tables: frozenset[str], _stored: Sequence[Any]) -> None:
        """Look how full the file is after a commit."""
        if self._most_bytes is None or self._stopping or (pages := self._store.pages) is None:
            return
        before, self._content_bytes = self._content_bytes, pages.content_bytes
        if before is not None:
            growth = min(pages.content_bytes - before, self._most_bytes * 3 // 8)
            self._growth_bytes = max(self._growth_bytes, growth)
        self._make()

    def full(self) -> None:
        """Make more room, where a commit failed for the want of it and not of room on the disk."""
        pages, most = self._store.pages, self._most_bytes
        if most is None or self._stopping:
            return
        if pages is not None and most - pages.content_bytes > _NEAR_BYTES:
            return

        def looked(free_bytes: int) -> None:
            if free_bytes > _BURST_BYTES and self._store.is_full:
                # Half as much again as was kept free, until it is all that there is.
                self._growth_bytes = min(self._margin_bytes * 3 // 4, most // 2)
                self._make()

        free = deferToThreadPool(self._clock, self._clock.getThreadPool(), self._free_bytes)
        free.addCallback(looked).addErrback(self._note)

    def mind(self) -> None:
        """Once a minute: forget a burst that is over, and tell when there is room again."""
        self._growth_bytes //= 2
        if not self._is_short or self._most_bytes is None or self._store.pages is None:
            return
        content_bytes = self._store.pages.content_bytes
        is_quiet = self._clock.seconds() - self._cut_at >= _ROOMY_SECONDS
        if is_quiet and content_bytes < _ROOMY * (self._most_bytes - self._margin_bytes):
            self._is_short = False
            self.log.info("The database has room again below node.db_max_bytes.")

    async def limit(self) -> None:
        """Set SQLite's own limit anew, if the file was larger when it was opened, and is not now.

        It never sets one below the size that a file has: lower limits come by the configuration.
        """
        most = self._most_bytes
        if most is None or self._stopping or (pages := self._store.pages) is None:
            return
        is_larger = pages.pages * pages.page_bytes > most
        if self._was_larger and not is_larger:
            await self._store.run(lambda cursor: limit(cursor, most))
        self._was_larger = is_larger

    @property
    def _margin_bytes(self) -> int:
        """How far below the greatest size the high-water mark is."""
        most = self._most_bytes or 0
        burst = min(int(most * _MOST_AT_FIRST), _BURST_BYTES)
        return min(max(int(most * _LEAST_MARGIN), burst, 2 * self._growth_bytes), most)

    @property
    def _excess_bytes(self) -> int:
        """How much is above the mark."""
        pages, most = self._store.pages, self._most_bytes
        if pages is None or most is None:
            return 0
        return pages.content_bytes - (most - self._margin_bytes)

    def _make(self) -> None:
        """Delete where there is too little room, and find out what from a little earlier."""
        excess = self._excess_bytes
        if (
            excess > -self._margin_bytes
            and self._clock.seconds() - self._reckoned_at > _KNOWN_SECONDS
        ):
            self._reckon()
        if excess > 0 and self._running is None:
            running = self._running = Deferred.fromCoroutine(self._run())
            running.addErrback(self._note).addBoth(self._ended)

    def _ended(self, _: object) -> None:
        self._running = None

    def _note(self, failure: Any) -> None:
        # What the writer refuses it has told itself; the next commit begins anew.
        if failure.check(StoreError, CancelledError) is None:
            self.log.failure("No room could be made.", failure)

    async def _run(self) -> None:
        most = self._most_bytes or 0
        while (excess := self._excess_bytes) > 0 and not self._stopping:
            if self._cut_bytes > most * _KNOWN_PART:
                self._reckon()
            was_known = self._is_known
            if not await self._delete(excess + most * _AT_ONCE):
                if not was_known:
                    return
                self._sizes = {}  # retention has been there meanwhile

    @property
    def _is_known(self) -> bool:
        """Whether it is known which history has rows to give."""
        return any(size.rows for size in self._sizes.values())

    def _reckon(self) -> None:
        """Find out how large the tables are now; no deletion waits for it."""
        if self._reckoning is None:
            names = [table.name for table in self._tables]
            reckoned = self._store.read(lambda cursor: sizes.reckon(cursor, names))
            self._reckoning = reckoned.addCallback(self._know).addErrback(self._note)
            self._reckoning.addBoth(self._reckoned)

    def _reckoned(self, _: object) -> None:
        self._reckoning = None

    def _know(self, now: dict[str, sizes.Size]) -> None:
        self._sizes = now
        self._reckoned_at, self._cut_bytes = self._clock.seconds(), 0.0

    async def _delete(self, wanted_bytes: float) -> int:
        """Delete so much of the oldest rows of the largest history; give how many rows went.

        With what waits, in one transaction; first and alone where that has failed. Where it is not
        known which is the largest, that is found out on the way: to wait for a reader's thread
        could last as long as some transactions, which may bring all that there is room for.
        """
        known, tables = self._sizes if self._is_known else None, self._tables
        names = [table.name for table in tables]

        def delete(cursor: sqlite3.Cursor) -> tuple[dict[str, sizes.Size], str, int]:
            found = known or sizes.reckon(cursor, names)
            (table,) = (table for table in tables if table.name == _largest(found))
            size = found[table.name]
            rows = math.ceil(wanted_bytes * size.rows / max(1, size.bytes))
            return found, table.name, delete_oldest(table, rows, _ROWS_A_STEP)(cursor)

        is_full = self._store.is_full
        found, name, deleted = await self._store.run(
            delete,
            names if known is None else [_largest(known)],
            makes_room=is_full,
            joins=not is_full,
        )
        if known is None:
            self._know(found)
        if not deleted:
            return 0
        size = found[name]
        self._cut_bytes += deleted * size.bytes / max(1, size.rows)
        self._content_bytes = None  # it has changed by the deletion, too
        self._cut_at = self._clock.seconds()
        self._store.early_rows += deleted
        if not self._is_short:
            self._is_short = True
            self.log.warn("{warning}", warning=self.warning)
        return deleted

    def _free_bytes(self) -> int:
        """Give what the disk has free for this user. Blocks."""
        found = os.statvfs(self._store.path.parent)
        return (found.f_bfree if os.geteuid() == 0 else found.f_bavail) * found.f_frsize


def _largest(tables: dict[str, sizes.Size]) -> str:
    return max(tables, key=lambda name: tables[name].bytes, default="the largest")
