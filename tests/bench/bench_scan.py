"""Scans of a tree beside ``find`` on the same tree, each figure as a ratio within its round."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

import psutil
from measure import Limit, conclude, in_reactor
from twisted.internet import task

from etlmon.config.node import WorkersSection
from etlmon.fsworker.pool import WorkerPool
from etlmon.fsworker.scan import ScanOrder, ScanOutcome

FILES_IN_A_DIRECTORY = 100
SETTLE_SECONDS = 2.1
FIND = 'find "$0" -type f -printf x | wc -c'


def make_tree(root: Path, files: int) -> list[Path]:
    """Make directories of 100 files, 100 directories in each above; give the lowest ones."""
    lowest = []
    for number in range(files // FILES_IN_A_DIRECTORY):
        directory = root / f"{number // 100:04}" / f"{number % 100:04}"
        directory.mkdir(parents=True)
        lowest.append(directory)
        descriptor = os.open(directory, os.O_DIRECTORY)
        for name in range(FILES_IN_A_DIRECTORY):
            flags = os.O_CREAT | os.O_WRONLY
            os.close(os.open(f"file-{name:05}.csv", flags, dir_fd=descriptor))
        os.close(descriptor)
    return lowest


class Cost:
    """Wall and CPU seconds between two moments, of this process and its workers.

    Without those that it takes to find the workers among all processes.
    """

    def __init__(self) -> None:
        self._workers = _workers_seconds()
        self._own = time.process_time()
        self._began = time.perf_counter()

    def taken(self) -> tuple[float, float]:
        wall = time.perf_counter() - self._began
        own = time.process_time() - self._own
        return wall, own + _workers_seconds() - self._workers


def _workers_seconds() -> float:
    pids = [child.pid for child in psutil.Process().children()]
    used = (Path(f"/proc/{pid}/schedstat").read_text().split()[0] for pid in pids)
    return sum(map(int, used)) / 1e9


def find(root: Path) -> tuple[int, float, float]:
    """Give the files that find counts, its wall and its CPU seconds."""
    before, began = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    counted = subprocess.run(["sh", "-c", FIND, root], check=True, capture_output=True).stdout
    wall, after = time.perf_counter() - began, getrusage(RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return int(counted), wall, cpu


class Bench:
    """Ratios to find, by what was measured."""

    def __init__(self, root: Path, lowest: list[Path]) -> None:
        self.root = root
        self.lowest = lowest
        self.wall: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}

    async def measure(self, what: str, scan: Callable[[], Awaitable[ScanOutcome]]) -> ScanOutcome:
        files, find_wall, find_cpu = find(self.root)
        cost = Cost()
        outcome = await scan()
        wall, cpu = cost.taken()
        if outcome.files != files:
            sys.exit(f"{what}: {outcome.files} files, find counts {files}")
        self.wall.setdefault(what, []).append(wall / find_wall)
        self.cpu.setdefault(what, []).append(cpu / find_cpu)
        print(
            f"{what:22} wall {wall:6.3f} s of {find_wall:6.3f} ({wall / find_wall:5.3f})"
            f"   CPU {cpu:6.3f} s of {find_cpu:6.3f} ({cpu / find_cpu:5.3f})"
            f"   listed {outcome.listed_dirs}, reused {outcome.reused_dirs}"
        )
        return outcome

    def change(self, round_number: int) -> None:
        """Change one directory of a hundred."""
        for directory in self.lowest[round_number % 100 :: 100]:
            (directory / f"new {round_number}").touch()


def worker_memory_bytes() -> int:
    """Give the largest peak of a child's memory."""
    peaks = []
    for child in psutil.Process().children():
        status = Path(f"/proc/{child.pid}/status").read_text()
        peaks.append(int(status.split("VmHWM:")[1].split()[0]) * 1024)
    return max(peaks)


async def run(reactor: object, files: int, rounds: int, where: str | None) -> list[Limit]:
    with tempfile.TemporaryDirectory(dir=where, prefix="etlmon-bench-") as directory:
        began = time.perf_counter()
        bench = Bench(Path(directory), make_tree(Path(directory), files))
        print(f"made {files:,} files in {time.perf_counter() - began:.0f} s")
        # Not nice: find is not, and on a busy machine this would compare niceness.
        limits = {**WorkersSection().limits, "nice": 0}
        pools = {
            workers: WorkerPool(reactor, processes=workers, limits=limits)  # type: ignore[arg-type]
            for workers in (1, 2)
        }

        generations = dict.fromkeys(pools, 0)

        def scan(workers: int, anew: bool) -> Callable[[], Awaitable[ScanOutcome]]:
            generations[workers] += anew
            order = ScanOrder(
                path=os.fsencode(directory),
                mount_point="/",
                timeout_seconds=600,
                remember=True,
                generation=generations[workers],
            )
            return lambda: pools[workers].scan(order)

        await task.deferLater(reactor, SETTLE_SECONDS)  # type: ignore[arg-type]
        for number in range(rounds):
            for workers in (1, 2):
                await bench.measure(f"full, workers: {workers}", scan(workers, anew=True))
                await bench.measure(f"same, workers: {workers}", scan(workers, anew=False))
            bench.change(number)
            for workers in (1, 2):
                await bench.measure(f"1 % new, workers: {workers}", scan(workers, anew=False))
            await task.deferLater(reactor, SETTLE_SECONDS)  # type: ignore[arg-type]
        memory_mib = worker_memory_bytes() / 2**20
        for pool in pools.values():
            await pool.stop()
        wall = {what: median(ratios) for what, ratios in bench.wall.items()}
        cpu = {what: median(ratios) for what, ratios in bench.cpu.items()}
        return [
            Limit("full scan, two workers / find, wall time", wall["full, workers: 2"], 0.70),
            Limit("full scan, two workers / find, CPU time", cpu["full, workers: 2"], 1.4),
            Limit("full scan, one worker / find, wall time", wall["full, workers: 1"], 1.3),
            Limit("scan of the unchanged tree, one worker / find", wall["same, workers: 1"], 0.08),
            Limit("scan of the unchanged tree, two workers / find", wall["same, workers: 2"], 0.08),
            Limit("1 % of directories new, one worker / find", wall["1 % new, workers: 1"], 0.15),
            Limit("1 % of directories new, two workers / find", wall["1 % new, workers: 2"], 0.15),
            Limit("peak memory of a worker, MiB", memory_mib, 64),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000, help="how many (%(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="how often (%(default)s)")
    parser.add_argument("--dir", help="where the tree is made; else the directory for such files")
    options = parser.parse_args()
    conclude(in_reactor(lambda reactor: run(reactor, options.files, options.rounds, options.dir)))


if __name__ == "__main__":
    main()
