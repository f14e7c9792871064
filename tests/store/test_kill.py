"""kill -9 at any moment: what was acknowledged is there, whole, and the next start is clean."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


def killed_after(path: Path, acknowledged: int) -> list[int]:
    """Let the child write, kill it after that many acknowledgements; give all that it said."""
    command = [sys.executable, str(Path(__file__).with_name("numbered.py")), str(path)]
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"starting\n"
        said = [process.stdout.readline() for _ in range(acknowledged)]
        process.kill()
        said += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return [int(line) for line in said]


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


@pytest.mark.timeout(300)
def test_fifty_times(path: Path) -> None:
    chance = random.Random(9)
    acknowledged: set[int] = set()
    for wanted in [0, 0, *(chance.randrange(1, 60) for _ in range(48))]:
        said = killed_after(path, wanted)
        assert len(said) >= wanted
        assert not acknowledged & set(said)
        acknowledged |= set(said)
        if path.exists() and acknowledged:
            check(path, acknowledged)
    assert len(acknowledged) > 100
