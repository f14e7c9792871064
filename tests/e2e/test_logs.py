"""Logs under a real logrotate and kill -9: every line that is in a file is stored, once."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_SECONDS

Start = Callable[..., Any]

LINES_A_SECOND = 5_000
"""Of each log."""
_TICK_SECONDS = 0.01

LOGROTATE = {
    "create": "create",
    "copytruncate": "copytruncate",
    "compress": "create\n compress\n delaycompress",
    "dateext": "create\n dateext\n dateformat -%Y%m%d-%s",
}
CUT_OFF = ("copytruncate", "cp")


class Writer:
    """A program that writes numbered lines to a log, and opens it anew when it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reopens = threading.Event()
        self._stops = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stops.set()
        self._thread.join()

    def wait_reopened(self) -> None:
        """Wait until it writes to nothing that has been rotated: that may be compressed next."""
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while self.reopens.is_set():
            assert time.monotonic() < give_up_at
            time.sleep(_TICK_SECONDS)

    def _run(self) -> None:
        number = 0
        file = self.path.open("ab", buffering=0)
        began = time.monotonic()
        while not self._stops.wait(_TICK_SECONDS):
            if self.reopens.is_set():
                file.close()
                file = self.path.open("ab", buffering=0)
                self.reopens.clear()
            due = int((time.monotonic() - began) * LINES_A_SECOND)
            if due > number:
                file.write(b"".join(b"line %07d\n" % n for n in range(number, due)))
                number = due
        file.close()


class Logs:
    """Logs that are each rotated in a way of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.deleted = directory / "deleted"
        self.deleted.mkdir(parents=True)
        self.truncated: Counter[str] = Counter()
        self.switches = 0
        self.paths = {}
        for name in (*LOGROTATE, "mv", "rm", "symlink", "cp"):
            (directory / name).mkdir()
            self.paths[name] = directory / name / "app.log"
            if name != "symlink":
                self.paths[name].touch()
        for name, options in LOGROTATE.items():
            (directory / f"{name}.conf").write_text(
                f"{self.paths[name]} {{\n rotate 1000\n {options}\n}}\n"
            )
        self._switch()
        self.writers: dict[str, Writer] = {}

    def write(self) -> None:
        self.writers = {name: Writer(path) for name, path in self.paths.items()}

    def config(self) -> str:
        items = "".join(f"  - {{name: {n}, path: {p}}}\n" for n, p in self.paths.items())
        return f"logs:\n{items}retention: {{log_lines: {{max_rows: 100000000}}}}\n"

    def rotate(self, name: str) -> None:
        path = self.paths[name]
        if self.writers:
            self.writers[name].wait_reopened()
        if name in LOGROTATE:
            conf, state = (self.directory / f"{name}.{end}" for end in ("conf", "state"))
            conf.chmod(0o644)
            # It fails where a file of this second is there already, and does nothing.
            is_twice = name == "dateext"
            subprocess.run(
                ["logrotate", "-f", "-s", state, conf], check=not is_twice, timeout=PATIENCE_SECONDS
            )
        elif name == "mv":
            path.rename(path.with_name(f"app.log.{time.time_ns()}"))
        elif name == "rm":
            (self.deleted / str(time.time_ns())).hardlink_to(path)  # to know what was in it
            path.unlink()
        elif name == "cp":
            shutil.copy(path, path.with_name(f"app.log.{time.time_ns()}"))
            os.truncate(path, 0)
        else:
            self._switch()
        if name in CUT_OFF:
            self.truncated[name] += 1
        else:
            self.writers[name].reopens.set()

    def _switch(self) -> None:
        """Let the symbolic link lead to another file, as programs do that log by the day."""
        link = self.paths["symlink"]
        self.switches += 1
        new = link.with_name("new")
        target = f"app-{20260000 + self.switches}.log"
        new.symlink_to(target)
        (link.parent / target).touch()
        new.rename(link)

    def delete(self, database: Path) -> None:
        """Delete the log of ``rm`` while it is followed, and wait until it has been read.

        Of a deleted file that was not, nothing is left once the node has been killed.
        """
        wait_for_line(database, "rm", last_line(self.paths["rm"]))
        self.rotate("rm")
        self.writers["rm"].wait_reopened()
        wait_for_line(database, "rm", last_line(max(self.deleted.iterdir())))

    def stop(self) -> None:
        for writer in self.writers.values():
            writer.stop()

    def lines(self, name: str) -> list[str]:
        """Give the lines that are in all files of a log, in their order."""
        found: list[str] = []
        deleted = self.deleted.iterdir() if name == "rm" else ()
        for file in (*self.paths[name].parent.iterdir(), *deleted):
            if file.is_symlink():
                continue
            data = file.read_bytes()
            found += (gzip.decompress(data) if file.suffix == ".gz" else data).decode().split("\n")
        return sorted(line for line in found if line)


@pytest.fixture
def run(start: Start, etlmon: str) -> Start:
    """Give what runs a node on a configuration."""
    return lambda config: start(etlmon, "node", "-c", str(config))


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    one = Logs(tmp_path / "logs")
    yield one
    one.stop()


def stored(database: Path, name: str) -> tuple[list[str], Counter[str]]:
    """Give the lines of a log that are stored, in their order, and its flags, counted."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT line, flags FROM log_lines WHERE log_name = ? ORDER BY id", (name,)
        ).fetchall()
    flags = Counter(flags for line, flags in rows if line is None or flags != "[]")
    return [line for line, _ in rows if line is not None], flags


def assert_sound(database: Path) -> None:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def last_line(file: Path) -> str:
    """Give the last whole line of a file, as soon as it has one."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while len(lines := file.read_text().split("\n")) < 2:
        assert time.monotonic() < give_up_at, f"nothing is written to {file}"
        time.sleep(_TICK_SECONDS)
    return lines[-2]


def wait_for_line(database: Path, name: str, line: str) -> None:
    """Wait until a line is stored that was written just now.

    How much comes before it says how long that takes: what is waited for is that it goes on.
    """
    searched, give_up_at = -1, 0.0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        while True:
            (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM log_lines").fetchone()
            found = "SELECT 1 FROM log_lines WHERE id > ? AND log_name = ? AND line = ?"
            if connection.execute(found, (searched, name, line)).fetchone():
                return
            if newest > searched:
                searched, give_up_at = newest, time.monotonic() + PATIENCE_SECONDS
            assert time.monotonic() < give_up_at, f"{line} of {name} is not stored"
            time.sleep(0.05)


def assert_exactly_once(logs: Logs, database: Path) -> None:
    for name in logs.paths:
        lines, flags = stored(database, name)
        written = logs.lines(name)
        again = [line for line, times in Counter(lines).items() if times > 1]
        missing = sorted(set(written) - set(lines))
        assert (again[:3], len(again), missing[:3], len(missing)) == ([], 0, [], 0), (name, flags)
        truncated = sum(times for flag, times in flags.items() if "truncated" in flag)
        assert truncated >= logs.truncated[name], (name, flags)
        broken = sum(times for flag, times in flags.items() if "gap" in flag or "partial" in flag)
        if name in CUT_OFF:  # what is written between the copy and the cut is in no file
            known = {int(line.split()[1]) for line in (*lines, *written)}
            assert broken <= len(set(range(max(known))) - known), (name, flags)
        else:
            assert not broken, (name, flags)
            assert sorted(lines) == written, name


def holds_deleted(pid: int) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if str(link.readlink()).endswith(".log (deleted)"):
                return True
    return False


def test_rotation_in_every_way_and_kill_9_at_any_moment(
    run: Start, write_config: Callable[..., Path], logs: Logs
) -> None:
    config = write_config(logs.config())
    database = config.parent / "db" / "etlmon.db"
    chance = random.Random(20)
    node = run(config)
    node.get_until("logs", lambda rows: [row["state"] for row in rows] == ["following"] * 8)
    logs.write()
    is_up = True
    for _ in range(20):
        for name in logs.paths:
            if name != "rm" and chance.random() < 0.4:
                logs.rotate(name)
        if is_up and chance.random() < 0.4:
            logs.delete(database)
        time.sleep(chance.uniform(0.0, 0.4))
        node.end(signal.SIGKILL)
        node = run(config)
        is_up = chance.random() < 0.7
        if is_up:
            assert node.address
    logs.stop()
    for name in logs.paths:
        wait_for_line(database, name, logs.lines(name)[-1])
    node.end()
    assert_sound(database)
    assert_exactly_once(logs, database)


def test_kill_9_at_fifty_moments(
    run: Start, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    """At 5,000 lines a second: the database is sound each time, and each line is there once."""
    path = tmp_path / "app.log"
    path.touch()
    items = f"logs: [{{name: app, path: {path}}}]\n"
    config = write_config(f"{items}retention: {{log_lines: {{max_rows: 100000000}}}}\n")
    database = config.parent / "db" / "etlmon.db"
    chance = random.Random(50)
    node = run(config)
    node.get_until("logs", lambda rows: rows and rows[0]["state"] == "following")
    writer = Writer(path)
    for _ in range(50):
        time.sleep(chance.uniform(0.0, 0.3))
        node.end(signal.SIGKILL)
        assert_sound(database)
        node = run(config)
        if chance.random() < 0.7:
            assert node.address
    writer.stop()
    written = path.read_text().splitlines()
    wait_for_line(database, "app", written[-1])
    node.end()
    assert_sound(database)
    assert stored(database, "app") == (written, Counter())


def test_deleted_and_cut_off_while_it_runs(
    run: Start, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    """``rm`` and ``cp`` with ``>``: what had been written is there, and the next file from 0."""
    path = tmp_path / "app.log"
    path.write_text("before\n")
    node = run(write_config(f"logs: [{{name: app, path: {path}}}]\n"))
    node.get_until("logs", lambda rows: rows and rows[0]["state"] == "following")
    with path.open("a") as writer:
        path.unlink()
        print("to the deleted file", file=writer, flush=True)
        path.write_text("first of the new\n")
        node.get_until("logs/app", lambda rows: len(rows) == 2)
    shutil.copy(path, tmp_path / "copy")
    os.truncate(path, 0)
    path.write_text("after it was cut off\n")
    rows = node.get_until("logs/app", lambda rows: len(rows) == 4)
    assert [row["line"] for row in rows] == [
        "to the deleted file",
        "first of the new",
        None,
        "after it was cut off",
    ]
    assert [row["flags"] for row in rows] == [[], [], ["truncated"], []]
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while holds_deleted(node.process.pid):
        assert time.monotonic() < give_up_at, "the deleted file is not let go"
        time.sleep(0.05)
