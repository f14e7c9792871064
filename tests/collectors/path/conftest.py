"""A host with fake workers, for the path collector; and what its scans come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from etlmon.collectors.base import CollectorContext
from etlmon.collectors.path.collector import PathCollector
from etlmon.config.watched import PathSection
from etlmon.fsworker.scan import ScanOrder, ScanOutcome, ScanProgress
from etlmon.records.path import PathScanned, PathScanStarted
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
