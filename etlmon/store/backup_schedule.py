"""Makes copies of the database on a schedule, and keeps the newest of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.records.database import BackupState
from etlmon.store.backup_process import COMMAND, CopyUnderWay, GivenUpError
from etlmon.store.damage import DamagedError
from etlmon.store.rotation import made_at
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.python.failure import Failure

    from etlmon.config.node import BackupSection
    from etlmon.store.database import StoreService

_LOOK_EVERY_SECONDS = 60.0
_RETRY_SECONDS = 3600.0
"""After a copy that could not be made, as on a full disk."""
_LOOK_AGAIN_SECONDS = 3600.0
"""Into the directory, though no copy is due: somebody may have removed the newest."""


class BackupService(TimerService):
    """Looks once a minute whether a copy is due; the newest copy's name tells, also after a start.

    The directory is looked into by a child only, which makes the copy, too: it may be on a mount
    that hangs. There is never more than one. Without a section in the configuration nothing is
    done.
    """

    log = Logger()

    def __init__(
        self,
        store: StoreService,
        section: BackupSection | None,
        node: str,
        clock: Any,
        wall_clock: Callable[[], float],
        command: Sequence[str] = COMMAND,
    ) -> None:
        """``node`` is its name, which the copies get. ``command`` is the program of the child."""
        super().__init__(_LOOK_EVERY_SECONDS, self._tick)
        self.clock: Any = clock
        self._store = store
        self._node = node
        self._wall_clock = wall_clock
        self._command = command
        self._child: CopyUnderWay | None = None
        self._last: dict[str, Any] | None = None
        self._looked_at = -math.inf
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
        self._looked_at = -math.inf
        child = self._child
        if child is not None and (section is None or section.directory != child.directory):
            child.stop()
            if child.ended.called:  # left to itself: it keeps nobody from another directory
                self._child = None

    def stopService(self) -> Deferred[Any]:
        """Give up a copy under way; fires when its process has ended, or cannot be ended."""
        stopped: Deferred[Any] = super().stopService()
        if self._child is not None:
            self._child.stop()
        return stopped

    @property
    def warning(self) -> str | None:
        """What an operator should know: that a copy hangs, or could not be made."""
        child, state = self._child, self.state()
        if child is not None and state is not None and state.state == "hanging":
            return (
                f"The copy of the database hangs: {state.directory} has not answered for"
                f" {round(child.quiet_seconds)} s; look at its file system, and its server."
            )
        if self._error is not None and state is not None:
            return f"No copy of the database could be made: {self._error[0]}"
        return None

    def state(self) -> BackupState | None:
        """Tell of the newest copy and the next; None without a schedule."""
        section = self.section
        if section is None:
            return None
        last = self._last
        last_at = None if last is None else made_at(Path(last["path"]).name)
        return BackupState(
            directory=section.directory,
            state=self._state(),
            last_path=None if last is None else last["path"],
            last_at=None if last_at is None else utc(last_at),
            last_bytes=None if last is None else last["size_bytes"],
            last_error=None if self._error is None else self._error[0],
            last_error_at=None if self._error is None else utc(self._error[1]),
            next_at=None if last_at is None else utc(last_at + section.every),
        )

    def _state(self) -> str:
        if self._child is not None and not self._child.ended.called:
            return "hanging" if self._child.is_quiet else "running"
        if self._error is not None:
            return "error"
        return "waiting" if self._last is None else "ok"

    def _tick(self) -> Deferred[None] | None:
        section = self.section
        if section is None or self._child is not None or not self._is_due(section):
            return None
        self._looked_at = self.clock.seconds()
        order = {
            "database": str(self._store.path.absolute()),
            "directory": section.directory,
            "node": self._node,
            "every": section.every,
            "keep": section.keep,
            "wall_seconds": self._wall_clock(),
        }
        try:
            child = self._child = CopyUnderWay(self.clock, order, self._command)
        except StoreError as error:
            self._note(error)
            return None
        made = child.ended.addCallback(self._copied)
        return made.addErrback(self._failed).addBoth(self._ended, child)

    def _is_due(self, section: BackupSection) -> bool:
        """Whether it is time to look into the directory, and to make a copy if need be."""
        now = self.clock.seconds()
        if self._failed_at is not None and now - self._failed_at < _RETRY_SECONDS:
            return False
        if self._last is None or now - self._looked_at >= _LOOK_AGAIN_SECONDS:
            return True
        since = self._wall_clock() - made_at(Path(self._last["path"]).name)
        return not 0 <= since < section.every

    def _copied(self, copy: dict[str, Any]) -> None:
        self._last, self._error, self._failed_at = copy, None, None
        if copy["is_new"]:
            self.log.info(
                "The database has been copied to {path}, {size} bytes.",
                path=copy["path"],
                size=copy["size_bytes"],
            )
        if copy.get("is_mended"):
            self._store.suspect(DamagedError("an index does not fit its table"))

    def _failed(self, failure: Failure) -> None:
        if failure.check(GivenUpError):
            return
        if not failure.check(StoreError):
            self.log.failure("No copy of the database.", failure)
        assert failure.value is not None
        self._note(failure.value)
        if failure.check(DamagedError):
            self._store.suspect(failure.value)

    def _note(self, error: BaseException) -> None:
        self._failed_at = self.clock.seconds()
        words = str(error)
        if self._error is None or self._error[0] != words:
            self.log.error("No copy of the database: {error}", error=words)
        self._error = (words, self._wall_clock())

    def _ended(self, _: object, child: CopyUnderWay) -> None:
        section = self.section
        if child.gone.called or section is None or section.directory != child.directory:
            self._child = None
        else:
            child.gone.addCallback(self._answers_again, child)

    def _answers_again(self, _: object, child: CopyUnderWay) -> None:
        if self._child is child:
            self._child = self._failed_at = None
