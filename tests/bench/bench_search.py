"""Searches in a million stored lines, and what the reactor feels of them."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from statistics import median
from typing import Any

from measure import Limit, conclude
from twisted.internet import defer, reactor, task
from twisted.python.failure import Failure

from etlmon.api.resources.logs import _Searches
from etlmon.records.log import LogBlock
from etlmon.store.database import StoreService
from etlmon.store.search import Wanted
from etlmon.store.tables.log_lines import Part
from etlmon.units import utc

LINES, A_BLOCK = 1_000_000, 5_000
ROUNDS = 3
TICK_SECONDS = 0.005
SEARCHES = {
    "a regex that matches nothing": Wanted(regex="nothing[0-9]+"),
    "one that folds case": Wanted(regex="(?i)error.*timeout"),
    "one with ends of lines": Wanted(regex=r"\AX.*[0-9]\z"),
    "a text that is nowhere": Wanted(text="nothing"),
    "a match in every ten thousandth line": Wanted(regex=r"part-0000[0-9]\.csv"),
}


def line(number: int) -> str:
    text = (
        f"2026-11-24T12:00:00.{number % 1_000_000:06} load[123]: record {number:08} of the file "
        f"/data/in/part-{number % 99_999:05}.csv was taken without a mistake at all"
    )
    return text.ljust(120)[:120]


@defer.inlineCallbacks
def fill(store: StoreService) -> Generator[Any, Any, None]:
    for first in range(0, LINES, A_BLOCK):
        lines: list[str | None] = [line(number) for number in range(first, first + A_BLOCK)]
        yield store.write(
            [LogBlock(log_name="app", log_path="/a", created_at=utc(time.time()), lines=lines)]
        )


@defer.inlineCallbacks
def measure() -> Generator[Any, Any, list[Limit]]:
    limits = []
    with tempfile.TemporaryDirectory(prefix="etlmon-bench-") as directory:
        store = StoreService(Path(directory) / "etlmon.db", reactor, time.time)
        store.startService()
        yield fill(store)
        searches = _Searches(store, reactor)
        late: list[float] = []
        due = [time.perf_counter()]

        def tick() -> None:
            now = time.perf_counter()
            late.append((now - due[0] - TICK_SECONDS) * 1000)
            due[0] = now

        ticking = task.LoopingCall(tick)
        ticking.start(TICK_SECONDS)
        for what, wanted in SEARCHES.items():
            took = []
            cpu_began = time.process_time()
            for _ in range(ROUNDS):
                began = time.perf_counter()
                found, rest = yield defer.ensureDeferred(
                    searches.find(Part("app"), wanted, 100, newest=True)
                )
                took.append(time.perf_counter() - began)
            cpu_seconds = (time.process_time() - cpu_began) / ROUNDS
            looked = "all" if rest is None else "not all"
            print(f"{what}: {len(found)} found, {looked} looked at, {cpu_seconds:.2f} s of CPU")
            limits.append(Limit(f"{what}, seconds", median(took), 1.0))
        ticking.stop()
        late.sort()
        limits.append(Limit("the reactor is late, p99 in ms", late[len(late) * 99 // 100], 20))
        yield store.stopService()
    return limits


def main() -> None:
    outcome: list[list[Limit]] = []

    def end(result: Any) -> None:
        if isinstance(result, Failure):
            result.printTraceback()
        else:
            outcome.append(result)
        reactor.stop()

    reactor.callWhenRunning(lambda: measure().addBoth(end))
    reactor.run()
    if not outcome:
        sys.exit(1)
    conclude(outcome[0])


if __name__ == "__main__":
    main()
