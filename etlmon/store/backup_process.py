"""A copy under way, in a process of its own: its directory may be on a mount that hangs."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from etlmon.errors import StoreError
from etlmon.store.damage import DamagedError
from etlmon.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.interfaces import IDelayedCall, IProcessTransport
    from twisted.python.failure import Failure

COMMAND = (sys.executable, "-I", "-X", "utf8", str(Path(__file__).with_name("backup_child.py")))
_QUIET_SECONDS = 60.0
"""It tells twice a second that it goes on; but for the disk, which may take long to keep a file."""
_SILENT_SECONDS = 900.0
_TO_GIVE_UP_SECONDS = 2.0
_TO_DIE_SECONDS = 1.0
_MOST_BYTES = 1 << 16


class GivenUpError(StoreError):
    """The copy was given up, for the node stops."""


class CopyUnderWay(ProcessProtocol):
    """Makes a copy if one is due, in a child.

    One that has said nothing for a minute ``is_quiet``, which the log tells; after a quarter of an
    hour it is killed. ``ended`` fires in any case, with what the child says of the newest copy; it
    fails with StoreError, DamagedError if the database is damaged, GivenUpError after ``stop``. A
    child that cannot even be killed is left to itself; ``gone`` fires when it has ended.
    """

    log = Logger()
    transport: IProcessTransport

    def __init__(self, clock: Any, order: dict[str, Any], command: Sequence[str]) -> None:
        """Begin. Raises StoreError if the system has no room for a process."""
        self.ended: Deferred[dict[str, Any]] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self.pid = 0
        self._clock = clock
        self.directory = order["directory"]
        self._said = b""
        self._complaint = b""
        self._heard_at = clock.seconds()
        self._timer: IDelayedCall | None = None
        self._is_stopping = self._is_killed = False
        try:
            clock.spawnProcess(self, command[0], [*command, json.dumps(order)], None)
        except OSError as error:
            raise StoreError(f"cannot start a process for the copy: {error.strerror}") from error
        self._wait(_QUIET_SECONDS, self._warn)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has been heard of it for so long that its directory is in doubt."""
        return bool(self.quiet_seconds >= _QUIET_SECONDS)

    @property
    def quiet_seconds(self) -> float:
        """How long nothing has been heard of it."""
        return float(self._clock.seconds() - self._heard_at)

    def stop(self) -> None:
        """Have it give up, or be killed; ``ended`` fires within three seconds."""
        self._is_stopping = True
        self._signal(signal.SIGTERM)
        if not self.ended.called:
            self._wait(_TO_GIVE_UP_SECONDS, self._kill)

    def connectionMade(self) -> None:
        """Keep the process id: Twisted forgets it when the process ends."""
        self.pid = self.transport.pid

    def outReceived(self, data: bytes) -> None:
        """Hear of it."""
        self._said = (self._said + data).replace(b".\n", b"")[-_MOST_BYTES:]
        if self.is_quiet:
            self.log.info("The copy of the database goes on.")
        self._heard_at = self._clock.seconds()
        if not self._is_stopping:
            self._wait(_QUIET_SECONDS, self._warn)

    def errReceived(self, data: bytes) -> None:
        """Keep the end of what it complains about."""
        self._complaint = (self._complaint + data)[-_MOST_BYTES:]

    def processEnded(self, reason: Failure) -> None:
        """Tell how it ended."""
        if self.ended.called:
            self.log.info("{directory} answers again.", directory=one_line(self.directory))
            self.gone.callback(None)
            return
        self.gone.callback(None)
        if self._is_stopping:
            self._fail(GivenUpError("given up, as was asked for"))
            return
        if self._is_killed:
            self._fail(StoreError(f"{self._silent}; its process has been killed"))
            return
        try:
            outcome = json.loads(self._said)
        except ValueError:
            last = self._complaint.decode("utf-8", "replace").strip().rpartition("\n")[2]
            why = f": {one_line(last)[:300]}" if last else ""
            self._fail(StoreError(f"the process for the copy ended ({reason.value}){why}"))
            return
        if outcome.get("is_given_up"):
            self._fail(GivenUpError("its process was told to end"))
        elif "error" in outcome:
            kind = DamagedError if outcome.get("is_damage") else StoreError
            self._fail(kind(outcome["error"]))
        else:
            self._forget_timer()
            self.ended.callback(outcome)

    def _warn(self) -> None:
        self.log.warn("The copy of the database hangs: {silent}.", silent=one_line(self._silent))
        self._wait(_SILENT_SECONDS - _QUIET_SECONDS, self._kill)

    def _kill(self) -> None:
        self._is_killed = True
        self._signal(signal.SIGKILL)
        self._wait(_TO_DIE_SECONDS, self._abandon)

    def _abandon(self) -> None:
        # Where this process itself stood still, nobody has been reaped yet: that comes first.
        self._timer = self._clock.callLater(0, self._leave)

    def _leave(self) -> None:
        self.transport.loseConnection()
        if self._is_stopping:
            self._fail(GivenUpError("given up, as was asked for"))
            return
        self._fail(
            StoreError(
                f"{self._silent}; process {self.pid} hangs there and cannot be killed, and the next"
                " copy is made when it has ended"
            )
        )

    @property
    def _silent(self) -> str:
        return f"{self.directory} has not answered for {round(self.quiet_seconds)} s"

    def _fail(self, error: StoreError) -> None:
        self._forget_timer()
        self.ended.errback(error)

    def _signal(self, number: int) -> None:
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess(number)

    def _wait(self, seconds: float, then: Any) -> None:
        self._forget_timer()
        self._timer = self._clock.callLater(seconds, then)

    def _forget_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
