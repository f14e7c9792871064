"""What ends a request by force: its deadline, and silence that only a hung mount explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.fsworker.failures import WorkerSilent, WorkerTimeout

if TYPE_CHECKING:
    from etlmon.fsworker.child import Child
    from etlmon.fsworker.crew import Crew, SpawnsAndWaits
    from etlmon.fsworker.lanes import Request
    from etlmon.fsworker.scan import ScanOutcome


class Deadlines:
    """Watches children at work; ends one that takes too long, or says nothing for too long.

    Before that, what has come is read: where this process itself stood still for a while, its
    timers run before the pipes are looked at, and the answer may have been there in time.
    """

    def __init__(self, reactor: SpawnsAndWaits, crew: Crew) -> None:
        self._reactor = reactor
        self._crew = crew

    def begin(self, child: Child, request: Request) -> None:
        """Watch a child that begins a request now, until it cancels its timers."""
        seconds = request.limit_seconds(self._reactor.seconds())
        child.timer = self._reactor.callLater(seconds, self._overdue, child, request)
        if request.silence_seconds is not None and request.silence_seconds < seconds:
            self._listen(child, request, request.silence_seconds)

    def _listen(self, child: Child, request: Request, seconds: float) -> None:
        """Look in some time whether the child has said anything meanwhile."""
        child.silence_timer = self._reactor.callLater(seconds, self._silent, child, request)

    def _silent(self, child: Child, request: Request) -> None:
        assert request.silence_seconds is not None
        left = child.heard_at + request.silence_seconds - self._reactor.seconds()
        if left > 0:
            self._listen(child, request, left)
        else:
            child.silence_timer = self._reactor.callLater(0, self._silent_still, child, request)

    def _silent_still(self, child: Child, request: Request) -> None:
        assert request.silence_seconds is not None
        left = child.heard_at + request.silence_seconds - self._reactor.seconds()
        if left > 0:
            self._listen(child, request, left)
        else:
            partial = self._partial(request)
            error = WorkerSilent(request.mount_point, request.silence_seconds, partial)
            self._crew.give_up(child, error)

    def _overdue(self, child: Child, request: Request) -> None:
        child.timer = self._reactor.callLater(0, self._overdue_still, child, request)

    def _overdue_still(self, child: Child, request: Request) -> None:
        partial = self._partial(request)
        error = WorkerTimeout(request.mount_point, request.told_seconds, partial)
        self._crew.give_up(child, error)

    def _partial(self, request: Request) -> ScanOutcome | None:
        """Give what is known of the scan that a child is at."""
        if request.scan is None:
            return None
        return request.scan.partial(self._reactor.seconds())
