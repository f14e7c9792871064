"""What killed commands leave beside the database goes; what is somebody's, or kept, stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet import reactor

from etlmon.store.backup import back_up_for_root
from etlmon.store.database import StoreService
from etlmon.store.leftovers import clear
from etlmon.store.restore import restore
from tests.store.test_damage import make

NOW = 1_800_000_000.0
PASSING = "etlmon.db.passing-0123456789abcdef"
OLD = {PASSING, f"{PASSING}.part", f"{PASSING}.part-journal", "etlmon-20270101T000000Z.db.part"}
HALF_RESTORED = {"etlmon.db.restored", "etlmon.db.restored-wal"}
KEPT = {
    "etlmon.db",
    "etlmon.db-wal",
    "etlmon.db.corrupt-20270101T000000Z",
    "etlmon.db.before-restore-20270101T000000Z",
    "etlmon.db.passing-by",
    "etlmon-20270101T000000Z.db",
    "other.db.restored",
}
NEW = "etlmon.db.passing-fedcba9876543210.part"


@pytest.fixture
def names(path: Path) -> Callable[[], set[str]]:
    """Fill the directory, and give what tells the names in it."""
    make(path, rows=1)
    for name in (*OLD, *HALF_RESTORED, *KEPT, NEW):
        one = path.with_name(name)
        if name != path.name:
            one.write_text(name)
        at = NOW - (3599 if name == NEW else 3601)
        os.utime(one, (at, at))
    path.with_name("etlmon.db.before-restore-20270102T000000Z").hardlink_to(path)
    return lambda: {one.name for one in path.parent.iterdir()}


def test_without_the_lock_what_nobody_has_written_to_for_an_hour(
    path: Path, names: Callable[[], set[str]]
) -> None:
    gone = clear(path, NOW, is_locked=False)
    assert {one.name for one in gone} == OLD
    assert names() >= KEPT | HALF_RESTORED | {NEW}


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
    assert (by == "backup") is bool(names() & HALF_RESTORED)
