"""A scan that the workers are at: how far it is, now and then, and at last its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        self, workers: WorkerPool, order: ScanOrder, clock: Callable[[], float], began_at: float
    ) -> None:
        self._clock = clock
        self._told_at = began_at
        self.heard: ScanProgress | None = None
        """How far it was when it was last heard of; None if it never was."""
        self._progress: ScanProgress | None = None
        self._result: ScanOutcome | Failure | None = None
        self._waiting: Deferred[None] | None = None
        self._scan = workers.scan(order, self._progressed)
        self._scan.addBoth(self._ended)

    async def progress(self) -> ScanProgress | None:
        """Wait until there is something new to tell; give None once the scan has ended.

        Cancelled, it cancels the scan.
        """
        if self._result is None and self._progress is None:
            self._waiting = Deferred(lambda _: self.cancel())
            await self._waiting
        progress, self._progress = self._progress, None
        return progress if self._result is None else None

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
        now = self._clock()
        if now - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = now
            self._progress = progress
            self._wake()

    def _ended(self, result: ScanOutcome | Failure) -> None:
        self._result = result
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
