"""Who keeps the node from writing is named, wherever that is told."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from etlmon.errors import StoreError
from etlmon.store import current
from etlmon.store.backup import back_up
from etlmon.store.database import StoreService
from etlmon.store.holders import readers, writers
from etlmon.store.open import prepare
from etlmon.store.restore import restore
from tests.store.test_damage import NOW, run_of

Until = Callable[[Callable[[], object]], Awaitable[None]]
Flush = Callable[..., list[Any]]

BEGIN = "BEGIN IMMEDIATE"
ALONE = "PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; DELETE FROM collector_run"
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2].split(";"):
    connection.execute(statement)
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, how: str = BEGIN) -> Iterator[int]:
    """Have another program lock the database; gives its process."""
    command = [sys.executable, "-c", HOLD, str(path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        try:
            yield other.pid
        finally:
            assert other.stdin is not None
            other.stdin.close()


def made(path: Path) -> None:
    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))


@pytest.mark.parametrize("how", [BEGIN, ALONE])
def test_who_writes(path: Path, how: str) -> None:
    made(path)
    assert writers(path) == []
    with held(path, how) as pid:
        assert writers(path) == [pid]
        assert writers(path, path.parent / "none") == []
    assert writers(path) == []


def test_who_reads_does_not_keep_others_from_writing(path: Path) -> None:
    made(path)
    with held(path, "BEGIN; SELECT count(*) FROM meta") as pid:
        assert readers(path) == [pid]
        assert writers(path) == []


async def test_while_the_node_runs(
    store: StoreService, path: Path, until: Until, flush_logged_errors: Flush
) -> None:
    await store.run(lambda cursor: cursor.execute("PRAGMA busy_timeout = 10"))
    with held(path) as pid:
        written = store.write([run_of(1)])
        told = f"database is locked by another program (pid {pid})"
        await until(lambda: store.health().reason)
        assert str(store.health().reason).startswith(f"{told}; trying again")
        assert store.health().last_error == told
    await written
    await until(lambda: not store.health().held_records)
    assert len(flush_logged_errors(re.escape(f"takes no writes: {told}; trying"))) == 1


async def test_at_the_start(
    path: Path, until: Until, monkeypatch: pytest.MonkeyPatch, flush_logged_errors: Flush
) -> None:
    monkeypatch.setattr(current, "_TRY_AGAIN_SECONDS", 0.01)
    made(path)
    store = StoreService(path, reactor, lambda: NOW)
    with held(path) as pid:
        store.startService()
        told = f"another program (pid {pid}) has locked it: cannot use the database {path}"
        assert str(store.health().reason).startswith(told)
    await until(lambda: store.is_open)
    await store.stopService()
    flush_logged_errors("has locked it")


def test_of_a_copy_and_a_restore(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etlmon.store.backup._PATIENCE_MS", 10)
    monkeypatch.setattr("etlmon.store.restore._PATIENCE_MS", 10)
    made(path)
    copy, another = path.with_name("copy"), path.with_name("another")
    back_up(path, copy)
    with held(path, ALONE) as pid:
        told = rf"database is locked by another program \(pid {pid}\)"
        with pytest.raises(StoreError, match=f"cannot copy {path}: {told}"):
            back_up(path, another, is_alone=True)
        with pytest.raises(StoreError, match=f"cannot restore {path}: {told}"):
            restore(copy, path, NOW)
    back_up(path, another)
