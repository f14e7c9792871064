"""The runner on a clock that the test turns: schedule, overlap, trouble, commits, and its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from etlmon.collectors.base import Batch
from etlmon.errors import CollectError, StoreError
from etlmon.records.health import CollectorRun
from etlmon.runner import CollectorService
from etlmon.store.database import StoreService
from etlmon.units import utc

EPOCH = 1_800_000_000.0
"""The wall clock when the test begins."""
INTERVAL = 10.0


class Collector:
    """Gives what the test puts into ``script``: batches, errors, or Deferreds to wait for."""

    name = "fake"
    instance = "it"
    interval_seconds = INTERVAL
    settings = None

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.began: list[datetime] = []
        self.asked = 0
        self.closed = 0

    async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        self.began.append(next_run_at)
        try:
            for step in self.script:
                self.asked += 1
                if isinstance(step, Deferred):
                    await step
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield Batch(step)
        finally:
            self.closed += 1


class SpreadCollector(Collector):
    """One whose schedule begins later, when ``answer`` says by how much."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Deferred[float] = Deferred()

    async def spread_seconds(self) -> float:
        return await self.answer


class Sink:
    """Commits at once, refuses, or waits, as the test says."""

    def __init__(self) -> None:
        self.written: list[list[Any]] = []
        self.answer: Callable[[Sequence[Any]], Deferred[None]] = lambda records: succeed(None)

    def write(self, records: Sequence[Any]) -> Deferred[None]:
        self.written.append(list(records))
        return self.answer(records)

    @property
    def runs(self) -> list[CollectorRun]:
        return [one for batch in self.written for one in batch if isinstance(one, CollectorRun)]


class Bench:
    """A service with a fake collector and sink; ``wall_step`` sets the wall clock wrong."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wall_step = 0.0
        self.collector = Collector()
        self.sink = Sink()
        self.service = self.make()

    def make(self, first_delay_seconds: float = 0.0) -> CollectorService:
        return CollectorService(
            self.collector,
            self.sink,
            self.clock,
            lambda: EPOCH + self.clock.seconds() + self.wall_step,
            first_delay_seconds=first_delay_seconds,
        )

    def start(self, *script: Any, first_delay_seconds: float = 0.0) -> None:
        self.collector.script = list(script)
        self.service = self.make(first_delay_seconds)
        self.service.startService()
        self.clock.advance(0)

    @property
    def runs(self) -> int:
        """How many runs have begun."""
        return len(self.collector.began)

    def cancel(self) -> list[Any]:
        """Cancel the run under way and give a list that gets the result."""
        result: list[Any] = []
        self.service.cancel_run().addBoth(result.append)
        return result

    def stop(self) -> list[Any]:
        """Stop the service and give a list that gets its result."""
        result: list[Any] = []
        self.service.stopService().addBoth(result.append)
        return result


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def said() -> Any:
    """Give the log's lines but debug as (level, text) and forget those read."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)

    def lines() -> list[tuple[str, str]]:
        own = [event for event in events if event["log_namespace"].startswith("etlmon.runner")]
        events.clear()
        told = [(event["log_level"].name, formatEvent(event)) for event in own]
        return [line for line in told if line[0] != "debug"]

    yield lines
    globalLogPublisher.removeObserver(events.append)


class TestSchedule:
    def test_first_run_at_once_then_every_interval(self, bench: Bench) -> None:
        bench.start()
        assert bench.runs == 1
        bench.clock.advance(INTERVAL - 0.001)
        assert bench.runs == 1
        bench.clock.advance(0.001)
        assert bench.runs == 2
        bench.clock.pump([INTERVAL] * 5)
        assert bench.runs == 7

    def test_first_delay(self, bench: Bench) -> None:
        bench.start(first_delay_seconds=3)
        assert bench.service.health().next_run_at == utc(EPOCH + 3)
        bench.clock.advance(2.999)
        assert bench.runs == 0
        bench.clock.advance(0.001)
        assert bench.runs == 1
        bench.clock.advance(INTERVAL)
        assert bench.runs == 2

    def test_a_timer_that_has_died_is_overdue_and_a_run_that_takes_long_is_not(
        self, bench: Bench
    ) -> None:
        assert bench.service.overdue_seconds == 0
        takes_long: Deferred[None] = Deferred()
        bench.start(takes_long)
        bench.clock.pump([INTERVAL] * 5)
        assert bench.service.overdue_seconds == 0
        for call in bench.clock.getDelayedCalls():
            call.cancel()
        bench.clock.advance(INTERVAL + 60)
        assert bench.service.overdue_seconds == 60
        takes_long.callback(None)

    def test_schedule_that_is_spread(self, bench: Bench) -> None:
        bench.collector = spread = SpreadCollector()
        bench.start([])
        bench.clock.advance(1)
        assert bench.runs == 0
        spread.answer.callback(4.0)
        assert bench.service.run_now()  # Not held up.
        bench.clock.advance(3.9)
        assert bench.runs == 1
        bench.clock.advance(0.1)
        assert bench.runs == 2
        bench.clock.advance(INTERVAL)
        assert bench.runs == 3

    def test_spread_that_is_not_known(self, bench: Bench, flush_logged_errors: Any) -> None:
        bench.collector = spread = SpreadCollector()
        bench.start([])
        spread.answer.errback(ValueError("no"))
        assert bench.runs == 1
        (event,) = flush_logged_errors(ValueError)
        assert formatEvent(event) == "fake it: its schedule begins at once."

    def test_stopped_before_it_is_known_how_far_it_is_spread(self, bench: Bench) -> None:
        bench.collector = spread = SpreadCollector()
        bench.start([])
        assert bench.stop() == [None]
        spread.answer.callback(4.0)
        assert not bench.clock.getDelayedCalls()
        assert not bench.service.run_now()

    def test_run_is_told_when_the_next_is_due(self, bench: Bench) -> None:
        bench.start(first_delay_seconds=3)
        bench.clock.pump([3, INTERVAL])
        assert bench.collector.began == [utc(EPOCH + 13), utc(EPOCH + 23)]

    def test_late_call_does_not_shift_the_schedule(self, bench: Bench) -> None:
        """The reactor may be busy when a run is due."""
        bench.start()
        bench.clock.advance(INTERVAL + 4)
        assert bench.runs == 2
        assert bench.collector.began[-1] == utc(EPOCH + 20)
        assert bench.service.health().next_run_at == utc(EPOCH + 20)
        bench.clock.advance(6)
        assert bench.runs == 3

    def test_missed_turns_are_not_made_up_for(self, bench: Bench) -> None:
        bench.start()
        bench.clock.advance(5 * INTERVAL + 1)
        assert bench.runs == 2
        assert bench.service.health().next_run_at == utc(EPOCH + 60)

    @pytest.mark.parametrize("step", [3600.0, -3600.0])
    def test_step_of_the_wall_clock_does_not_disturb_it(self, bench: Bench, step: float) -> None:
        bench.start()
        bench.clock.advance(INTERVAL / 2)
        bench.wall_step = step
        assert bench.runs == 1
        bench.clock.advance(INTERVAL / 2)
        assert bench.runs == 2
        bench.clock.advance(INTERVAL)
        assert bench.runs == 3
        assert bench.service.health().next_run_at == utc(EPOCH + step + 30)

    @pytest.mark.parametrize("step", [3600.0, -3600.0])
    def test_step_during_a_run_does_not_change_its_duration(
        self, bench: Bench, step: float
    ) -> None:
        waiting: Deferred[None] = Deferred()
        bench.start(waiting)
        bench.wall_step = step
        bench.clock.advance(2.5)
        waiting.callback(None)
        (run,) = bench.sink.runs
        assert (run.duration_ms, run.started_at) == (2500, utc(EPOCH))


class TestOverlap:
    def test_run_still_going_makes_the_next_fall_away(self, bench: Bench) -> None:
        waiting: Deferred[None] = Deferred()
        bench.start(waiting)
        bench.clock.pump([INTERVAL] * 3)
        assert bench.runs == 1
        assert bench.service.health().skipped == 3
        waiting.callback(None)
        bench.clock.advance(0)
        assert bench.runs == 1, "nothing had been queued"
        bench.clock.advance(INTERVAL)
        assert bench.runs == 2
        assert bench.service.health().skipped == 3

    def test_lag_grows_while_it_is_overdue(self, bench: Bench) -> None:
        waiting: Deferred[None] = Deferred()
        bench.start(waiting)
        lags = []
        for _ in range(3):
            bench.clock.advance(8)
            lags.append(bench.service.health().lag_seconds)
        assert lags == [0.0, 6.0, 14.0]
        waiting.callback(None)
        assert bench.service.health().lag_seconds == 0.0


class TestCommits:
    def test_next_batch_is_asked_for_after_the_commit(self, bench: Bench) -> None:
        commits: list[Deferred[None]] = []

        def hold(records: Sequence[Any]) -> Deferred[None]:
            commits.append(Deferred())
            return commits[-1]

        bench.sink.answer = hold
        bench.start(["a"], ["b", "c"])
        assert (bench.sink.written, bench.collector.asked) == ([["a"]], 1)
        bench.clock.advance(5)
        assert bench.collector.asked == 1
        commits[0].callback(None)
        assert (bench.sink.written[1:], bench.collector.asked) == ([["b", "c"]], 2)
        commits[1].callback(None)
        (run,) = bench.sink.runs
        assert run.records == 3
        assert bench.service.health().state == "ok"
        assert bench.service.run_now(), "nobody waits for the commit of the run itself"

    def test_run_is_stored(self, bench: Bench) -> None:
        bench.start(["a"], ["b"])
        assert bench.sink.written == [
            ["a"],
            ["b"],
            [
                CollectorRun(
                    collector="fake",
                    instance="it",
                    started_at=utc(EPOCH),
                    duration_ms=0,
                    state="ok",
                    error_message=None,
                    records=2,
                )
            ],
        ]

    def test_refused_batch_ends_the_run_as_an_error(self, bench: Bench, said: Any) -> None:
        bench.sink.answer = lambda records: (
            fail(StoreError("does not fit")) if records == ["bad"] else succeed(None)
        )
        bench.start(["good"], ["bad"], ["never"])
        assert ["never"] not in bench.sink.written
        assert bench.collector.closed == 1
        (run,) = bench.sink.runs
        assert (run.state, run.error_message) == ("error", "does not fit")
        bench.clock.advance(INTERVAL)
        assert bench.runs == 2
        assert said() == [("warn", "fake it: does not fit")]

    def test_store_that_refuses_everything_is_told_once(self, bench: Bench, said: Any) -> None:
        bench.sink.answer = lambda records: fail(StoreError("the disk is full"))
        bench.start(["x"])
        bench.clock.pump([INTERVAL] * 5)
        assert bench.runs == 6
        assert bench.service.health().errors == 6
        assert said() == [("warn", "fake it: the disk is full")]

    def test_run_that_cannot_be_stored_is_told(self, bench: Bench, said: Any) -> None:
        bench.sink.answer = lambda records: (
            succeed(None) if records == ["x"] else fail(StoreError("closed"))
        )
        bench.start(["x"])
        assert said() == [("warn", "fake it: run not stored: closed")]
        assert bench.service.health().state == "ok"
        bench.clock.advance(INTERVAL)
        assert bench.runs == 2

    def test_sink_with_a_mistake_does_not_end_the_timer(
        self, bench: Bench, flush_logged_errors: Any
    ) -> None:
        bench.sink.answer = lambda records: fail(OverflowError("too large"))
        bench.start()
        bench.clock.advance(INTERVAL)
        assert bench.runs == 2
        assert bench.service.health().state == "ok"
        assert len(flush_logged_errors(OverflowError)) == 2


class TestTrouble:
    def test_exception_ends_the_run_and_not_the_timer(
        self, bench: Bench, flush_logged_errors: Any
    ) -> None:
        bench.start(["x"], ZeroDivisionError("no"))
        bench.clock.pump([INTERVAL] * 3)
        assert bench.runs == 4
        assert {run.error_message for run in bench.sink.runs} == {"ZeroDivisionError: no"}
        assert {(run.state, run.records) for run in bench.sink.runs} == {("error", 1)}
        (event,) = flush_logged_errors(ZeroDivisionError)
        assert formatEvent(event) == "fake it failed."

    def test_logged_when_it_begins_changes_and_ends(self, bench: Bench, said: Any) -> None:
        bench.start()
        lines = []
        for step in ("a", "a", "b", "b", "a", None, None, "a"):
            bench.collector.script = [] if step is None else [CollectError(step)]
            bench.clock.advance(INTERVAL)
            lines.append([text for _, text in said()])
        begin, change = ["fake it: a"], ["fake it: b"]
        assert lines == [begin, [], change, [], begin, ["fake it: well again."], [], begin]

    def test_error_of_ours_is_a_warning_without_a_traceback(self, bench: Bench, said: Any) -> None:
        bench.start(CollectError("the list cannot be read"))
        assert said() == [(LogLevel.warn.name, "fake it: the list cannot be read")]

    def test_collector_that_gives_no_batches_at_all(
        self, bench: Bench, flush_logged_errors: Any
    ) -> None:
        bench.collector.collect = lambda next_run_at: None  # type: ignore[assignment,return-value,method-assign]
        bench.start()
        bench.clock.advance(INTERVAL)
        assert [run.state for run in bench.sink.runs] == ["error", "error"]
        assert len(flush_logged_errors(AttributeError)) == 1


class TestHealth:
    def test_waiting(self, bench: Bench) -> None:
        bench.start(first_delay_seconds=3)
        health = bench.service.health()
        assert (health.name, health.instance, health.interval_seconds) == ("fake", "it", INTERVAL)
        assert (health.state, health.last_run_at, health.running_since) == ("waiting", None, None)
        assert (health.runs, health.errors, health.skipped) == (0, 0, 0)

    def test_running(self, bench: Bench) -> None:
        bench.start(Deferred())
        bench.clock.advance(4)
        health = bench.service.health()
        assert (health.state, health.running_since) == ("running", utc(EPOCH))
        assert health.next_run_at == utc(EPOCH + INTERVAL)
        assert (health.last_run_at, health.duration_ms) == (None, None)
        bench.stop()

    def test_well_trouble_and_well_again(self, bench: Bench) -> None:
        bench.start()
        assert bench.service.health().state == "ok"
        bench.collector.script = [CollectError("bad")]
        bench.clock.advance(INTERVAL)
        health = bench.service.health()
        assert (health.state, health.last_error) == ("error", "bad")
        assert (health.last_error_at, health.last_success_at) == (utc(EPOCH + 10), utc(EPOCH))
        bench.collector.script = []
        bench.clock.advance(INTERVAL)
        health = bench.service.health()
        assert (health.state, health.last_error) == ("ok", "bad")
        assert (health.last_run_at, health.last_success_at) == (utc(EPOCH + 20), utc(EPOCH + 20))
        assert (health.runs, health.errors) == (3, 1)


class TestRunNow:
    def test_begins_at_once_and_leaves_the_schedule_alone(self, bench: Bench) -> None:
        bench.start()
        bench.clock.advance(4)
        assert bench.service.run_now() is True
        assert bench.runs == 2
        assert bench.collector.began[-1] == utc(EPOCH + INTERVAL)
        bench.clock.advance(6)
        assert bench.runs == 3

    def test_refused_while_one_is_under_way(self, bench: Bench) -> None:
        waiting: Deferred[None] = Deferred()
        bench.start(waiting)
        assert bench.service.run_now() is False
        assert bench.runs == 1
        waiting.callback(None)
        assert bench.service.run_now() is True
        assert bench.service.health().skipped == 0

    def test_its_run_makes_the_scheduled_one_fall_away(self, bench: Bench) -> None:
        bench.start(first_delay_seconds=3)
        bench.collector.script = [Deferred()]
        assert bench.service.run_now() is True
        bench.clock.advance(3)
        assert (bench.runs, bench.service.health().skipped) == (1, 1)
        bench.stop()

    def test_refused_before_the_start_and_after_the_end(self, bench: Bench) -> None:
        assert bench.service.run_now() is False
        bench.start()
        bench.stop()
        assert bench.service.run_now() is False
        assert bench.runs == 1


class TestCancel:
    def test_ends_the_run_and_leaves_the_schedule_alone(self, bench: Bench, said: Any) -> None:
        bench.start(["x"], Deferred())
        bench.clock.advance(4)
        assert bench.cancel() == [4.0]
        assert bench.collector.closed == 1
        assert (bench.sink.runs, said()) == ([], [])
        bench.clock.advance(6)
        assert bench.runs == 2

    def test_counts_as_cancelled_and_not_as_an_error(self, bench: Bench) -> None:
        bench.start()
        before = bench.service.health()
        bench.collector.script = [Deferred()]
        bench.clock.advance(INTERVAL)
        bench.cancel()
        after = bench.service.health()
        assert (after.cancelled, after.runs, after.errors) == (1, 1, 0)
        assert (after.state, after.running_since) == ("ok", None)
        assert after.last_run_at == before.last_run_at

    def test_first_run_of_all(self, bench: Bench) -> None:
        bench.start(Deferred())
        bench.cancel()
        assert bench.service.health().state == "waiting"
        assert bench.service.run_now() is True

    def test_nothing_to_cancel(self, bench: Bench) -> None:
        assert bench.cancel() == [None]
        bench.start(first_delay_seconds=3)
        assert bench.cancel() == [None]
        bench.clock.advance(3)
        assert bench.runs == 1
        assert bench.cancel() == [None]
        assert bench.service.health().cancelled == 0

    def test_run_begun_by_hand(self, bench: Bench) -> None:
        bench.start()
        bench.collector.script = [Deferred()]
        bench.service.run_now()
        assert bench.cancel() == [0.0]
        bench.clock.advance(INTERVAL)
        assert bench.runs == 3

    def test_twice_and_with_the_end_of_the_service(self, bench: Bench) -> None:
        clean_up: Deferred[None] = Deferred()

        class Tidy(Collector):
            async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
                try:
                    await Deferred()
                finally:
                    await clean_up
                yield Batch([])

        bench.collector = Tidy()
        bench.start()
        first, second, stopped = bench.cancel(), bench.cancel(), bench.stop()
        assert (first, second, stopped) == ([], [], [])
        bench.clock.advance(1)
        clean_up.callback(None)
        assert (first, second, stopped) == ([1.0], [1.0], [None])
        assert bench.service.health().cancelled == 1

    def test_run_that_comes_to_its_own_end_all_the_same(self, bench: Bench) -> None:
        class Stubborn(Collector):
            async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
                try:
                    await Deferred()
                except CancelledError:
                    yield Batch(["whole"])

        bench.collector = Stubborn()
        bench.start()
        assert bench.cancel() == [None]
        assert [run.state for run in bench.sink.runs] == ["ok"]
        assert bench.service.health().cancelled == 0


class TestStop:
    def test_between_runs(self, bench: Bench) -> None:
        bench.start()
        assert bench.stop() == [None]
        bench.clock.advance(INTERVAL * 3)
        assert bench.runs == 1
        assert bench.clock.getDelayedCalls() == []

    def test_during_the_first_delay(self, bench: Bench) -> None:
        bench.start(first_delay_seconds=3)
        assert bench.stop() == [None]
        assert bench.clock.getDelayedCalls() == []
        bench.clock.advance(INTERVAL)
        assert bench.runs == 0

    def test_never_started_or_twice(self, bench: Bench) -> None:
        """A start that fails in the middle stops services which it had not started."""
        assert bench.stop() == [None]
        bench.start(first_delay_seconds=3)
        assert bench.stop() == bench.stop() == [None]
        bench.start()
        assert bench.stop() == bench.stop() == [None]

    def test_cancels_a_run_and_waits_for_its_end(self, bench: Bench, said: Any) -> None:
        clean_up: Deferred[None] = Deferred()

        class Tidy(Collector):
            async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
                self.began.append(next_run_at)
                try:
                    await Deferred()
                finally:
                    await clean_up
                yield Batch([])

        bench.collector = Tidy()
        bench.start()
        first, second = bench.stop(), bench.stop()
        assert (first, second) == ([], [])
        clean_up.callback(None)
        assert (first, second) == ([None], [None])
        assert bench.sink.written == []
        assert said() == []

    def test_run_that_fails_as_it_is_cancelled_is_not_told(self, bench: Bench, said: Any) -> None:
        """As gatherResults, which turns a cancellation into an error of its own."""
        waiting: Deferred[None] = Deferred(lambda d: d.errback(RuntimeError("cancelled within")))
        bench.start(waiting)
        assert bench.stop() == [None]
        assert (bench.sink.runs, said()) == ([], [])

    def test_while_a_commit_is_awaited(self, bench: Bench, said: Any) -> None:
        """The store keeps what it was given; nobody waits for it here, nor complains."""
        commit: Deferred[None] = Deferred()
        bench.sink.answer = lambda records: commit
        bench.start(["x"])
        assert bench.stop() == [None]
        assert commit.called, "the wait for it was cancelled"
        assert (bench.sink.written, said()) == ([["x"]], [])

    def test_run_begun_by_hand_in_the_first_delay(self, bench: Bench) -> None:
        bench.start(Deferred(), first_delay_seconds=3)
        bench.service.run_now()
        assert bench.stop() == [None]
        assert bench.collector.closed == 1
        assert bench.clock.getDelayedCalls() == []

    def test_stubborn_run_is_waited_for(self, bench: Bench) -> None:
        """One that catches its cancellation and goes on ends in its own time."""
        more: Deferred[None] = Deferred()

        class Stubborn(Collector):
            async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
                self.began.append(next_run_at)
                try:
                    await Deferred()
                except CancelledError:
                    await more
                yield Batch(["late"])

        bench.collector = Stubborn()
        bench.start()
        result = bench.stop()
        assert result == []
        more.callback(None)
        assert result == [None]
        assert bench.sink.written[0] == ["late"]


class TestHints:
    """A collector that hears of changes runs when it does, besides its turns."""

    class Hinted(Collector):
        def __init__(self) -> None:
            super().__init__()
            self.hint: Callable[[], None] | None = None
            self.deafened = 0

        def listen(self, hint: Callable[[], None]) -> None:
            self.hint = hint

        async def deafen(self) -> None:
            self.deafened += 1

    @pytest.fixture
    def hinted(self, bench: Bench) -> Any:
        bench.collector = self.Hinted()
        return bench.collector

    def test_makes_a_run(self, bench: Bench, hinted: Any) -> None:
        bench.start(["x"])
        hinted.hint()
        assert bench.runs == 2
        bench.clock.advance(INTERVAL)
        assert bench.runs == 3, "the timer keeps its turns"

    def test_runs_that_end_well_are_counted_and_not_stored(self, bench: Bench, hinted: Any) -> None:
        bench.start(["x"])
        for _ in range(3):
            hinted.hint()
        assert len(bench.sink.runs) == 1, "the scheduled one"
        assert bench.service.health().runs == 4
        hinted.script = [CollectError("no")]
        hinted.hint()
        assert [run.state for run in bench.sink.runs] == ["ok", "error"]

    def test_before_the_start_nothing_runs(self, bench: Bench, hinted: Any) -> None:
        bench.service = bench.make()
        bench.service._hint()
        assert bench.runs == 0

    def test_during_a_run_make_one_more(self, bench: Bench, hinted: Any) -> None:
        waiting: Deferred[None] = Deferred()
        bench.start(waiting)
        hinted.hint()
        hinted.hint()
        assert bench.runs == 1
        hinted.script = []
        waiting.callback(None)
        bench.clock.advance(0.021)
        assert bench.runs == 1, "it would only wait for its commit"
        bench.clock.advance(0.002)
        assert bench.runs == 2
        bench.clock.advance(1)
        assert bench.runs == 2

    def test_in_a_long_run_make_one_more_at_once(self, bench: Bench, hinted: Any) -> None:
        waiting: Deferred[None] = Deferred()
        bench.start(waiting)
        hinted.hint()
        bench.clock.advance(1)
        hinted.script = []
        waiting.callback(None)
        bench.clock.advance(0)
        assert bench.runs == 2

    def test_the_run_once_more_falls_away_for_another_one(self, bench: Bench, hinted: Any) -> None:
        waiting: Deferred[None] = Deferred()
        bench.start(waiting)
        hinted.hint()
        hinted.script = []
        waiting.callback(None)
        hinted.hint()
        assert bench.runs == 2
        bench.clock.advance(1)
        assert bench.runs == 2

    def test_stopping_forgets_the_run_once_more(self, bench: Bench, hinted: Any) -> None:
        waiting: Deferred[None] = Deferred()
        bench.start(waiting)
        hinted.hint()
        waiting.callback(None)
        assert bench.stop() == [None]
        assert bench.clock.getDelayedCalls() == []

    def test_after_a_failed_run_waits_for_the_timer(self, bench: Bench, hinted: Any) -> None:
        bench.start(CollectError("no"))
        hinted.hint()
        assert bench.runs == 1
        hinted.script = []
        bench.clock.advance(INTERVAL)
        hinted.hint()
        assert bench.runs == 3

    def test_stopping_deafens_and_makes_no_more_runs(self, bench: Bench, hinted: Any) -> None:
        bench.start(Deferred())
        hinted.hint()
        assert bench.stop() == [None]
        hinted.hint()
        assert (bench.runs, hinted.deafened) == (1, 1)


def test_store_is_a_sink() -> None:
    """The fake is like the store: one list of records, and a Deferred that fires with nothing."""
    assert StoreService.write.__annotations__ == {
        "records": "Sequence[Record]",
        "return": "Deferred[None]",
    }
