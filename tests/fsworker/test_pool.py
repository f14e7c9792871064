"""The parent of the workers, on a clock and with made-up children."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ProcessDone, ProcessTerminated

from etlmon.errors import CollectError
from etlmon.fsworker.failures import (
    MountStuck,
    WorkerDied,
    WorkerSilent,
    WorkerStopped,
    WorkerTimeout,
)
from etlmon.fsworker.lanes import LaneState
from etlmon.fsworker.scan import ScanOrder, ScanOutcome
from etlmon.host.mounts import Usage
from tests.fsworker.made_up import OUTCOME, PROGRESS, STATVFS, Bench, results, top


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


def test_scan_that_waits_says_for_what_and_since_when() -> None:
    bench = Bench(processes=2)

    def scan(path: str, mount: str, **options: Any) -> Any:
        order = ScanOrder(path=path.encode(), mount_point=mount, timeout_seconds=60, **options)
        return bench.pool.scan(order)

    bench.reactor.advance(10)
    first = scan("/m/1", "/m", one_at_a_time=True, server="filer")
    bench.reactor.advance(0.5)
    same_mount = scan("/m/2", "/m", one_at_a_time=True, server="filer")
    same_server = scan("/n", "/n", one_at_a_time=True, server="filer")
    assert bench.pool.waits_for(first) is None
    words = "the scan of /m/1, begun 1970-01-01T00:00:10Z"
    for scan_that_waits in (same_mount, same_server):
        assert bench.pool.waits_for(scan_that_waits) == words
    bench.reactor.advance(2)
    words += ", not heard of since 1970-01-01T00:00:10Z"
    assert bench.pool.waits_for(same_mount) == words
    top(bench, "/m/3", "/m")
    local = [scan(f"/{number}", "/") for number in range(2)]
    assert bench.pool.waits_for(local[0]) is None
    assert bench.pool.waits_for(local[1]) == (
        f"a free worker; {words}; the scan of /0, begun 1970-01-01T00:00:12Z"
    )
    first.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
    assert bench.pool.waits_for(same_mount) == "the end of a worker that hangs on /m"
    bench.processes[0].end()
    assert bench.pool.waits_for(same_mount) is None
    assert bench.pool.waits_for(first) is None
    stopped = [same_mount, same_server, *local]
    for one in stopped:
        one.addErrback(lambda failure: failure.trap(WorkerStopped))
    bench.pool.stop()
    assert bench.pool._asked == {}


def test_scan_that_waits_for_a_worker_names_a_scan_of_several_once() -> None:
    bench = Bench(processes=2)
    bench.scan("/a")
    bench.reactor.advance(0.02)
    bench.processes[0].say(given=["b"])
    assert [process.doing for process in bench.processes] == ["/a", "/a"]
    order = ScanOrder(path=b"/c", mount_point="/", timeout_seconds=60)
    scan = bench.pool.scan(order)
    assert bench.pool.waits_for(scan) == "a free worker; the scan of /a, begun 1970-01-01T00:00:00Z"
    bench.processes[0].say(answer=OUTCOME)
    assert bench.pool.waits_for(scan) is None
    bench.processes[1].say(answer=OUTCOME)


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


def test_thousands_that_wait_cost_as_much_as_one_mount_of_them() -> None:
    """Whether they wait for a child or for their mount: nobody looks at all of them each time."""
    bench = Bench(processes=2)
    looks = 0
    real = bench.pool._waiting.holder

    def counting(request: Any) -> bool:
        nonlocal looks
        looks += 1
        return real(request)

    bench.pool._waiting.holder = counting  # type: ignore[method-assign]
    held = [bench.scan(mount="/hung", one_at_a_time=True) for _ in range(1000)]
    others = [bench.scan(mount=f"/{number % 3}") for number in range(1000)]
    for _ in range(1000):
        bench.processes[1].say(answer=OUTCOME)
    assert [len(came) for came in (held[0], held[1], others[0], others[-1])] == [0, 0, 1, 1]
    assert looks < 10_000
    bench.pool.stop()
    assert all(isinstance(came[0], WorkerStopped) for came in held)


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
