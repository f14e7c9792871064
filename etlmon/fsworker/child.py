"""One worker process."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, Protocol

from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol

from etlmon.fsworker.messages import Malformed, encode
from etlmon.text import host_text

if TYPE_CHECKING:
    from datetime import datetime

    from twisted.internet.interfaces import IDelayedCall, IProcessTransport
    from twisted.python.failure import Failure

    from etlmon.fsworker.lanes import Lane, Request

# The longest answer lists 400 names of 1,000 characters, each of 6 bytes at the most.
_MAX_LINE_BYTES = 4 << 20
_MAX_SHOWN = 200
# A walk is heard of every 0.25 s: beyond this its mount is in doubt.
_QUIET_SECONDS = 1.0


class Listener(Protocol):
    """Whom a child tells what happens to it."""

    def heard(self, child: Child, request: Request, line: bytes) -> None:
        """Take a line that answers the child's request; raise Malformed if it is none."""

    def spoke_nonsense(self, child: Child, line: bytes) -> None:
        """Take note of a line that means nothing."""

    def complained(self, child: Child, text: bytes) -> None:
        """Take what the child wrote on its standard error."""

    def gone(self, child: Child, why: str) -> None:
        """Take note that the child has ended, is reaped, and all its output was read."""


class Child(ProcessProtocol):
    """One worker process and what it is doing.

    ``mount_point`` is None while it is idle. ``killed`` says that it was sent SIGKILL,
    ``stuck_since`` is set once that has failed. ``heard_at`` is the reactor's time, ``served`` how
    many requests it has begun.
    """

    transport: IProcessTransport  # Never None: it has been started.

    def __init__(self, listener: Listener, lane: Lane) -> None:
        self._listener = listener
        self._buffer = b""
        self.lane = lane
        self.pid = 0
        self.request: Request | None = None
        self.request_id = 0
        self.mount_point: str | None = None
        self.heard_at = 0.0
        self.served = 0
        self.timer: IDelayedCall | None = None
        self.silence_timer: IDelayedCall | None = None
        self.killed = False
        self.stuck_since: datetime | None = None

    def connectionMade(self) -> None:
        """Keep the process id: Twisted forgets it when the process ends."""
        self.pid = self.transport.pid

    @property
    def is_idle(self) -> bool:
        """Whether it can be sent a request."""
        return self.mount_point is None and not self.killed

    def is_quiet(self, now: float) -> bool:
        """Tell whether it has said nothing for so long that its mount is in doubt."""
        return self.heard_at < now - _QUIET_SECONDS

    @property
    def is_stopped(self) -> bool:
        """Whether a signal (SIGSTOP) has stopped it: then its silence says nothing of its mount."""
        try:
            # Only a look, which takes nothing away from whoever reaps it.
            found = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return found is not None

    def begin(self, request_id: int, request: Request, now: float) -> None:
        """Send a request; ``now`` is the reactor's time."""
        self.request_id = request_id
        self.request = request
        self.mount_point = request.mount_point
        self.heard_at = request.began_at = now
        self.served += 1
        self.transport.writeToChild(0, encode(request_id, request.content(self, now)))

    def tell(self, op: Literal["share", "stop"]) -> None:
        """Say something about the scan that it is at."""
        self.transport.writeToChild(0, encode(self.request_id, {"op": op}))

    def kill(self) -> None:
        """Send SIGKILL, if it is still there."""
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    def close_pipes(self) -> None:
        """Give up the descriptors, at the reactor's next turn; it is reaped whenever it ends."""
        self.transport.loseConnection()

    def cancel_timer(self) -> None:
        """Stop what would happen to it at its deadline, or for its silence."""
        for timer in (self.timer, self.silence_timer):
            if timer is not None and timer.active():
                timer.cancel()

    def outReceived(self, data: bytes) -> None:
        """Take what the child wrote, line by line."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > _MAX_LINE_BYTES:
            lines.append(self._buffer)
            self._buffer = b""
        for line in lines:
            if self.killed:
                return
            if self.request is None or len(line) > _MAX_LINE_BYTES:
                self._listener.spoke_nonsense(self, line)
                return
            try:
                self._listener.heard(self, self.request, line)
            except Malformed:
                self._listener.spoke_nonsense(self, line)

    def errReceived(self, data: bytes) -> None:
        """Pass on what the child complains about."""
        self._listener.complained(self, data)

    def processEnded(self, reason: Failure) -> None:
        """Tell that it has ended."""
        self._listener.gone(self, _why_ended(reason))


def shown(raw: bytes) -> str:
    """Give what a child wrote for a log line: cut, with control characters escaped."""
    return host_text(raw[:_MAX_SHOWN]).encode("unicode_escape").decode("ascii")


def _why_ended(reason: Failure) -> str:
    if isinstance(reason.value, ProcessDone):
        return "exit status 0"
    signal_number = getattr(reason.value, "signal", None)
    if signal_number == 9:
        return "killed (SIGKILL), as the kernel does when memory is short"
    if signal_number is not None:
        return f"signal {signal_number}"
    return f"exit status {getattr(reason.value, 'exitCode', None)}"
