"""Storing the lines of a log: bursts beside others that store them, and 500 lines a second.

The bare loop reads the same file and stores it by executemany of 1,000 lines, in WAL mode, and
does nothing else: what it takes is what Python and SQLite cost. syslog-ng and rsyslog, tuned for
it, follow the file as etlmon does. The 500 lines a second are timed from their being written to a
client of the stream. Searches in a million stored lines (bench_search.py) end it.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

import bench_search
import log_peers
from measure import BIN, Limit, conclude, in_reactor

LINES = 1_000_000
TIMES = 5
LINE = b"%09d " + b"x" * 109 + b"\n"
TRICKLE_A_SECOND = 500
TRICKLE_LINES = 5 * TRICKLE_A_SECOND
PATIENCE_SECONDS = 120.0

BARE = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[2], isolation_level=None)
c.execute("PRAGMA journal_mode=WAL"); c.execute("PRAGMA synchronous=NORMAL")
c.execute("CREATE TABLE log_lines (id INTEGER PRIMARY KEY AUTOINCREMENT, log_name TEXT,"
          " log_path TEXT, line TEXT, created_at INTEGER, source_inode INTEGER, flags TEXT)")
rows = []
def put():
    c.execute("BEGIN")
    c.executemany("INSERT INTO log_lines VALUES (NULL, ?, ?, ?, ?, ?, ?)", rows)
    c.execute("COMMIT")
    rows.clear()
with open(sys.argv[1], encoding="utf-8", errors="replace") as f:
    for line in f:
        rows.append(("app", sys.argv[1], line[:-1], 1800000000000, 1, "[]"))
        if len(rows) == 1000:
            put()
put()
"""


PEERS = {
    "syslog-ng": ("syslog-ng-core", log_peers.syslog_ng),
    "rsyslog": ("rsyslog", log_peers.rsyslog),
}


@dataclass
class Burst:
    """What a million lines at once have taken."""

    seconds: float
    cpu_seconds: float

    def __str__(self) -> str:
        return f"{LINES / self.seconds:9,.0f} lines/s, {self.cpu_seconds:.2f} s of CPU"


def cpu_seconds(pid: int) -> float:
    """Give what a process and its children have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    threads = [one for one in Path(f"/proc/{pid}/task").iterdir() if one.name != str(pid)]
    for thread in threads:
        children += (thread / "children").read_text().split()
    return own + sum(cpu_seconds(int(child)) for child in children)


def peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def stored(database: Path) -> int:
    """Give how many lines are stored; none while the database, or its table, is not there."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT coalesce(max(rowid), 0) FROM log_lines").fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(found[0])


def wait_for(database: Path, count: int) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while stored(database) < count:
        if time.monotonic() > give_up_at:
            sys.exit(f"only {stored(database)} of {count} lines after {PATIENCE_SECONDS:g} s")
        time.sleep(0.02)


def bare(log: Path, database: Path) -> Burst:
    """Let the bare loop store the lines."""
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", BARE, log, database], check=True)
    after = os.times()
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return Burst(time.perf_counter() - began, cpu)


def peer(
    run: Callable[[Path, Path, Path], AbstractContextManager[int]], source: Path, directory: Path
) -> tuple[Burst, float]:
    """Let another program store the lines; give the percents of a core at 500 lines/s, too."""
    directory.mkdir()
    log, database = directory / "app.log", directory / "lines.db"
    log.touch()
    with run(directory, log, database) as pid:
        first_line(database, log)
        percent = trickle(pid, database, log)
        return burst(pid, database, source, log), percent


class Listener(threading.Thread):
    """A client of the log's stream: notes how late each line comes, by the time that is in it."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.late_ms: list[float] = []
        self._connection = http.client.HTTPConnection(address, timeout=PATIENCE_SECONDS)
        self._connection.request("GET", "/api/v1/logs/app?follow=true&lines=0")
        self._socket = self._connection.sock
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()

    def run(self) -> None:
        while line := self._answer.readline():
            if line.startswith(b"data:") and (found := re.search(rb" at (\d+)", line)):
                self.late_ms.append((time.time_ns() - int(found[1])) / 1e6)

    def end(self) -> None:
        """Go away, and come back when that is done."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self.join()


def burst(node: int, database: Path, source: Path, log: Path, times: int = 1) -> Burst:
    """Append millions of lines at once, and wait until they are stored."""
    base, before, began = stored(database), cpu_seconds(node), time.perf_counter()
    with log.open("ab") as file:
        for _ in range(times):
            with source.open("rb") as lines:
                while block := lines.read(1 << 22):
                    file.write(block)
    wait_for(database, base + times * LINES)
    return Burst(time.perf_counter() - began, cpu_seconds(node) - before)


def trickle(node: int, database: Path, log: Path) -> float:
    """Write 500 lines a second, each with its time; give the percents of a core that it takes."""
    base, before, began = stored(database), cpu_seconds(node), time.perf_counter()
    with log.open("ab", buffering=0) as file:
        for number in range(TRICKLE_LINES):
            file.write(b"%s at %d\n" % (b"x" * 90, time.time_ns()))
            ahead = began + (number + 1) / TRICKLE_A_SECOND - time.perf_counter()
            time.sleep(max(0.0, ahead))
    percent = 100 * (cpu_seconds(node) - before) / (time.perf_counter() - began)
    wait_for(database, base + TRICKLE_LINES)
    return percent


def first_line(database: Path, log: Path) -> None:
    """Write lines until one is stored: what is there before the log is followed is not."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not stored(database):
        assert time.monotonic() < give_up_at, "the log is not followed"
        with log.open("ab") as file:
            file.write(b"more\n")
        time.sleep(0.2)
    time.sleep(0.5)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        source, database = directory / "burst", directory / "etlmon.db"
        source.write_bytes(b"".join(LINE % number for number in range(LINES)))
        log = directory / "log" / "app.log"  # no host has its database among its logs
        log.parent.mkdir()
        log.touch()
        (directory / "node.yaml").write_text(
            f"node: {{listen: '127.0.0.1:0', db_path: {database}}}\n"
            f"logs: [{{name: app, path: {log}}}]\n"
            "retention: {log_lines: {max_rows: 100000000}}\n"
        )
        loop = bare(source, directory / "bare.db")
        print(f"bare loop {loop}", flush=True)
        node = subprocess.Popen(
            [BIN / "etlmon", "node", "-c", directory / "node.yaml"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            assert node.stdout is not None
            address = None
            while address is None:
                said = node.stdout.readline()
                assert said, "the node has ended"
                address = re.search(rb"listening on (?:http://)?([\d.]+:\d+)", said)
            first_line(database, log)
            alone_percent = trickle(node.pid, database, log)
            listener = Listener(address[1].decode())
            listener.start()
            heard_percent = trickle(node.pid, database, log)
            wait_until = time.monotonic() + PATIENCE_SECONDS
            while len(listener.late_ms) < TRICKLE_LINES and time.monotonic() < wait_until:
                time.sleep(0.05)
            listener.end()
            late = sorted(listener.late_ms)
            assert len(late) == TRICKLE_LINES, f"{len(late)} lines came"
            p50, p99 = late[len(late) // 2], late[len(late) * 99 // 100]
            print(
                f"500 lines/s: {alone_percent:.1f} % of a core, {heard_percent:.1f} % with a "
                f"client, p50 {p50:.1f} ms, p99 {p99:.1f} ms",
                flush=True,
            )
            peak = peak_mib(node.pid)
            own = burst(node.pid, database, source, log)
            print(f"etlmon    {own}", flush=True)
            burst(node.pid, database, source, log, TIMES)
            grown = peak_mib(node.pid) - peak
        finally:
            node.terminate()
            node.wait(20)
        beside, absent = [], []
        for peer_name, (package, run) in PEERS.items():
            if not log_peers.is_here(package):
                absent.append(peer_name)
                continue
            other, percent = peer(run, source, directory / package)
            print(f"{peer_name:9} {other}; {percent:.1f} % of a core at 500 lines/s", flush=True)
            rate, cpu = other.seconds / own.seconds, own.cpu_seconds / other.cpu_seconds
            beside.append(Limit(f"lines/s in a burst, etlmon / {peer_name}", rate, 1.5, True))
            beside.append(Limit(f"CPU in a burst, etlmon / {peer_name}", cpu, 0.5))
            if peer_name == "rsyslog":  # a percent of a core is another one on each machine
                to_client = heard_percent / percent
                beside.append(Limit("CPU at 500 lines/s to a client / rsyslog", to_client, 8 / 7))
    searches = in_reactor(lambda _: bench_search.measure())
    if absent:
        print(f"not compared: {', '.join(absent)}; ./run bench fetches it where apt-get can")
    conclude(
        [
            Limit("lines/s in a burst, etlmon / bare loop", loop.seconds / own.seconds, 0.5, True),
            Limit("CPU in a burst, etlmon / bare loop", own.cpu_seconds / loop.cpu_seconds, 1.7),
            *beside,
            Limit(f"memory that a burst of {TIMES * LINES:,} lines takes, MiB", grown, 20),
            Limit("500 lines/s to a client, percent of a core", heard_percent, 8),
            Limit("500 lines/s to a client, p50 ms", p50, 15),
            Limit("500 lines/s to a client, p99 ms", p99, 60),
            *searches,
        ]
    )


if __name__ == "__main__":
    main()
