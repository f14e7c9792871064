"""When runs begin: by the timer, by command, by hint, and which fall away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import formatEvent

from etlmon.errors import CollectedInPart, CollectError
from etlmon.units import utc
from tests.runner.conftest import EPOCH, INTERVAL, Bench, Collector, SpreadCollector


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
        bench.clock.advance(0.023)
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

    def test_after_a_failed_run_is_put_off_and_not_lost(self, bench: Bench, hinted: Any) -> None:
        bench.start(CollectError("no"))
        bench.clock.advance(1)
        hinted.hint()
        hinted.hint()
        bench.clock.advance(3.9)
        assert bench.runs == 1
        bench.clock.advance(0.1)
        assert bench.runs == 2
        hinted.script = []
        bench.clock.advance(INTERVAL - 5)
        assert bench.runs == 3, "the timer keeps its turns"
        hinted.hint()
        assert bench.runs == 4, "the trouble is over"

    def test_what_was_put_off_falls_away_for_another_run(self, bench: Bench, hinted: Any) -> None:
        bench.start(CollectError("no"))
        hinted.hint()
        bench.service.run_now()
        assert bench.runs == 2
        bench.clock.advance(INTERVAL - 1)
        assert bench.runs == 2

    def test_after_a_run_that_failed_in_part_makes_a_run(
        self, bench: Bench, hinted: Any, said: Any
    ) -> None:
        """What can be read must not wait for what cannot."""
        bench.start(CollectedInPart("no"))
        for _ in range(3):
            hinted.hint()
        assert bench.runs == 4
        assert len(bench.sink.runs) == 1, "they told the same"
        hinted.script = []
        hinted.hint()
        assert [run.state for run in bench.sink.runs] == ["error", "ok"]
        assert said() == [("warn", "fake it: no"), ("info", "fake it: well again.")]

    def test_stopping_deafens_and_makes_no_more_runs(self, bench: Bench, hinted: Any) -> None:
        bench.start(Deferred())
        hinted.hint()
        assert bench.stop() == [None]
        hinted.hint()
        assert (bench.runs, hinted.deafened) == (1, 1)
