"""Limits on 2,000,000 entries, memory on 10,000,000, and how late the reactor is meanwhile."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from bench_scan import worker_memory_bytes
from measure import Limit, conclude, in_reactor
from twisted.internet import defer, task

from etlmon.config.node import WorkersSection
from etlmon.fsworker.pool import WorkerPool
from etlmon.fsworker.scan import ScanOrder, ScanOutcome

ENTRIES_IN_A_DIRECTORY = 100
TICK_SECONDS = 0.01


def make_tree(root: Path, entries: int) -> None:
    """Make directories of 100 entries each, which are links: an inode for each would be dear."""
    for number in range(entries // (ENTRIES_IN_A_DIRECTORY + 1)):
        directory = root / f"{number // 100:04}" / f"{number % 100:04}"
        directory.mkdir(parents=True)
        descriptor = os.open(directory, os.O_DIRECTORY)
        os.close(os.open("file-00000.csv", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        for name in range(1, ENTRIES_IN_A_DIRECTORY):
            os.link(
                "file-00000.csv",
                f"file-{name:05}.csv",
                src_dir_fd=descriptor,
                dst_dir_fd=descriptor,
            )
        os.close(descriptor)


class Lateness:
    """How late a timer of 10 ms is called."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.late_ms: list[float] = []
        self._call = reactor.callLater(TICK_SECONDS, self._tick, reactor.seconds() + TICK_SECONDS)

    def _tick(self, due: float) -> None:
        now = self._reactor.seconds()
        self.late_ms.append((now - due) * 1000)
        self._call = self._reactor.callLater(TICK_SECONDS, self._tick, now + TICK_SECONDS)

    def stop(self) -> float:
        """End it, and give the lateness that one call of a thousand exceeds, ms."""
        self._call.cancel()
        return sorted(self.late_ms)[int(len(self.late_ms) * 0.999)]


async def timed(awaitable: Awaitable[ScanOutcome]) -> tuple[ScanOutcome, float]:
    began = time.perf_counter()
    outcome = await awaitable
    return outcome, time.perf_counter() - began


async def run(reactor: Any, entries: int, where: str | None) -> list[Limit]:
    with tempfile.TemporaryDirectory(dir=where, prefix="etlmon-bench-") as directory:
        began = time.perf_counter()
        make_tree(Path(directory), entries)
        print(f"made {entries:,} entries in {time.perf_counter() - began:.0f} s")
        pool = WorkerPool(reactor, limits={**WorkersSection().limits, "nice": 0})

        def scan(
            number: int = 0, on_progress: Any = None, **options: Any
        ) -> defer.Deferred[ScanOutcome]:
            options.setdefault("timeout_seconds", 600)
            order = ScanOrder(
                path=os.fsencode(directory), mount_point="/", exclude=f"nothing {number}", **options
            )
            return pool.scan(order, on_progress)

        whole, whole_seconds = await timed(scan())
        print(f"a whole scan counts {whole.files + whole.dirs:,} entries in {whole_seconds:.2f} s")
        timeout_seconds = whole_seconds / 3
        ended, ended_seconds = await timed(scan(timeout_seconds=timeout_seconds))
        assert ended.stopped == "timeout"
        told_at = [time.perf_counter()]
        half = await scan(
            max_files=whole.files // 2,
            on_progress=lambda _: told_at.append(time.perf_counter()),
        )
        # The last word that it was still below the limit.
        stop_seconds = time.perf_counter() - told_at[-1]
        assert (half.stopped, half.files) == ("max_files", whole.files // 2)
        slow, slow_seconds = await timed(scan(timeout_seconds=1.0, max_ops_per_second=20.0))
        assert slow.stopped == "timeout"
        cancelled = scan()
        cancelled.addErrback(lambda failure: failure.trap(defer.CancelledError))
        await task.deferLater(reactor, timeout_seconds)
        began = time.perf_counter()
        cancelled.cancel()
        await scan(max_depth=1)  # when there is a new child
        cancel_seconds = time.perf_counter() - began

        # Ten million entries, as five trees of which each is remembered; two at a time.
        lateness = Lateness(reactor)
        counted = 0
        for _ in range(2):
            scans = [scan(number, remember=True) for number in range(1, 6)]
            for outcome in await defer.gatherResults(scans):
                counted += outcome.files + outcome.dirs
        late_ms = lateness.stop()
        memory_mib = worker_memory_bytes() / 2**20
        print(f"counted {counted:,} entries by way of five names, twice each")
        await pool.stop()
        return [
            Limit("timeout: seconds beyond it", ended_seconds - timeout_seconds, 1),
            Limit("timeout, throttled: seconds beyond it", slow_seconds - 1.0, 1),
            Limit("max_files: seconds since it was last heard below it", stop_seconds, 1),
            Limit("cancelled: seconds until another scan is done", cancel_seconds, 1),
            Limit("10,000,000 entries: peak memory of a worker, MiB", memory_mib, 64),
            Limit("10 ms timer during two scans: p99.9 of lateness, ms", late_ms, 50),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=2_000_000, help="how many (%(default)s)")
    parser.add_argument("--dir", help="where the tree is made; else the directory for such files")
    options = parser.parse_args()
    conclude(in_reactor(lambda reactor: run(reactor, options.entries, options.dir)))


if __name__ == "__main__":
    main()
