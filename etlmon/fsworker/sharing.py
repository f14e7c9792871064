"""A scan that one child begins, and that idle ones may take parts of.

The parts are directories relative to the scanned one, ``""`` is that itself. Who has a part counts
what is below it, except the parts below that others have. When a child has been at its part for
some time and another one is idle, the pool has it give up half of what it has still to do.

**Again.** Each child remembers what it has found in its parts. So the next scan of the same name
begins with the same children at the same parts at once, if all of them are idle. Otherwise the
one that began does it all, or any other one: what is not remembered is listed.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import Deferred

from etlmon.fsworker.failures import WorkerDied
from etlmon.fsworker.lanes import GRACE_SECONDS, Request
from etlmon.fsworker.scan import ScanOutcome, ScanProgress, to_scan_outcome, to_scan_progress
from etlmon.fsworker.shared import SharedScan
from etlmon.text import host_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from etlmon.fsworker.child import Child
    from etlmon.fsworker.crew import Crew, SpawnsAndWaits
    from etlmon.fsworker.lanes import Lane
    from etlmon.fsworker.scan import ScanOrder
    from etlmon.fsworker.shared import Plan

# How long a child is at work before another one may take part: small trees are done by then.
_ALONE_SECONDS = 0.015
# Until a child that had nothing to give up is asked again.
_ASK_AGAIN_SECONDS = 0.05
_PLANS = 1000


class Asker(Protocol):
    """Who finds children for parts of scans."""

    def ask_first(self, request: Request) -> None:
        """Let a request begin before all that wait."""

    def withdraw(self, request: Request) -> None:
        """Take back a request; if a child is at it, that is killed."""


class Sharing:
    """Has idle children take parts of the scans that others are at."""

    def __init__(self, reactor: SpawnsAndWaits, crew: Crew, lane: Lane, asker: Asker) -> None:
        self._reactor = reactor
        self._crew = crew
        self._lane = lane
        self._asker = asker
        self._scan_ids = count(1)
        self._plans: dict[str, tuple[int, Plan]] = {}
        self._timer: IDelayedCall | None = None

    def request(
        self,
        order: ScanOrder,
        result: Deferred[ScanOutcome],
        on_progress: Callable[[ScanProgress], None] | None,
    ) -> Request:
        """Give the request with which a scan begins; ``result`` is of the whole."""
        scan = SharedScan(order, next(self._scan_ids), result, on_progress)
        return self._part(scan, [""])

    def plan_of(self, request: Request) -> Plan:
        """Give who did the same scan before; nobody where it is not remembered."""
        return self._made(request)[1]

    def _made(self, request: Request) -> tuple[int, Plan]:
        """Give who did the same scan before, and in which generation."""
        name = request.scan.order.remember_as if request.scan else None
        return self._plans.get(name or "", (0, {}))

    def forget(self, child: Child) -> None:
        """Forget what a child remembered, which is gone with it."""
        self._plans = {name: made for name, made in self._plans.items() if child not in made[1]}

    def partners(self, child: Child, request: Request) -> list[tuple[Child, Request]]:
        """Give who begins along with this child, and what with, where the scan was shared before.

        One of a new generation, which lists everything, is shared anew.
        """
        generation, plan = self._made(request)
        scan = request.scan
        if scan is None or scan.began_at is not None or not scan.may_be_shared:
            return []
        if next(iter(plan), None) is not child:
            return []
        others = [other for other in plan if other is not child]
        if generation != scan.order.generation or not all(other.is_idle for other in others):
            return []
        scan.follow(plan)
        request.parts = plan[child]
        return [(other, self._part(scan, plan[other])) for other in others]

    def withdraw(self, scan: SharedScan | None) -> None:
        """Take back all that is not done yet of a scan."""
        if scan is None:
            return
        requests, scan.requests = scan.requests, []
        for request in requests:
            self._asker.withdraw(request)

    def look_in(self, seconds: float) -> None:
        """Look in some time whether an idle child may take part in what another one does."""
        if self._timer is None and self._sharers():
            self._timer = self._reactor.callLater(seconds, self._share)
        elif self._timer is not None and not self._sharers():
            self._timer.cancel()
            self._timer = None

    def begun(self) -> None:
        """Take note that a child has begun: after some time another one may take part."""
        self.look_in(_ALONE_SECONDS)

    def take_given(self, request: Request, parts: list[str]) -> None:
        """Give to another child what one has given up."""
        request.asked_to_share = False
        if parts and request.scan is not None:
            self._asker.ask_first(self._part(request.scan, parts))
        self.look_in(_ALONE_SECONDS if parts else _ASK_AGAIN_SECONDS)

    def _part(self, scan: SharedScan, parts: list[str]) -> Request:
        """Give the request for some parts of a scan."""
        order = scan.order

        def limit_seconds(now: float) -> float:
            began_at = now if scan.began_at is None else scan.began_at
            return began_at + order.timeout_seconds + GRACE_SECONDS - now

        request = Request(
            lane=self._lane,
            content=lambda child, now: scan.begin(child, request.parts, now),
            mount_point=order.mount_point,
            told_as=f"the scan of {host_text(order.path)}",
            limit_seconds=limit_seconds,
            told_seconds=order.timeout_seconds,
            exclusive=order.exclusive,
            read_answer=to_scan_outcome,
            result=Deferred(),
            silence_seconds=order.silence_seconds,
            on_progress=lambda content: self._progressed(scan, request, to_scan_progress(content)),
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
            if all(child in self._crew.children for child in scan.plan):
                self._plans[name] = scan.order.generation, scan.plan
            if len(self._plans) > _PLANS:
                del self._plans[next(iter(self._plans))]
        began_at = request.began_at if scan.began_at is None else scan.began_at
        scan.result.callback(scan.outcome(self._reactor.seconds() - began_at))

    def _part_failed(self, failure: Failure, scan: SharedScan, request: Request) -> None:
        """Fail the whole scan: what the others find would not be all."""
        if isinstance(failure.value, WorkerDied):
            failure.value.partial = scan.partial(self._reactor.seconds())
        scan.requests.remove(request)
        self.withdraw(scan)
        scan.result.errback(failure)

    def _progressed(self, scan: SharedScan, request: Request, progress: ScanProgress) -> None:
        scan.told[request] = progress
        self._stop_at_limit(scan)
        scan.tell_progress()

    def _stop_at_limit(self, scan: SharedScan) -> None:
        """Stop the children of a scan that have passed its limit together."""
        if scan.has_too_many_files:
            for child in self._crew.children:
                if child.request is not None and child.request.scan is scan:
                    child.tell("stop")

    def _sharers(self) -> list[Child]:
        """Give the children that may be asked for parts of what they do."""
        return [
            child
            for child in self._crew.children
            if child.request is not None
            and child.request.scan is not None
            and child.request.scan.may_be_shared
            and not child.request.asked_to_share
        ]

    def _share(self) -> None:
        """Ask the child that is longest at its part to give up some of it, if one is idle."""
        self._timer = None
        # Whatever else waits then, waits for its mount and not for a child.
        has_idle = self._crew.has_room(self._lane) or self._crew.idle(self._lane)
        if not has_idle or not self._sharers():
            return
        longest = min(self._sharers(), key=_began_at)
        wait_seconds = _began_at(longest) + _ALONE_SECONDS - self._reactor.seconds()
        if wait_seconds > 0:
            self.look_in(wait_seconds)
        else:
            assert longest.request is not None
            longest.request.asked_to_share = True
            longest.tell("share")


def _began_at(child: Child) -> float:
    assert child.request is not None
    return child.request.began_at
