"""Storing the lines of a log: a burst beside a bare loop into SQLite, and 500 lines a second.

The bare loop reads the same file and stores it by executemany of 1,000 lines, in WAL mode, and
does nothing else: what it takes is what Python and SQLite cost.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from measure import BIN, Limit, conclude

LINES = 1_000_000
LINE = b"%09d " + b"x" * 109 + b"\n"
TRICKLE_SECONDS = 5.0
TRICKLE_A_SECOND = 500
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


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def stored(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT coalesce(max(id), 0) FROM log_lines").fetchone()[0])


def wait_for(database: Path, count: int) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while stored(database) < count:
        if time.monotonic() > give_up_at:
            sys.exit(f"only {stored(database)} of {count} lines after {PATIENCE_SECONDS:g} s")
        time.sleep(0.02)


def bare(log: Path, database: Path) -> tuple[float, float]:
    """Give the seconds and the seconds of CPU that the bare loop takes."""
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", BARE, log, database], check=True)
    after = os.times()
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return time.perf_counter() - began, cpu


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        burst, log, database = (directory / one for one in ("burst", "app.log", "etlmon.db"))
        burst.write_bytes(b"".join(LINE % number for number in range(LINES)))
        log.touch()
        (directory / "node.yaml").write_text(
            f"node: {{listen: '127.0.0.1:0', db_path: {database}}}\n"
            f"logs: [{{name: app, path: {log}}}]\n"
            "retention: {log_lines: {max_rows: 100000000}}\n"
        )
        bare_seconds, bare_cpu = bare(burst, directory / "bare.db")
        node = subprocess.Popen(
            [BIN / "etlmon", "node", "-c", directory / "node.yaml"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            assert node.stdout is not None
            while b"listening on" not in node.stdout.readline():
                pass
            with log.open("ab") as file:
                file.write(b"first\n")
            give_up_at = time.monotonic() + PATIENCE_SECONDS
            while not stored(database):
                # From its end: what is written before it is followed is not asked for.
                assert time.monotonic() < give_up_at, "the log is not followed"
                time.sleep(0.2)
                with log.open("ab") as file:
                    file.write(b"more\n")
            time.sleep(0.5)
            base = stored(database)
            before, peak = cpu_seconds(node.pid), peak_mib(node.pid)
            with log.open("ab") as file, burst.open("rb") as source:
                began = time.perf_counter()
                while block := source.read(1 << 22):
                    file.write(block)
            wait_for(database, base + LINES)
            seconds, cpu = time.perf_counter() - began, cpu_seconds(node.pid) - before
            grown = peak_mib(node.pid) - peak

            before, began = cpu_seconds(node.pid), time.perf_counter()
            with log.open("ab", buffering=0) as file:
                for number in range(int(TRICKLE_SECONDS * TRICKLE_A_SECOND)):
                    file.write(LINE % number)
                    ahead = began + (number + 1) / TRICKLE_A_SECOND - time.perf_counter()
                    time.sleep(max(0.0, ahead))
            took = time.perf_counter() - began
            trickle_percent = 100 * (cpu_seconds(node.pid) - before) / took
        finally:
            node.terminate()
            node.wait(20)
    print(f"bare loop {LINES / bare_seconds:9,.0f} lines/s, {bare_cpu:.2f} s of CPU")
    print(f"etlmon    {LINES / seconds:9,.0f} lines/s, {cpu:.2f} s of CPU, {grown:.0f} MiB more")
    conclude(
        [
            Limit("lines/s in a burst, etlmon / bare loop", bare_seconds / seconds, 0.5, True),
            Limit("CPU in a burst, etlmon / bare loop", cpu / bare_cpu, 1.7),
            Limit("memory that a burst takes, MiB", grown, 20),
            Limit("500 lines/s, percent of a core", trickle_percent, 8),
        ]
    )


if __name__ == "__main__":
    main()
