"""The parent of the workers: first on a clock with made-up children, then with real ones."""

from __future__ import annotations

import json
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from etlmon.config.node import WorkersSection
from etlmon.errors import CollectError
from etlmon.fsworker.failures import (
    MountStuck,
    WorkerDied,
    WorkerFailed,
    WorkerSilent,
    WorkerStopped,
    WorkerTimeout,
)
from etlmon.fsworker.find import FindOrder, FindPattern
from etlmon.fsworker.pool import LaneState, WorkerPool
from etlmon.fsworker.scan import ChildCounts, OtherChildren, ScanOrder, ScanOutcome, ScanProgress
from etlmon.fsworker.top import TopOrder
from etlmon.host.mounts import Usage
from etlmon.records.path import ScanTrouble
from tests.fsworker.conftest import find, until

STATVFS = {
    "blocks": 100,
    "bfree": 50,
    "bavail": 40,
    "frsize": 4096,
    "files": 10,
    "ffree": 5,
    "read_only": False,
    "st_dev": 7,
}
OUTCOME = {
    "files": 3,
    "dirs": 2,
    "others": 1,
    "listed": 3,
    "reused": 1,
    "skipped_mounts": 0,
    "newest_mtime_ns": 1_700_000_000_123_456_789,
    "stopped": None,
    "troubles": [{"kind": "EACCES", "count": 1, "example": "a/\udcff"}],
    "duration_seconds": 0.5,
    "children": [["a", 1, 0, 0], ["\udcff", 1, 1, 1]],
    "children_rest": [2, 1, 0, 0],
}
PROGRESS = {"files": 5, "dirs": 4, "others": 3, "listed": 2, "reused": 1, "directory": "a/\udcff"}


class MadeUpProcess:
    """A child as Twisted's transport: it remembers what it is told and does what the test says."""

    def __init__(self, protocol: Any, pid: int) -> None:
        self.pid = pid
        self.requests: list[dict[str, Any]] = []
        self.orders: list[str] = []
        self.signals: list[str] = []
        self.closed = False
        self._protocol = protocol
        protocol.makeConnection(self)

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        assert descriptor == 0
        request = json.loads(data)
        if request["op"] in ("share", "stop"):
            assert request["id"] == self.requests[-1]["id"]
            self.orders.append(request["op"])
        else:
            self.requests.append(request)

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def loseConnection(self) -> None:
        self.closed = True

    @property
    def doing(self) -> str:
        return str(self.requests[-1]["path"])

    def say(self, **content: Any) -> None:
        line = json.dumps({"id": self.requests[-1]["id"], **content}).encode() + b"\n"
        middle = len(line) // 2
        self._protocol.outReceived(line[:middle])
        self._protocol.outReceived(line[middle:])

    def end(self, reason: Exception | None = None) -> None:
        self._protocol.processEnded(Failure(reason or ProcessTerminated(signal=9)))


class MadeUpReactor(Clock):
    """A clock that starts made-up children."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[MadeUpProcess] = []
        self.arguments: list[list[str]] = []

    def spawnProcess(self, protocol: Any, executable: str, args: list[str], env: Any) -> Any:
        self.arguments.append(args)
        self.processes.append(MadeUpProcess(protocol, 100 + len(self.processes)))
        return self.processes[-1]


class Bench:
    """A pool on a clock, and what its requests came to."""

    def __init__(self, **options: Any) -> None:
        self.reactor = MadeUpReactor()
        self.pool = WorkerPool(self.reactor, wall_clock=self.reactor.seconds, **options)

    @property
    def processes(self) -> list[MadeUpProcess]:
        return self.reactor.processes

    def probe(self, path: str = "/a", mount: str = "/", deadline: float = 5) -> list[Any]:
        return results(self.pool.statvfs(path.encode(), mount, deadline))

    def scan(self, path: str = "/a", mount: str = "/", **options: Any) -> list[Any]:
        options.setdefault("timeout_seconds", 60)
        order = ScanOrder(path=path.encode(), mount_point=mount, **options)
        return results(self.pool.scan(order))


def results(deferred: Deferred[Any]) -> list[Any]:
    """Give a list into which the result, or the error, will come."""
    came: list[Any] = []
    deferred.addBoth(lambda result: came.append(getattr(result, "value", result)))
    return came


def test_answers_become_records() -> None:
    bench = Bench()
    probed = bench.probe("/a")
    bench.processes[0].say(answer=STATVFS)
    assert probed == [
        Usage(
            device_number=7,
            block_bytes=4096,
            blocks=100,
            blocks_free=50,
            blocks_avail=40,
            inodes=10,
            inodes_free=5,
        )
    ]
    told: list[ScanProgress] = []
    order = ScanOrder(
        path=b"/\xff",
        mount_point="/",
        timeout_seconds=60,
        max_depth=3,
        exclude="x",
        max_files=9,
        skip=[b"m\xfe"],
    )
    scanned = results(bench.pool.scan(order, told.append))
    assert bench.processes[1].requests[-1] == {
        "id": 2,
        "op": "scan",
        "path": "/\udcff",
        "max_depth": 3,
        "exclude": "x",
        "max_files": 9,
        "timeout_seconds": 60.0,
        "skip": ["m\udcfe"],
        "max_ops_per_second": None,
        "remember_as": None,
        "scan_id": 1,
        "relist": False,
        "parallelism": 1,
        "settle_seconds": 2.0,
        "parts": [""],
        "apart": [],
    }
    bench.processes[1].say(progress=PROGRESS)
    assert (told[0].entries, told[0].directory) == (12, "a/\\xff")
    bench.processes[1].say(answer=OUTCOME)
    assert scanned == [
        ScanOutcome(
            files=3,
            dirs=2,
            others=1,
            listed_dirs=3,
            reused_dirs=1,
            skipped_mounts=0,
            newest_change_at=datetime(2023, 11, 14, 22, 13, 20, 123000, UTC),
            stopped=None,
            troubles=[ScanTrouble(kind="EACCES", count=1, example="a/\\xff")],
            duration_seconds=0.0,
            children=[
                ChildCounts(name="\\xff", files=1, dirs=1, others=1),
                ChildCounts(name="a", files=1, dirs=0, others=0),
            ],
            other_children=OtherChildren(children=2, files=1, dirs=0, others=0),
        )
    ]
    assert not scanned[0].complete
    assert not bench.reactor.getDelayedCalls()


def test_error_answer_is_worker_failed() -> None:
    bench = Bench()
    probed = bench.probe()
    bench.processes[0].say(error={"errno": "ENOENT", "text": "/\udcff: No such file"})
    assert isinstance(probed[0], WorkerFailed)
    assert isinstance(probed[0], CollectError)
    assert (probed[0].errno_name, str(probed[0])) == ("ENOENT", "/\\xff: No such file")


def test_children_are_used_again_and_scans_wait_in_order() -> None:
    bench = Bench(processes=2, limits={"nice": 7})
    scans = [bench.scan(f"/{number}") for number in range(5)]
    assert [process.doing for process in bench.processes] == ["/0", "/1"]
    assert [arguments[-1] for arguments in bench.reactor.arguments] == ['{"nice": 7}'] * 2
    bench.processes[1].say(answer=OUTCOME)
    assert bench.processes[1].doing == "/2"
    bench.processes[1].say(answer=OUTCOME)
    bench.processes[0].say(answer=OUTCOME)
    assert [process.doing for process in bench.processes] == ["/4", "/3"]
    assert [len(scan) for scan in scans] == [1, 1, 1, 0, 0]


def test_scans_do_not_hold_up_probes() -> None:
    bench = Bench(processes=1)
    for number in range(3):
        bench.scan(f"/{number}")
    probes = [bench.probe(mount=f"/{number}") for number in range(6)]
    assert len(bench.processes) == 1 + 4
    for process in bench.processes[1:]:
        process.say(answer=STATVFS)
    assert [len(probe) for probe in probes] == [1, 1, 1, 1, 0, 0]


def test_lanes_tell_how_many_work_and_wait() -> None:
    bench = Bench(processes=1)
    bench.scan("/a")
    bench.scan("/b")
    bench.probe()
    assert bench.pool.lanes() == [
        LaneState("scan", limit=1, processes=1, busy=1, waiting=1),
        LaneState("probe", limit=4, processes=1, busy=1, waiting=0),
        LaneState("search", limit=2, processes=0, busy=0, waiting=0),
    ]
    bench.processes[1].say(answer=STATVFS)
    assert bench.pool.lanes()[1] == LaneState("probe", limit=4, processes=1, busy=0, waiting=0)


def test_clock_of_a_request_starts_with_its_child() -> None:
    bench = Bench(processes=1)
    first = bench.scan(mount="/x", timeout_seconds=10)
    second = bench.scan(mount="/y", timeout_seconds=10)
    bench.reactor.advance(11)
    assert isinstance(first[0], WorkerTimeout)
    bench.processes[0].end()
    bench.reactor.advance(10.5)
    assert second == []
    bench.reactor.advance(0.5)
    assert isinstance(second[0], WorkerTimeout)


def test_deadline_kills_and_keeps_what_was_counted() -> None:
    bench = Bench()
    scan = bench.scan(mount="/m", timeout_seconds=10)
    bench.processes[0].say(progress=PROGRESS)
    bench.reactor.advance(10.9)
    assert bench.processes[0].signals == []
    bench.reactor.advance(0.1)
    assert bench.processes[0].signals == ["KILL"]
    error = scan[0]
    assert str(error) == "no answer within 10 s from /m"
    assert (error.partial.files, error.partial.stopped) == (5, "timeout")
    assert error.partial.listed_dirs == 2
    bench.processes[0].end()
    assert not bench.reactor.getDelayedCalls()


def test_child_that_cannot_be_killed_is_set_aside() -> None:
    """Its mount is left alone, all else goes on with a new child, and its end frees the mount."""
    bench = Bench(processes=1)
    bench.scan(mount="/hung", timeout_seconds=1)
    waiting = bench.scan(mount="/hung")
    other = bench.scan(mount="/well")
    bench.reactor.advance(2)
    assert len(bench.processes) == 1  # It may still die: its slot is taken.
    bench.reactor.advance(0.5)
    since = datetime.fromtimestamp(2, UTC)
    assert isinstance(waiting[0], MountStuck)
    assert (waiting[0].mount_point, waiting[0].since) == ("/hung", since)
    assert bench.pool.stuck_since("/hung") == since
    assert bench.pool.stuck_since("/well") is None
    assert [(one.pid, one.mount_point) for one in bench.pool.stuck_workers()] == [(100, "/hung")]
    assert bench.processes[0].closed
    assert isinstance(bench.probe(mount="/hung")[0], MountStuck)

    assert bench.processes[1].doing == "/a"
    bench.processes[1].say(answer=OUTCOME)
    assert isinstance(other[0], ScanOutcome)

    bench.processes[0].end()
    assert bench.pool.stuck_workers() == []
    assert bench.probe(mount="/hung") == []
    assert bench.processes[-1].requests[-1]["op"] == "statvfs"


def test_thousand_cycles_on_a_hung_mount_cost_one_child() -> None:
    bench = Bench()
    for _ in range(1000):
        came = [bench.probe(mount="/hung"), bench.scan(mount="/hung", timeout_seconds=4)]
        bench.reactor.advance(15)
        assert all(isinstance(one[0], CollectError) for one in came)
    # The probe and the scan of the first second were both under way when it hung.
    assert len(bench.processes) == 2
    assert len(bench.pool.stuck_workers()) == 2
    assert not bench.reactor.getDelayedCalls()


def test_silent_scan_holds_back_a_probe_of_its_mount() -> None:
    bench = Bench()
    bench.scan(mount="/m")
    bench.reactor.advance(2)
    held = bench.probe(mount="/m")
    elsewhere = bench.probe(mount="/n")
    assert len(bench.processes) == 2
    bench.processes[1].say(answer=STATVFS)
    assert elsewhere
    bench.reactor.advance(1)
    bench.processes[0].say(progress=PROGRESS)  # The mount lives.
    assert len(bench.processes[1].requests) == 2
    bench.processes[1].say(answer=STATVFS)
    assert isinstance(held[0], Usage)

    bench.reactor.advance(2)
    held = bench.probe(mount="/m", deadline=3)
    bench.reactor.advance(3)
    assert isinstance(held[0], WorkerTimeout)
    assert len(bench.processes[1].requests) == 2  # Nobody was sent there.


def test_probe_that_waits_for_a_child_only_does_not_time_out() -> None:
    bench = Bench()
    busy = [bench.probe(mount=f"/{number}", deadline=5) for number in range(4)]
    bench.reactor.advance(2)
    waiting = bench.probe(mount="/well", deadline=2)
    bench.reactor.advance(3)
    assert all(isinstance(probe[0], WorkerTimeout) for probe in busy)
    assert waiting == []
    bench.processes[0].end()
    bench.processes[-1].say(answer=STATVFS)
    assert isinstance(waiting[0], Usage)


def test_scans_one_at_a_time_where_a_mount_may_hang() -> None:
    bench = Bench(processes=3)
    bench.scan("/m/1", "/m", one_at_a_time=True)
    bench.scan("/m/2", "/m", one_at_a_time=True)
    bench.scan("/1")
    bench.scan("/2")
    assert [process.doing for process in bench.processes] == ["/m/1", "/1", "/2"]
    bench.processes[0].say(answer=OUTCOME)
    assert bench.processes[0].doing == "/m/2"


def test_cancelled_request_kills_its_child() -> None:
    bench = Bench(processes=1)
    order = ScanOrder(path=b"/a", mount_point="/", timeout_seconds=60)
    first, second, third = (bench.pool.scan(order) for _ in range(3))
    came = results(second)
    second.cancel()
    assert isinstance(came[0], CancelledError)
    assert bench.processes[0].signals == []  # It had no child yet.
    came = results(first)
    first.cancel()
    assert isinstance(came[0], CancelledError)
    assert bench.processes[0].signals == ["KILL"]
    bench.processes[0].say(answer=OUTCOME)  # Too late; nobody listens.
    bench.processes[0].end()
    bench.processes[1].say(answer=OUTCOME)
    assert isinstance(results(third)[0], ScanOutcome)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (ProcessTerminated(signal=9), "killed (SIGKILL), as the kernel does when memory is short"),
        (ProcessTerminated(signal=11), "signal 11"),
        (ProcessTerminated(exitCode=3), "exit status 3"),
        (ProcessDone(0), "exit status 0"),
    ],
)
def test_child_that_ends_fails_its_request(reason: Exception, text: str) -> None:
    bench = Bench()
    scan = bench.scan()
    bench.processes[0].end(reason)
    assert isinstance(scan[0], WorkerDied)
    assert str(scan[0]) == f"the worker ended: {text}"
    assert not bench.reactor.getDelayedCalls()
    bench.scan()
    assert len(bench.processes) == 2


@pytest.mark.parametrize(
    "content",
    [
        {"answer": {}},
        {"answer": None},
        {"answer": {**OUTCOME, "files": "3"}},
        {"progress": []},
        {"error": {"errno": 3}},
        {"id": 99, "answer": OUTCOME},
        {},
    ],
)
def test_malformed_answer_fails_the_request(content: dict[str, Any]) -> None:
    bench = Bench()
    scan = bench.scan()
    bench.processes[0].say(**content)
    assert isinstance(scan[0], WorkerDied)
    assert bench.processes[0].signals == ["KILL"]


def test_line_without_end_is_no_answer() -> None:
    bench = Bench()
    scan = bench.scan()
    for _ in range(50):
        bench.processes[0]._protocol.outReceived(b"\x1b" * 100_000)
    assert isinstance(scan[0], WorkerDied)
    assert str(scan[0]) == "the worker gave what is no answer: " + "\\x1b" * 200


def test_idle_child_that_speaks_is_not_used_again() -> None:
    bench = Bench()
    bench.scan()
    bench.processes[0].say(answer=OUTCOME)
    bench.processes[0].say(answer=OUTCOME)
    assert bench.processes[0].signals == ["KILL"]
    bench.scan()
    assert len(bench.processes) == 2


def test_progress_callback_that_fails_is_only_logged(flush_logged_errors: Any) -> None:
    bench = Bench()
    order = ScanOrder(path=b"/a", mount_point="/", timeout_seconds=60)
    scan = results(bench.pool.scan(order, lambda progress: 1 / 0))
    bench.processes[0].say(progress=PROGRESS)
    bench.processes[0].say(answer=OUTCOME)
    assert isinstance(scan[0], ScanOutcome)
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_program_that_cannot_be_started_fails_the_request() -> None:
    bench = Bench()

    def no_memory(*arguments: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    bench.reactor.spawnProcess = no_memory  # type: ignore[method-assign]
    scan = bench.scan()
    assert isinstance(scan[0], WorkerDied)
    assert "Cannot allocate memory" in str(scan[0])


def test_stop_fails_everything_and_waits_for_the_children() -> None:
    bench = Bench(processes=1)
    came = [bench.scan(), bench.scan(), bench.probe()]
    stopped = results(bench.pool.stop())
    assert [type(one[0]) for one in came] == [WorkerStopped] * 3
    assert [process.signals for process in bench.processes] == [["KILL"], ["KILL"]]
    assert isinstance(bench.probe()[0], WorkerStopped)
    bench.processes[0].end()
    assert stopped == []
    bench.processes[1].end()
    assert stopped == [None]
    assert results(bench.pool.stop()) == [None]
    assert not bench.reactor.getDelayedCalls()


def test_stop_does_not_wait_for_a_child_that_cannot_be_killed() -> None:
    bench = Bench()
    bench.scan()
    stopped = results(bench.pool.stop())
    bench.reactor.pump([0.5, 0.3, 0.1])
    assert stopped == [None]
    assert bench.processes[0].closed
    assert not bench.reactor.getDelayedCalls()
    bench.processes[0].end()


# --- walks that fall silent -----------------------------------------------------------------------


def test_scan_that_falls_silent_does_not_hold_its_child_until_its_timeout() -> None:
    bench = Bench(processes=1)
    scan = bench.scan(mount="/hung", timeout_seconds=600, silence_seconds=30)
    next_one = bench.scan(mount="/well")
    for _ in range(8):
        bench.reactor.advance(10)
        bench.processes[0].say(progress=PROGRESS)
    bench.reactor.advance(29.9)
    assert scan == []
    bench.reactor.advance(0.1)
    assert isinstance(scan[0], WorkerSilent)
    assert str(scan[0]) == "no answer within 30 s from /hung"
    assert (scan[0].partial.files, scan[0].partial.duration_seconds) == (5, pytest.approx(110))
    assert bench.processes[0].signals == ["KILL"]
    bench.reactor.advance(0.5)
    assert [one.mount_point for one in bench.pool.stuck_workers()] == ["/hung"]
    assert bench.processes[1].doing == "/a"
    bench.processes[1].say(answer=OUTCOME)
    assert isinstance(next_one[0], ScanOutcome)
    bench.processes[0].end()
    assert not bench.reactor.getDelayedCalls()


def test_scan_that_never_says_anything() -> None:
    bench = Bench()
    scan = bench.scan(mount="/hung", timeout_seconds=600)
    searching = top(bench, "/a", "/other", timeout_seconds=20)
    bench.reactor.pump([30, 1])
    assert isinstance(scan[0], WorkerSilent)
    assert scan[0].partial is None
    assert type(searching[0]) is WorkerTimeout
    for process in bench.processes:
        process.end()
    assert not bench.reactor.getDelayedCalls()


# --- many, and of other kinds ---------------------------------------------------------------------


def test_thousands_that_wait_cost_as_much_as_one_mount_of_them() -> None:
    """Whether they wait for a child or for their mount: nobody looks at all of them each time."""
    bench = Bench(processes=2)
    looks = 0
    real = bench.pool._is_held

    def counting(request: Any) -> bool:
        nonlocal looks
        looks += 1
        return real(request)

    bench.pool._is_held = counting  # type: ignore[method-assign]
    held = [bench.scan(mount="/hung", one_at_a_time=True) for _ in range(1000)]
    others = [bench.scan(mount=f"/{number % 3}") for number in range(1000)]
    for _ in range(1000):
        bench.processes[1].say(answer=OUTCOME)
    assert [len(came) for came in (held[0], held[1], others[0], others[-1])] == [0, 0, 1, 1]
    assert looks < 10_000
    bench.pool.stop()
    assert all(isinstance(came[0], WorkerStopped) for came in held)


def top(bench: Bench, path: str, mount: str = "/", **options: Any) -> list[Any]:
    options.setdefault("timeout_seconds", 60)
    return results(
        bench.pool.top(TopOrder(path=path.encode(), mount_point=mount, count=2, **options))
    )


def find_files(bench: Bench, path: str, mount: str = "/", **options: Any) -> list[Any]:
    patterns = [FindPattern(glob="*.csv")]
    order = FindOrder(
        path=path.encode(), mount_point=mount, timeout_seconds=60, patterns=patterns, **options
    )
    return results(bench.pool.find(order))


TOP = {
    "entries": 1,
    "allocated_bytes": 4096,
    "apparent_bytes": 1,
    "links_exact": True,
    "files": [[["a", 4096, 1, 10**30]], []],
    "directories": [[], [["", 4096, 1, 1]]],
    "skipped_mounts": 0,
    "stopped": None,
    "troubles": [],
    "duration_seconds": 0.5,
}


def test_searches_do_not_hold_up_scans_nor_each_other() -> None:
    """One search for the largest at a time, and beside it one for files by name."""
    bench = Bench(processes=1)
    tops = [top(bench, f"/top{number}") for number in range(2)]
    bench.scan("/scan")
    found = [find_files(bench, f"/find{number}") for number in range(2)]
    assert [process.doing for process in bench.processes] == ["/top0", "/scan", "/find0"]
    bench.processes[0].say(progress={"entries": 1, "allocated_bytes": 2, "directory": ""})
    bench.processes[0].say(answer=TOP)
    assert tops[0][0].files_by_allocated[0].modified_at is None  # a year that no calendar has
    assert tops[0][0].directories_by_apparent[0].files == 1
    assert bench.processes[0].doing == "/top1"
    bench.processes[2].say(answer={**TOP, "found": []})
    assert found[0][0].entries == 1
    assert bench.processes[2].doing == "/find1"


def test_search_waits_for_a_scan_of_its_server() -> None:
    bench = Bench()
    bench.scan("/scan", "/m", one_at_a_time=True, server="filer")
    waiting = top(bench, "/top", "/n", one_at_a_time=True, server="filer")
    other = find_files(bench, "/find", "/m", one_at_a_time=True)
    assert [process.doing for process in bench.processes] == ["/scan"]
    bench.processes[0].say(answer=OUTCOME)
    assert [process.doing for process in bench.processes[1:]] == ["/top", "/find"]
    assert waiting == other == []


def test_search_has_its_deadline_and_can_be_cancelled() -> None:
    bench = Bench()
    late = top(bench, "/top", timeout_seconds=10)
    bench.reactor.advance(11)
    assert isinstance(late[0], WorkerTimeout)
    bench.processes[0].end()
    order = TopOrder(path=b"/a", mount_point="/", timeout_seconds=10)
    search = bench.pool.top(order)
    came = results(search)
    search.cancel()
    assert isinstance(came[0], CancelledError)
    assert bench.processes[1].signals == ["KILL"]
    bench.processes[1].end()
    assert not bench.reactor.getDelayedCalls()


def test_answer_to_a_search_that_is_none() -> None:
    bench = Bench()
    came = top(bench, "/a")
    bench.processes[0].say(answer={**TOP, "files": [[["a", 1]], []]})
    assert isinstance(came[0], WorkerDied)


def test_progress_of_a_search_is_told() -> None:
    bench = Bench()
    order = TopOrder(path=b"/a", mount_point="/", timeout_seconds=10)
    told: list[Any] = []
    came = results(bench.pool.top(order, told.append))
    bench.processes[0].say(progress={"entries": 1, "allocated_bytes": 2, "directory": "\udcff"})
    assert (told[0].entries, told[0].directory) == (1, "\\xff")
    bench.processes[0].say(answer=TOP)
    assert came[0].complete


# --- scans that are shared ------------------------------------------------------------------------


def part_answer(**changes: Any) -> dict[str, Any]:
    return {**OUTCOME, "troubles": [], **changes}


def test_idle_child_takes_part_in_a_long_scan() -> None:
    bench = Bench(processes=2)
    scan = bench.scan(timeout_seconds=10)
    [one] = bench.processes
    bench.reactor.advance(0.02)
    assert one.orders == ["share"]
    one.say(given=["a/b", "c\udcff"])
    two = bench.processes[1]
    assert two.requests[-1]["parts"] == ["a/b", "c\udcff"]
    assert two.requests[-1]["scan_id"] == one.requests[-1]["scan_id"]
    assert two.requests[-1]["timeout_seconds"] == pytest.approx(9.98)
    one.say(answer=part_answer(troubles=[{"kind": "EIO", "count": 1, "example": "a"}]))
    assert scan == []
    bench.reactor.advance(0.02)
    assert two.orders == ["share"]
    two.say(given=[])
    bench.reactor.advance(0.04)
    assert two.orders == ["share"]
    bench.reactor.advance(0.02)
    assert two.orders == ["share", "share"]
    two.say(
        answer=part_answer(
            newest_mtime_ns=None,
            troubles=[
                {"kind": "EACCES", "count": 1, "example": "b"},
                {"kind": "EIO", "count": 2, "example": "c"},
            ],
        )
    )
    [outcome] = scan
    assert (outcome.files, outcome.dirs, outcome.listed_dirs, outcome.reused_dirs) == (6, 4, 6, 2)
    assert outcome.newest_change_at == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)
    assert [(one.kind, one.count, one.example) for one in outcome.troubles] == [
        ("EACCES", 1, "b"),
        ("EIO", 3, "a"),
    ]
    assert not bench.reactor.getDelayedCalls()


def test_part_given_up_when_nobody_is_idle_any_more_comes_first() -> None:
    bench = Bench(processes=2)
    scan = bench.scan("/long")
    bench.reactor.advance(0.02)
    other, waiting = bench.scan("/other"), bench.scan("/waiting")
    one, two = bench.processes
    one.say(given=["a"])
    two.say(answer=OUTCOME)
    assert (two.doing, two.requests[-1]["parts"]) == ("/long", ["a"])
    one.say(answer=OUTCOME)
    assert one.doing == "/waiting"
    two.say(answer=OUTCOME)
    assert [len(came) for came in (scan, other, waiting)] == [1, 1, 0]


@pytest.mark.parametrize(
    "options", [{"one_at_a_time": True}, {"max_ops_per_second": 5.0}, {"parallelism": 2}]
)
def test_scan_that_spares_its_mount_is_not_shared(options: dict[str, Any]) -> None:
    """Nor if it was before, when the configuration did not say so."""
    bench = Bench()
    bench.scan(remember=True)
    bench.reactor.advance(0.02)
    bench.processes[0].say(given=["a"])
    for process in bench.processes:
        process.say(answer=OUTCOME)
    bench.scan(remember=True, **options)
    bench.reactor.advance(1)
    assert bench.processes[0].requests[-1]["parts"] == [""]
    assert [process.orders for process in bench.processes] == [["share"], []]
    assert len(bench.processes[1].requests) == 1
    bench.processes[0].say(answer=OUTCOME)
    assert not bench.reactor.getDelayedCalls()


def shared() -> tuple[Bench, list[Any], MadeUpProcess, MadeUpProcess]:
    """Give a scan that two children share, of at most 100 files in 10 seconds."""
    bench = Bench()
    scan = bench.scan(max_files=100, timeout_seconds=10)
    bench.reactor.advance(0.02)
    bench.processes[0].say(given=["a"])
    return bench, scan, *bench.processes


def test_limit_of_files_is_that_of_all_children_together() -> None:
    bench, scan, one, two = shared()
    one.say(progress={**PROGRESS, "files": 60})
    assert "stop" not in one.orders
    two.say(progress={**PROGRESS, "files": 50})
    assert (one.orders[-1], two.orders[-1]) == ("stop", "stop")
    one.say(answer=part_answer(files=61, stopped="max_files"))
    two.say(answer=part_answer(files=51))
    assert (scan[0].files, scan[0].stopped) == (100, "max_files")
    assert not bench.reactor.getDelayedCalls()


def test_deadline_of_a_shared_scan() -> None:
    bench, scan, one, two = shared()
    one.say(progress=PROGRESS)
    two.say(progress=PROGRESS)
    bench.reactor.advance(10.98)
    assert isinstance(scan[0], WorkerTimeout)
    assert (scan[0].partial.files, scan[0].partial.listed_dirs) == (10, 4)
    assert (one.signals, two.signals) == (["KILL"], ["KILL"])
    one.end()
    two.end()
    assert not bench.reactor.getDelayedCalls()


def test_death_of_one_child_fails_the_scan_and_ends_the_others() -> None:
    bench, scan, one, two = shared()
    two.end()
    assert isinstance(scan[0], WorkerDied)
    assert one.signals == ["KILL"]
    one.end()
    assert not bench.reactor.getDelayedCalls()


def test_who_remembers_scans_again() -> None:
    """The same children begin at the parts that they had, if both are idle; else one does all."""
    bench = Bench(processes=3)
    bench.scan("/a", remember=True)
    bench.reactor.advance(0.02)
    one = bench.processes[0]
    one.say(given=["b"])
    two = bench.processes[1]
    for child in (two, one):
        child.say(answer=OUTCOME)
    for _ in range(2):
        scan = bench.scan("/a", remember=True)
        assert [child.requests[-1]["parts"] for child in (one, two)] == [[""], ["b"]]
        assert [child.requests[-1]["apart"] for child in (one, two)] == [["b"], ["b"]]
        one.say(answer=OUTCOME)
        two.say(answer=OUTCOME)
        assert scan[0].files == 6

    bench.scan("/a", remember=True, relist=True)
    assert (one.requests[-1]["parts"], one.requests[-1]["apart"]) == ([""], [])
    assert two.requests[-1]["scan_id"] != one.requests[-1]["scan_id"]
    one.say(answer=OUTCOME)
    bench.scan("/a", remember=True)
    assert (one.requests[-1]["parts"], one.requests[-1]["apart"]) == ([""], [])
    assert len(bench.processes) == 2


def test_nobody_else_remembers_what_a_dead_child_had() -> None:
    bench = Bench()
    bench.scan("/a", remember=True)
    bench.reactor.advance(0.02)
    one = bench.processes[0]
    one.say(given=["b"])
    two = bench.processes[1]
    one.say(answer=OUTCOME)
    two.say(answer=OUTCOME)
    two.end()
    scan = bench.scan("/a", remember=True)
    assert (one.requests[-1]["parts"], one.requests[-1]["apart"]) == ([""], [])
    one.say(answer=OUTCOME)
    assert scan[0].files == 3


def test_scans_of_one_server_run_one_at_a_time() -> None:
    bench = Bench(processes=3)
    for mount in ("/m", "/n"):
        bench.scan(mount, mount, one_at_a_time=True, server="filer")
    bench.scan("/o", "/o", one_at_a_time=True, server="other")
    assert [process.doing for process in bench.processes] == ["/m", "/o"]


def test_child_that_has_served_long_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etlmon.fsworker.pool._SERVE_AT_MOST", 2)
    bench = Bench(processes=1)
    for number in range(2):
        bench.scan(f"/{number}")
        bench.processes[0].say(answer=OUTCOME)
    assert bench.processes[0].signals == ["KILL"]
    waiting = bench.scan()
    bench.processes[0].end()
    bench.processes[1].say(answer=OUTCOME)
    assert isinstance(waiting[0], ScanOutcome)
    assert not bench.reactor.getDelayedCalls()


# --- real children --------------------------------------------------------------------------------


def order(path: Path | str, **options: Any) -> ScanOrder:
    options.setdefault("timeout_seconds", 30)
    return ScanOrder(path=os.fsencode(path), mount_point="/", **options)


def children() -> list[psutil.Process]:
    return psutil.Process().children()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_scan_and_statvfs(pool: WorkerPool, tree: Path) -> None:
    (tree / "d").mkdir()
    (tree / "d" / "f").write_text("")
    outcome = await pool.scan(order(tree))
    expected = find(tree)
    assert (outcome.files, outcome.dirs, outcome.others) == tuple(expected.values())
    assert outcome.complete
    device = os.lstat(tree).st_dev
    found = await pool.statvfs(os.fsencode(tree), "/", 5)
    assert found.blocks == os.statvfs(tree).f_blocks
    assert found.device_number == device
    with pytest.raises(WorkerFailed, match="No such file or directory"):
        await pool.scan(order(tree / "missing"))


async def test_children_start_when_needed_and_are_used_again(pool: WorkerPool, tree: Path) -> None:
    before = {child.pid for child in children()}
    for _ in range(100):
        await pool.scan(order(tree))
        await pool.statvfs(b"/", "/", 5)
    assert len({child.pid for child in children()} - before) == 2


async def test_killed_child_is_replaced(pool: WorkerPool, tree: Path) -> None:
    await pool.scan(order(tree))
    [child] = children()
    child.kill()
    await until(lambda: not children())
    assert (await pool.scan(order(tree))).complete


async def test_child_killed_at_work_fails_its_scan_only(pool: WorkerPool) -> None:
    scan = pool.scan(order("/proc/self"), lambda progress: None)
    [child] = await until(children)
    child.kill()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        await scan
    assert (await pool.scan(order("/etc"))).files > 0


async def test_cycles_leave_nothing_behind(pool: WorkerPool, tree: Path) -> None:
    """Answers, errors, cancelled scans and kills, over and over."""
    counted = None
    for number in range(60):
        await pool.statvfs(b"/", "/", 5)
        await pool.scan(order(tree))
        with pytest.raises(WorkerFailed):
            await pool.scan(order(tree / "missing"))
        if number % 3 == 0:
            scan = pool.scan(order("/usr"))
            scan.cancel()
            with pytest.raises(CancelledError):
                await scan
            await pool.scan(order(tree))
        if number == 5:
            counted = descriptors(), len(children())
    assert (descriptors(), len(children())) == counted
    assert not [child for child in children() if child.status() == psutil.STATUS_ZOMBIE]


async def test_cancelled_scan_ends_its_child_within_a_second(pool: WorkerPool) -> None:
    scan = pool.scan(order("/"))
    [child] = await until(children)
    scan.cancel()
    with pytest.raises(CancelledError):
        await scan
    await until(lambda: not psutil.pid_exists(child.pid), 1)


PROGRAMS = {
    "silent": "import sys; sys.stdin.read()",
    "deaf": "import os, time; os.close(0); time.sleep(60)",
    "nonsense": "import os; os.read(0, 999); os.write(1, b'bus \\x1b error\\n'); os.read(0, 999)",
    "ending": "import sys; sys.stdin.readline(); sys.exit('out of \\x07 luck')",
}


def other_pool(program: str) -> WorkerPool:
    """Give a pool whose workers are another program."""
    return WorkerPool(reactor, command=[sys.executable, "-I", "-S", "-c", PROGRAMS[program]])


@pytest.mark.parametrize("program", ["silent", "deaf"])
async def test_deadline_passes(program: str) -> None:
    pool = other_pool(program)
    for _ in range(3):
        with pytest.raises(WorkerTimeout, match=r"no answer within 0\.1 s from /m"):
            await pool.statvfs(b"/", "/m", 0.1)
    await until(lambda: not children())
    assert pool.stuck_workers() == []
    await pool.stop()


async def test_program_that_speaks_nonsense() -> None:
    pool = other_pool("nonsense")
    with pytest.raises(WorkerDied, match=r"no answer: bus \\x1b error$"):
        await pool.statvfs(b"/", "/", 5)
    await until(lambda: not children())
    await pool.stop()


async def test_what_a_child_complains_about_is_logged() -> None:
    pool = other_pool("ending")
    said: list[str] = []

    def observe(event: Any) -> None:
        if "text" in event:
            said.append(event["text"])

    globalLogPublisher.addObserver(observe)
    try:
        with pytest.raises(WorkerDied, match="exit status 1"):
            await pool.statvfs(b"/", "/", 5)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert said == ["out of \\x07 luck\\n"]
    await pool.stop()


async def test_stop_kills_and_reaps_all(tree: Path) -> None:
    before = descriptors()
    pool = WorkerPool(reactor)
    came = [results(pool.scan(order("/usr"))) for _ in range(4)]
    came.append(results(pool.statvfs(b"/", "/", 5)))
    assert len(children()) == 3
    began = reactor.seconds()
    await pool.stop()
    assert reactor.seconds() - began < 1
    assert all(isinstance(one[0], WorkerStopped) for one in came)
    assert children() == []
    assert descriptors() == before
    await pool.stop()


def make_wide_tree(tree: Path) -> None:
    """Make what takes a worker longer than it is left alone: 400 directories, 20,000 files."""
    for number in range(400):
        directory = tree / f"{number // 20}" / f"{number % 20}"
        directory.mkdir(parents=True)
        for name in range(50):
            (directory / f"{name}").touch()


async def test_shared_scans_count_what_find_counts(tree: Path, monkeypatch: Any) -> None:
    """Again and again, with changes in between; who gave what to whom makes no difference."""
    monkeypatch.setattr("etlmon.fsworker.sharing._ALONE_SECONDS", 0.001)
    make_wide_tree(tree)
    pool = WorkerPool(reactor, processes=3, limits=WorkersSection().limits)
    rng = random.Random(3)
    shared = 0
    try:
        for number in range(12):
            outcome = await pool.scan(
                order(tree, remember=True, relist=number % 5 == 4, settle_seconds=0.1)
            )
            assert (outcome.files, outcome.dirs, outcome.others) == tuple(find(tree).values())
            assert outcome.listed_dirs + outcome.reused_dirs == outcome.dirs + 1
            shared += len({len(plan) for plan in pool._sharing._plans.values()} - {1})
            for _ in range(rng.randrange(4)):
                place = tree / f"{rng.randrange(20)}" / f"{rng.randrange(20)}"
                if place.exists():
                    place.rename(tree / f"{rng.randrange(20)}" / f"moved {rng.random()}")
            make_wide_tree(tree / f"new {number}") if number == 6 else None
    finally:
        await pool.stop()
    assert shared


async def test_limits_of_a_child(tree: Path) -> None:
    limits = {"nice": 3, "memory_bytes": 200 << 20, "descriptors": 70, "idle_io": True}
    pool = WorkerPool(reactor, limits=limits)
    await pool.scan(order(tree))
    [child] = children()
    assert child.rlimit(psutil.RLIMIT_AS) == (200 << 20, 200 << 20)
    assert child.rlimit(psutil.RLIMIT_NOFILE) == (70, 70)
    assert child.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    assert child.nice() == psutil.Process().nice() + 3
    await pool.stop()
