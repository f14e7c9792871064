"""The disk under the database is full."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

# As the first process of a mount namespace of its own: what it mounts goes with it.
# What is in the directory is there too, and then not a byte more.
FULL = """
mkdir "$1.kept" && cp -a "$1/." "$1.kept" && mount -t tmpfs -o size=4m tmpfs "$1"
cp -a "$1.kept/." "$1" && { dd if=/dev/zero of="$1/fill" bs=1k 2>/dev/null || true; }
exec "$2" node -c "$3"
"""
LOOK = """
import sqlite3, sys
_, path, before = sys.argv
asked = sqlite3.connect("file:" + path + "?mode=ro", uri=True).execute
print(asked("PRAGMA integrity_check").fetchone()[0])
rows = asked(
    "SELECT collected_at, count(*) FROM filesystem_usage WHERE mount_point = '/' GROUP BY 1"
).fetchall()
print(max(count for _, count in rows))
print(sum(at < int(before) for at, _ in rows))
"""
LINES = """
import collections, json, sqlite3, sys
asked = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True).execute
rows = collections.defaultdict(list)
for name, line, flags in asked("SELECT log_name, line, flags FROM log_lines ORDER BY id"):
    rows[name].append((line, flags))
print(json.dumps([asked("PRAGMA integrity_check").fetchone()[0], rows]))
"""
IN_PRIVATE = """
mount -t tmpfs -o size=6m tmpfs "$1" &&
cd "$1" && exec "$2" node -c "$3"
"""


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Give where a small file system is to be; nothing is there yet."""
    directory = tmp_path / "small"
    directory.mkdir()
    return directory


@pytest.fixture
def config(tmp_path: Path, small: Path) -> Path:
    """Give the configuration of a node whose database is there."""
    path = tmp_path / "node.yaml"
    path.write_text(
        f"node: {{listen: '127.0.0.1:0', db_path: {small}/etlmon.db}}\nrefresh: {{disk: 1s}}\n"
    )
    return path


@pytest.fixture
def start_on(
    start: Callable[..., Any], small: Path, etlmon: str, config: Path
) -> Callable[[str], tuple[Any, Path]]:
    """Start a node in mounts that a script makes; give it, and where it sees ``small``."""

    def start_it(script: str) -> tuple[Any, Path]:
        private = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
        node = start(*private, str(small), etlmon, str(config))
        return node, Path(f"/proc/{node.process.pid}/root{small}")

    return start_it


class Writer:
    """Writes numbered lines to a log all the time, some hundred a second.

    They begin with its name: who finds that a log has been cut looks for a copy beside it.
    """

    def __init__(self, path: Path) -> None:
        self.name, self.path = path.stem, path
        self.written = 0
        self._lock = threading.Lock()
        self._stops = threading.Event()
        self._thread = threading.Thread(target=self._run)
        path.touch()
        self._thread.start()

    def stop(self) -> None:
        self._stops.set()
        self._thread.join()

    def wait_for(self, more: int) -> None:
        last = self.written + more
        while self.written < last:
            time.sleep(0.01)

    def cut(self) -> int:
        """Cut the log to nothing, as who needs its room does; give how many lines there were."""
        with self._lock:
            os.truncate(self.path, 0)
            return self.written

    def line(self, number: int) -> str:
        return f"{self.name} {number}"

    def _run(self) -> None:
        with self.path.open("ab", buffering=0) as file:
            while not self._stops.wait(0.02):
                with self._lock:
                    numbers = range(self.written, self.written + 10)
                    file.write("".join(f"{self.line(number)}\n" for number in numbers).encode())
                    self.written = numbers.stop


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[list[Writer]]:
    found = [Writer(tmp_path / f"{name}.log") for name in ("whole", "cut")]
    yield found
    for one in found:
        one.stop()


def fill(directory: Path) -> Path:
    """Write a file until there is no byte left; give it."""
    path = directory / "fill"
    command = ["dd", "if=/dev/zero", f"of={path}", "bs=1k"]
    subprocess.run(command, capture_output=True, check=False)
    return path


def look(node: Any, script: str, *arguments: str) -> str:
    """Have a script look at what a node has in its mounts; give what it prints."""
    enter = ["nsenter", "--mount", "--target", str(node.process.pid)]
    command = [*enter, sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_node_ends_while_nothing_can_be_written(
    start_on: Callable[[str], tuple[Any, Path]],
) -> None:
    """Neither the collectors' batches nor retention's steps keep it."""
    node, inside = start_on(IN_PRIVATE)
    node.get_until("fs", bool)
    fill(inside)
    health = node.get_until("health", lambda health: health["database"]["state"] == "degraded")
    assert health["state"] == "degraded"
    assert node.end(signal.SIGTERM) == 0
    assert "Traceback" not in node.said


def test_the_node_goes_on_by_itself_when_there_is_space(
    start_on: Callable[[str], tuple[Any, Path]], small: Path
) -> None:
    """What it measured meanwhile is there afterwards, once each; the file is sound."""
    node, inside = start_on(IN_PRIVATE)
    node.get_until("fs", bool)
    filling = fill(inside)
    node.get_until("health", lambda health: health["database"]["held_records"] > 20)
    filling.unlink()
    health = node.get_until(
        "health",
        lambda health: health["state"] == "ok" and health["database"]["held_records"] == 0,
    )
    assert health["database"]["dropped_records"] == 0
    # All that was measured before its last run began is stored: what it has held is none.
    disk = next(one for one in health["collectors"] if one["name"] == "disk")
    began_ms = round(datetime.fromisoformat(disk["last_run_at"]).timestamp() * 1000)
    found = look(node, LOOK, f"{small}/etlmon.db", str(began_ms))
    integrity, times, stored = found.split()
    assert integrity == "ok"
    assert times == "1", "each measurement once"
    assert int(stored) == disk["runs"] - 1, "and none is missing, though nothing could be written"
    assert node.end(signal.SIGTERM) == 0
    assert "takes writes again" in node.said
    assert "Traceback" not in node.said


def test_lines_wait_in_their_logs_and_what_is_gone_from_them_is_told(
    start_on: Callable[[str], tuple[Any, Path]], config: Path, small: Path, writers: list[Writer]
) -> None:
    """Under load, and back within 30 s: each line is there once, or a row says that it is not."""
    whole, cut = writers
    logs = "".join(
        f"  - {{name: {one.name}, path: {one.path}, start: beginning}}\n" for one in writers
    )
    config.write_text(f"{config.read_text()}logs:\n{logs}")
    node, inside = start_on(IN_PRIVATE)
    node.get_until("logs", lambda logs: logs and all(one["lines_total"] > 100 for one in logs))
    filling = fill(inside)
    node.get_until("health", lambda health: health["database"]["held_records"] > 0)
    whole.wait_for(1_000)
    before = cut.cut()
    cut.wait_for(1_000)
    assert node.get("health")["database"]["state"] == "degraded"
    filling.unlink()
    node.get_until("health", lambda health: health["state"] == "ok", 30)
    for one in writers:
        one.stop()
        last = one.line(one.written - 1)
        node.get_until(f"logs/{one.name}?lines=1", lambda rows, last=last: rows[0]["line"] == last)
    integrity, rows = json.loads(look(node, LINES, f"{small}/etlmon.db"))
    assert integrity == "ok"
    assert rows["whole"] == [[whole.line(number), "[]"] for number in range(whole.written)]
    lines = [line for line, _ in rows["cut"]]
    known = lines.index(None)
    numbers = [*range(known), *range(before, cut.written)]
    assert [line for line in lines if line is not None] == [cut.line(n) for n in numbers]
    assert known < before, "else there was nothing to tell"
    assert rows["cut"][known][1] == '["truncated"]'
    assert node.end(signal.SIGTERM) == 0
    assert "Traceback" not in node.said


@pytest.mark.parametrize("stored", [False, True])
def test_the_node_starts_on_a_full_disk(
    start: Callable[..., Any],
    start_on: Callable[[str], tuple[Any, Path]],
    config: Path,
    etlmon: str,
    *,
    stored: bool,
) -> None:
    """A host comes up with the disk on which it went down: nobody is there to start it again."""
    if stored:
        node = start(etlmon, "node", "-c", str(config))
        node.get_until("fs", bool)
        assert node.end(signal.SIGTERM) == 0
    node, inside = start_on(FULL)
    health = node.get_until("health", lambda health: health["database"]["held_records"] > 0)
    assert (health["state"], health["database"]["state"]) == ("degraded", "degraded")
    assert health["database"]["reason"].startswith("the disk is full: ")
    (inside / "fill").unlink()
    node.get_until(
        "health",
        lambda health: health["state"] == "ok" and health["database"]["held_records"] == 0,
    )
    assert node.get("fs")
    assert node.get("health")["database"]["dropped_records"] == 0
    assert node.end(signal.SIGTERM) == 0
    assert node.said.count("takes no writes: the disk is full: ") == 1
    assert node.said.count("takes writes again") == 1
    assert "No new database" not in node.said
    assert "Traceback" not in node.said
