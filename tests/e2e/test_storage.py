"""The database of a real node: copied while it runs, put back, compacted, damaged."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_SECONDS

CONFIG = """
node: {{listen: "127.0.0.1:0", db_path: {directory}/etlmon.db}}
refresh: {{disk: 1s}}
backup: {{directory: {directory}/copies, every: 1h, keep: 2}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "node.yaml"
    path.write_text(CONFIG.format(directory=tmp_path))
    return path


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )


def in_history(figures: dict[str, Any]) -> int:
    tables = {table["table"]: table["rows"] for table in figures["tables"]}
    return int(tables["filesystem_usage"])


def rows(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found: int = connection.execute("SELECT count(*) FROM filesystem_usage").fetchone()[0]
        return found


def test_backup_and_restore(
    start: Callable[..., Any], etlmon: str, config: Path, tmp_path: Path
) -> None:
    """As docs/operations.md tells it."""
    node = start(etlmon, "node", "-c", str(config))
    node.get_until("fs", bool)
    node.get_until("admin/db", lambda found: found["backup"]["state"] == "ok")
    assert len(list((tmp_path / "copies").glob("etlmon-*.db"))) == 1

    copy = tmp_path / "before.db"
    made = run(etlmon, "backup", "-c", str(config), "--to", str(copy))
    assert (made.returncode, made.stderr) == (0, "")
    assert "checked" in made.stdout
    copied = rows(copy)
    assert copied > 0

    refused = run(etlmon, "restore", "-c", str(config), str(copy))
    assert refused.returncode == 1
    assert f"in use by another node (pid {node.process.pid})" in refused.stderr

    node.get_until("admin/db", lambda got: in_history(got) > copied)
    assert node.end() == 0
    later = rows(tmp_path / "etlmon.db")
    assert later > copied
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("CREATE VIEW peek AS SELECT 1")
    restored = run(etlmon, "restore", "-c", str(config), str(copy))
    assert restored.returncode == 0
    assert restored.stderr == "left out, for it is not of etlmon: view peek\n"
    assert rows(tmp_path / "etlmon.db") == copied
    (kept,) = tmp_path.glob("etlmon.db.before-restore-*Z")
    assert str(kept) in restored.stdout
    assert rows(kept) == later

    again = start(etlmon, "node", "-c", str(config))
    assert again.get_until("health", lambda health: health["state"] == "ok")
    assert again.end() == 0


def test_compaction_with_curl(start: Callable[..., Any], etlmon: str, config: Path) -> None:
    node = start(etlmon, "node", "-c", str(config))
    node.get_until("fs", bool)
    job = node.post("admin/db/compact", {"confirm": True, "full": True})
    assert job["state"] == "running"
    found = node.get_until("admin/db", lambda got: got["compaction"]["state"] != "running")
    assert found["compaction"]["state"] == "done"
    table = run(etlmon, "get", "admin/db", "--node", node.address)
    assert table.returncode == 0
    assert "filesystem_usage" in table.stdout
    assert node.end() == 0


def test_a_damaged_database_is_kept_and_told(
    start: Callable[..., Any], etlmon: str, config: Path, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    log.write_text("read before\n")
    config.write_text(config.read_text() + f"logs: [{{name: app, path: {log}}}]\n")
    node = start(etlmon, "node", "-c", str(config))
    node.get_until("fs", bool)
    assert node.end() == 0
    database = tmp_path / "etlmon.db"
    with database.open("r+b") as file:
        file.seek(100)
        file.write(random.Random(1).randbytes(8000))
    spoilt = database.read_bytes()

    node = start(etlmon, "node", "-c", str(config))
    health = node.get_until("health", lambda health: health["state"] == "ok")
    (kept,) = tmp_path.glob("etlmon.db.corrupt-*Z")
    assert kept.read_bytes() == spoilt
    assert any(str(kept) in warning for warning in health["warnings"])
    node.get_until("fs", bool)
    (gap,) = node.get_until("logs/app", bool)
    assert (gap["line"], gap["flags"]) == (None, ["gap"])
    assert f"is kept as {kept.name}, a new one was begun" in gap["detail"]
    assert node.end(signal.SIGTERM) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_file_system_that_is_read_only(
    start: Callable[..., Any], etlmon: str, tmp_path: Path
) -> None:
    """The kernel leaves it writable under a node; one that starts tells it, and waits."""
    small, config = tmp_path / "small", tmp_path / "node.yaml"
    small.mkdir()
    config.write_text(f"node: {{listen: '127.0.0.1:0', db_path: {small}/etlmon.db}}\n")
    run("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(small))
    try:
        node = start(etlmon, "node", "-c", str(config))
        node.get_until("fs", bool)
        assert "busy" in run("mount", "-o", "remount,ro", str(small)).stderr
        node.get_until("health", lambda health: health["state"] == "ok")
        assert node.end() == 0

        assert run("mount", "-o", "remount,ro", str(small)).returncode == 0
        node = start(etlmon, "node", "-c", str(config))
        health = node.get_until("health", lambda health: health["database"]["held_records"] > 0)
        assert health["database"]["reason"].startswith("the file system is read-only: cannot open")

        assert run("mount", "-o", "remount,rw", str(small)).returncode == 0
        node.get_until("health", lambda health: health["state"] == "ok", 30)
        assert node.get("fs")
        assert node.end() == 0
        assert node.said.count("takes no writes: the file system is read-only: ") == 1
        assert rows(small / "etlmon.db") > 0
    finally:
        run("umount", str(small))


def test_a_log_beside_the_database_that_is_cut_under_it(
    start: Callable[..., Any], etlmon: str, tmp_path: Path
) -> None:
    """SQLite shares it through memory: the process ends, and the next start has each line once.

    A program that opens the database before the node touches what was cut makes it whole again
    for both. So this node makes no copies: that would be such a program, at an unknown moment.
    """
    log, config = tmp_path / "app.log", tmp_path / "node.yaml"
    config.write_text(
        f'node: {{listen: "127.0.0.1:0", db_path: {tmp_path}/etlmon.db}}\n'
        f"logs: [{{name: app, path: {log}}}]\n"
    )

    def write(first: int) -> None:
        with log.open("a") as file:
            file.writelines(f"{number}\n" for number in range(first, first + 1_000))

    def stored(logs: Any) -> int:
        return sum(one["lines_total"] for one in logs)

    log.touch()
    node = start(etlmon, "node", "-c", str(config))
    node.get_until("logs", lambda logs: logs and logs[0]["state"] == "following")
    write(0)
    node.get_until("logs", lambda logs: stored(logs) == 1_000)
    os.truncate(tmp_path / "etlmon.db-shm", 0)
    write(1_000)
    assert node.process.wait(PATIENCE_SECONDS) == -signal.SIGBUS

    write(2_000)
    node = start(etlmon, "node", "-c", str(config))
    node.get_until("logs", lambda logs: stored(logs) == 3_000)
    assert node.get("health")["warnings"] == []
    assert node.end() == 0
    with closing(sqlite3.connect(tmp_path / "etlmon.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        lines = connection.execute("SELECT line FROM log_lines ORDER BY id").fetchall()
    assert lines == [(str(number),) for number in range(3_000)]
