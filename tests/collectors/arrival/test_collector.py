"""The expectations of a path: what is ordered, when it is looked again, and what trouble is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from etlmon.collectors.arrival import KIND
from etlmon.collectors.arrival.collector import ArrivalCollector
from etlmon.collectors.base import CollectorContext
from etlmon.config.loader import parse_node_config
from etlmon.config.watched import PathExpectation, PathSection
from etlmon.fsworker.failures import MountStuck, WorkerFailed, WorkerStopped
from etlmon.fsworker.find import FindOrder, FindOutcome, Found, FoundFile
from etlmon.records.path import ExpectationsChecked, PathExpected, ScanTrouble, path_id
from etlmon.units import utc

MIDNIGHT = 1_795_478_400.0  # 2026-11-24 00:00:00 UTC
HOUR = 3600.0


class FakeWorkers:
    """Stands for the worker pool: finds the files that the test names."""

    def __init__(self) -> None:
        self.orders: list[FindOrder] = []
        self.files: list[FoundFile] = []
        self.failure: Exception | None = None
        self.troubles: list[ScanTrouble] = []

    def find(self, order: FindOrder) -> Deferred[FindOutcome]:
        self.orders.append(order)
        if self.failure is not None:
            return fail(self.failure)
        return succeed(
            FindOutcome(
                found=[self._found(pattern) for pattern in order.patterns],
                entries=9,
                skipped_mounts=0,
                stopped=None,
                troubles=self.troubles,
                duration_seconds=0.1,
            )
        )

    def _found(self, pattern: Any) -> Found:
        recent = [f for f in self.files if f.modified_at and f.modified_at >= pattern.since]
        return Found(
            matched=len(self.files),
            recent=len(recent),
            arrived=sum(file.size_bytes >= pattern.min_bytes for file in recent),
            empty=sum(not file.size_bytes for file in recent),
            recent_bytes=sum(file.size_bytes for file in recent),
            newest=sorted(recent, key=lambda file: file.modified_at or utc(0), reverse=True),
        )


class Host:
    """A path that expects in_DATE.csv by 06:00 UTC, on a clock; hints run the collector at once."""

    def __init__(self, proc: Path) -> None:
        (proc / "self").mkdir()
        (proc / "self" / "mountinfo").write_text("1 0 0:1 / / rw - ext4 dev rw\n")
        self.clock = Clock()
        self.wall = MIDNIGHT
        self.workers = FakeWorkers()
        context = CollectorContext(
            wall_clock=lambda: self.wall,
            monotonic_clock=self.clock.seconds,
            in_thread=lambda function: succeed(function()),
            workers=self.workers,  # type: ignore[arg-type]
            proc=proc,
            reactor=self.clock,
            saved=self.saved,
        )
        section = PathSection(
            path="/data",
            expect=(PathExpectation(pattern="in_%Y%m%d.csv", by="06:00", timezone="UTC"),),
        )
        self.stored: list[PathExpected] = []
        self.collector = ArrivalCollector(section, None, 3600.0, proc, context)
        self.states: list[tuple[float, str]] = []
        self.last: PathExpected
        self.collector.listen(self.look)

    async def saved(self, _kind: Any, instance: str) -> list[Any]:
        assert instance == path_id("/data")
        return self.stored

    def look(self) -> BaseException | None:
        async def collect() -> None:
            async for batch in self.collector.collect(utc(0)):
                (checked,) = batch.records
                assert isinstance(checked, ExpectationsChecked)
                (self.last,) = checked.expected
                self.states.append(((self.wall - MIDNIGHT) / HOUR, self.last.state))

        ended: list[Any] = []
        Deferred.fromCoroutine(collect()).addBoth(ended.append)
        assert ended, "the run did not end"
        return ended[0].value if ended[0] is not None else None

    def advance(self, seconds: float) -> None:
        """Let time go by in small steps, here and on the wall."""
        steps = max(1, round(seconds / 5))
        for _ in range(steps):
            self.wall += seconds / steps
            self.clock.advance(seconds / steps)

    def file(self, size: int, age_seconds: float = 0.0) -> FoundFile:
        """Give a file that was modified so long ago."""
        at = utc(self.wall - age_seconds)
        return FoundFile(path="in_20261124.csv", size_bytes=size, modified_at=at)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_what_is_ordered(host: Host) -> None:
    host.look()
    (order,) = host.workers.orders
    (pattern,) = order.patterns
    assert (order.path, order.timeout_seconds) == (b"/data", 600.0)
    assert (pattern.glob, pattern.since, pattern.min_bytes) == (
        "in_20261124.csv",
        utc(MIDNIGHT),
        1,
    )


def test_it_is_late_in_time_and_new_at_midnight(host: Host) -> None:
    """Without any run of the schedule: by its own timers alone."""
    host.look()
    host.advance(24 * HOUR + 5)
    assert [(round(hours, 2), state) for hours, state in host.states] == [
        (0.0, "waiting"),
        (6.0, "late"),
        (24.0, "waiting"),
    ]
    assert host.last.glob == "in_20261125.csv"


def test_a_file_that_is_there_has_arrived(host: Host) -> None:
    host.wall += HOUR
    host.workers.files = [host.file(50, age_seconds=60)]
    host.look()
    assert (host.last.state, host.last.arrived_count, host.last.total_bytes) == ("arrived", 1, 50)
    assert (host.last.newest_path, host.last.newest_bytes) == ("in_20261124.csv", 50)
    assert host.last.arrived_at == host.last.checked_at == utc(host.wall)


def test_a_file_of_yesterday_is_none(host: Host) -> None:
    host.workers.files = [host.file(50, age_seconds=1)]
    host.look()
    assert (host.last.state, host.last.newest_path) == ("waiting", None)


def test_what_has_arrived_stays_so_for_the_day_though_a_loader_takes_it(host: Host) -> None:
    host.wall += HOUR
    host.workers.files = [host.file(50, age_seconds=60)]
    host.look()
    arrived_at = host.last.arrived_at
    host.workers.files = []
    host.wall += 7 * HOUR
    host.look()
    assert (host.last.state, host.last.arrived_count) == ("arrived", 0)
    assert host.last.arrived_at == arrived_at
    host.workers.failure = WorkerFailed("EIO", "/data: Input/output error")
    host.look()
    assert (host.last.state, host.last.arrived_at) == ("arrived", arrived_at)
    host.workers.failure = None
    host.wall += 16 * HOUR
    host.look()
    assert host.last.state == "waiting"


def test_it_is_known_after_a_restart_too(host: Host, tmp_path: Path) -> None:
    host.wall += HOUR
    host.workers.files = [host.file(50, age_seconds=60)]
    host.look()
    for changes, state in ({}, "arrived"), ({"min_count": 2}, "late"), ({"pattern": "x"}, "late"):
        again = Host(Path(mkdtemp(dir=tmp_path)))
        again.stored = [replace(host.last, **changes)]
        again.wall = host.wall + 7 * HOUR
        again.look()
        assert again.last.state == state


def test_a_growing_file_has_not_arrived_until_it_settles(host: Host) -> None:
    host.wall += HOUR
    for size in (10, 20, 30):
        host.workers.files = [host.file(size)]
        host.look()
        assert (host.last.state, host.last.growing_count) == ("waiting", 1)
        host.advance(5)
    host.advance(15)
    assert (host.last.state, host.last.growing_count, host.last.newest_bytes) == ("arrived", 0, 30)


def test_a_file_of_a_server_whose_clock_is_ahead_settles_too(host: Host) -> None:
    host.wall += HOUR
    host.workers.files = [host.file(10, age_seconds=-300)]
    host.look()
    assert host.last.state == "waiting"
    host.advance(15)
    assert host.last.state == "arrived"


@pytest.mark.parametrize(
    "failure",
    [WorkerFailed("ENOENT", "/data: No such file or directory"), MountStuck("/data", utc(0))],
    ids=repr,
)
def test_what_cannot_be_looked_at_is_unknown(host: Host, failure: Exception) -> None:
    host.workers.failure = failure
    assert host.look() is failure
    assert (host.last.state, host.last.error_message) == ("unknown", str(failure))


def test_what_could_not_be_read_may_hold_the_file(host: Host) -> None:
    host.workers.troubles = [ScanTrouble(kind="EACCES", count=1, example="sub")]
    host.look()
    assert host.last.state == "unknown"
    assert host.last.error_message == "could not be read: EACCES, for example sub"
    host.wall += HOUR
    host.workers.files = [host.file(5, age_seconds=60)]
    host.look()
    assert (host.last.state, host.last.error_message) == ("arrived", None)


def test_the_end_of_the_node_is_no_state(host: Host) -> None:
    host.workers.failure = WorkerStopped()
    assert isinstance(host.look(), WorkerStopped)
    assert host.states == []


def test_a_clock_that_is_set_is_noticed(host: Host) -> None:
    host.look()
    host.wall += timedelta(hours=7).total_seconds()
    host.clock.advance(600)
    assert host.last.state == "late"


def test_nothing_is_looked_at_after_the_end(host: Host) -> None:
    host.look()
    Deferred.fromCoroutine(host.collector.deafen())
    assert host.clock.getDelayedCalls() == []


def test_paths_that_expect_nothing_have_no_collector(host: Host) -> None:
    text = b"paths: [{path: /a}, {path: /b, expect: [{pattern: x, by: 06:00}]}]"
    built = KIND.build(parse_node_config(text, "node.yaml"), host.collector._context)
    assert [(one.name, one.instance, one.interval_seconds) for one in built] == [
        ("arrival", "/b", 300.0)
    ]
