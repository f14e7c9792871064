"""The database that is in use: how it is opened, and how another one takes its place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.store.aside import Aside
from etlmon.store.connections import Connections
from etlmon.store.damage import (
    DamagedError,
    check,
    half_set_aside,
    is_damage,
    looks_like_database,
)
from etlmon.store.faults import NoRoomError, why_not_yet
from etlmon.store.indexes import mend_indexes
from etlmon.store.leftovers import clear
from etlmon.store.lock import DatabaseLock, lock
from etlmon.store.ondisk import InUse, look
from etlmon.store.open import prepare, refuse_network_filesystem, writer_pragmas
from etlmon.store.tables.all import HISTORIES
from etlmon.units import to_millis, utc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.python.failure import Failure

    from etlmon.store.slowest import Slowest
    from etlmon.store.writer import Writer

T = TypeVar("T")

_TRY_AGAIN_SECONDS = 5.0


class CurrentDatabase:
    """The lock on the database, the connections to it, and what has become of its files.

    A file that is damaged is set aside, and a new one begun, with all that was in it if no more
    than its indexes is damaged. One that cannot be opened just now, as on a full disk, is opened as
    soon as that is over. The writer is halted meanwhile.
    """

    log = Logger()

    def __init__(
        self,
        path: Path,
        reactor: Any,
        wall_clock: Callable[[], float],
        slowest: Slowest,
        *,
        network_filesystem_allowed: bool,
        max_bytes: int | None,
        proc: Path,
        suspected: Callable[[], None],
        replaced: Callable[[], None],
    ) -> None:
        """``suspected`` is called before the writer is halted for a check of the file.

        Who keeps reads away until the writer has done something gives up then.
        ``replaced`` is called when another database is open than at the start.
        """
        self.path = path
        self.connections: Connections | None = None
        self.files = InUse()
        self.schema_version = 0
        self.aside = Aside(path, wall_clock, lambda: self._is_left)
        self.early_rows = 0
        """Rows that went before their time, for what had to be written at once."""
        self.waits = False
        """Whether it cannot be opened just now; the writer's trouble is why."""
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._slowest = slowest
        self._network_filesystem_allowed = network_filesystem_allowed
        self._max_bytes = max_bytes
        self._histories = () if max_bytes is None else HISTORIES
        self._proc = proc
        self._suspected = suspected
        self._replaced = replaced
        self._writer: Writer | None = None
        self._replacing: Deferred[None] | None = None
        self._lock: DatabaseLock | None = None
        self._damage: object = None
        """What is wrong with the file that bears the name, if it is to be set aside."""
        self._was_there = False
        """Whether there was one at the start that could not be opened then."""
        self._lack: NoRoomError | None = None
        """What could not be written when it was opened last, for want of room on the disk."""
        self._is_left = False
        self._at_work = Lock()
        """Held by the thread that changes the files: who waits for it may be cancelled."""
        self._unchecked: str | None = None

    @property
    def is_replaced(self) -> bool:
        """Whether it is being checked, replaced or waited for now: nothing is written."""
        return self._replacing is not None

    def open(self) -> StoreError | None:
        """Lock and open it, or a new one where it is damaged; give why not, if that may pass.

        Raises StoreError where it cannot be used. Blocks.
        """
        self._is_left = self._was_there = False
        try:
            self._make_ready()
        except StoreError as error:
            why = why_not_yet(error, self.path, self._proc)
            if why is None:
                self._unlock()
                raise
            self._was_there = self.path.exists()
            return StoreError(f"{why}: {error}")
        except BaseException:
            self._unlock()
            raise
        self._open()
        return None

    def serve(self, writer: Writer, lacking: StoreError | None) -> None:
        """Begin to serve a writer; as soon as it can be opened, where it could not (``open``)."""
        self._writer = writer
        if lacking is not None:
            self._wait(writer, lacking)
            self._replacing = Deferred.fromCoroutine(self._open_later(writer))
            self._replacing.addErrback(self._not_replaced)

    def leave(self) -> None:
        """Serve no writer any more: nothing is opened or replaced from now on."""
        self._writer, self._is_left = None, True
        if self._replacing is not None:
            self._replacing.cancel()

    async def close(self) -> None:
        """Close the connections when the reads under way have ended, and give up the lock.

        Reads that are asked for are refused. A thread that changes the files is waited for.
        """
        connections, self.connections = self.connections, None
        if connections is not None:
            async with connections.no_reads():
                connections.close()
        if self._at_work.locked():
            await self._in_thread(self._unlock)
        else:
            self._unlock()

    def _unlock(self) -> None:
        with self._at_work:
            held, self._lock = self._lock, None
            if held is not None:
                held.close()

    def suspect(self, error: BaseException) -> None:
        """Have the file checked, and replaced if it is damaged; nothing is written meanwhile.

        The damaged file is set aside, and the new one is empty.
        """
        if self._replacing is None and self._writer is not None:
            self._suspected()
            self._writer.halt()
            self._replacing = Deferred.fromCoroutine(self._replace(self._writer, error))
            self._replacing.addErrback(self._not_replaced)

    def _make_ready(self) -> None:
        """Have the lock, and a sound database, a new one if need be. Raises StoreError. Blocks."""
        with self._at_work:
            if self._is_left:
                raise StoreError("the store has been closed")
            if self._was_there and self.aside.kept is None and not self.path.exists():
                raise StoreError(
                    f"{self.path} was there at the start, and is not now; mount its file system, "
                    "or put the file back, or restart the node, which begins a new one"
                )
            if self._lock is None:
                if not self._network_filesystem_allowed:
                    refuse_network_filesystem(self.path, self._proc)
                self._lock = lock(self.path, self._proc)
                self._clear()
            if self._damage is None and half_set_aside(self.path) is not None:
                self._damage = "a node that was killed had found it so"
            if self._damage is not None:
                self.aside.put(self._damage)
                self._damage = None
            self.aside.go_on()
            if self._lack is not None and not self._lack.is_over():
                raise self._lack  # to try it would fill the disk, for all who are on it
            self._lack = None
            try:
                self._prepare_mended()
            except NoRoomError as error:
                self._lack = error
                raise
            except DamagedError as error:
                if not looks_like_database(self.path):
                    raise
                self.aside.put(error)
                self._prepare()
            self._lock.hold()

    def _prepare_mended(self) -> None:
        """Prepare it, with its indexes made anew if one that is damaged is in the way."""
        try:
            self._prepare()
        except DamagedError:
            if not looks_like_database(self.path) or not self._is_mended():
                raise
            self._prepare()

    def _is_mended(self) -> bool:
        """Mend what is no more than an index; tell whether it was. Raises StoreError."""
        try:
            if check(self.path) is not None:
                return False
            with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
                writer_pragmas(connection, self._max_bytes)
                return self._mend_by(connection)
        except (DamagedError, sqlite3.Error):
            return False

    def _clear(self) -> None:
        for path in clear(self.path, self._wall_clock(), is_locked=True):
            self.log.info("{path} was left by a command that was killed: removed.", path=str(path))

    def _prepare(self) -> None:
        self.schema_version = prepare(
            self.path,
            now_ms=to_millis(utc(self._wall_clock())),
            network_filesystem_allowed=self._network_filesystem_allowed,
            proc=self._proc,
            in_place_of=None if self.aside.kept is None else self.aside.kept.name,
            max_bytes=self._max_bytes,
        )

    def _open(self) -> Connections:
        self.connections = Connections(
            self.path, self._reactor, self._max_bytes, self._slowest, self.suspect
        )
        self.files = InUse(look(self.path))
        return self.connections

    def _not_replaced(self, failure: Failure) -> None:
        self._replacing = None
        if self._writer is None:
            return
        if not failure.check(StoreError):
            self.log.failure("The damaged database could not be replaced.", failure)
        elif str(failure.value) != self._unchecked:
            self._unchecked = str(failure.value)
            self.log.error("The database may be damaged: {error}.", error=self._unchecked)
        if self.connections is not None:
            self._writer.resume()

    async def _replace(self, writer: Writer, error: BaseException) -> None:
        damaged = self.connections
        assert damaged is not None
        await writer.resting()
        lack: NoRoomError | None = None
        while True:
            try:
                found = await self._look_into(damaged, error)
                break
            except NoRoomError as no_room:
                lack = no_room
            self._wait(writer, lack)
            while not await self._in_thread(lack.is_over):
                await deferLater(self._reactor, _TRY_AGAIN_SECONDS)
        self.waits = False
        opened = damaged
        if found is not None:
            self._damage = found
            # To copy and check it may take minutes: nobody shall wait for that.
            self._wait(writer, StoreError("the file is damaged, and another takes its place"))
            opened = await self._make(writer)
        self._replacing = self._unchecked = None
        writer.resume(None if opened is damaged and lack is None else opened.writing)
        if opened is not damaged:
            writer.note(
                f"damaged ({error}); kept as {self.aside.kept}, {self.aside.what_is_in_its_place}"
            )
            self._replaced()

    async def _look_into(self, damaged: Connections, error: BaseException) -> str | None:
        """Check the file, and mend what is no more than an index; give what cannot be mended.

        Then the connections are closed. Raises NoRoomError where there is no room for an index.
        """
        async with damaged.no_reads():
            found = await self._in_thread(lambda: check(self.path))
            if found is None and is_damage(error):
                found = await self._mend(damaged)
            if found is not None:
                self.connections = None
                damaged.close()
        return found

    async def _mend(self, damaged: Connections) -> str | None:
        """Mend what the quick check does not look at; give what cannot be mended.

        By the connection that writes: no other may write or check point, and none has its limit.
        """
        try:
            await damaged.writing.runWithConnection(self._mend_by)
        except DamagedError as found:
            return str(found)
        return None

    def _mend_by(self, connection: sqlite3.Connection) -> bool:
        """Mend indexes, if any is damaged; tell whether it was. Blocks."""
        is_mended = mend_indexes(
            connection, self.path, lambda: self._is_left, self._histories, self._note_early
        )
        if is_mended:
            self.log.warn("An index of the database was damaged: those of its table are made anew.")
        return is_mended

    def _note_early(self, rows: int) -> None:
        self.early_rows += rows
        self.log.warn(
            "The {rows} oldest rows of the largest history went before their time, so that an index"
            " could be made anew: node.db_max_bytes left no room.",
            rows=rows,
        )

    async def _open_later(self, writer: Writer) -> None:
        """Open the database that could not be at the start."""
        await deferLater(self._reactor, _TRY_AGAIN_SECONDS)
        opened = await self._make(writer)
        self._replacing = None
        writer.resume(opened.writing)
        self._replaced()

    async def _make(self, writer: Writer) -> Connections:
        """Open the database, a new one where there is none or a damaged one.

        Where that cannot be done, as on a disk that is full or read-only, try again.
        """
        while True:
            try:
                await self._in_thread(self._make_ready)
            except (StoreError, OSError) as error:
                why = await self._in_thread(partial(why_not_yet, error, self.path, self._proc))
                self._wait(writer, StoreError(str(error) if why is None else f"{why}: {error}"))
            else:
                self.waits = False
                return self._open()
            await deferLater(self._reactor, _TRY_AGAIN_SECONDS)

    def _wait(self, writer: Writer, error: StoreError) -> None:
        """Have the writer wait until the database can be opened; tell why, if that is new."""
        if self.waits and str(error) != writer.state.last_error:
            self.log.error("The database cannot be opened: {error}; trying again.", error=error)
        self.waits = True
        writer.halt(error)

    def _in_thread(self, function: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function)
