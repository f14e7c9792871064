"""What the tests of the store share: a path, a store on it, and ways to wait and to look."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task

from etlmon.store.database import StoreService
from tests.store.writer_bench import Bench

NOBODY = 65534


@pytest.fixture
def now() -> float:
    """Give what the clock of the store says; it stands still."""
    return 1_800_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give where a database is to be; nothing is there yet."""
    return tmp_path / "etlmon.db"


@pytest.fixture
def store(path: Path, now: float) -> Iterator[StoreService]:
    """Give a store that runs."""
    service = StoreService(path, reactor, lambda: now)
    service.startService()
    yield service
    pytest_twisted.blockon(service.stopService())


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Give what waits for a condition; the test's deadline bounds it."""

    async def wait(condition: Callable[[], object]) -> None:
        while not condition():
            await task.deferLater(reactor, 0.002)

    return wait


@pytest.fixture
def size(path: Path) -> Callable[..., int]:
    """Give what tells the bytes of the database file, or of one beside it."""
    return lambda end="": path.with_name(path.name + end).stat().st_size


@pytest.fixture
def sql(path: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Give what asks the database directly, by a connection of its own."""

    def ask(statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    return ask


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Give an empty directory that other users may enter (tmp_path is the tester's alone)."""
    directory = Path(tempfile.mkdtemp(prefix="etlmon-test-"))
    directory.chmod(0o755)
    yield directory
    subprocess.run(["rm", "-rf", "--one-file-system", directory], check=True)


@pytest.fixture
def unprivileged() -> Callable[[], Any]:
    """Give a context in which root's privileges do not count."""

    @contextmanager
    def drop() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    return drop


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Give a writer on a clock that the test moves; at the end no timer may be left."""
    one = Bench()
    yield one
    assert not one.clock.getDelayedCalls()
