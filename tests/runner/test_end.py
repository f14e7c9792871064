"""Runs and the service end: cancelled, stopped, or not at all."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from etlmon.collectors.base import Batch
from tests.runner.conftest import INTERVAL, Bench, Collector


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
