"""The parent of the workers: hands out requests, keeps deadlines, kills and replaces children.

**Three lanes.** Scans, probes (statvfs) and other walks (the largest files, files by name) have
children of their own, so that long scans never hold up the view of the disks, and a search that
somebody asked for never holds up the scans. A child serves one request at a time and is used
again; in each lane requests wait for a child in the order in which they came.

**Deadlines.** A request's clock starts when its child begins. When it has run out, the caller
hears WorkerTimeout at once and the child gets SIGKILL. One that is not gone half a second later
hangs inside the kernel: it is set aside as stuck on its mount and its slot goes to a new child.
Requests for that mount fail with MountStuck until it is gone; then the mount is free again.

A child that a signal has stopped (SIGSTOP) is ended in the same way, and its request fails with
WorkerDied: its silence says nothing of its mount, which others go on with meanwhile.

A walk that has made no progress for 30 s (``silence_seconds``), because its mount has hung on the
way, does not wait for that: it fails with WorkerSilent, and its child is killed like any other.

**At most one stuck child for each mount.** A request that runs is itself the test of its mount:
a walk is heard of several times a second. While a child on a mount has been silent for a second,
or is being killed, nothing else is sent to that mount; a probe so held back fails at its deadline
like one that was sent. Besides, probes of one mount run one at a time, and so do walks that say
``one_at_a_time``. What remains is a mount that dies within one second in which both a walk and a
probe, or two walks that do not say so, are on it: then each of them may get stuck.

**Idle children take part** in a scan that goes on for some time, and whoever remembers what a path
held scans it the next time: see ``sharing.py``. A child that has served many requests is replaced,
so that what Python may leak does not add up.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from etlmon.fsworker.crew import Crew
from etlmon.fsworker.deadlines import Deadlines
from etlmon.fsworker.failures import MountStuck
from etlmon.fsworker.find import (
    FindOrder,
    FindOutcome,
    FindProgress,
    find_request,
    to_find_outcome,
    to_find_progress,
)
from etlmon.fsworker.lanes import GRACE_SECONDS, Lane, LaneState, Request
from etlmon.fsworker.messages import Order, decode, to_failure
from etlmon.fsworker.scan import ScanOrder, ScanOutcome, ScanProgress, to_given
from etlmon.fsworker.sharing import Sharing
from etlmon.fsworker.top import (
    TopOrder,
    TopOutcome,
    TopProgress,
    to_top_outcome,
    to_top_progress,
    top_request,
)
from etlmon.fsworker.usage import statvfs_request, to_usage
from etlmon.fsworker.waiting import Waiting
from etlmon.fsworker.words import Words
from etlmon.text import host_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from etlmon.fsworker.child import Child
    from etlmon.fsworker.crew import SpawnsAndWaits
    from etlmon.host.mounts import Usage
    from etlmon.records.health import StuckWorker

P = TypeVar("P")

_WORKER = str(Path(__file__).with_name("worker.py"))
_PROBES = 4
_SEARCHES = 2
# After so many requests a child is replaced.
_SERVE_AT_MOST = 10_000


class WorkerPool:
    """Runs statvfs, scans and searches in child processes that may hang, die or be killed.

    ``processes`` is the number of scans that may run at the same time, ``limits`` are those of
    ``worker.py`` for the children that walk, ``wall_clock`` gives seconds since the epoch.
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
        self._words = Words(reactor, wall_clock)
        self._crew = Crew(reactor, wall_clock, command, self)
        self._scans = Lane(processes, limits)
        self._probes = Lane(_PROBES, {})
        self._searches = Lane(_SEARCHES, limits)
        self._lanes = (self._scans, self._probes, self._searches)
        self._waiting = Waiting(reactor, self._crew, self._lanes, self._begin)
        self._sharing = Sharing(reactor, self._crew, self._scans, self)
        self._deadlines = Deadlines(reactor, self._crew)
        self._asked: dict[Deferred[ScanOutcome], Request] = {}
        self._ids = count(1)

    def statvfs(self, path: bytes, mount_point: str, deadline_seconds: float) -> Deferred[Usage]:
        """Ask for the usage of the file system that holds ``path``, which ``mount_point`` names.

        Fires with the answer, or fails with WorkerFailed, WorkerTimeout, MountStuck, WorkerDied
        or WorkerStopped. Cancelling it kills the child.
        """
        result: Deferred[Usage] = Deferred(lambda _: self.withdraw(request))
        request = Request(
            lane=self._probes,
            content=lambda _child, _now: statvfs_request(path),
            mount_point=mount_point,
            told_as=f"the look at {mount_point}",
            limit_seconds=lambda _now: deadline_seconds,
            told_seconds=deadline_seconds,
            exclusive=frozenset({f"probe {mount_point}"}),
            read_answer=to_usage,
            result=result,
        )
        self._waiting.ask(request)
        self._waiting.watch(request, deadline_seconds)
        return result

    def scan(
        self, order: ScanOrder, on_progress: Callable[[ScanProgress], None] | None = None
    ) -> Deferred[ScanOutcome]:
        """Count what is below a directory, as soon as a child is free.

        Fires with the outcome, which may be partial and says so, or fails like statvfs; a
        WorkerTimeout then holds the last counts. ``on_progress`` is called a few times a second.
        Cancelling the Deferred kills the children that are at it.
        """
        result: Deferred[ScanOutcome] = Deferred(lambda _: self._sharing.withdraw(request.scan))
        request = self._asked[result] = self._sharing.request(order, result, on_progress)
        result.addBoth(self._answered, result)
        self._waiting.ask(request)
        return result

    def _answered(self, outcome: Any, result: Deferred[ScanOutcome]) -> Any:
        del self._asked[result]
        return outcome

    def waits_for(self, scan: Deferred[ScanOutcome]) -> str | None:
        """Say what a scan that was asked for waits for, and since when; None once it has begun."""
        request = self._asked.get(scan)
        if request is None or request not in request.lane.waiting:
            return None
        holder = self._waiting.holder(request)
        if holder is None:
            at_work = [child for child in self._crew.children if child.lane is request.lane]
            return self._words.of_all(at_work)
        return self._words.of(holder)

    def top(
        self, order: TopOrder, on_progress: Callable[[TopProgress], None] | None = None
    ) -> Deferred[TopOutcome]:
        """Find the largest files and directories below one, with a stat of each file.

        It takes as long as ``du``; one such search runs at a time. Fires with the outcome, which
        may be partial and says so, or fails like statvfs. ``on_progress`` is called a few times a
        second. Cancelling the Deferred kills the child.
        """
        content = top_request(order)
        told = self._telling(on_progress, to_top_progress)
        return self._search(order, content, to_top_outcome, told, {"top"})

    def find(
        self, order: FindOrder, on_progress: Callable[[FindProgress], None] | None = None
    ) -> Deferred[FindOutcome]:
        """Find files by their names, with a stat of those that match.

        Only directories in which some may be are listed. Fires with the outcome, which may be
        partial and says so, or fails like statvfs; ``on_progress`` and cancelling are as for
        ``top``. Raises ValueError if a pattern is no glob.
        """
        content = find_request(order)
        told = self._telling(on_progress, to_find_progress)
        return self._search(order, content, to_find_outcome, told)

    def stuck_workers(self) -> list[StuckWorker]:
        """Give the children that cannot be killed, the longest first."""
        return self._crew.stuck_workers()

    def lanes(self) -> list[LaneState]:
        """Tell of each lane how many children it has, and what they do."""
        named = zip(("scan", "probe", "search"), self._lanes, strict=True)
        return [self._lane_state(name, lane) for name, lane in named]

    def _lane_state(self, name: str, lane: Lane) -> LaneState:
        children = [child for child in self._crew.children if child.lane is lane]
        return LaneState(
            name=name,
            limit=lane.limit,
            processes=len(children),
            busy=sum(child.request is not None for child in children),
            waiting=len(lane.waiting),
        )

    def stuck_since(self, mount_point: str) -> datetime | None:
        """Give since when a child hangs on this mount, None if none does."""
        return self._crew.stuck_since(mount_point)

    def stop(self) -> Deferred[None]:
        """Kill all children and fail all requests with WorkerStopped.

        Fires when every child is reaped; within a second even if one cannot be killed, which is
        then left to itself.
        """
        self._waiting.stop()
        return self._crew.stop()

    def _search(
        self,
        order: Order,
        content: dict[str, Any],
        read_answer: Callable[[Any], Any],
        on_progress: Callable[[Any], None],
        exclusive: set[str] | frozenset[str] = frozenset(),
    ) -> Deferred[Any]:
        result: Deferred[Any] = Deferred(lambda _: self.withdraw(request))
        request = Request(
            lane=self._searches,
            content=lambda _child, _now: content,
            mount_point=order.mount_point,
            told_as=f"the search below {host_text(order.path)}",
            limit_seconds=lambda _now: order.timeout_seconds + GRACE_SECONDS,
            told_seconds=order.timeout_seconds,
            exclusive=order.exclusive | exclusive,
            read_answer=read_answer,
            result=result,
            silence_seconds=order.silence_seconds,
            on_progress=on_progress,
        )
        self._waiting.ask(request)
        return result

    def _telling(
        self, on_progress: Callable[[P], None] | None, read: Callable[[Any], P]
    ) -> Callable[[Any], None]:
        """Give what takes the content of a progress line, and tells whoever wants to know."""

        def progressed(content: Any) -> None:
            progress = read(content)
            if on_progress is not None:
                try:
                    on_progress(progress)
                except Exception:
                    self._log.failure("on_progress failed")

        return progressed

    # Under way

    def _begin(self, request: Request) -> None:
        child = self._free_child(request)
        partners = self._sharing.partners(child, request)
        self._start(child, request)
        for partner, part in partners:
            self._start(partner, part)

    def _free_child(self, request: Request) -> Child:
        """Give an idle child, the one that remembers if there is one, or a new one."""
        idle = self._crew.idle(request.lane)
        for child in self._sharing.plan_of(request):
            if child in idle:
                return child
        return idle[0] if idle else self._crew.start(request.lane)

    def _start(self, child: Child, request: Request) -> None:
        now = self._reactor.seconds()
        child.begin(next(self._ids), request, now)
        self._deadlines.begin(child, request)
        self._sharing.begun()

    def ask_first(self, request: Request) -> None:
        """Let a request begin before all others of its lane."""
        self._waiting.ask_first(request)

    def withdraw(self, request: Request) -> None:
        """Take back a request whose caller has lost interest; nobody is told."""
        if request in request.lane.waiting:
            self._waiting.take_back(request)
            return
        for child in list(self._crew.children):
            if child.request is request:
                child.request = None
                self._crew.end(child, None)

    # What children tell

    def heard(self, child: Child, request: Request, line: bytes) -> None:
        """Take one line of a child that is at work; raise Malformed if it is no answer."""
        kind, content = decode(child.request_id, line)
        if kind in ("progress", "given"):
            now = self._reactor.seconds()
            was_quiet = child.is_quiet(now)
            child.heard_at = now
            if kind == "given":
                self._sharing.take_given(request, to_given(content))
            elif request.on_progress is not None:
                request.on_progress(content)
            if was_quiet:
                self._waiting.go_on()  # Those that its silence held back may go on.
            return
        answer = request.read_answer(content) if kind == "answer" else to_failure(content)
        child.request = None
        child.mount_point = None
        child.cancel_timer()
        if child.served >= _SERVE_AT_MOST:
            self._crew.end(child, None)
        if kind == "answer":
            request.result.callback(answer)
        else:
            request.result.errback(answer)
        self._waiting.go_on()
        self._sharing.look_in(0)

    def lost(self, child: Child) -> None:
        """Take note that a child will do nothing more."""
        self._sharing.forget(child)
        self._sharing.look_in(0)

    def freed(self, child: Child) -> None:
        """Start others where a child has ended; fail what waits for a mount that it hangs on."""
        if child.stuck_since is not None and child in self._crew.children:
            mount_point = child.mount_point or ""
            self._waiting.fail_on_mount(mount_point, MountStuck(mount_point, child.stuck_since))
        self._waiting.go_on()
