"""Searches for the largest files and for files by name, in a lane of their own."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from etlmon.fsworker.failures import WorkerDied, WorkerTimeout
from etlmon.fsworker.top import TopOrder
from tests.fsworker.made_up import OUTCOME, Bench, find_files, results, top

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
