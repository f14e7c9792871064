"""A tick over 500 processes and 20 watches; a whole node with 300 processes, beside Glances.

``--seconds N`` shortens the watching of the whole node (60 s).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from measure import Limit, conclude, etlmon_node, free_port, server

TICKS = 20
EVERY_SECONDS = 0.5
PROC = Path("/proc")


@contextmanager
def processes(wanted: int) -> Iterator[None]:
    """Have at least so many processes on this host; one in 20 is to be watched."""
    begun: list[subprocess.Popen[bytes]] = []
    try:
        while len(psutil.pids()) < wanted:
            name = "etl_worker" if len(begun) % 20 == 0 else "sleep"
            begun.append(subprocess.Popen([name, "3600"], executable="/bin/sleep"))
        yield
    finally:
        for process in begun:
            process.kill()
        for process in begun:
            process.wait()


def watches() -> list[Any]:
    """Give 20 watches: patterns, names, a user, a program and a group; some select processes."""
    from etlmon.config.watched import ProcessExpectation, ProcessWatch

    return [
        ProcessWatch(name="workers", match="etl_worker", expect=ProcessExpectation(min=1)),
        ProcessWatch(name="also", match="^etl_(worker|load) 3600$", with_children=True),
        ProcessWatch(name="user", match="^etl_worker", user="root"),
        ProcessWatch(name="unit", cgroup="etl.service"),
        ProcessWatch(name="program", exe="/usr/bin/etl"),
        *(ProcessWatch(name=f"comm {n}", comm=f"etl_{n}") for n in range(5)),
        *(ProcessWatch(name=f"pattern {n}", match=f"load_{n}.*--job") for n in range(10)),
    ]


class Ticks:
    """Runs the collector and the store in this process, and times them by CPU."""

    def __init__(self, directory: Path) -> None:
        from twisted.internet import reactor as global_reactor

        from etlmon.collectors.base import CollectorContext
        from etlmon.collectors.process.collector import ProcessCollector
        from etlmon.config.signals import AllowedSignals
        from etlmon.config.watched import RedactSection
        from etlmon.store.database import StoreService

        self.reactor: Any = global_reactor
        self.store = StoreService(directory / "etlmon.db", self.reactor, time.time)
        self.collector = ProcessCollector(
            watches(),
            RedactSection(),
            EVERY_SECONDS,
            CollectorContext(
                wall_clock=time.time,
                monotonic_clock=time.monotonic,
                in_thread=self._in_thread,
                workers=None,  # type: ignore[arg-type]
                proc=PROC,
                reactor=self.reactor,
            ),
            AllowedSignals({}, ("SIGTERM",)),
        )
        self.ticks: list[float] = []
        self.stretches: list[float] = []
        self.samples = 0
        self.longest = 0.0

    def _in_thread(self, function: Any) -> Any:
        from twisted.internet.threads import deferToThread

        return deferToThread(function)

    def run(self) -> None:
        from twisted.internet.defer import Deferred

        self._time_the_reactor()
        self.reactor.callWhenRunning(lambda: Deferred.fromCoroutine(self._run()).addBoth(self._end))
        self.reactor.run()

    def _end(self, result: Any) -> None:
        self.reactor.stop()
        if result is not None:
            print(result)

    def _time_the_reactor(self) -> None:
        """Note the CPU of each turn of the reactor: whatever is called in it comes after it."""
        turn = self.reactor.runUntilCurrent

        def timed() -> None:
            began = time.thread_time()
            turn()
            self.stretches.append((time.thread_time() - began) * 1000)

        self.reactor.runUntilCurrent = timed

    async def _run(self) -> None:
        from twisted.internet.task import deferLater

        from etlmon.records.process import ProcessSample
        from etlmon.units import utc

        self.store.startService()
        self.collector.listen(lambda: None)
        for number in range(TICKS + 4):
            if number == 4:  # the first ones read everything
                self.stretches.clear()
            began = time.process_time()
            async for batch in self.collector.collect(utc(0)):
                await self.store.write(batch.records)
                self.samples = sum(isinstance(one, ProcessSample) for one in batch.records)
            if number >= 4:
                self.ticks.append((time.process_time() - began) * 1000)
            await deferLater(self.reactor, EVERY_SECONDS)
        self.longest = max(self.stretches)
        await self.collector.deafen()
        await self.store.stopService()


def bare_pass() -> float:
    """Give the milliseconds of CPU that it takes to read the stat of all processes."""
    began = time.process_time()
    for pid in psutil.pids():
        try:
            stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except OSError:
            continue
        os.read(stat, 2048)
        os.close(stat)
    return (time.process_time() - began) * 1000


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> float:
    """Give the CPU of a process and of all below it, also of those that have ended."""
    return sum(sum(one.cpu_times()[:4]) for one in tree(process))


def whole_node(directory: Path, seconds: float) -> dict[str, Any]:
    """Watch a node with the configuration of the sample, and Glances, over the same time."""
    # The database is in a directory of its own, as /var/lib/etlmon is, and not among the logs.
    (directory / "lib").mkdir()
    (directory / "logs").mkdir()
    for name in ("app.log", "xferlog"):
        (directory / name).touch()
    for number in range(100):
        (directory / "logs" / f"{number}.log").touch()
    port, glances_port = free_port(), free_port()
    more = (
        f"refresh: {{disk: 15s, default_path_scan: 5m, process: 5s}}\n"
        f"paths: [{{path: {directory}/logs, scan_interval: 1m, max_depth: 5, "
        f"exclude: ['*.tmp']}}]\n"
        f"logs: [{{name: app, path: {directory}/app.log, follow: true, buffer_lines: 500}}]\n"
        f"process_watch: [{{name: etl_worker, match: etl_worker}}, {{pid: 12345}}]\n"
        f"cron: {{enabled: true}}\n"
        f"xferlog: {{path: {directory}/xferlog, parse_start: '2026-01-01T00:00:00Z'}}\n"
    )
    glances = [
        *(f"{os.environ['ETLMON_BENCH_VENV']}/bin/glances", "-w", "-B", "127.0.0.1"),
        *("-p", str(glances_port), "--disable-check-update"),
    ]
    with (
        server(etlmon_node(directory / "lib", port, more), f"http://127.0.0.1:{port}/api/v1/fs"),
        server(glances, f"http://127.0.0.1:{glances_port}/api/4/cpu"),
    ):
        mine = psutil.Process().children()
        ours = next(one for one in mine if "etlmon-node" in one.cmdline())
        theirs = next(one for one in mine if str(glances_port) in one.cmdline())
        time.sleep(15)
        before = (time.monotonic(), cpu_seconds(ours), cpu_seconds(theirs))
        time.sleep(seconds)
        after = (time.monotonic(), cpu_seconds(ours), cpu_seconds(theirs))
        minutes = (after[0] - before[0]) / 60
        return {
            "cpu": (after[1] - before[1]) / minutes,
            "glances cpu": (after[2] - before[2]) / minutes,
            "rss": ours.memory_info().rss / (1 << 20),
            "workers": [one.memory_info().rss / (1 << 20) for one in ours.children(recursive=True)],
            "glances rss": theirs.memory_info().rss / (1 << 20),
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    if len(psutil.pids()) > 500:
        sys.exit("more than 500 processes run already; end some")
    with tempfile.TemporaryDirectory() as text, processes(500):
        bare = min(bare_pass() for _ in range(TICKS))
        ticks = Ticks(Path(text))
        ticks.run()
    with tempfile.TemporaryDirectory() as text, processes(300):
        whole = whole_node(Path(text), seconds)
    print(f"a tick: median {median(ticks.ticks):.1f}, worst {max(ticks.ticks):.1f} ms of CPU")
    print(f"        {ticks.samples} samples; longest turn of the reactor {ticks.longest:.2f} ms")
    print(f"        reading the stat of each of them, and nothing else: {bare:.1f} ms")
    print(f"a minute: etlmon {whole['cpu']:.2f}, Glances {whole['glances cpu']:.2f} s of CPU")
    workers = ", ".join(f"{size:.1f}" for size in whole["workers"])
    print(
        f"memory: etlmon {whole['rss']:.0f} MiB, workers {workers or '-'}; "
        f"Glances {whole['glances rss']:.0f} MiB"
    )
    conclude(
        [
            Limit("a tick, 500 processes and 20 watches, ms of CPU", median(ticks.ticks), 12),
            Limit("a tick / reading each stat", median(ticks.ticks) / bare, 2),
            Limit("longest turn of the reactor meanwhile, ms of CPU", ticks.longest, 2),
            Limit("whole node, 300 processes, CPU seconds a minute", whole["cpu"], 0.15),
            Limit("whole node, MiB", whole["rss"], 75),
            Limit("largest worker, MiB", max(whole["workers"], default=0.0), 12),
        ]
    )


if __name__ == "__main__":
    main()
