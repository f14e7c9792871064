"""A scan that the workers are at: how far it is, now and then, and at last its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.fsworker.pool import WorkerPool
    from etlmon.fsworker.scan import ScanOrder, ScanOutcome, ScanProgress

# Most scans end before the first of these; a long one costs a row's change each time.
_PROGRESS_SECONDS = 2.0


class UnderWay:
    """One scan to its end; ``clock`` gives seconds that only grow, it ``began_at`` one of them."""

    def __init__(
        self,
        workers: WorkerPool,
        order: ScanOrder,
        reactor: Any,
        clock: Callable[[], float],
        began_at: float,
    ) -> None:
        self._workers = workers
        self._reactor = reactor
        self._clock = clock
        self._told_at = began_at
        self.heard: ScanProgress | None = None
        """How far it was when it was last heard of; None if it never was."""
        self.waits_for: str | None = None
        """What it waits for, if it has not begun."""
        self._is_news = False
        self._timer: Any = None
        self._result: ScanOutcome | Failure | None = None
        self._waiting: Deferred[None] | None = None
        self._scan = workers.scan(order, self._progressed)
        self._scan.addBoth(self._ended)
        if self._result is None:
            self._look_later()

    async def has_news(self) -> bool:
        """Wait until ``heard`` or ``waits_for`` is worth telling; False once the scan has ended.

        Cancelled, it cancels the scan.
        """
        if self._result is None and not self._is_news:
            self._waiting = Deferred(lambda _: self.cancel())
            await self._waiting
        self._is_news = False
        return self._result is None

    def outcome(self) -> ScanOutcome:
        """Give what an ended scan came to, or raise what it failed with."""
        assert self._result is not None
        if isinstance(self._result, Failure):
            self._result.raiseException()
        return self._result

    def cancel(self) -> None:
        """End the scan, if it has not ended."""
        self._scan.cancel()

    def _progressed(self, progress: ScanProgress) -> None:
        self.heard = progress
        self.waits_for = None
        now = self._clock()
        if now - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = now
            self._tell()

    def _look_later(self) -> None:
        self._timer = self._reactor.callLater(_PROGRESS_SECONDS, self._look)

    def _look(self) -> None:
        """See now and then what it waits for, until it is heard of."""
        self._timer = None
        if self.heard is not None:
            return
        self._look_later()
        waits_for = self._workers.waits_for(self._scan)
        if waits_for != self.waits_for:
            self.waits_for = waits_for
            self._tell()

    def _tell(self) -> None:
        self._is_news = True
        self._wake()

    def _ended(self, result: ScanOutcome | Failure) -> None:
        self._result = result
        if self._timer is not None:
            self._timer.cancel()
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
