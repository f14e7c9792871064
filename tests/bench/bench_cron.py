"""Reading 2,000 jobs and finding all their next runs in a thread, and what the reactor feels."""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, cast

from croniter import croniter
from measure import Limit, conclude
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from etlmon.collectors.base import CollectorContext
from etlmon.collectors.cron.collector import CronCollector
from etlmon.collectors.cron.look import Observer
from etlmon.config.watched import CronSection
from etlmon.records.cron import CronEntry, CronListing

FILES = 20
JOBS = 2_000
ROUNDS = 7
TICK_SECONDS = 0.002
_reactor: Any = reactor


def crontab(number: int) -> str:
    """Give a file of jobs, no two of which share their times with each other or another file's."""
    lines = []
    for n in range(JOBS // FILES):
        k = number * (JOBS // FILES) + n
        minute, hour = k % 60, k // 60 % 24
        if n % 3:
            times = f"{minute} {hour} {1 + k % 28} * *"
            command = f"/opt/etl/load --table t{number}_{n}"
        else:
            times = f"{minute}-59/{1 + n % 30} {hour % 12}-{12 + number % 11} * * {n % 7}"
            command = f"/opt/etl/poll {number} {n} >/dev/null"
        lines.append(f"{times} root {command}\n")
    return "".join(lines)


def forget() -> None:
    """Empty all caches: each first look is that of a node that has just begun."""
    for name, module in list(sys.modules.items()):
        if name.startswith("etlmon."):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


async def measured(root: Path) -> tuple[float, float, float, float]:
    """Give the ms of a first look and of the next, and the reactor's worst delay within each."""
    forget()
    context = CollectorContext(
        wall_clock=time.time,
        monotonic_clock=time.monotonic,
        in_thread=deferToThread,
        workers=cast(Any, None),
        proc=Path("/proc"),
    )
    observer = Observer("debian", "Europe/Berlin", root, Path("/proc"))
    collector = CronCollector(CronSection(), context, observer, root)
    found = []
    for _ in range(2):
        late: list[float] = []
        last = time.perf_counter()

        def tick(late: list[float] = late) -> None:
            nonlocal last
            now = time.perf_counter()
            late.append(now - last - TICK_SECONDS)
            last = now

        ticks = task.LoopingCall(tick)
        ticks.start(TICK_SECONDS)
        began = time.perf_counter()
        (batch,) = [one async for one in collector.collect(datetime.now(UTC))]
        found += [(time.perf_counter() - began) * 1000]
        ticks.stop()
        found += [max(late) * 1000]
        (listing,) = [one for one in batch.records if isinstance(one, CronListing)]
        assert len(listing.job_ids) == JOBS
        jobs = [one for one in batch.records if isinstance(one, CronEntry)]
        assert len(found) > 2 or len(jobs) == JOBS
        assert all(entry.next_run is not None for entry in jobs)
    return found[0], found[2], found[1], found[3]


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "etc/cron.d").mkdir(parents=True)
        for number in range(FILES):
            (root / f"etc/cron.d/file{number}").write_text(crontab(number))
        rounds = [await measured(root) for _ in range(ROUNDS)]
    first, again, late_first, late_again = (sorted(values) for values in zip(*rounds, strict=True))
    began = time.perf_counter()
    for n in range(200):
        croniter(f"{n % 60} {n % 24} {1 + n % 28} * *", 1_800_000_000.0).get_next()
    theirs = (time.perf_counter() - began) * 1000 * JOBS / 200
    print(f"first look {median(first):.0f} ms, again {median(again):.0f} ms")
    print(f"reactor late by {median(late_first):.1f} ms, again by {median(late_again):.1f} ms")
    print(f"croniter takes {theirs:.0f} ms for one next run of each")
    _reactor.callLater(0, _reactor.stop)
    limits.extend(
        [
            Limit("2,000 jobs read, all next runs, ms (best of 7)", first[0], 300),
            Limit("the same beside croniter's one next run of each", first[0] / theirs, 0.8),
            Limit("the same again, nothing changed, ms (best of 7)", again[0], 100),
            Limit("reactor late meanwhile, ms (best of 7)", late_first[0], 20),
        ]
    )


limits: list[Limit] = []

if __name__ == "__main__":
    _reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
    _reactor.run()
    conclude(limits)
