"""Reading 2,000 jobs and finding all their next runs in a thread, and what the reactor feels."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from croniter import croniter
from measure import Limit, conclude
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from etlmon.collectors.cron.look import Observer

FILES = 20
JOBS = 2_000
ROUNDS = 7
TICK_SECONDS = 0.002
_reactor: Any = reactor


def crontab(number: int) -> str:
    return "".join(
        f"{n * 7 % 60} {n % 24} {1 + n % 28} * * root /opt/etl/load --table t{number}_{n}\n"
        if n % 3
        else f"*/{1 + n % 30} {n % 5}-20 * * {n % 7} root /opt/etl/poll {number} {n} >/dev/null\n"
        for n in range(JOBS // FILES)
    )


async def measured(root: Path) -> tuple[float, float, float, float]:
    """Give the ms of a first look and of the next, and the reactor's worst delay within each."""
    observer = Observer("debian", "Europe/Berlin", root, Path("/proc"))
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
        look = await deferToThread(observer.look, time.time())
        found += [(time.perf_counter() - began) * 1000]
        ticks.stop()
        found += [max(late) * 1000]
        assert len(look.entries) == JOBS
        assert all(entry.next_run is not None for entry in look.entries)
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
            Limit("the same again, nothing changed, ms (best of 7)", again[0], 150),
            Limit("reactor late meanwhile, ms (best of 7)", late_first[0], 20),
        ]
    )


limits: list[Limit] = []

if __name__ == "__main__":
    _reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
    _reactor.run()
    conclude(limits)
