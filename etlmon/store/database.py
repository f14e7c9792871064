"""StoreService: the database as the rest of the node sees it."""

from __future__ import annotations

import math
import sqlite3
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.records.health import DatabaseHealth
from etlmon.store.current import CurrentDatabase
from etlmon.store.damage import is_damage
from etlmon.store.faults import explained, is_full
from etlmon.store.ondisk import OnDisk, look
from etlmon.store.slowest import Slowest
from etlmon.store.tables.all import TABLES
from etlmon.store.wal import Checkpoints, has_reset_bug
from etlmon.store.writer import Writer
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from etlmon.records.base import Record
    from etlmon.store.loan import Loan
    from etlmon.store.queue import Queued
    from etlmon.store.sizes import Pages

T = TypeVar("T")
R = TypeVar("R", bound="Record")

_SAVED = {kind: read for table in TABLES for kind, read in table.saved.items()}

_LOOK_EVERY_SECONDS = 1.0


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
        max_bytes: int | None = None,
        proc: Path = Path("/proc"),
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._proc = proc
        self._writer: Writer | None = None
        self._listeners: list[Callable[[frozenset[str], Sequence[Any]], None]] = []
        self._record_listeners: list[Callable[[Sequence[Record]], None]] = []
        self._looking = False
        self._looked_at = -math.inf
        self._checkpoints: Checkpoints | None = None
        self._on_replaced: list[Callable[[], None]] = []
        self._on_full: list[Callable[[], None]] = []
        self.slowest = Slowest(wall_clock)
        self._current = CurrentDatabase(
            path,
            reactor,
            wall_clock,
            self.slowest,
            network_filesystem_allowed=network_filesystem_allowed,
            max_bytes=max_bytes,
            proc=proc,
            suspected=self._give_up_checkpoint,
            replaced=self._tell_of_another,
        )
        self.early_rows = 0
        """Rows that went before their time since the node began, as who deletes them counts."""

    def startService(self) -> None:
        """Take the lock, bring the schema up, open the pools. Raises StoreError.

        Where that cannot be done just now, as on a full disk, it is done as soon as it can.
        """
        lacking = self._current.open()
        connections = self._current.connections
        self._writer = Writer(
            None if connections is None else connections.writing,
            TABLES,
            self._reactor,
            self._wall_clock,
            self._tell,
            self._tell_of,
            self._writing_failed,
            self.slowest,
            partial(explained, path=self.path, proc=self._proc),
            self._look_in_passing,
        )
        self._checkpoints = Checkpoints(
            self.path,
            self._reactor,
            self._writer,
            lambda: self._current.connections,
            lambda: self._current.is_replaced,
            max_bytes=self.max_bytes,
            proc=self._proc,
        )
        super().startService()
        self._current.serve(self._writer, lacking)

    def stopService(self) -> Deferred[None]:
        """Commit what waits, let reads end, close the connections, give up the lock, in this order.

        Fires when that is done. Reads and writes that are asked for from now on are refused.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._current.leave()
        self._give_up_checkpoint()
        if self._writer is not None:
            await self._writer.close()
        await self._current.close()

    def write(self, records: Sequence[Record], *, may_wait: bool = False) -> Deferred[None]:
        """Store records in one transaction; fires when they are committed (see Writer.write)."""
        if self._writer is None:
            return fail(_not_open())
        return self._writer.write(records, may_wait=may_wait)

    def lend(self) -> Loan | None:
        """Lend the writer's connection to a thread that reads (see Writer.lend)."""
        return None if self._writer is None else self._writer.lend(self._reactor.callFromThread)

    def run(
        self,
        work: Callable[[sqlite3.Cursor], T],
        tables: Iterable[str] = (),
        *,
        in_transaction: bool = True,
        makes_room: bool = False,
        joins: bool = False,
    ) -> Deferred[T]:
        """Do other work on the writer's connection (see Writer.run)."""
        if self._writer is None:
            return fail(_not_open())
        return self._writer.run(
            work, tables, in_transaction=in_transaction, makes_room=makes_room, joins=joins
        )

    def saved(self, kind: type[R], instance: str) -> Deferred[Sequence[R]]:
        """Give the records of a type that are stored for an instance of a collector.

        On the writer's connection, in its turn: what was written before is among them, also when
        it was still waiting. Fails with StoreError once the store has been closed.
        """
        read = _SAVED[kind]
        return self.run(lambda cursor: read(cursor, instance))

    def read(self, query: Callable[[sqlite3.Cursor], T]) -> Deferred[T]:
        """Run a query in a thread, on a read-only connection, in one short read transaction.

        Fires with what ``query`` returns; fails with StoreError if the database cannot be read.
        """
        connections = self._current.connections
        if connections is None or not self.running:
            return fail(_not_open(self.reason if self.running else None))
        return connections.read(query)

    def on_commit(self, listener: Callable[[frozenset[str], Sequence[Any]], None]) -> None:
        """Call ``listener`` after each commit.

        It is told the names of the tables that changed, and what their inserts gave (see Insert).
        """
        self._listeners.append(listener)

    def on_records(self, listener: Callable[[Sequence[Record]], None]) -> None:
        """Call ``listener`` with the records of each batch that has been taken, in their order.

        Taken is what is committed, and what is held in memory while the database takes no writes:
        it hears what is so now also when nothing can be stored.
        """
        self._record_listeners.append(listener)

    def on_replaced(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when a new database has taken the place of a damaged one."""
        self._on_replaced.append(listener)

    def on_full(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` each time that a commit failed for want of room."""
        self._on_full.append(listener)

    def checkpoint(self) -> Deferred[bool]:
        """Bring the write-ahead log into the database and begin it anew.

        Reads that began before are waited for, at most their 5 s, and new ones wait meanwhile.
        Fires with whether it was done: another program that reads can prevent it.
        """
        if self._checkpoints is None:
            return fail(_not_open())
        return self._checkpoints.begin()

    def _writing_failed(self, error: BaseException) -> None:
        if is_damage(error):
            self.suspect(error)
        elif is_full(error):
            if self._checkpoints is not None and self.running:
                self._checkpoints.make_room()
            for listener in self._on_full:
                listener()

    def suspect(self, error: BaseException) -> None:
        """Have the file checked, and replaced if it is damaged; nothing is written meanwhile.

        The damaged file is set aside, and the new one is empty.
        """
        self._current.suspect(error)

    def _give_up_checkpoint(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.cancel()

    def _tell_of_another(self) -> None:
        self._tell(frozenset(table.name for table in TABLES), ())
        for listener in self._on_replaced:
            listener()

    def _in_thread(self, function: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function)

    def health(self) -> DatabaseHealth:
        """Tell how the database fares, from memory; the sizes are as of the last time asked.

        Raises StoreError before the first start.
        """
        if self._writer is None:
            raise _not_open()
        state = self._writer.state
        self._look_later()
        files = self._current.files
        reason, pages = self.reason, self.pages
        return DatabaseHealth(
            state="ok" if reason is None else "degraded",
            reason=reason,
            path=str(self.path),
            size_bytes=files.found.size_bytes,
            free_bytes=None if pages is None else pages.free_pages * pages.page_bytes,
            wal_bytes=files.found.wal_bytes,
            schema_version=self._current.schema_version,
            sqlite_version=sqlite3.sqlite_version,
            wal_reset_bug=has_reset_bug(sqlite3.sqlite_version_info),
            commits=state.commits,
            pending_batches=self._writer.pending,
            held_records=self._writer.held_records,
            dropped_records=state.dropped_records,
            max_bytes=self.max_bytes,
            early_rows=self.early_rows + self._current.early_rows,
            last_commit_at=None if state.last_commit_at is None else utc(state.last_commit_at),
            last_error=state.last_error,
            last_error_at=None if state.last_error_at is None else utc(state.last_error_at),
        )

    @property
    def reason(self) -> str | None:
        """What keeps the newest rows out of the database; None if nothing does."""
        if self._writer is None:
            return None
        current = self._current
        if not current.is_replaced and current.files.trouble is not None:
            return current.files.trouble
        if current.is_replaced and not current.waits:
            what = "the file is checked for damage, and a new one begun if it is damaged"
        elif self._writer.trouble.reason is not None:
            what = self._writer.trouble.reason
        else:
            return None
        return f"{what}; {self._writer.held_records} samples wait in memory"

    @property
    def warning(self) -> str | None:
        """What an operator should know of the write-ahead log; None if it is as it should be."""
        warning = None if self._checkpoints is None else self._checkpoints.warning
        return None if warning is None else f"{warning[0].upper()}{warning[1:]}."

    @property
    def set_aside(self) -> Path | None:
        """Where a damaged database has been put since the node began."""
        return self._current.aside.kept

    @property
    def is_put_back(self) -> bool:
        """Whether the database in the place of that one has all that it had."""
        return self._current.aside.is_put_back

    @property
    def why_not_put_back(self) -> str | None:
        """Why it was not found out whether that one could have all rows."""
        return self._current.aside.why_not_put_back

    @property
    def is_open(self) -> bool:
        """Whether it can be read; while it is replaced, or waited for, it cannot."""
        return self._current.connections is not None

    @property
    def pages(self) -> Pages | None:
        """The file's pages as the newest commit has left them; None before the first."""
        return None if self._writer is None else self._writer.state.pages

    @property
    def is_full(self) -> bool:
        """Whether commits fail for want of room."""
        return self._writer is not None and self._writer.trouble.is_full

    def queued(self) -> list[Queued]:
        """Give what the writer has to do; nothing while the store is closed."""
        return [] if self._writer is None else self._writer.queued()

    @property
    def committing_seconds(self) -> float:
        """How long the transaction under way has taken so far; 0 if none is."""
        return 0.0 if self._writer is None else self._writer.committing_seconds

    def _look_later(self) -> None:
        """Have a thread look at the file; nobody waits for it."""
        if self._looking or not self.running:
            return
        self._looking = True
        self._looked_at = self._reactor.seconds()
        self._in_thread(partial(look, self.path)).addBoth(self._looked)

    def _look_in_passing(self) -> None:
        """Look at the file in the writer's thread, which has just committed.

        To wake another thread for that would take several times as long.
        """
        since = self._reactor.seconds() - self._looked_at
        if self._looking or not self.running or since < _LOOK_EVERY_SECONDS:
            return
        self._looked_at = self._reactor.seconds()
        with suppress(OSError, RuntimeError):
            self._reactor.callFromThread(self._looked, look(self.path))

    def _looked(self, found: Any) -> None:
        self._looking = False
        current = self._current
        if isinstance(found, OnDisk) and not current.is_replaced and current.connections:
            self._note(found)

    def _note(self, found: OnDisk) -> None:
        files = self._current.files
        if files.note(found):
            if files.trouble is None:
                self.log.info("The database file is back.")
            else:
                self.log.error("The database: {trouble}.", trouble=files.trouble)
                if self._writer is not None:
                    self._writer.note(files.trouble)
        if self._checkpoints is not None and self.running:
            self._checkpoints.mind(found.wal_bytes or 0)

    def _tell(self, tables: frozenset[str], stored: Sequence[Any]) -> None:
        self._call("commits", self._listeners, tables, stored)

    def _tell_of(self, records: Sequence[Record]) -> None:
        self._call("records", self._record_listeners, records)

    def _call(self, what: str, listeners: Iterable[Callable[..., None]], *told: Any) -> None:
        for listener in listeners:
            try:
                listener(*told)
            except Exception:
                self.log.failure("A listener to {what} failed.", what=what)


def _not_open(reason: str | None = None) -> StoreError:
    return StoreError(f"the database is not open{'' if reason is None else f': {reason}'}")
