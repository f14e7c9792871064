"""Runs a collector on its schedule and brings what it gives into the store."""

from __future__ import annotations

import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from etlmon.collectors.base import Hinted, Spread
from etlmon.errors import CollectedInPart, EtlmonError, StoreError, why_not_stored
from etlmon.records.health import CollectorHealth, CollectorRun
from etlmon.text import one_line
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from twisted.internet.interfaces import IDelayedCall

    from etlmon.collectors.base import Collector
    from etlmon.records.base import Record


_HINTED_APART_SECONDS = 0.025
"""A run that follows on another, for a hint in it, begins so long after that one did: then what it
gives need not wait for its commit (the store's are 20 ms apart), and is as new as it can be."""


_FAILED_APART_SECONDS = 5.0
"""A run at a hint begins so long after one that failed."""


class Sink(Protocol):
    """Where batches go: the store."""

    def write(self, records: Sequence[Record], *, may_wait: bool = False) -> Deferred[None]:
        """Store records in one transaction; fires when they are committed.

        What ``may_wait`` may be stored a few seconds later, along with others.
        """


class CollectorService(TimerService):
    """One collector on its timer.

    A run that is still going when the next is due makes that next one fall away; nothing queues
    up. An exception ends the run and not the timer: it is logged when it begins and when it is
    over, counted, stored as a CollectorRun and shown in ``health``.

    A collector that is ``Hinted`` runs at each hint too. Hints that come while it runs make it run
    once more; after a run that failed that is put off for 5 s, so that trouble is not repeated as
    fast as it can be, unless it failed in part only (CollectedInPart). A run at a hint that ends as
    the one before did is counted, but neither stored nor logged: hints may come forty times a
    second, and the scheduled runs tell the same.

    The schedule of one that is ``Spread`` begins as much later as it says; what is asked for in the
    meantime is not held up.
    """

    log = Logger()

    def __init__(
        self,
        collector: Collector,
        sink: Sink,
        clock: Any,
        wall_clock: Callable[[], float],
        *,
        first_delay_seconds: float = 0.0,
    ) -> None:
        super().__init__(collector.interval_seconds, self._tick)
        self.clock: Any = clock
        self.collector = collector
        self.setName(f"{collector.name} {collector.instance}".strip())
        self._logged_name = one_line(str(self.name))
        self._sink = sink
        self._wall_clock = wall_clock
        self._first_delay_seconds = first_delay_seconds
        self._first: IDelayedCall | None = None
        self._run: Deferred[float | None] | None = None
        self._run_began = 0.0
        self._run_started_at = 0.0
        self._schedule_began: float | None = None
        self._due = 0.0
        self._ending: list[Deferred[float | None]] = []
        self._hinted = False
        self._by_hint = False
        self._failed_wholly = False
        self._once_more: IDelayedCall | None = None
        self._last: CollectorRun | None = None
        self._last_success: CollectorRun | None = None
        self._last_error: CollectorRun | None = None
        self._runs = self._errors = self._skipped = self._cancelled = 0

    def startService(self) -> None:
        """Begin the schedule after ``first_delay_seconds``."""
        self._due = self.clock.seconds() + self._first_delay_seconds
        self._schedule_began = None
        self._first = self.clock.callLater(self._first_delay_seconds, self._begin_schedule)
        if isinstance(self.collector, Hinted):
            self.collector.listen(self._hint)

    def _begin_schedule(self) -> None:
        if isinstance(self.collector, Spread):
            later = Deferred.fromCoroutine(self.collector.spread_seconds())
            later.addErrback(self._spread_unknown)
            later.addCallback(self._begin_schedule_in)
        else:
            super().startService()

    def _begin_schedule_in(self, seconds: float) -> None:
        if self._first is None:
            return  # It has been stopped meanwhile.
        if seconds > 0:
            self._due = self.clock.seconds() + seconds
            self._first = self.clock.callLater(seconds, super().startService)
        else:
            super().startService()

    def _spread_unknown(self, failure: Failure) -> float:
        self.log.failure("{name}: its schedule begins at once.", failure, name=self.name)
        return 0.0

    def stopService(self) -> Deferred[None]:
        """End the schedule and the run under way; fires when that has ended."""
        if self._first is not None and self._first.active():
            self._first.cancel()
        elif self.running:
            super().stopService()
        self._first = None
        self._hinted = False
        self._forget_once_more()
        return self.cancel_run().addCallback(lambda _: self._deafen())

    def _deafen(self) -> Deferred[None] | None:
        if not isinstance(self.collector, Hinted):
            return None
        return Deferred.fromCoroutine(self.collector.deafen())

    def _hint(self) -> None:
        """Run at once, or once more when the run under way has ended."""
        if self._first is None:
            return
        if self._run is not None:
            self._hinted = True
            return
        apart = _FAILED_APART_SECONDS if self._failed_wholly else 0.0
        wait = self._run_began + apart - self.clock.seconds()
        if wait <= 0:
            self._begin(by_hint=True)
        elif self._once_more is None:
            self._once_more = self.clock.callLater(wait, self._run_once_more)

    def run_now(self) -> bool:
        """Begin a run at once, outside the schedule.

        False if one is under way, or the service is stopped.
        """
        if self._run is not None or self._first is None:
            return False
        self._begin()
        return True

    def run_soon(self) -> None:
        """Begin a run at once, or when the one under way has ended."""
        if not self.run_now():
            self._hinted = self._run is not None

    def cancel_run(self) -> Deferred[float | None]:
        """End the run under way; the schedule goes on as it was.

        Fires when the run has ended, with the seconds that it had gone on. With None if none was
        cut short: none was under way, or it came to its own end all the same.
        """
        if self._run is None:
            return succeed(None)
        ended: Deferred[float | None] = Deferred()
        self._ending.append(ended)
        if len(self._ending) == 1:  # a second cancellation would cut its cleaning up short
            self._run.cancel()
        return ended

    @property
    def overdue_seconds(self) -> float:
        """How long the timer should have ticked and has not; 0 while the schedule goes on.

        A run that does not end is no reason: the timer ticks on beside it.
        """
        return 0.0 if self._first is None else float(max(0.0, self.clock.seconds() - self._due))

    def health(self) -> CollectorHealth:
        """Tell how the collector fares."""
        now = self.clock.seconds()
        overdue = now - self._run_began - self.collector.interval_seconds
        last, good, bad = self._last, self._last_success, self._last_error
        wall = self._wall_clock()
        return CollectorHealth(
            name=self.collector.name,
            instance=self.collector.instance,
            state="running" if self._run is not None else last.state if last else "waiting",
            interval_seconds=self.collector.interval_seconds,
            last_run_at=last.started_at if last else None,
            duration_ms=last.duration_ms if last else None,
            last_success_at=good.started_at if good else None,
            last_error=bad.error_message if bad else None,
            last_error_at=bad.started_at if bad else None,
            running_since=utc(self._run_started_at) if self._run is not None else None,
            next_run_at=utc(wall + max(0.0, self._due - now)),
            lag_seconds=round(max(0.0, overdue), 3) if self._run is not None else 0.0,
            runs=self._runs,
            errors=self._errors,
            skipped=self._skipped,
            cancelled=self._cancelled,
        )

    def _tick(self) -> None:
        now, interval = self.clock.seconds(), self.collector.interval_seconds
        if self._schedule_began is None:
            self._schedule_began = now
        # As the timer reckons: a late call does not shift those that follow.
        turns = math.floor((now - self._schedule_began) / interval + 1e-6)
        self._due = self._schedule_began + (turns + 1) * interval
        if self._run is not None:
            self._skipped += 1
        else:
            self._begin()

    def _begin(self, *, by_hint: bool = False) -> None:
        self._forget_once_more()
        self._by_hint = by_hint
        self._run_began = self.clock.seconds()
        self._run_started_at = self._wall_clock()
        next_run_at = utc(self._run_started_at + max(0.0, self._due - self._run_began))
        run = self._run = Deferred.fromCoroutine(self._collect(next_run_at))
        run.addBoth(self._ended)

    def _ended(self, cut_after_seconds: float | Failure | None) -> None:
        self._run = None
        if isinstance(cut_after_seconds, Failure):
            self.log.failure("The runner failed.", cut_after_seconds)
            cut_after_seconds = None
        ending, self._ending = self._ending, []
        for ended in ending:
            ended.callback(cut_after_seconds)
        if self._hinted:
            self._hinted = False
            apart = self._run_began + _HINTED_APART_SECONDS - self.clock.seconds()
            self._once_more = self.clock.callLater(max(0.0, apart), self._run_once_more)

    def _run_once_more(self) -> None:
        self._once_more = None
        self._hint()

    def _forget_once_more(self) -> None:
        """Make no more run for a hint that has been heard: one begins, or none may."""
        once_more, self._once_more = self._once_more, None
        if once_more is not None:
            once_more.cancel()

    async def _collect(self, next_run_at: datetime) -> float | None:
        """Make one run: each batch is committed before the next one is asked for.

        Gives the seconds after which it was cut short, None if it was not.
        """
        records = 0
        error: Exception | None = None
        try:
            async with aclosing(self.collector.collect(next_run_at)) as batches:
                async for batch in batches:
                    records += len(batch.records)
                    if batch.stored is None:
                        await self._sink.write(batch.records)
                    elif (refused := await batch.stored) is not None:
                        raise refused
        except Exception as raised:
            if self._ending:  # whatever a cancelled run raises, it is no trouble of the collector
                self._cancelled += 1
                return float(self.clock.seconds() - self._run_began)
            error = raised
        run = CollectorRun(
            collector=self.collector.name,
            instance=self.collector.instance,
            started_at=utc(self._run_started_at),
            duration_ms=round((self.clock.seconds() - self._run_began) * 1000),
            state="ok" if error is None else "error",
            error_message=None if error is None else _words(error),
            records=records,
        )
        is_news = self._note(run, error)
        if self._by_hint and not is_news:
            return None
        self.log.debug(
            "{name}: {records} records in {duration_ms} ms",
            name=self._logged_name,
            records=records,
            duration_ms=run.duration_ms,
        )
        # Not awaited: with the last batch committed the run is over, and another may be asked for.
        self._sink.write([run], may_wait=True).addErrback(self._run_not_stored, error)
        return None

    def _run_not_stored(self, failure: Failure, error: Exception | None) -> None:
        if failure.check(StoreError) is None:
            self.log.failure("{name}: run not stored.", failure, name=self.name)
        elif not isinstance(error, StoreError):  # otherwise the run has told it already
            why = one_line(why_not_stored(failure.value))
            self.log.warn("{name}: run not stored: {why}", name=self._logged_name, why=why)

    def _note(self, run: CollectorRun, error: Exception | None) -> bool:
        """Keep the run for ``health``, and log a trouble when it begins, changes and ends.

        Gives whether it ended otherwise than the one before.
        """
        before = self._last.error_message if self._last is not None else None
        self._runs += 1
        self._last = run
        self._failed_wholly = error is not None and not isinstance(error, CollectedInPart)
        if error is None:
            self._last_success = run
            if before is not None:
                self.log.info("{name}: well again.", name=self._logged_name)
            return before is not None
        self._errors += 1
        self._last_error = run
        if run.error_message == before:
            return False
        if isinstance(error, EtlmonError):
            why = one_line(str(error))
            self.log.warn("{name}: {why}", name=self._logged_name, why=why)
        else:
            self.log.failure("{name} failed.", Failure(error), name=self.name)
        return True


def _words(error: Exception) -> str:
    """Give the text of an error; its kind too where it is not one of ours."""
    return str(error) if isinstance(error, EtlmonError) else f"{type(error).__name__}: {error}"
