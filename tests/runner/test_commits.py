"""What a run gives is committed, and what is told of trouble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogLevel, formatEvent

from etlmon.collectors.base import Batch
from etlmon.errors import CollectError, StoreError
from etlmon.records.health import CollectorRun
from etlmon.store.database import StoreService
from etlmon.units import utc
from tests.runner.conftest import EPOCH, INTERVAL, Bench


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

    def test_what_has_been_handed_in_already_is_waited_for(self, bench: Bench) -> None:
        stored: Deferred[BaseException | None] = Deferred()
        bench.start(Batch(["a"], stored), ["b"])
        assert (bench.sink.written, bench.collector.asked) == ([], 1)
        stored.callback(None)
        assert bench.sink.written[0] == ["b"]
        (run,) = bench.sink.runs
        assert (run.state, run.records) == ("ok", 2)

    def test_what_was_handed_in_and_cannot_be_stored_is_an_error(
        self, bench: Bench, said: Any
    ) -> None:
        bench.start(Batch(["a"], succeed(StoreError("does not fit"))), ["b"])
        (run,) = bench.sink.runs
        assert (run.state, run.error_message) == ("error", "does not fit")
        assert (bench.collector.asked, bench.collector.closed) == (1, 1)

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

    @pytest.mark.parametrize("error", ["closed", "not stored: closed"])
    def test_run_that_cannot_be_stored_is_told(self, bench: Bench, said: Any, error: str) -> None:
        bench.sink.answer = lambda records: (
            succeed(None) if records == ["x"] else fail(StoreError(error))
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


def test_store_is_a_sink() -> None:
    """The fake is like the store: one list of records, and a Deferred that fires with nothing."""
    assert StoreService.write.__annotations__ == {
        "records": "Sequence[Record]",
        "may_wait": "bool",
        "return": "Deferred[None]",
    }
