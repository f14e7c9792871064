"""kill -9 at any moment: what was acknowledged is there, whole, and the next start is clean."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


class Children:
    """Gives processes that write, one after the other, and kills each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._ask, self._told = process.stdin, process.stdout

    def killed_after(self, acknowledged: int, seconds: float) -> list[int]:
        """Kill one after that many acknowledgements and some ms; give all that it said."""
        self._ask.write("\n")
        self._ask.flush()
        word, pid = self._told.readline().split()
        assert word == "starting"
        said = [self._told.readline() for _ in range(acknowledged)]
        time.sleep(seconds)  # no waiting for anything: it shall hit what comes between two of them
        os.kill(int(pid), signal.SIGKILL)
        while not (line := self._told.readline()).startswith("ended"):
            said.append(line)
        assert line == f"ended {-signal.SIGKILL}\n"
        return [int(number) for number in said]


@pytest.fixture
def children(path: Path) -> Iterator[Children]:
    command = [sys.executable, str(Path(__file__).with_name("numbered.py")), str(path)]
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Children(process)
        assert process.stdin
        process.stdin.close()


def check(path: Path, acknowledged: set[int]) -> None:
    """Look without touching: the next start shall find what the dead one left."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute(
            "SELECT records, count(*), min(duration_ms), max(duration_ms)"
            " FROM collector_run GROUP BY records"
        ).fetchall()
        usages = [
            at // 1000 for (at,) in connection.execute("SELECT collected_at FROM filesystem_usage")
        ]
    stored = {number for number, *_ in rows}
    assert acknowledged <= stored
    for _number, count, least, most in rows:
        assert count == least == most
    assert sorted(usages) == sorted(stored)  # the other table's row came with it, once


def test_fifty_times(path: Path, children: Children) -> None:
    chance = random.Random(9)
    acknowledged: set[int] = set()
    for wanted in [0, 0, *(chance.randrange(1, 40) for _ in range(48))]:
        said = children.killed_after(wanted, chance.random() * 0.02)
        assert len(said) >= wanted
        assert not acknowledged & set(said)
        acknowledged |= set(said)
        if path.exists() and acknowledged:
            check(path, acknowledged)
    assert len(acknowledged) > 100
