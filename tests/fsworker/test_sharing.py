"""Scans that several children share, and who remembers what for the next one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from etlmon.fsworker.failures import WorkerDied, WorkerTimeout
from tests.fsworker.made_up import OUTCOME, PROGRESS, Bench, MadeUpProcess


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


def test_scan_in_very_many_parts_is_shared_no_further() -> None:
    """Nor are there more of them the next time: each is named to every child that takes part."""
    bench = Bench(processes=2)
    scan = bench.scan(remember=True)
    bench.reactor.advance(0.02)
    one = bench.processes[0]
    one.say(given=[f"{number}" for number in range(4_998)])
    two = bench.processes[1]
    two.say(answer=OUTCOME)
    bench.reactor.advance(0.06)
    assert one.orders == ["share", "share"]
    one.say(given=["a"])
    two.say(answer=OUTCOME)
    bench.reactor.advance(1)
    assert one.orders == ["share", "share"]
    one.say(answer=OUTCOME)
    assert len(scan) == 1
    bench.scan(remember=True)
    assert [len(process.requests[-1]["parts"]) for process in (one, two)] == [1, 4_999]
    two.say(answer=OUTCOME)
    bench.reactor.advance(1)
    assert one.orders == ["share", "share"]
    one.say(answer=OUTCOME)
    assert not bench.reactor.getDelayedCalls()


def test_scan_in_parts_with_very_long_names_is_shared_no_further() -> None:
    """The requests of the next scan would be too long to be read before it counts as silent."""
    bench = Bench(processes=2)
    bench.scan()
    bench.reactor.advance(0.02)
    one = bench.processes[0]
    one.say(given=["\udcff" * 4_000 for _ in range(49)])
    bench.processes[1].say(answer=OUTCOME)
    bench.reactor.advance(0.06)
    assert one.orders == ["share", "share"]
    one.say(given=["\udcff" * 4_000])
    bench.processes[1].say(answer=OUTCOME)
    bench.reactor.advance(1)
    assert one.orders == ["share", "share"]


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
    one.say(progress=PROGRESS)
    two.say(progress=PROGRESS)
    two.end()
    assert isinstance(scan[0], WorkerDied)
    assert scan[0].partial is not None
    assert (scan[0].partial.files, scan[0].partial.listed_dirs) == (10, 4)
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

    bench.scan("/a", remember=True, generation=1)
    assert (one.requests[-1]["parts"], one.requests[-1]["apart"]) == ([""], [])
    assert two.requests[-1]["scan_id"] != one.requests[-1]["scan_id"]
    one.say(answer=OUTCOME)
    bench.scan("/a", remember=True, generation=1)
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
