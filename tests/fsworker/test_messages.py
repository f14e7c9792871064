"""Answers become records; what is no answer fails its request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from etlmon.errors import CollectError
from etlmon.fsworker.failures import WorkerDied, WorkerFailed
from etlmon.fsworker.scan import ChildCounts, OtherChildren, ScanOrder, ScanOutcome, ScanProgress
from etlmon.host.mounts import Usage
from etlmon.records.path import ScanTrouble
from tests.fsworker.made_up import OUTCOME, PROGRESS, STATVFS, Bench, results


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
        "generation": 0,
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
