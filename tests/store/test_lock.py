"""The lock: one node at a time has a database, whatever becomes of the files beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from etlmon.errors import StoreError
from etlmon.store.database import StoreService
from etlmon.store.lock import lock
from tests.store.test_damage import make, run_of

TOP = Path(__file__).parents[2]


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Give another process, which holds the lock."""
    program = (
        "import sys; from pathlib import Path; from etlmon.store.lock import lock;"
        "held = lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, path]
    with subprocess.Popen(
        command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_second_opener_is_refused_naming_the_first(
    holder: subprocess.Popen[bytes], path: Path
) -> None:
    with pytest.raises(StoreError, match=rf"in use by another node \(pid {holder.pid}\)"):
        lock(path)


def test_lock_of_a_killed_process_is_no_obstacle(
    holder: subprocess.Popen[bytes], path: Path
) -> None:
    holder.kill()
    holder.wait()
    assert (path.parent / "etlmon.db.lock").read_text() == f"{holder.pid}\n"
    with lock(path):
        assert (path.parent / "etlmon.db.lock").read_text() == f"{os.getpid()}\n"


def test_lock_is_one_for_all_names_of_a_database(path: Path) -> None:
    other_name = path.with_name("link.db")
    other_name.symlink_to(path.name)
    with lock(path), pytest.raises(StoreError, match="in use"):
        lock(other_name)
    with lock(other_name):
        pass


def test_lock_file_with_nonsense_in_it(path: Path) -> None:
    (path.parent / "etlmon.db.lock").write_bytes(b"\xff\xfe" * 30)
    with lock(path):
        (path.parent / "etlmon.db.lock").write_bytes(b"\xff")
        with pytest.raises(StoreError, match="in use by another node"):
            lock(path)


@pytest.mark.parametrize("before", [None, 0o666])
def test_others_may_not_open_the_lock(path: Path, before: int | None) -> None:
    """A lock needs no more than that: whoever may read the file could keep each node from it."""
    file = path.with_name("etlmon.db.lock")
    if before is not None:
        file.touch()
        file.chmod(before)
    umask = os.umask(0)
    try:
        lock(path).close()
    finally:
        os.umask(umask)
    assert file.stat().st_mode & 0o777 == 0o640


def test_lock_in_a_directory_of_others(
    open_directory: Path, unprivileged: Callable[[], Any]
) -> None:
    open_directory.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError, match=r"cannot open the lock .*: Permission"):
        lock(open_directory / "etlmon.db")


async def test_lock_is_held_from_start_to_stop(path: Path) -> None:
    first = StoreService(path, reactor, lambda: 0.0)
    second = StoreService(path, reactor, lambda: 0.0)
    first.startService()
    with pytest.raises(StoreError, match="in use"):
        second.startService()
    await first.stopService()
    second.startService()
    await second.stopService()


def test_lock_is_given_up_when_the_start_fails(path: Path) -> None:
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(StoreError):
        StoreService(path, reactor, lambda: 0.0).startService()
    with lock(path):
        pass


def test_the_lock_needs_no_room(path: Path) -> None:
    path.with_name(path.name + ".lock").symlink_to("/dev/full")
    with lock(path), pytest.raises(StoreError, match="in use"):
        lock(path)


# --- the database's own file ----------------------------------------------------------------------


@pytest.fixture
def made(path: Path) -> Path:
    """Give a database that is there before somebody takes its lock."""
    make(path)
    return path


def attempt(path: Path) -> str:
    """Try to take the lock in another process; give what it says."""
    program = "import sys; from pathlib import Path; from etlmon.store.lock import lock;"
    command = [sys.executable, "-c", f"{program} lock(Path(sys.argv[1]))", path]
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False).stderr


def test_a_lock_file_that_is_removed_lets_no_other_in(
    made: Path, holder: subprocess.Popen[bytes]
) -> None:
    made.with_name("etlmon.db.lock").unlink()
    with pytest.raises(StoreError, match=rf"\(pid {holder.pid}\), whose lock .* removed"):
        lock(made)
    holder.kill()
    holder.wait()
    lock(made).close()


async def test_nor_where_the_node_has_made_the_database(path: Path) -> None:
    store = StoreService(path, reactor, lambda: 0.0)
    store.startService()
    path.with_name("etlmon.db.lock").unlink()
    assert "in use by another node" in attempt(path)
    await store.write([run_of(1)])
    await store.stopService()
    assert attempt(path) == ""


async def test_nor_where_it_has_taken_the_place_of_a_damaged_one(
    made: Path, flush_logged_errors: Callable[..., Any]
) -> None:
    with made.open("r+b") as file:
        file.write(bytes(4096))
    store = StoreService(made, reactor, lambda: 0.0)
    store.startService()
    assert store.set_aside is not None
    made.with_name("etlmon.db.lock").unlink()
    assert "in use by another node" in attempt(made)
    await store.stopService()
    flush_logged_errors("is damaged")
