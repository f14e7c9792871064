"""Makes copies of the database on a schedule, and keeps the newest of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.records.database import BackupState
from etlmon.store.backup import back_up, backup_name, made_at, newest_backup, rotate
from etlmon.store.damage import DamagedError
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from etlmon.config.node import BackupSection
    from etlmon.store.database import StoreService

_LOOK_EVERY_SECONDS = 60.0
_RETRY_SECONDS = 3600.0
"""After a copy that could not be made, as on a full disk."""

_SPARE_BYTES = 64 << 20
"""Left free on the database's own disk: a copy that fills it would stop the storing for good."""


@dataclass(frozen=True)
class _Copy:
    path: Path
    size_bytes: int
    is_new: bool
    is_mended: bool = False
    """Whether an index of the database is damaged, which the copy's are not any more."""


class BackupService(TimerService):
    """Looks once a minute whether a copy is due; the newest copy's name tells, also after a start.

    Without a section in the configuration it does nothing.
    """

    log = Logger()

    def __init__(
        self,
        store: StoreService,
        section: BackupSection | None,
        clock: Any,
        wall_clock: Callable[[], float],
    ) -> None:
        super().__init__(_LOOK_EVERY_SECONDS, self._tick)
        self.clock: Any = clock
        self._store = store
        self._wall_clock = wall_clock
        self._given_up = Event()
        self._running: Deferred[Any] | None = None
        self._last: _Copy | None = None
        self._error: tuple[str, float] | None = None
        self._failed_at: float | None = None
        self.section = section

    @property
    def section(self) -> BackupSection | None:
        """Where copies go, and when; None for no copies. Who sets it has seen to what was wrong."""
        return self._section

    @section.setter
    def section(self, section: BackupSection | None) -> None:
        self._section = section
        self._failed_at = None

    def startService(self) -> None:
        """Begin to look."""
        self._given_up.clear()
        super().startService()

    def stopService(self) -> Deferred[Any]:
        """Give up a copy under way; fires when its thread has left the database alone."""
        self._given_up.set()
        stopped: Deferred[Any] = super().stopService()
        return stopped

    def state(self) -> BackupState | None:
        """Tell of the newest copy and the next; None without a schedule."""
        section = self.section
        if section is None:
            return None
        last = self._last
        ended = "waiting" if last is None else "ok"
        last_at = None if last is None else made_at(last.path)
        return BackupState(
            directory=section.directory,
            state="running" if self._running else "error" if self._error else ended,
            last_path=None if last is None else str(last.path),
            last_at=None if last_at is None else utc(last_at),
            last_bytes=None if last is None else last.size_bytes,
            last_error=None if self._error is None else self._error[0],
            last_error_at=None if self._error is None else utc(self._error[1]),
            next_at=None if last_at is None else utc(last_at + section.every),
        )

    def _tick(self) -> Deferred[None] | None:
        section = self.section
        if section is None:
            return None
        now = self.clock.seconds()
        if self._failed_at is not None and now - self._failed_at < _RETRY_SECONDS:
            return None
        self._running = deferToThreadPool(
            self.clock, self.clock.getThreadPool(), self._look_and_copy, section
        )
        return self._running.addCallbacks(self._copied, self._failed).addBoth(self._ended)

    def _look_and_copy(self, section: BackupSection) -> _Copy:
        """Give the newest copy, made now if it was due. In a thread."""
        directory = Path(section.directory)
        wall = self._wall_clock()
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            newest = newest_backup(directory, wall)
            if newest is not None and wall - made_at(newest) < section.every:
                return _Copy(newest, newest.stat().st_size, is_new=False)
            target = directory / backup_name(wall)
            made = back_up(
                self._store.path, target, self._given_up.is_set, spare_bytes=_SPARE_BYTES
            )
            rotate(directory, section.keep, wall)
        except OSError as error:
            raise StoreError(f"cannot keep copies in {directory}: {error.strerror}") from error
        return _Copy(target, made.size_bytes, is_new=True, is_mended=made.is_mended)

    def _copied(self, copy: _Copy) -> None:
        self._last, self._error, self._failed_at = copy, None, None
        if copy.is_new:
            self.log.info(
                "The database has been copied to {path}, {size} bytes.",
                path=str(copy.path),
                size=copy.size_bytes,
            )
        if copy.is_mended:
            self._store.suspect(DamagedError("an index does not fit its table"))

    def _failed(self, failure: Failure) -> None:
        if self._given_up.is_set():
            return
        self._failed_at = self.clock.seconds()
        words = str(failure.value)
        if self._error is None or self._error[0] != words:
            if failure.check(StoreError):
                self.log.error("No copy of the database: {error}", error=words)
            else:
                self.log.failure("No copy of the database.", failure)
        self._error = (words, self._wall_clock())
        if failure.check(DamagedError):
            assert failure.value is not None
            self._store.suspect(failure.value)

    def _ended(self, _: object) -> None:
        self._running = None
