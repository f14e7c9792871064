"""A large xferlog, parsed and stored by a collector as the node runs it: rate, memory, waiting."""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from measure import Limit, conclude, in_reactor
from twisted.internet import task
from twisted.internet.threads import deferToThread

from etlmon.collectors.base import CollectorContext
from etlmon.collectors.xferlog.collector import XferlogCollector
from etlmon.collectors.xferlog.parse import parse
from etlmon.config.node import XferlogSection
from etlmon.runner import CollectorService
from etlmon.store.database import StoreService

LOOK_SECONDS = 0.01


def make_log(path: Path, lines: int) -> None:
    """Write an xferlog of three transfers a second, by 7 users on 200 hosts."""
    began = datetime(2026, 11, 1, tzinfo=UTC)
    with path.open("w") as file:
        for number in range(lines):
            at = began + timedelta(seconds=number // 3)
            file.write(
                f"{at:%a %b} {at.day:2} {at:%H:%M:%S %Y} 1 10.0.0.{number % 200} {number} "
                f"/in/partner_{number % 7}/file_{number}.csv b _ i r etl{number % 7} ftp 0 * c\n"
            )


def parse_rate(path: Path, lines: int) -> float:
    """Give the lines that are parsed in a second of CPU time."""
    with path.open("rb") as file:
        sample = [next(file) for _ in range(min(lines, 200_000))]
    began = time.process_time()
    for line in sample:
        parse(line)
    return len(sample) / (time.process_time() - began)


def memory_mib() -> float:
    """Give the peak of this process's memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


async def run(clock: Any, lines: int, where: str | None) -> list[Limit]:
    with tempfile.TemporaryDirectory(dir=where, prefix="etlmon-bench-") as directory:
        log = Path(directory) / "xferlog"
        make_log(log, lines)
        rate = parse_rate(log, lines)
        print(f"parsed alone: {rate:,.0f} lines in a second of CPU time")
        store = StoreService(Path(directory) / "etlmon.db", clock, time.time)
        store.startService()
        collector = XferlogCollector(
            XferlogSection(path=str(log)),
            "UTC",
            Path("/"),
            CollectorContext(
                wall_clock=time.time,
                monotonic_clock=clock.seconds,
                in_thread=deferToThread,
                workers=None,  # type: ignore[arg-type] - nothing here may hang
                proc=Path("/proc"),
                saved=store.saved,
            ),
        )
        service = CollectorService(collector, store, clock, time.time)
        held_up = [0.0]
        last = [clock.seconds()]

        def look() -> None:
            now = clock.seconds()
            held_up.append(now - last[0] - LOOK_SECONDS)
            last[0] = now

        def count() -> int:
            told = collector._told
            return told.offset or 0 if told is not None else 0

        looking = task.LoopingCall(look)
        looking.clock = clock
        looking.start(LOOK_SECONDS, now=False)
        size = log.stat().st_size
        early_mib = 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        service.startService()
        while count() < size:
            await task.deferLater(clock, 0.01)
            if not early_mib and count() > size // 10:
                early_mib = memory_mib()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        late_mib = memory_mib()
        looking.stop()
        await service.stopService()
        stored = await store.read(
            lambda cursor: cursor.execute("SELECT count(*) FROM xferlog_entries").fetchone()[0]
        )
        await store.stopService()
        assert stored == lines, stored
        held_up.sort()
        late_ms = held_up[int(len(held_up) * 0.99)] * 1000
        print(
            f"{lines:,} lines, {size / 2**20:.0f} MiB, in {wall:.1f} s (CPU {cpu:.1f} s): "
            f"{lines / wall:,.0f} a second; the reactor late by {late_ms:.0f} ms (p99), "
            f"{held_up[-1] * 1000:.0f} ms (worst); peak memory {late_mib:.0f} MiB"
        )
        return [
            Limit("lines parsed and stored in a second", lines / wall, 60_000, at_least=True),
            Limit("lines parsed alone in a second of CPU", rate, 150_000, at_least=True),
            Limit("memory more at the end than after a tenth, MiB", late_mib - early_mib, 16),
            Limit("the reactor late, p99, ms", late_ms, 50),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="how many (%(default)s)")
    parser.add_argument("--dir", help="where the log is made; else the directory for such files")
    options = parser.parse_args()
    conclude(in_reactor(lambda reactor: run(reactor, options.lines, options.dir)))


if __name__ == "__main__":
    main()
