"""The children of a pool: starts them, ends them, and sets aside those that cannot be ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from etlmon.fsworker.child import Child, shown
from etlmon.fsworker.failures import WorkerDied, WorkerStopped
from etlmon.records.health import StuckWorker
from etlmon.text import one_line
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from twisted.internet.interfaces import IDelayedCall

    from etlmon.fsworker.lanes import Lane, Request

# Between SIGKILL and the verdict that the child hangs inside the kernel.
_KILL_SECONDS = 0.5
_STOP_SECONDS = 0.8
# Or each thread would reserve address space, of which a child has only so much.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}


class SpawnsAndWaits(Protocol):
    """What the pool needs of the reactor."""

    def seconds(self) -> float:
        """Give the reactor's time, seconds."""

    def callLater(
        self, delay: float, function: Callable[..., object], /, *args: object
    ) -> IDelayedCall:
        """Call later, ``delay`` in seconds."""

    def spawnProcess(
        self,
        processProtocol: Any,
        executable: Any,
        args: Any,
        env: Any,
        /,
    ) -> Any:
        """Start a process."""


class Owner(Protocol):
    """Who gives the children their work."""

    def heard(self, child: Child, request: Request, line: bytes) -> None:
        """Take one line of a child that is at work; raise Malformed if it is no answer."""

    def lost(self, child: Child) -> None:
        """Take note that a child will do nothing more: it is being killed."""

    def freed(self, child: Child) -> None:
        """Take note that there is room for another child: this one has ended, or hangs."""


class Crew:
    """All children, those that are being killed and those that hang included."""

    _log = Logger()

    def __init__(
        self,
        reactor: SpawnsAndWaits,
        wall_clock: Callable[[], float],
        command: Sequence[str],
        owner: Owner,
    ) -> None:
        self.children: set[Child] = set()
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._command = tuple(command)
        self._owner = owner
        self._stopping: list[Deferred[None]] | None = None
        self._stop_timer: IDelayedCall | None = None

    def idle(self, lane: Lane) -> list[Child]:
        """Give the children of a lane that have nothing to do."""
        return [child for child in self.children if child.lane is lane and child.is_idle]

    def has_room(self, lane: Lane) -> bool:
        """Tell whether one more child may be started; those that hang take no room."""
        mine = [child for child in self.children if child.lane is lane and not child.stuck_since]
        return len(mine) < lane.limit

    def start(self, lane: Lane) -> Child:
        """Start a child; raise OSError if the system has no room for it."""
        child = Child(self, lane)
        arguments = [*self._command, json.dumps(dict(lane.limits))]
        self._reactor.spawnProcess(child, self._command[0], arguments, dict(_ENVIRONMENT))
        self.children.add(child)
        return child

    def end(self, child: Child, error: Exception | None) -> None:
        """Kill a child, and fail what it was doing with ``error``."""
        request, child.request = child.request, None
        if not child.killed:
            child.killed = True
            child.cancel_timer()
            child.kill()
            since = utc(self._wall_clock())
            child.timer = self._reactor.callLater(_KILL_SECONDS, self._lives_on, child, since)
            self._owner.lost(child)
        if request is not None and error is not None:
            request.result.errback(error)

    def give_up(self, child: Child, error: Exception) -> None:
        """End a child that has said nothing for too long, as ``error`` tells.

        Unless a signal has stopped it: then that is what there is to tell.
        """
        if child.is_stopped:
            self._log.warn(
                "worker {pid} was stopped by a signal: another is started", pid=child.pid
            )
            error = WorkerDied(f"a signal had stopped the worker (process {child.pid})")
        self.end(child, error)

    def _lives_on(self, child: Child, since: datetime) -> None:
        # Where this process itself stood still, nobody has been reaped yet: that comes first.
        child.timer = self._reactor.callLater(0, self._set_aside, child, since)

    def _set_aside(self, child: Child, since: datetime) -> None:
        child.stuck_since = since
        self._log.warn(
            "worker {pid} hangs on {mount} and cannot be killed: the mount is left alone",
            pid=child.pid,
            mount=one_line(child.mount_point or ""),
        )
        child.close_pipes()
        self._owner.freed(child)

    def stuck_workers(self) -> list[StuckWorker]:
        """Give the children that cannot be killed, the longest first."""
        return sorted(
            (
                StuckWorker(
                    mount_point=child.mount_point or "",
                    pid=child.pid,
                    stuck_since=child.stuck_since,
                )
                for child in self.children
                if child.stuck_since is not None
            ),
            key=lambda stuck: stuck.stuck_since,
        )

    def stuck_since(self, mount_point: str) -> datetime | None:
        """Give since when a child hangs on this mount, None if none does."""
        since = [
            child.stuck_since
            for child in self.children
            if child.mount_point == mount_point and child.stuck_since is not None
        ]
        return min(since, default=None)

    # The end

    def stop(self) -> Deferred[None]:
        """Kill all children; what they do fails with WorkerStopped.

        Fires when every child is reaped; within a second even if one cannot be killed, which is
        then left to itself.
        """
        if self._stopping is None:
            self._stopping = []
            for child in list(self.children):
                self.end(child, WorkerStopped())
            self._stop_timer = self._reactor.callLater(_STOP_SECONDS, self._waited_enough)
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        self._check_stopped()
        return stopped

    def _waited_enough(self) -> None:
        # As above: who has ended is reaped first.
        self._stop_timer = self._reactor.callLater(0, self._abandon)

    def _abandon(self) -> None:
        for child in self.children:
            self._log.warn(
                "worker {pid} hangs on {mount} and cannot be killed: left behind",
                pid=child.pid,
                mount=one_line(child.mount_point or ""),
            )
            child.close_pipes()
        # The descriptors are closed at the next turn of the reactor: say so only then.
        self._stop_timer = self._reactor.callLater(0, self._forget_all)

    def _forget_all(self) -> None:
        for child in list(self.children):
            self._forget(child)

    def _forget(self, child: Child) -> None:
        self.children.discard(child)
        child.cancel_timer()
        self._check_stopped()

    def _check_stopped(self) -> None:
        """Tell those who wait for the end, if it has come."""
        if self._stopping is None or self.children:
            return
        if self._stop_timer is not None and self._stop_timer.active():
            self._stop_timer.cancel()
        waiting, self._stopping = self._stopping, []
        for stopped in waiting:
            stopped.callback(None)

    # What children tell

    def heard(self, child: Child, request: Request, line: bytes) -> None:
        """Pass on a line of a child that is at work."""
        self._owner.heard(child, request, line)

    def spoke_nonsense(self, child: Child, line: bytes) -> None:
        """Kill a child that cannot be relied on any more."""
        text = shown(line)
        self._log.warn("worker {pid} gave what is no answer: {text}", pid=child.pid, text=text)
        self.end(child, WorkerDied(f"the worker gave what is no answer: {text}"))

    def complained(self, child: Child, text: bytes) -> None:
        """Log what a child wrote on its standard error."""
        self._log.warn("worker {pid}: {text}", pid=child.pid, text=shown(text))

    def gone(self, child: Child, why: str) -> None:
        """Take note that a child has ended and is reaped."""
        if child.stuck_since is not None:
            mount = one_line(child.mount_point or "")
            self._log.info("{mount} answers again", mount=mount)
        request, child.request = child.request, None
        self._owner.lost(child)
        self._forget(child)
        if request is not None:
            request.result.errback(WorkerDied(f"the worker ended: {why}"))
        self._owner.freed(child)
