"""What the disk has to do with a failure, in words: it is full, or read-only, or neither."""

from __future__ import annotations

import errno
import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlmon.store import faults
from etlmon.store.database import StoreService
from etlmon.store.faults import hindrance
from etlmon.store.open import prepare
from tests.store.test_backup import numbers
from tests.store.test_damage import run_of
from tests.store.test_restore import add

TOP = Path(__file__).parents[2]
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
# As the first process of a mount namespace of its own: what it mounts goes with it.
READ_ONLY = """
mkdir "$1.kept" && cp -a "$1/." "$1.kept" && mount -t tmpfs tmpfs "$1" && cp -a "$1.kept/." "$1"
rm -f "$1"/*-shm && mount -o remount,ro "$1" && exec "$2" -c "$3" "$1" "$4"
"""
LOOK = """
import json, sys
from pathlib import Path
from etlmon.config.loader import parse_node_config
from etlmon.errors import StoreError
from etlmon.node.doctor.base import Host
from etlmon.node.doctor.system import database
from etlmon.store.backup import back_up
from etlmon.store.faults import hindrance
there, copy = map(Path, sys.argv[1:])
back_up(there / "etlmon.db", copy, is_alone=True)
try:
    back_up(copy, there / "copies" / "copy.db")
except StoreError as error:
    said = str(error)
config = parse_node_config(b"node: {db_path: %b/etlmon.db}" % bytes(there), "node.yaml")
doctor = next(database(Host(), config))
print(json.dumps([hindrance(there), said, doctor.level, doctor.what]))
"""


@NEEDS_ROOT
def test_on_a_read_only_file_system(path: Path, tmp_path: Path) -> None:
    """What is there is copied, log and all; what is to go there is told, and the doctor sees it."""
    there = tmp_path / "there"
    there.mkdir()
    made = there / "etlmon.db"
    prepare(made, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
    add(made, 7)
    add(made, 8, keeps_log=True)
    copy = tmp_path / "copy.db"
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", READ_ONLY, "sh"]
    looked = subprocess.run(
        [*private, there, sys.executable, LOOK, copy],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    )
    why, said, level, what = json.loads(looked.stdout)
    assert why == "the file system is read-only"
    assert f"{there}/copies is on a read-only file system; name a file elsewhere" in said
    assert (level, what) == ("problem", f"{there}: its file system is read-only")
    assert numbers(copy) == [7, 8]


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EROFS, "the file system is read-only"),
        (errno.ENOSPC, "the disk is full"),
        (errno.EIO, "the disk fails, see dmesg"),
        (errno.EOPNOTSUPP, None),
    ],
)
def test_what_the_kernel_says_of_a_new_file_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, why: str | None
) -> None:
    """After an error ext4 is read-only, and calls itself writable to who asks for its state."""

    def refuse(*_how: Any) -> int:
        raise OSError(number, os.strerror(number))

    assert hindrance(tmp_path) is None
    monkeypatch.setattr(os, "open", refuse)
    assert hindrance(tmp_path) == why


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("the disk is full", "the disk is full: database or disk is full"),
        ("the file system is read-only", "database or disk is full"),
        (None, "database or disk is full"),
    ],
)
def test_which_of_both_is_full_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, why: str | None, words: str
) -> None:
    monkeypatch.setattr(faults, "hindrance", lambda _directory: why)
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    told = faults.explained(error, path)
    assert (str(told), faults.is_full(told)) == (words, True)


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (
            "the disk fails, see dmesg",
            "the disk fails, see dmesg: database disk image is malformed",
        ),
        ("the disk is full", "database disk image is malformed"),
        (None, "database disk image is malformed"),
    ],
)
def test_what_a_disk_does_not_give_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch, why: str | None, words: str
) -> None:
    """SQLite reads zeros then. What to do about it is to look at the disk."""
    monkeypatch.setattr(faults, "hindrance", lambda _directory: why)
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    told = faults.explained(error, path)
    assert (str(told), told.sqlite_errorcode) == (words, sqlite3.SQLITE_CORRUPT)


async def test_a_commit_that_fails_by_it_tells_so(
    store: StoreService,
    size: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    flush_logged_errors: Callable[..., Any],
) -> None:
    """SQLite has "disk I/O error" for whatever a write to its log meets."""
    monkeypatch.setattr(faults, "hindrance", lambda _directory: "the file system is read-only")
    await store.write([run_of(1)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size("-wal"), limits[1]))
    try:
        await store.write([run_of(2)])
        reason = str(store.health().reason)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert reason.startswith("the file system is read-only: disk I/O error; trying again")
    await store.stopService()
    assert len(flush_logged_errors("the file system is read-only: disk I/O error")) == 1
