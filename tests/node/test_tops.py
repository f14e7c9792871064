"""Searches for the largest below a path: what each end makes of a job, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from etlmon.collectors.base import CollectorContext
from etlmon.config.watched import PathSection
from etlmon.errors import ApiError
from etlmon.fsworker.failures import MountStuck, WorkerStopped, WorkerTimeout
from etlmon.fsworker.top import TopOrder, TopOutcome, TopProgress
from etlmon.node.tops import TopSearches
from etlmon.records.path import ScanTrouble, path_id
from etlmon.records.top import LargeDirectory, LargeFile, TopJob
from etlmon.units import utc

DATA = path_id("/data")
FILE = LargeFile(path="a/b", allocated_bytes=8192, apparent_bytes=5000, modified_at=utc(5))
OUTCOME = TopOutcome(
    entries=12,
    allocated_bytes=12288,
    apparent_bytes=5001,
    links_exact=True,
    files_by_allocated=[FILE],
    files_by_apparent=[FILE],
    directories_by_allocated=[
        LargeDirectory(path="", allocated_bytes=12288, apparent_bytes=5001, files=2)
    ],
    directories_by_apparent=[],
    skipped_mounts=0,
    stopped=None,
    troubles=[],
    duration_seconds=1.0,
)


class FakeWorkers:
    """Stands for the worker pool, as far as searches go: each waits for ``answer``."""

    def __init__(self) -> None:
        self.orders: list[TopOrder] = []
        self.running: list[Deferred[TopOutcome]] = []
        self.told: list[Callable[[TopProgress], None]] = []
        self.silent: Exception | None = None

    def statvfs(self, path: bytes, mount_point: str, deadline_seconds: float) -> Deferred[Any]:
        return fail(self.silent) if self.silent else succeed(None)

    def top(self, order: TopOrder, on_progress: Any) -> Deferred[TopOutcome]:
        self.orders.append(order)
        self.told.append(on_progress)
        self.running.append(Deferred())
        return self.running[-1]

    def answer(self, outcome: TopOutcome | Exception) -> None:
        if isinstance(outcome, Exception):
            self.running[-1].errback(outcome)
        else:
            self.running[-1].callback(outcome)


class Node:
    """Searches of /data, /logs and the hanging /nfs, with workers that wait to be told."""

    def __init__(self, proc: Path) -> None:
        (proc / "self").mkdir()
        (proc / "self" / "mountinfo").write_text(
            "1 0 0:1 / / rw - ext4 dev rw\n2 1 0:2 / /nfs rw - nfs4 host:/export rw\n"
        )
        self.clock = Clock()
        self.workers = FakeWorkers()
        self.tops = TopSearches(
            CollectorContext(
                wall_clock=lambda: 1000 + self.clock.seconds(),
                monotonic_clock=self.clock.seconds,
                in_thread=lambda function: succeed(function()),
                workers=self.workers,  # type: ignore[arg-type]
                proc=proc,
            )
        )
        self.tops.apply(
            [
                PathSection(path="/data", exclude=("*.tmp",), max_ops_per_second=50.0),
                PathSection(path="/logs", timeout=7200.0),
                PathSection(path="/nfs"),
            ]
        )


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_search_from_its_beginning_to_its_end(node: Node) -> None:
    begun = node.tops.start(DATA, 5)
    assert (begun.state, begun.path, begun.count, begun.started_at) == (
        "running",
        "/data",
        5,
        utc(1000),
    )
    node.clock.advance(2)
    node.workers.told[0](TopProgress(entries=9, allocated_bytes=4096, directory="a"))
    now = node.tops.job(DATA)
    assert (now.state, now.entries, now.allocated_bytes, now.directory) == ("running", 9, 4096, "a")
    assert now.duration_ms == 2000
    node.clock.advance(1)
    node.workers.answer(OUTCOME)
    node.clock.advance(60)
    ended = node.tops.job(DATA)
    assert (ended.state, ended.duration_ms, ended.ended_at) == ("done", 3000, utc(1003))
    assert (ended.entries, ended.apparent_bytes, ended.directory) == (12, 5001, None)
    assert ended.files_by_allocated == [FILE]
    assert ended.directories_by_allocated == OUTCOME.directories_by_allocated


def test_it_is_ordered_as_the_path_is_scanned(node: Node) -> None:
    node.tops.start(DATA, 7)
    node.tops.start(path_id("/logs"), 7)
    node.tops.start(path_id("/nfs"), 7)
    data, logs, nfs = node.workers.orders
    assert (data.path, data.count, data.max_ops_per_second) == (b"/data", 7, 50.0)
    assert data.exclude is not None
    assert (data.timeout_seconds, logs.timeout_seconds) == (3600.0, 7200.0)
    assert (data.one_at_a_time, nfs.one_at_a_time, nfs.server) == (False, True, "host")


def test_a_mount_that_does_not_answer_is_not_entered(node: Node) -> None:
    node.workers.silent = WorkerTimeout("/nfs", 5.0)
    assert node.tops.start(path_id("/nfs"), 1).state == "failed"
    assert node.tops.job(path_id("/nfs")).error_message == "no answer within 5 s from /nfs"
    assert node.workers.orders == []


@pytest.mark.parametrize(
    ("end", "state", "says"),
    [
        (MountStuck("/data", utc(0)), "failed", "/data has not answered since"),
        (WorkerStopped(), "failed", "the node is stopping"),
        (replace(OUTCOME, stopped="timeout"), "partial", "stopped after 1h"),
        (
            replace(OUTCOME, troubles=[ScanTrouble(kind="EACCES", count=3, example="x")]),
            "partial",
            "3 could not be read: EACCES, for example x",
        ),
    ],
    ids=repr,
)
def test_an_end_that_is_not_whole_says_why(node: Node, end: Any, state: str, says: str) -> None:
    node.tops.start(DATA, 1)
    node.workers.answer(end)
    job = node.tops.job(DATA)
    assert job.state == state
    assert job.error_message is not None
    assert job.error_message.startswith(says)
    assert bool(job.files_by_allocated) == (state == "partial")


def test_a_defect_is_logged_and_ends_the_search(
    node: Node, flush_logged_errors: Callable[..., Any]
) -> None:
    node.tops.start(DATA, 1)
    node.workers.answer(KeyError("oops"))
    assert node.tops.job(DATA).error_message == "KeyError('oops')"
    assert len(flush_logged_errors(KeyError)) == 1


def test_one_runs_for_each_path_and_the_next_replaces_it(node: Node) -> None:
    node.tops.start(DATA, 1)
    with pytest.raises(ApiError, match="A search of /data is running") as refused:
        node.tops.start(DATA, 1)
    assert refused.value.status == 409
    node.workers.answer(OUTCOME)
    node.tops.start(DATA, 2)
    assert (node.tops.job(DATA).count, node.tops.job(DATA).state) == (2, "running")


def test_it_can_be_cancelled_once(node: Node) -> None:
    node.tops.start(DATA, 1)
    assert node.tops.cancel(DATA).state == "cancelled"
    assert node.workers.running[0].called
    with pytest.raises(ApiError, match="No search of /data is running") as refused:
        node.tops.cancel(DATA)
    assert refused.value.status == 409


def test_what_is_not_there_is_named(node: Node) -> None:
    for call in (node.tops.job, node.tops.cancel, lambda of: node.tops.start(of, 1)):
        with pytest.raises(ApiError, match="No configured path has the id nope") as refused:
            call("nope")
        assert refused.value.status == 404


def test_before_the_first_search_there_is_none(node: Node) -> None:
    assert node.tops.job(DATA) == TopJob(id=DATA, path="/data", state="none")
    with pytest.raises(ApiError, match="No search of /data is running") as refused:
        node.tops.cancel(DATA)
    assert refused.value.status == 409


def test_a_path_that_is_no_longer_configured_ends_its_search(node: Node) -> None:
    node.tops.start(DATA, 1)
    node.tops.start(path_id("/logs"), 1)
    node.tops.apply([PathSection(path="/logs")])
    assert [running.called for running in node.workers.running] == [True, False]
    with pytest.raises(ApiError, match="No configured path"):
        node.tops.job(DATA)
    assert node.tops.job(path_id("/logs")).state == "running"
