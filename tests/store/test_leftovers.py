"""What killed commands leave beside the database goes; what is somebody's, or kept, stays."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet import reactor

from etlmon.store import backup
from etlmon.store.backup import back_up_for_root
from etlmon.store.database import StoreService
from etlmon.store.leftovers import clear
from etlmon.store.restore import restore
from tests.store.test_damage import make

NOW = 1_800_000_000.0
CHANCE = "0123456789abcdef"
PART = f"etlmon.db.etlmon-part-{CHANCE}"
OLD = {
    PART,
    f"{PART}.etlmon-part-{CHANCE}-journal",
    f"before-upgrade.db.etlmon-part-{CHANCE}",
    f"etlmon-etl-01-20270101T000000Z.db.etlmon-part-{CHANCE}",
}
UNDER_LOCK = {
    f"etlmon.db.restored-{CHANCE}",
    f"etlmon.db.restored-{CHANCE}-wal",
    f"etlmon.db.schema-1.etlmon-part-{CHANCE}",
}
KEPT = {
    "etlmon.db",
    "etlmon.db-wal",
    "etlmon.db.corrupt-20270101T000000Z",
    "etlmon.db.before-restore-20270101T000000Z",
    "etlmon.db.schema-1",
    "etlmon.db.restored",
    "etlmon.db.restored-yesterday",
    "etlmon.db.part",
    "etlmon-etl-01-20270101T000000Z.db",
    "etlmon-etl-01-20270101T000000Z.db.part",
    f"other.db.restored-{CHANCE}",
}
NEW = "etlmon.db.etlmon-part-fedcba9876543210"


@pytest.fixture
def names(path: Path) -> Callable[[], set[str]]:
    """Fill the directory, and give what tells the names in it."""
    make(path, rows=1)
    for name in (*OLD, *UNDER_LOCK, *KEPT, NEW):
        one = path.with_name(name)
        if name != path.name:
            one.write_text(name)
        at = NOW - (3599 if name in {*UNDER_LOCK, NEW} else 3601)
        os.utime(one, (at, at))
    path.with_name("etlmon.db.before-restore-20270102T000000Z").hardlink_to(path)
    return lambda: {one.name for one in path.parent.iterdir()}


def test_without_the_lock_what_nobody_has_written_to_for_an_hour(
    path: Path, names: Callable[[], set[str]]
) -> None:
    gone = clear(path, NOW, is_locked=False)
    assert {one.name for one in gone} == OLD
    assert names() >= KEPT | UNDER_LOCK | {NEW}


def test_with_it_what_a_restore_has_left_too(path: Path, names: Callable[[], set[str]]) -> None:
    """The other name of the database that is in use is no old one."""
    clear(path, NOW, is_locked=True)
    assert names() == KEPT | {NEW}


@pytest.mark.parametrize("by", ["backup", "restore", "node"])
async def test_who_comes_next_does_it(path: Path, names: Callable[[], set[str]], by: str) -> None:
    path.with_name("etlmon.db-wal").unlink()
    copy = path.parent / "copies" / "copy.db"
    back_up_for_root(path, copy, 0.0)
    assert names() >= OLD
    if by == "backup":
        back_up_for_root(path, path.with_name("new.db"), NOW)
    elif by == "restore":
        restore(copy, path, NOW)
    else:
        store = StoreService(path, reactor, lambda: NOW)
        store.startService()
        await store.stopService()
    assert not names() & OLD
    assert (by == "backup") is bool(names() & UNDER_LOCK)


def test_a_copy_that_is_killed_leaves_no_file_of_its_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has made is taken away by the next one that goes there; what others made stays."""
    make(path, rows=1)
    target = tmp_path / "copies" / "copy.db"
    target.parent.mkdir()
    mine = target.with_name("copy.db.part")
    mine.write_text("precious")
    child = os.fork()
    if child == 0:
        own = os.getpid()
        monkeypatch.setattr(backup, "rename_anew", lambda *_: os.kill(own, signal.SIGKILL))
        back_up_for_root(path, target, time.time())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    (half_made,) = set(target.parent.iterdir()) - {mine}
    back_up_for_root(path, target.with_name("second.db"), time.time())
    assert half_made.exists(), "somebody may be making it still"
    back_up_for_root(path, target, half_made.stat().st_mtime + 3601)
    assert {one.name for one in target.parent.iterdir()} == {mine.name, "second.db", "copy.db"}
    assert mine.read_text() == "precious"


def test_a_left_over_that_is_to_be_restored_stays(path: Path, tmp_path: Path) -> None:
    """An operator may take it for what he wants, and it may be whole."""
    make(path, rows=3)
    left = tmp_path / f"etlmon.db.restored-{CHANCE}"
    back_up_for_root(path, left, NOW)
    content = left.read_bytes()
    restore(left, path, NOW)
    assert left.read_bytes() == content
