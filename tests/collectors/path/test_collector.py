"""The path collector: what it makes of each end of a scan, and the whole on a real tree."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import succeed

from etlmon.collectors.base import CollectorContext
from etlmon.collectors.path import KIND
from etlmon.collectors.path.collector import PathCollector
from etlmon.config.node import NodeConfig, RefreshSection
from etlmon.config.watched import PathSection
from etlmon.errors import CollectError
from etlmon.fsworker.failures import MountStuck, WorkerDied, WorkerFailed, WorkerTimeout
from etlmon.fsworker.pool import WorkerPool
from etlmon.fsworker.scan import ChildCounts, OtherChildren
from etlmon.records.path import (
    ChildrenCounted,
    PathScanned,
    PathScanProgress,
    PathsConfigured,
    ScanTrouble,
    path_id,
)
from etlmon.units import utc
from tests.collectors.path.conftest import NEXT, FakeWorkers, Host, outcome


class TestResult:
    def test_complete(self, host: Host) -> None:
        assert host.scan() == PathScanned(
            path="/data",
            file_count=1200,
            dir_count=30,
            other_count=4,
            scan_duration_ms=2500,
            status="OK",
            error_message=None,
            collected_at=utc(1000 - 2 * 3600),
            complete=True,
            newest_change_at=utc(500),
            scanned_dirs=31,
            reused_dirs=9,
            skipped_mounts=1,
            troubles=[],
            next_scan_at=NEXT,
        )
        assert host.raised is None

    def test_empty_directory_is_no_trouble(self, host: Host) -> None:
        host.workers.answer = outcome(files=0, dirs=0, others=0)
        scanned = host.scan()
        assert (scanned.status, scanned.file_count, scanned.complete) == ("OK", 0, True)

    def test_timeout_is_an_error_with_the_counts(self, host: Host) -> None:
        host.workers.answer = outcome(stopped="timeout")
        scanned = host.scan(timeout=90.0)
        assert (scanned.status, scanned.complete) == ("ERROR", False)
        assert scanned.error_message == "stopped at the timeout of 90s, 1,234 entries counted"
        assert (scanned.file_count, scanned.dir_count, scanned.other_count) == (1200, 30, 4)

    def test_timeout_is_told_to_the_runner_in_words_that_stay_the_same(self, host: Host) -> None:
        """A number in them would make each run a new trouble in the log."""
        host.workers.answer = outcome(stopped="timeout")
        host.scan()
        assert isinstance(host.raised, CollectError)
        assert str(host.raised) == "stopped at the timeout of 10m"

    def test_max_files_is_partial(self, host: Host) -> None:
        host.workers.answer = outcome(stopped="max_files")
        scanned = host.scan(max_files_per_scan=1200)
        assert (scanned.status, scanned.complete) == ("PARTIAL", False)
        assert scanned.error_message == (
            "stopped at max_files_per_scan, 1,200 files; 1,234 entries counted"
        )
        assert host.raised is None

    @pytest.mark.parametrize(
        ("counts", "text"),
        [
            ([1], "1 directory could not be read: EACCES, for example in/0"),
            ([1500, 2], "1,502 directories could not be read: EACCES, for example in/0"),
        ],
    )
    def test_unreadable_directories_are_partial(
        self, host: Host, counts: list[int], text: str
    ) -> None:
        kinds = ("EACCES", "EIO")
        troubles = [
            ScanTrouble(kind=kind, count=count, example=f"in/{place}")
            for place, (kind, count) in enumerate(zip(kinds, counts, strict=False))
        ]
        host.workers.answer = outcome(troubles=troubles)
        scanned = host.scan()
        assert (scanned.status, scanned.complete, scanned.error_message) == ("PARTIAL", False, text)
        assert scanned.troubles == troubles

    @pytest.mark.parametrize(
        "error",
        [
            WorkerFailed("ENOENT", "/data: No such file or directory"),
            WorkerFailed("ENOTDIR", "/data: Not a directory"),
            WorkerFailed("EACCES", "/data: Permission denied"),
            MountStuck("/data", utc(0)),
            WorkerDied(
                "the worker ended: killed (SIGKILL), as the kernel does when memory is short"
            ),
            WorkerTimeout("/data", 600.0),
        ],
        ids=repr,
    )
    def test_no_scan_is_an_error_without_counts(self, host: Host, error: Exception) -> None:
        host.workers.answer = error
        scanned = host.scan()
        assert (scanned.status, scanned.complete) == ("ERROR", False)
        assert scanned.error_message == str(error)
        assert (scanned.file_count, scanned.dir_count, scanned.other_count) == (None, None, None)
        assert (scanned.scanned_dirs, scanned.skipped_mounts, scanned.troubles) == (None, None, [])
        assert host.raised is error

    def test_words_for_a_mount_that_hangs(self, host: Host) -> None:
        host.workers.answer = MountStuck("/nfs", utc(0))
        assert host.scan().error_message == (
            "/nfs has not answered since 1970-01-01T00:00:00Z; it is left alone until it does"
        )
        host.workers.answer = WorkerTimeout("/nfs", 600.0)
        assert host.scan().error_message == "no answer within 600 s from /nfs"

    def test_killed_scan_keeps_what_it_had_counted(self, host: Host) -> None:
        host.workers.answer = WorkerTimeout("/nfs", 600.0, outcome(stopped="timeout", dirs=0))
        scanned = host.scan()
        assert scanned.status == "ERROR"
        assert scanned.error_message == ("no answer within 600 s from /nfs, 1,204 entries counted")
        assert (scanned.file_count, scanned.complete) == (1200, False)
        assert host.raised is host.workers.answer

    def test_a_worker_that_dies_leaves_what_it_had_counted(self, host: Host) -> None:
        host.workers.answer = died = WorkerDied("the worker ended: killed (SIGKILL)")
        died.partial = outcome(stopped="timeout", dirs=0)
        scanned = host.scan()
        assert scanned.error_message == f"{died}, 1,204 entries counted"
        assert (scanned.status, scanned.file_count, scanned.complete) == ("ERROR", 1200, False)


class TestChildren:
    def test_rows_add_up_to_the_whole(self, host: Host) -> None:
        host.workers.answer = outcome(
            children=[
                ChildCounts(name="big", files=1000, dirs=20, others=0),
                ChildCounts(name="small", files=100, dirs=0, others=1),
            ],
            other_children=OtherChildren(children=3, files=60, dirs=5, others=2),
        )
        scanned = host.scan()
        (counted,) = host.children
        assert isinstance(counted, ChildrenCounted)
        rows = counted.children
        assert [(row.kind, row.name, row.directory_count, row.file_count) for row in rows] == [
            ("directory", "big", 1, 1000),
            ("directory", "small", 1, 100),
            ("rest", None, 3, 60),
            ("itself", None, 0, 40),
        ]
        assert sum(row.dir_count for row in rows) == scanned.dir_count
        assert sum(row.other_count for row in rows) == scanned.other_count
        assert [row.place for row in rows] == [0, 1, 2, 3]
        assert {row.path_id for row in rows} == {path_id("/data")}
        assert {row.collected_at for row in rows} == {scanned.collected_at}

    @pytest.mark.parametrize("end", [outcome(stopped="max_files"), WorkerTimeout("/", 9.0)])
    def test_only_a_complete_scan_tells_them(self, host: Host, end: Any) -> None:
        host.workers.answer = end
        host.scan(max_files_per_scan=1)
        assert host.children == []


def test_configuration_makes_a_collector_for_each_path(host: Host) -> None:
    config = NodeConfig(
        refresh=RefreshSection(default_path_scan=120.0),
        paths=(PathSection(path="/a", scan_interval=7.0), PathSection(path="/b")),
    )
    found = KIND.build(config, host.context)
    assert [(one.name, one.instance, one.interval_seconds) for one in found] == [
        ("path", "/a", 7.0),
        ("path", "/b", 120.0),
    ]
    assert KIND.declare is not None
    assert KIND.declare(config).records == [PathsConfigured(paths=("/a", "/b"))]


class TestWithRealWorkers:
    """The fake has the real one's interface, and the whole works on a real tree."""

    def test_signature(self) -> None:
        real, fake = inspect.signature(WorkerPool.scan), inspect.signature(FakeWorkers.scan)
        assert list(real.parameters) == list(fake.parameters)
        assert real.return_annotation == fake.return_annotation

    async def test_real_tree(self, tmp_path: Path) -> None:
        (tmp_path / "tree" / "sub").mkdir(parents=True)
        (tmp_path / "tree" / "sub" / "x.csv").touch()
        (tmp_path / "tree" / "y.tmp").touch()
        (tmp_path / "link").symlink_to("tree")
        pool = WorkerPool(reactor)
        context = CollectorContext(
            wall_clock=lambda: 0.0,
            monotonic_clock=reactor.seconds,
            in_thread=lambda function: succeed(function()),
            workers=pool,
            proc=Path("/proc"),
            reactor=reactor,
        )
        try:
            results = {}
            for name in ("link", "missing"):
                section = PathSection(path=str(tmp_path / name), exclude=("*.tmp",))
                batches = PathCollector(section, 60.0, context).collect(NEXT)
                await anext(batches)
                while isinstance((record := (await anext(batches)).records[0]), PathScanProgress):
                    pass
                results[name] = record
                await batches.aclose()
        finally:
            await pool.stop()
        found, missing = results["link"], results["missing"]
        assert (found.status, found.file_count, found.dir_count) == ("OK", 1, 1)
        assert missing.status == "ERROR"
        assert missing.error_message == f"{tmp_path}/missing: No such file or directory"
