"""The path collector: what it orders, what it makes of each end of a scan, and that it ends."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from etlmon.collectors.base import Batch, CollectorContext
from etlmon.collectors.path import KIND
from etlmon.collectors.path.collector import PathCollector
from etlmon.collectors.path.exclude import compile_exclude
from etlmon.config.node import NodeConfig, RefreshSection
from etlmon.config.watched import PathSection
from etlmon.errors import CollectError
from etlmon.fsworker.failures import (
    MountStuck,
    WorkerDied,
    WorkerFailed,
    WorkerStopped,
    WorkerTimeout,
)
from etlmon.fsworker.pool import WorkerPool
from etlmon.fsworker.scan import ChildCounts, OtherChildren, ScanOrder, ScanOutcome, ScanProgress
from etlmon.records.path import (
    ChildrenCounted,
    PathScanCancelled,
    PathScanned,
    PathScanProgress,
    PathScanStarted,
    PathsConfigured,
    ScanTrouble,
    path_id,
)
from etlmon.units import utc

NEXT = utc(9000)


def outcome(**changes: Any) -> ScanOutcome:
    """Give a complete scan of 1,200 files, 30 directories and 4 others."""
    whole: dict[str, Any] = {
        "files": 1200,
        "dirs": 30,
        "others": 4,
        "listed_dirs": 31,
        "reused_dirs": 9,
        "skipped_mounts": 1,
        "newest_change_at": utc(500),
        "stopped": None,
        "troubles": [],
        "duration_seconds": 2.0,
    }
    return ScanOutcome(**{**whole, **changes})


class FakeWorkers:
    """Stands for the worker pool, as far as scans go."""

    def __init__(self) -> None:
        self.orders: list[ScanOrder] = []
        self.answer: ScanOutcome | Exception | Deferred[ScanOutcome] = outcome()
        self.on_progress: Callable[[ScanProgress], None] | None = None
        self.silent: Exception | None = None
        self.probed: list[tuple[bytes, str]] = []
        self.busy: str | None = None

    def statvfs(self, path: bytes, mount_point: str, deadline_seconds: float) -> Deferred[Any]:
        self.probed.append((path, mount_point))
        return fail(self.silent) if self.silent else succeed(None)

    def waits_for(self, scan: Deferred[ScanOutcome]) -> str | None:
        return self.busy

    def scan(
        self, order: ScanOrder, on_progress: Callable[[Any], None] | None = None
    ) -> Deferred[ScanOutcome]:
        self.orders.append(order)
        self.on_progress = on_progress
        if isinstance(self.answer, Deferred):
            return self.answer
        return fail(self.answer) if isinstance(self.answer, Exception) else succeed(self.answer)


class Host:
    """A fixture /proc, fake workers and a clock on which each scan takes 2.5 seconds."""

    def __init__(self, proc: Path) -> None:
        (proc / "self").mkdir()
        self.mountinfo = proc / "self" / "mountinfo"
        self.workers = FakeWorkers()
        self.seconds = 1000.0
        self.elapsed = 0.0
        self.clock = Clock()
        self.context = CollectorContext(
            wall_clock=lambda: self.seconds,
            monotonic_clock=self._monotonic,
            in_thread=self._in_thread,
            workers=self.workers,  # type: ignore[arg-type]
            proc=proc,
            reactor=self.clock,
        )
        self.mounts()

    def _monotonic(self) -> float:
        """Tell the time, a scan later at each call; the wall clock is set back meanwhile."""
        self.seconds -= 3600
        return (1000 - self.seconds) / 3600 * 2.5

    def _in_thread(self, function: Callable[[], Any]) -> Deferred[Any]:
        try:
            return succeed(function())
        except Exception as error:
            return fail(error)

    def mounts(self, *lines: str) -> None:
        """Write mountinfo: the root, and ``ID PARENT POINT TYPE`` for each line."""
        rows = (line.split(" ") for line in ("1 0 / ext4", *lines))
        self.mountinfo.write_text(
            "".join(f"{n} {up} 0:{n} / {at} rw - {kind} dev rw\n" for n, up, at, kind in rows)
        )

    def progress(self, files: int, seconds: float) -> None:
        """Let time pass in a scan, and tell what it has counted."""
        self.elapsed += seconds
        assert self.workers.on_progress
        self.workers.on_progress(
            ScanProgress(files=files, dirs=7, others=0, listed=1, reused=0, directory="")
        )

    def collector(self, path: str = "/data", **settings: Any) -> PathCollector:
        return PathCollector(PathSection(path=path, **settings), 60.0, self.context)

    def scan(self, path: str = "/data", **settings: Any) -> PathScanned:
        """Make a scan that ends at once and give its result; ``raised`` is what came after it."""
        records, self.raised = run(self.collector(path, **settings))
        started, scanned, *self.children = records
        assert isinstance(started, PathScanStarted)
        assert isinstance(scanned, PathScanned)
        return scanned

    def order(self, path: str = "/data", **settings: Any) -> ScanOrder:
        """Give what the workers were asked for."""
        self.scan(path, **settings)
        return self.workers.orders.pop()


def run(collector: PathCollector) -> tuple[list[Any], BaseException | None]:
    """Give the records of a run that ends at once, and what it raised."""
    records: list[Any] = []

    async def collect() -> None:
        async for batch in collector.collect(NEXT):
            records.extend(batch.records)

    ended: list[Any] = []
    Deferred.fromCoroutine(collect()).addBoth(ended.append)
    assert ended, "the run did not end"
    return records, ended[0].value if ended[0] is not None else None


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


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


class TestOrder:
    def test_settings_are_passed_on(self, host: Host) -> None:
        assert host.order(
            max_depth=3, max_files_per_scan=10, timeout=5.0, exclude=("*.tmp", "old/")
        ) == ScanOrder(
            path=b"/data",
            mount_point="/",
            timeout_seconds=5.0,
            silence_seconds=120.0,
            max_depth=3,
            exclude=compile_exclude(["*.tmp", "old/"]),
            max_files=10,
            skip=[],
            one_at_a_time=False,
            remember=True,
            generation=1,
        )
        assert host.order(max_ops_per_second=7.5).max_ops_per_second == 7.5

    @pytest.mark.parametrize(
        ("kind", "rescan", "remembered", "settle_seconds"),
        [
            ("ext4", None, True, 2),
            ("ext4", "full", False, 2),
            ("nfs4", None, False, 120),
            ("nfs4", "incremental", True, 120),
            ("cifs", "incremental", False, 2),
            ("fuse.sshfs", "incremental", False, 2),
            ("proc", "incremental", False, 2),
        ],
    )
    def test_directories_are_reused_where_their_times_tell(
        self, host: Host, kind: str, rescan: Any, remembered: bool, settle_seconds: float
    ) -> None:
        host.mounts(f"2 1 /data {kind}")
        order = host.order(rescan=rescan)
        assert (order.remember, order.settle_seconds) == (remembered, settle_seconds)

    @pytest.mark.parametrize(("kind", "seconds"), [("ext4", 120), ("nfs4", 30), ("fuse.x", 30)])
    def test_silence_is_borne_longer_where_a_mount_is_merely_busy(
        self, host: Host, kind: str, seconds: float
    ) -> None:
        host.mounts(f"2 1 /data {kind}")
        assert host.order().silence_seconds == seconds

    @pytest.mark.parametrize(
        ("kind", "given", "calls"),
        [("ext4", None, 1), ("ext4", 8, 1), ("nfs", None, 4), ("fuse.x", 1, 1), ("cifs", 8, 8)],
    )
    def test_calls_at_a_time_are_for_what_answers_from_afar(
        self, host: Host, kind: str, given: int | None, calls: int
    ) -> None:
        host.mounts(f"2 1 /data {kind}")
        assert host.order(parallelism=given).parallelism == calls

    def test_all_is_listed_anew_as_often_as_is_asked_for(self, host: Host) -> None:
        """Each scan takes 2.5 seconds, and 2.5 seconds later the next one begins."""
        collector = host.collector(full_every=10.0)
        for _ in range(6):
            run(collector)
        assert [order.generation for order in host.workers.orders] == [1, 1, 2, 2, 3, 3]

    @pytest.mark.parametrize(
        ("kind", "device", "server"),
        [
            ("nfs4", "filer:/export/a", "filer"),
            ("nfs", "[fe80::1]:/a", "[fe80::1]"),
            ("cifs", "//win/share", "win"),
            ("fuse.sshfs", "user@host:/", None),
        ],
    )
    def test_server_of_a_mount(
        self, host: Host, kind: str, device: str, server: str | None
    ) -> None:
        host.mountinfo.write_text(
            f"1 0 0:1 / / rw - ext4 dev rw\n2 1 0:2 / /data rw - {kind} {device} rw\n"
        )
        assert host.order().server == server

    def spread(self, host: Host, path: str = "/data", interval: float = 300.0) -> float:
        """Give how much later a path's schedule begins."""
        collector = PathCollector(PathSection(path=path), interval, host.context)
        given: list[float] = []
        Deferred.fromCoroutine(collector.spread_seconds()).addCallback(given.append)
        return given[0]

    def test_schedules_on_a_server_are_spread_by_host_and_path(self, host: Host) -> None:
        names = host.mountinfo.parent.parent / "sys" / "kernel"
        names.mkdir(parents=True)
        (names / "hostname").write_text("one\n")
        host.mountinfo.write_text(
            "1 0 0:1 / / rw - ext4 dev rw\n2 1 0:2 / /data rw - nfs4 filer:/export rw\n"
        )
        spreads = [self.spread(host, f"/data/{number}") for number in range(100)]
        assert len(set(spreads)) == 100
        assert 0 <= min(spreads) < 5
        assert 25 < max(spreads) < 30
        assert self.spread(host, "/data/0") == spreads[0]
        assert self.spread(host, "/data/0", 86400.0) == pytest.approx(2 * spreads[0])
        assert self.spread(host, "/local") == 0
        (names / "hostname").write_text("two\n")
        assert self.spread(host, "/data/0") != spreads[0]
        host.mountinfo.unlink()
        assert self.spread(host) == 0

    @pytest.mark.parametrize(
        ("path", "raw"),
        [("/", b"/"), ("//", b"/"), ("/data/", b"/data"), ("/d é", "/d é".encode())],
    )
    def test_path_as_bytes_without_the_last_slash(self, host: Host, path: str, raw: bytes) -> None:
        assert host.order(path).path == raw

    def test_path_is_echoed_as_configured(self, host: Host) -> None:
        assert host.scan("/data/").path == "/data/"

    def test_other_file_systems_and_triggers_below_are_not_opened(self, host: Host) -> None:
        host.mounts(
            "2 1 /data xfs",
            "3 2 /data/nfs nfs",
            "4 2 /data/a/auto autofs",
            "5 1 /data2 xfs",
            "6 1 /elsewhere nfs",
        )
        order = host.order("/data/")
        assert (order.mount_point, order.skip) == ("/data", [b"nfs", b"a/auto"])
        assert order.one_at_a_time is False
        assert host.order("/").skip[0] == b"data"

    @pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "autofs"])
    def test_mount_that_may_hang_is_scanned_one_at_a_time(self, host: Host, kind: str) -> None:
        host.mounts(f"2 1 /data {kind}")
        order = host.order("/data/in")
        assert (order.mount_point, order.one_at_a_time) == ("/data", True)

    def test_mount_that_may_hang_is_asked_first(self, host: Host) -> None:
        """A scan that hangs would hold a child that scans of other paths wait for."""
        host.mounts("2 1 /data nfs4")
        host.order("/data/in")
        assert host.workers.probed == [(b"/data/in", "/data")]
        host.workers.silent = WorkerTimeout("/data", 5.0)
        scanned = host.scan("/data/in")
        assert (scanned.status, scanned.file_count) == ("ERROR", None)
        assert scanned.error_message == "no answer within 5 s from /data"
        assert host.workers.orders == []
        host.order("/local")
        assert len(host.workers.probed) == 2

    def test_local_mount_behind_a_server_counts_as_the_server(self, host: Host) -> None:
        host.mounts("2 1 /nfs nfs", "3 2 /nfs/local ext4")
        order = host.order("/nfs/local/x")
        assert (order.mount_point, order.one_at_a_time) == ("/nfs", True)

    def test_link_to_a_server_counts_as_the_server(self, host: Host, tmp_path: Path) -> None:
        """Else a hang there would close the mount that the link is on for every other scan."""
        tmp_path = tmp_path.resolve()
        (tmp_path / "link").symlink_to(tmp_path / "nfs" / "in")
        host.mounts(f"2 1 {tmp_path}/nfs nfs", f"3 2 {tmp_path}/nfs/in/auto autofs")
        order = host.order(f"{tmp_path}/link")
        assert (order.mount_point, order.one_at_a_time) == (f"{tmp_path}/nfs", True)
        assert order.skip == [b"auto"]
        assert order.path == bytes(tmp_path / "link")

    def test_no_root_in_the_list(self, host: Host) -> None:
        host.mountinfo.write_text("")
        order = host.order()
        assert (order.mount_point, order.skip) == ("/", [])


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
