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

**Idle children take part** in a scan that goes on for some time, and whoever remembers what a path
held scans it the next time: see ``sharing.py``. A child that has served many requests is replaced,
so that what Python may leak does not add up.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType
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
    statvfs_request,
    to_failure,
    to_given,
    to_outcome,
    to_progress,
    to_usage,
)
from etlmon.fsworker.sharing import Plan, SharedScan
from etlmon.records.health import StuckWorker
from etlmon.text import one_line
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

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
# How long a child is at work before another one may take part: small trees are done by then.
_ALONE_SECONDS = 0.015
# Until a child that had nothing to give up is asked again.
_ASK_AGAIN_SECONDS = 0.05
# After so many requests a child is replaced.
_SERVE_AT_MOST = 10_000
_PLANS = 1000


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

    ``processes`` is the number of scans that may run at the same time, ``limits`` are those of
    ``worker.py`` for the children that scan, ``wall_clock`` gives seconds since the epoch.
    ``command`` is the program to run as worker. Children are started when they are first needed.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: SpawnsAndWaits,
        wall_clock: Callable[[], float] = time.time,
        processes: int = 2,
        limits: Mapping[str, object] = MappingProxyType({"nice": 10}),
        command: Sequence[str] = (sys.executable, "-I", "-S", "-E", "-X", "utf8", _WORKER),
    ) -> None:
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._command = tuple(command)
        self._scans = Lane(processes, limits)
        self._probes = Lane(_PROBES, {})
        self._children: set[Child] = set()
        self._ids = count(1)
        self._scan_ids = count(1)
        self._plans: dict[str, Plan] = {}
        self._share_timer: IDelayedCall | None = None
        self._stopping: list[Deferred[None]] | None = None
        self._stop_timer: IDelayedCall | None = None

    def statvfs(self, path: bytes, mount_point: str, deadline_seconds: float) -> Deferred[Usage]:
        """Ask for the usage of the file system that holds ``path``, which ``mount_point`` names.

        Fires with the answer, or fails with WorkerFailed, WorkerTimeout, MountStuck, WorkerDied
        or WorkerStopped. Cancelling it kills the child.
        """
        result: Deferred[Usage] = Deferred(lambda _: self._withdraw(self._probes, request))
        request = Request(
            content=lambda _child, _now: statvfs_request(path),
            mount_point=mount_point,
            limit_seconds=lambda _now: deadline_seconds,
            told_seconds=deadline_seconds,
            exclusive=mount_point,
            read_answer=to_usage,
            result=result,
        )
        self._ask(self._probes, request)
        if request in self._probes.waiting:
            self._watch_held(request, deadline_seconds)
        return result

    def scan(
        self, order: ScanOrder, on_progress: Callable[[ScanProgress], None] | None = None
    ) -> Deferred[ScanOutcome]:
        """Count what is below a directory, as soon as a child is free.

        Fires with the outcome, which may be partial and says so, or fails like statvfs; a
        WorkerTimeout then holds the last counts. ``on_progress`` is called a few times a second.
        Cancelling the Deferred kills the children that are at it.
        """
        result: Deferred[ScanOutcome] = Deferred(lambda _: self._withdraw_parts(scan))
        scan = SharedScan(order, next(self._scan_ids), result, on_progress)
        self._ask(self._scans, self._part(scan, [""]))
        return result

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
                    if request in lane.waiting:  # Else gone, with another part of its scan.
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
        self._plans = {name: plan for name, plan in self._plans.items() if child not in plan}
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

    def _ask(self, lane: Lane, request: Request) -> None:
        if self._stopping is not None:
            request.result.errback(WorkerStopped())
            return
        lane.waiting.append(request)
        self._dispatch()

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
                        child = self._free_child(lane, request)
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
            at_work = child.request
            same_mount = child.mount_point == request.mount_point
            if same_mount and (at_work is None or child.heard_at < quiet_since):
                return True
            if child.lane is lane and at_work is not None and request.excludes(at_work):
                return True
        return False

    def _free_child(self, lane: Lane, request: Request) -> Child | None:
        """Give an idle child, the one that remembers if there is one, or a new one."""
        idle = self._idle(lane)
        for child in self._plan_of(request):
            if child in idle:
                return child
        if idle:
            return idle[0]
        if not self._has_room(lane):
            return None
        child = Child(self, lane)
        arguments = [*self._command, json.dumps(dict(lane.limits))]
        self._reactor.spawnProcess(child, self._command[0], arguments, {})
        self._children.add(child)
        return child

    def _idle(self, lane: Lane) -> list[Child]:
        return [child for child in self._children if child.lane is lane and child.is_idle]

    def _has_room(self, lane: Lane) -> bool:
        mine = [child for child in self._children if child.lane is lane and not child.stuck_since]
        return len(mine) < lane.limit

    def _plan_of(self, request: Request) -> Plan:
        """Give who did the same scan before; nobody where it is not remembered."""
        name = request.scan.order.remember_as if request.scan else None
        return self._plans.get(name, {}) if name else {}

    def _take(self, lane: Lane, request: Request) -> None:
        lane.waiting.remove(request)
        if request.held_timer is not None and request.held_timer.active():
            request.held_timer.cancel()

    def _watch_held(self, request: Request, deadline_seconds: float) -> None:
        """Fail a probe that its mount's silence holds back for the whole of its deadline."""
        request.held_timer = self._reactor.callLater(
            deadline_seconds, self._held_too_long, request, deadline_seconds
        )

    def _held_too_long(self, request: Request, deadline_seconds: float) -> None:
        if self._is_held(self._probes, request):
            self._take(self._probes, request)
            request.result.errback(WorkerTimeout(request.mount_point, request.told_seconds))
        else:
            self._watch_held(request, deadline_seconds)

    # Under way

    def _begin(self, child: Child, request: Request) -> None:
        helpers = self._helpers(child, request)
        self._start(child, request)
        for helper, part in helpers:
            self._start(helper, part)

    def _helpers(self, child: Child, request: Request) -> list[tuple[Child, Request]]:
        """Give who begins along with this child, and what with, where the scan was shared before.

        A scan that lists everything is shared anew.
        """
        plan = self._plan_of(request)
        scan = request.scan
        if scan is None or scan.began_at is not None or scan.order.relist:
            return []
        if not scan.may_be_shared:
            return []
        if next(iter(plan), None) is not child:
            return []
        others = [other for other in plan if other is not child]
        if not all(other.is_idle for other in others):
            return []
        scan.follow(plan)
        request.parts = plan[child]
        return [(other, self._part(scan, plan[other])) for other in others]

    def _start(self, child: Child, request: Request) -> None:
        now = self._reactor.seconds()
        child.begin(next(self._ids), request, now)
        seconds = request.limit_seconds(now)
        child.timer = self._reactor.callLater(seconds, self._overdue, child, request)
        self._share_in(_ALONE_SECONDS)

    def _overdue(self, child: Child, request: Request) -> None:
        partial = None
        if request.scan is not None and request.progress is not None:
            partial = partial_outcome(request.scan.progress(), request.scan.order.timeout_seconds)
        self._end(child, WorkerTimeout(request.mount_point, request.told_seconds, partial))

    def _withdraw(self, lane: Lane, request: Request) -> None:
        """Take back a request whose caller has lost interest; nobody is told."""
        if request in lane.waiting:
            self._take(lane, request)
            return
        for child in list(self._children):
            if child.request is request:
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
            self._share_in(0)
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

    # Sharing scans

    def _part(self, scan: SharedScan, parts: list[str]) -> Request:
        """Give the request for some parts of a scan."""
        order = scan.order

        def limit_seconds(now: float) -> float:
            began_at = now if scan.began_at is None else scan.began_at
            return began_at + order.timeout_seconds + _GRACE_SECONDS - now

        request = Request(
            content=lambda child, now: scan.begin(child, request.parts, now),
            mount_point=order.mount_point,
            limit_seconds=limit_seconds,
            told_seconds=order.timeout_seconds,
            exclusive=_exclusive(order),
            read_answer=to_outcome,
            result=Deferred(),
            scan=scan,
            parts=parts,
        )
        scan.requests.append(request)
        request.result.addCallbacks(
            self._part_done, self._part_failed, (scan, request), errbackArgs=(scan, request)
        )
        return request

    def _part_done(self, outcome: ScanOutcome, scan: SharedScan, request: Request) -> None:
        scan.finish(request, outcome)
        if scan.requests:
            self._stop_at_limit(scan)
            return
        name = scan.order.remember_as
        if name is not None:
            self._plans.pop(name, None)
            if all(child in self._children for child in scan.plan):
                self._plans[name] = scan.plan
            if len(self._plans) > _PLANS:
                del self._plans[next(iter(self._plans))]
        began_at = request.began_at if scan.began_at is None else scan.began_at
        scan.result.callback(scan.outcome(self._reactor.seconds() - began_at))

    def _part_failed(self, failure: Failure, scan: SharedScan, request: Request) -> None:
        """Fail the whole scan: what the others find would not be all."""
        scan.requests.remove(request)
        self._withdraw_parts(scan)
        scan.result.errback(failure)

    def _withdraw_parts(self, scan: SharedScan) -> None:
        requests, scan.requests = scan.requests, []
        for request in requests:
            self._withdraw(self._scans, request)

    def _stop_at_limit(self, scan: SharedScan) -> None:
        """Stop the children of a scan that have passed its limit together."""
        if scan.has_too_many_files:
            for child in self._children:
                if child.request is not None and child.request.scan is scan:
                    child.tell("stop")

    def _share_in(self, seconds: float) -> None:
        """Look in some time whether an idle child may take part in what another one does."""
        if self._share_timer is None and self._sharers():
            self._share_timer = self._reactor.callLater(seconds, self._share)
        elif self._share_timer is not None and not self._sharers():
            self._share_timer.cancel()
            self._share_timer = None

    def _sharers(self) -> list[Child]:
        """Give the children that may be asked for parts of what they do."""
        return [
            child
            for child in self._children
            if child.request is not None
            and child.request.scan is not None
            and child.request.scan.may_be_shared
            and not child.request.asked_to_share
        ]

    def _share(self) -> None:
        """Ask the child that is longest at its part to give up some of it, if one is idle."""
        self._share_timer = None
        # Whatever else waits then, waits for its mount and not for a child.
        has_idle = self._has_room(self._scans) or self._idle(self._scans)
        if not has_idle or not self._sharers():
            return
        longest = min(self._sharers(), key=_began_at)
        wait_seconds = _began_at(longest) + _ALONE_SECONDS - self._reactor.seconds()
        if wait_seconds > 0:
            self._share_in(wait_seconds)
        else:
            assert longest.request is not None
            longest.request.asked_to_share = True
            longest.tell("share")

    def _take_given(self, request: Request, parts: list[str]) -> None:
        """Give to another child what one has given up."""
        request.asked_to_share = False
        if parts and request.scan is not None:
            self._scans.waiting.appendleft(self._part(request.scan, parts))
            self._dispatch()
        self._share_in(_ALONE_SECONDS if parts else _ASK_AGAIN_SECONDS)

    # What children tell

    def heard(self, child: Child, request: Request, line: bytes) -> None:
        """Take one line of a child that is at work; raise Malformed if it is no answer."""
        kind, content = decode(child.request_id, line)
        if kind == "progress":
            child.heard_at = self._reactor.seconds()
            self._progressed(request, to_progress(content))
            # Those that its silence held back may go on.
            self._dispatch()
            return
        if kind == "given":
            child.heard_at = self._reactor.seconds()
            self._take_given(request, to_given(content))
            return
        answer = request.read_answer(content) if kind == "answer" else to_failure(content)
        child.request = None
        child.mount_point = None
        child.cancel_timer()
        if child.served >= _SERVE_AT_MOST:
            self._end(child, None)
        if kind == "answer":
            request.result.callback(answer)
        else:
            request.result.errback(answer)
        self._dispatch()
        self._share_in(0)

    def _progressed(self, request: Request, progress: ScanProgress) -> None:
        request.progress = progress
        scan = request.scan
        if scan is None:
            return
        self._stop_at_limit(scan)
        if scan.on_progress is not None:
            try:
                scan.on_progress(scan.progress())
            except Exception:
                self._log.failure("on_progress of a scan failed")

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
        self._share_in(0)
        self._forget(child)
        if request is not None:
            request.result.errback(WorkerDied(f"the worker ended: {why}"))
        self._dispatch()


def _began_at(child: Child) -> float:
    assert child.request is not None
    return child.request.began_at


def _exclusive(order: ScanOrder) -> str | None:
    """Give the word that scans share which may not run at the same time."""
    if order.server is not None:
        return f"server {order.server}"
    return order.mount_point if order.one_at_a_time else None
