"""The parent of the workers: hands out requests, keeps deadlines, kills and replaces children.

**Two lanes.** Scans and probes (statvfs) have children of their own, so that long scans never
hold up the view of the disks. A child serves one request at a time and is used again; in each
lane requests wait for a child in the order in which they came.

**Deadlines.** A request's clock starts when its child begins. When it has run out, the caller
hears WorkerTimeout at once and the child gets SIGKILL. One that is not gone half a second later
hangs inside the kernel: it is set aside as stuck on its mount and its slot goes to a new child.
Requests for that mount fail with MountStuck until it is gone; then the mount is free again.

**At most one stuck child for each mount.** A request that runs is itself the test of its mount:
a scan is heard of several times a second. While a child on a mount has been silent for a second,
or is being killed, nothing else is sent to that mount; a probe so held back fails at its deadline
like one that was sent. Besides, probes of one mount run one at a time, and so do scans that say
``one_at_a_time``. What remains is a mount that dies within one second in which both a scan and a
probe, or two scans that do not say so, are on it: then each of them may get stuck.
"""

from __future__ import annotations

import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from etlmon.fsworker.child import Child, Lane, Request, shown
from etlmon.fsworker.messages import (
    MountStuck,
    ScanOrder,
    ScanOutcome,
    ScanProgress,
    WorkerDied,
    WorkerFailed,
    WorkerStopped,
    WorkerTimeout,
    decode,
    partial_outcome,
    scan_request,
    statvfs_request,
    to_failure,
    to_outcome,
    to_progress,
    to_usage,
)
from etlmon.records.health import StuckWorker
from etlmon.text import one_line
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from twisted.internet.interfaces import IDelayedCall

    from etlmon.host.mounts import Usage

__all__ = [
    "MountStuck",
    "ScanOrder",
    "ScanOutcome",
    "ScanProgress",
    "WorkerDied",
    "WorkerFailed",
    "WorkerPool",
    "WorkerStopped",
    "WorkerTimeout",
]

_WORKER = str(Path(__file__).with_name("worker.py"))
_PROBES = 4
# A worker ends a scan itself at its timeout and still gives its counts; beyond this it is killed.
_GRACE_SECONDS = 1.0
# Between SIGKILL and the verdict that the child hangs inside the kernel.
_KILL_SECONDS = 0.5
# A scan is heard of every 0.25 s: beyond this its mount is in doubt.
_QUIET_SECONDS = 1.0
_STOP_SECONDS = 0.8


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


class WorkerPool:
    """Runs statvfs and scans in child processes that may hang, die or be killed.

    ``processes`` is the number of scans that may run at the same time, ``nice`` is added to the
    scanning children's niceness, ``wall_clock`` gives seconds since the epoch. ``command`` is the
    program to run as worker. Children are started when they are first needed.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: SpawnsAndWaits,
        wall_clock: Callable[[], float] = time.time,
        processes: int = 2,
        nice: int = 10,
        command: Sequence[str] = (sys.executable, "-I", "-S", "-E", "-X", "utf8", _WORKER),
    ) -> None:
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._command = tuple(command)
        self._scans = Lane(processes, nice)
        self._probes = Lane(_PROBES, 0)
        self._children: set[Child] = set()
        self._ids = count(1)
        self._stopping: list[Deferred[None]] | None = None
        self._stop_timer: IDelayedCall | None = None

    def statvfs(self, path: bytes, mount_point: str, deadline_seconds: float) -> Deferred[Usage]:
        """Ask for the usage of the file system that holds ``path``, which ``mount_point`` names.

        Fires with the answer, or fails with WorkerFailed, WorkerTimeout, MountStuck, WorkerDied
        or WorkerStopped. Cancelling it kills the child.
        """
        return self._ask(
            self._probes,
            lambda result: Request(
                content=statvfs_request(path),
                mount_point=mount_point,
                limit_seconds=deadline_seconds,
                told_seconds=deadline_seconds,
                alone=True,
                read_answer=to_usage,
                result=result,
            ),
        )

    def scan(
        self, order: ScanOrder, on_progress: Callable[[ScanProgress], None] | None = None
    ) -> Deferred[ScanOutcome]:
        """Count what is below a directory, as soon as a child is free.

        Fires with the outcome, which may be partial and says so, or fails like statvfs; a
        WorkerTimeout then holds the last counts. ``on_progress`` is called a few times a second.
        Cancelling the Deferred kills the child.
        """
        return self._ask(
            self._scans,
            lambda result: Request(
                content=scan_request(order),
                mount_point=order.mount_point,
                limit_seconds=order.timeout_seconds + _GRACE_SECONDS,
                told_seconds=order.timeout_seconds,
                alone=order.one_at_a_time,
                read_answer=to_outcome,
                result=result,
                on_progress=on_progress,
            ),
        )

    def stuck_workers(self) -> list[StuckWorker]:
        """Give the children that cannot be killed, the longest first."""
        return sorted(
            (
                StuckWorker(
                    mount_point=child.mount_point or "",
                    pid=child.pid,
                    stuck_since=child.stuck_since,
                )
                for child in self._children
                if child.stuck_since is not None
            ),
            key=lambda stuck: stuck.stuck_since,
        )

    def stuck_since(self, mount_point: str) -> datetime | None:
        """Give since when a child hangs on this mount, None if none does."""
        for stuck in self.stuck_workers():
            if stuck.mount_point == mount_point:
                return stuck.stuck_since
        return None

    def stop(self) -> Deferred[None]:
        """Kill all children and fail all requests with WorkerStopped.

        Fires when every child is reaped; within a second even if one cannot be killed, which is
        then left to itself.
        """
        if self._stopping is None:
            self._stopping = []
            for lane in (self._scans, self._probes):
                for request in list(lane.waiting):
                    self._take(lane, request)
                    request.result.errback(WorkerStopped())
            for child in list(self._children):
                self._end(child, WorkerStopped())
            self._stop_timer = self._reactor.callLater(_STOP_SECONDS, self._abandon_children)
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        self._check_stopped()
        return stopped

    def _abandon_children(self) -> None:
        for child in self._children:
            self._log.warn(
                "worker {pid} hangs on {mount} and cannot be killed: left behind",
                pid=child.pid,
                mount=one_line(child.mount_point or ""),
            )
            child.close_pipes()
        # The descriptors are closed at the next turn of the reactor: say so only then.
        self._stop_timer = self._reactor.callLater(0, self._forget_all)

    def _forget_all(self) -> None:
        for child in list(self._children):
            self._forget(child)

    def _forget(self, child: Child) -> None:
        self._children.discard(child)
        child.cancel_timer()
        self._check_stopped()

    def _check_stopped(self) -> None:
        """Tell those who wait for the end, if it has come."""
        if self._stopping is None or self._children:
            return
        if self._stop_timer is not None and self._stop_timer.active():
            self._stop_timer.cancel()
        waiting, self._stopping = self._stopping, []
        for stopped in waiting:
            stopped.callback(None)

    # Waiting

    def _ask(self, lane: Lane, make: Callable[[Deferred[Any]], Request]) -> Deferred[Any]:
        request = make(Deferred(lambda _: self._cancel(lane, request)))
        if self._stopping is not None:
            request.result.errback(WorkerStopped())
            return request.result
        lane.waiting.append(request)
        self._dispatch()
        if lane is self._probes and request in lane.waiting:
            self._watch_held(lane, request)
        return request.result

    def _dispatch(self) -> None:
        """Start what may start, in order; fail what waits for a mount that has got stuck."""
        for lane in (self._scans, self._probes):
            for request in list(lane.waiting):
                if request not in lane.waiting:
                    continue  # Gone meanwhile, by what a failing one's callbacks did.
                since = self.stuck_since(request.mount_point)
                if since is not None:
                    self._take(lane, request)
                    request.result.errback(MountStuck(request.mount_point, since))
                elif not self._is_held(lane, request):
                    try:
                        child = self._free_child(lane)
                    except OSError as error:
                        self._take(lane, request)
                        request.result.errback(WorkerDied(f"cannot start a worker: {error}"))
                        continue
                    if child is not None:
                        self._take(lane, request)
                        self._begin(child, request)

    def _is_held(self, lane: Lane, request: Request) -> bool:
        """Tell whether what is under way on the same mount forbids to start this one."""
        quiet_since = self._reactor.seconds() - _QUIET_SECONDS
        for child in self._children:
            if child.mount_point == request.mount_point:
                if child.request is None or child.heard_at < quiet_since:
                    return True
                if child.lane is lane and request.alone and child.request.alone:
                    return True
        return False

    def _free_child(self, lane: Lane) -> Child | None:
        """Give an idle child, or a new one where there may be one more."""
        mine = [child for child in self._children if child.lane is lane and not child.stuck_since]
        for child in mine:
            if child.mount_point is None and not child.killed:
                return child
        if len(mine) >= lane.limit:
            return None
        child = Child(self, lane)
        self._reactor.spawnProcess(child, self._command[0], [*self._command, str(lane.nice)], {})
        self._children.add(child)
        return child

    def _take(self, lane: Lane, request: Request) -> None:
        lane.waiting.remove(request)
        if request.held_timer is not None and request.held_timer.active():
            request.held_timer.cancel()

    def _watch_held(self, lane: Lane, request: Request) -> None:
        """Fail a probe that its mount's silence holds back for the whole of its deadline."""
        request.held_timer = self._reactor.callLater(
            request.limit_seconds, self._held_too_long, lane, request
        )

    def _held_too_long(self, lane: Lane, request: Request) -> None:
        if self._is_held(lane, request):
            self._take(lane, request)
            request.result.errback(WorkerTimeout(request.mount_point, request.told_seconds))
        else:
            self._watch_held(lane, request)

    # Under way

    def _begin(self, child: Child, request: Request) -> None:
        child.timer = self._reactor.callLater(request.limit_seconds, self._overdue, child, request)
        child.begin(next(self._ids), request, self._reactor.seconds())

    def _overdue(self, child: Child, request: Request) -> None:
        partial = None
        if request.progress is not None:
            partial = partial_outcome(request.progress, request.limit_seconds)
        self._end(child, WorkerTimeout(request.mount_point, request.told_seconds, partial))

    def _cancel(self, lane: Lane, request: Request) -> None:
        if request in lane.waiting:
            self._take(lane, request)
            return
        for child in list(self._children):
            if child.request is request:
                # The Deferred fails by itself, with CancelledError.
                child.request = None
                self._end(child, None)

    def _end(self, child: Child, error: Exception | None) -> None:
        """Kill a child, and fail what it was doing with ``error``."""
        request, child.request = child.request, None
        if not child.killed:
            child.killed = True
            child.cancel_timer()
            child.kill()
            since = utc(self._wall_clock())
            child.timer = self._reactor.callLater(_KILL_SECONDS, self._set_aside, child, since)
        if request is not None and error is not None:
            request.result.errback(error)

    def _set_aside(self, child: Child, since: datetime) -> None:
        child.stuck_since = since
        self._log.warn(
            "worker {pid} hangs on {mount} and cannot be killed: the mount is left alone",
            pid=child.pid,
            mount=one_line(child.mount_point or ""),
        )
        child.close_pipes()
        self._dispatch()

    # What children tell

    def heard(self, child: Child, request: Request, line: bytes) -> None:
        """Take one line of a child that is at work; raise Malformed if it is no answer."""
        kind, content = decode(child.request_id, line)
        if kind == "progress":
            request.progress = to_progress(content)
            child.heard_at = self._reactor.seconds()
            if request.on_progress is not None:
                try:
                    request.on_progress(request.progress)
                except Exception:
                    self._log.failure("on_progress of a scan failed")
            # Those that its silence held back may go on.
            self._dispatch()
            return
        answer = request.read_answer(content) if kind == "answer" else to_failure(content)
        child.request = None
        child.mount_point = None
        child.cancel_timer()
        if kind == "answer":
            request.result.callback(answer)
        else:
            request.result.errback(answer)
        self._dispatch()

    def spoke_nonsense(self, child: Child, line: bytes) -> None:
        """Kill a child that cannot be relied on any more."""
        text = shown(line)
        self._log.warn("worker {pid} gave what is no answer: {text}", pid=child.pid, text=text)
        self._end(child, WorkerDied(f"the worker gave what is no answer: {text}"))

    def complained(self, child: Child, text: bytes) -> None:
        """Log what a child wrote on its standard error."""
        self._log.warn("worker {pid}: {text}", pid=child.pid, text=shown(text))

    def gone(self, child: Child, why: str) -> None:
        """Take note that a child has ended and is reaped."""
        if child.stuck_since is not None:
            mount = one_line(child.mount_point or "")
            self._log.info("{mount} answers again", mount=mount)
        request, child.request = child.request, None
        self._forget(child)
        if request is not None:
            request.result.errback(WorkerDied(f"the worker ended: {why}"))
        self._dispatch()
