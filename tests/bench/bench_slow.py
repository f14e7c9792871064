"""Scans of a file system that answers late, by how many calls are made at a time."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from measure import Limit, can_mount_fuse, conclude, in_reactor

from etlmon.config.node import WorkersSection
from etlmon.fsworker.pool import WorkerPool
from etlmon.fsworker.scan import ScanOrder

sys.path.append(str(Path(__file__).parent.parent.parent))
from tests.fsworker.conftest import SlowFilesystem

SHAPE = (10, 20, 10)
THREADS = (1, 4, 8, 16)


async def scan(reactor: object, point: Path, parallelism: int) -> float:
    """Give the seconds that a scan takes."""
    pool = WorkerPool(reactor, limits={**WorkersSection().limits, "nice": 0})  # type: ignore[arg-type]
    order = ScanOrder(
        path=os.fsencode(point),
        mount_point=str(point),
        timeout_seconds=600,
        parallelism=parallelism,
        one_at_a_time=True,
    )
    outcome = await pool.scan(order)
    await pool.stop()
    expected = SHAPE[0] * SHAPE[1] * SHAPE[2], SHAPE[0] * (SHAPE[1] + 1)
    if (outcome.files, outcome.dirs) != expected:
        sys.exit(f"{outcome.files} files in {outcome.dirs} directories, not {expected}")
    return outcome.duration_seconds


async def run(reactor: object, delays_ms: list[float]) -> list[Limit]:
    limits = []
    with tempfile.TemporaryDirectory(prefix="etlmon-bench-") as directory:
        for delay_ms in delays_ms:
            seconds = {}
            for threads in THREADS:
                # Each has a mount of its own: what one looks up, the kernel knows for the next.
                point = Path(tempfile.mkdtemp(dir=directory))
                mounted = SlowFilesystem(point, delay_ms, *SHAPE)
                try:
                    seconds[threads] = await scan(reactor, point, threads)
                finally:
                    mounted.close()
                print(
                    f"{delay_ms:g} ms a call, {threads:2} at a time: {seconds[threads]:7.3f} s,"
                    f" {seconds[1] / seconds[threads]:5.2f} times as fast as one"
                )
            share = seconds[4] / seconds[1]
            limits.append(Limit(f"4 calls at a time / one, {delay_ms:g} ms each", share, 0.5))
    return limits


def main() -> None:
    if not can_mount_fuse():
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ms", type=float, nargs="+", default=[1, 10], help="of each call")
    options = parser.parse_args()
    conclude(in_reactor(lambda reactor: run(reactor, options.ms)))


if __name__ == "__main__":
    main()
