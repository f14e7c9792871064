"""Searches in a million stored lines, and what the reactor feels of them."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from measure import Limit, conclude, in_reactor
from twisted.internet import reactor, task

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


async def fill(store: StoreService) -> None:
    for first in range(0, LINES, A_BLOCK):
        lines: list[str | None] = [line(number) for number in range(first, first + A_BLOCK)]
        await store.write(
            [LogBlock(log_name="app", log_path="/a", created_at=utc(time.time()), lines=lines)]
        )


async def measure() -> list[Limit]:
    """Give how long searches take; within a reactor that runs."""
    limits = []
    with tempfile.TemporaryDirectory(prefix="etlmon-bench-") as directory:
        store = StoreService(Path(directory) / "etlmon.db", reactor, time.time)
        store.startService()
        await fill(store)
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
                found, rest = await searches.find(Part("app"), wanted, 100, newest=True)
                took.append(time.perf_counter() - began)
            cpu_seconds = (time.process_time() - cpu_began) / ROUNDS
            looked = "all" if rest is None else "not all"
            print(f"{what}: {len(found)} found, {looked} looked at, {cpu_seconds:.2f} s of CPU")
            limits.append(Limit(f"{what}, seconds", median(took), 1.0))
        ticking.stop()
        late.sort()
        limits.append(Limit("the reactor is late, p99 in ms", late[len(late) * 99 // 100], 20))
        await store.stopService()
    return limits


def main() -> None:
    conclude(in_reactor(lambda _: measure()))


if __name__ == "__main__":
    main()
