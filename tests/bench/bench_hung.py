"""What a thousand requests to a file system that hangs leave behind, in both ways of hanging."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from measure import Limit, conclude
from twisted.internet import task

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
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        print("skipped: mounting a FUSE file system needs root and /dev/fuse")
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000, help="of each kind (%(default)s)")
    options = parser.parse_args()
    limits: list[Limit] = []

    async def measured(reactor: object) -> None:
        limits.extend(await run(reactor, options.cycles))

    try:
        task.react(measured)
    except SystemExit as ended:
        if ended.code:
            raise
    conclude(limits)


if __name__ == "__main__":
    main()
