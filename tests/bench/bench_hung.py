"""What a thousand requests to a file system that hangs leave behind, in both ways of hanging."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from measure import Limit, can_mount_fuse, conclude, in_reactor

from etlmon.config.node import WorkersSection
from etlmon.fsworker.pool import WorkerPool

sys.path.append(str(Path(__file__).parent.parent.parent))
from tests.fsworker.conftest import HungFilesystem
from tests.fsworker.cycles import Holdings, killable, settle, stuck


async def run(reactor: object, cycles: int) -> list[Limit]:
    limits = []
    with tempfile.TemporaryDirectory(prefix="etlmon-bench-") as directory:
        hungfs = HungFilesystem(Path(directory))
        pool = WorkerPool(reactor, limits=WorkersSection().limits)  # type: ignore[arg-type]
        try:
            await settle(pool)
            for name, kind in (("killable", killable), ("stuck", stuck)):
                await kind(pool, hungfs, 1)
                before, began = Holdings.now(), time.perf_counter()
                await kind(pool, hungfs, cycles)
                seconds, after = time.perf_counter() - began, Holdings.now()
                print(f"{name}: {cycles} cycles in {seconds:.1f} s; before {before}, after {after}")
                for what in ("threads", "children", "descriptors"):
                    more = getattr(after, what) - getattr(before, what)
                    limits.append(Limit(f"{name}, {cycles} cycles: {what} more", more, 0))
            await pool.stop()
        finally:
            hungfs.close()
    return limits


def main() -> None:
    if not can_mount_fuse():
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000, help="of each kind (%(default)s)")
    options = parser.parse_args()
    conclude(in_reactor(lambda reactor: run(reactor, options.cycles)))


if __name__ == "__main__":
    main()
