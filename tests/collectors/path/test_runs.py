"""Runs of the path collector: what they tell on the way, and that they end."""

from __future__ import annotations

import dataclasses
from contextlib import aclosing
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from etlmon.collectors.base import Batch
from etlmon.errors import CollectError
from etlmon.fsworker.failures import WorkerStopped
from etlmon.fsworker.scan import ScanOutcome
from etlmon.records.path import PathScanCancelled, PathScanStarted
from etlmon.units import utc
from tests.collectors.path.conftest import NEXT, Host, outcome, run


class TestNeverScanningForEver:
    def test_unreadable_proc(self, host: Host) -> None:
        host.mountinfo.unlink()
        scanned = host.scan()
        assert scanned.status == "ERROR"
        assert scanned.error_message is not None
        assert scanned.error_message.startswith("cannot read the list of mounts: [Errno 2]")
        assert host.workers.orders == []
        assert isinstance(host.raised, CollectError)

    def test_mistake_of_our_own(self, host: Host) -> None:
        """It goes on to the runner, which logs it with its traceback."""
        host.workers.answer = KeyError("oops")
        scanned = host.scan()
        assert (scanned.status, scanned.error_message) == ("ERROR", "KeyError('oops')")
        assert host.raised is host.workers.answer

    def test_scan_is_ordered_only_after_the_beginning_is_committed(self, host: Host) -> None:
        batches = host.collector().collect(NEXT)

        async def first() -> Batch:
            return await anext(batches)

        begun: list[Batch] = []
        Deferred.fromCoroutine(first()).addCallback(begun.append)
        assert begun[0].records == [
            PathScanStarted(path="/data", scan_started_at=utc(1000), next_scan_at=NEXT)
        ]
        assert host.workers.orders == []
        Deferred.fromCoroutine(batches.aclose())

    @pytest.mark.parametrize("error", [WorkerStopped(), CancelledError()], ids=repr)
    def test_end_of_the_node_is_no_result(self, host: Host, error: Exception) -> None:
        host.workers.answer = error
        records, raised = run(host.collector())
        assert [type(record) for record in records] == [PathScanStarted]
        assert raised is error

    def test_progress_is_told_every_two_seconds(self, host: Host) -> None:
        scan: Deferred[ScanOutcome] = Deferred()
        host.workers.answer = scan
        records: list[Any] = []
        self.begin(host, records)
        for files in (1, 2, 3):
            host.progress(files, seconds=1.0)
        assert [record.scan_file_count for record in records[1:]] == [2]
        host.progress(4, seconds=1.0)
        scan.callback(outcome())
        assert [record.scan_file_count for record in records[1:-2]] == [2, 4]
        assert (records[2].path, records[2].scan_dir_count) == ("/data", 7)
        assert records[-2].file_count == 1200

    def test_what_it_waits_for_is_told_until_it_begins(self, host: Host) -> None:
        scan: Deferred[ScanOutcome] = Deferred()
        host.workers.answer = scan
        records: list[Any] = []
        self.begin(host, records)
        host.clock.advance(1.9)
        host.workers.busy = "the scan of /data/a, begun then"
        host.clock.advance(2.2)
        host.clock.advance(2.0)  # Still the same: nothing new to tell.
        host.workers.busy = None
        host.clock.advance(2.0)
        told = [(record.scan_waits_for, record.scan_file_count) for record in records[1:]]
        assert told == [("the scan of /data/a, begun then", None), (None, None)]
        host.progress(5, seconds=9.0)
        assert (records[-1].scan_waits_for, records[-1].scan_file_count) == (None, 5)
        host.clock.advance(2.0)
        scan.callback(outcome())
        assert not host.clock.getDelayedCalls()

    def test_run_that_is_cancelled_while_progress_is_stored_cancels_the_scan(
        self, host: Host
    ) -> None:
        scan: Deferred[ScanOutcome] = Deferred()
        host.workers.answer = scan
        records: list[Any] = []
        storing: Deferred[None] = Deferred()
        running = self.begin(host, records, storing)
        host.progress(1, seconds=2.0)
        assert len(records) == 2
        running.cancel()
        assert scan.called
        assert len(records) == 2

    def begin(
        self, host: Host, records: list[Any], storing: Deferred[None] | None = None
    ) -> Deferred[None]:
        """Begin a run on a clock that stands still; ``storing`` is waited for at progress."""
        host.context = dataclasses.replace(host.context, monotonic_clock=lambda: host.elapsed)
        self.path = host.collector()

        async def collect() -> None:
            async with aclosing(self.path.collect(NEXT)) as batches:
                async for batch in batches:
                    records.extend(batch.records)
                    if storing is not None and len(records) > 1:
                        await storing

        running = Deferred.fromCoroutine(collect())
        running.addErrback(lambda failure: failure.trap(CancelledError))
        return running

    def test_cancelling_cancels_the_scan(self, host: Host) -> None:
        scan: Deferred[ScanOutcome] = Deferred()
        host.workers.answer = scan
        records: list[Any] = []

        async def collect() -> None:
            async for batch in host.collector().collect(NEXT):
                records.extend(batch.records)

        ended: list[Any] = []
        running = Deferred.fromCoroutine(collect())
        running.addErrback(ended.append)
        running.cancel()
        assert scan.called
        assert ended[0].check(CancelledError)
        assert [type(record) for record in records] == [PathScanStarted]

    def test_cancelled_scan_tells_what_it_had_counted(self, host: Host) -> None:
        """Whatever the run was at: waiting for more, or for what it has told to be stored."""
        for storing in (None, Deferred[None]()):
            scan: Deferred[ScanOutcome] = Deferred()
            host.workers.answer = scan
            running = self.begin(host, [], storing)
            host.progress(1_500, seconds=2.0)
            running.cancel()
            assert scan.called
            assert self.path.cancelled(2.5) == PathScanCancelled(
                path="/data",
                file_count=1_500,
                dir_count=7,
                other_count=0,
                scanned_dirs=1,
                reused_dirs=0,
                scan_duration_ms=2500,
                error_message="cancelled, 1,507 entries counted",
                collected_at=utc(1000),
            )

    def test_scan_that_is_cancelled_before_it_has_counted(self, host: Host) -> None:
        host.workers.answer = Deferred()
        self.begin(host, []).cancel()
        cancelled = self.path.cancelled(0.5)
        assert (cancelled.file_count, cancelled.error_message) == (None, "cancelled")
