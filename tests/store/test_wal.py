"""The write-ahead log stays small, whoever reads; which versions have its bug."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, gatherResults

from etlmon.errors import StoreError
from etlmon.store import database, wal
from etlmon.store.database import StoreService
from etlmon.store.holders import readers
from etlmon.store.wal import has_reset_bug
from etlmon.store.writer import Writer
from tests.store.test_damage import run_of

Until = Callable[[Callable[[], object]], Awaitable[None]]
Size = Callable[..., int]

ROWS_A_BATCH = 5_000
BATCH = f"""
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS_A_BATCH - 1})
INSERT INTO collector_run SELECT 'test', printf('%040d', i), i, 0, 'ok', NULL, i FROM n
"""


def insert(cursor: sqlite3.Cursor) -> None:
    cursor.execute(BATCH)


LINES = f"""
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS_A_BATCH - 1})
INSERT INTO log_lines (log_name, log_path, line, created_at, flags)
SELECT 'app', '/app.log', '2027-01-15 a line of a log', 1, '[]' FROM n
"""


async def test_two_million_rows_with_readers_all_through(store: StoreService, size: Size) -> None:
    """Two readers never leave the log alone, so that it can never begin anew by itself."""
    done = Event()
    reads = 0
    began: defaultdict[int, Event] = defaultdict(Event)

    async def read(number: int) -> None:
        nonlocal reads

        def look(cursor: sqlite3.Cursor) -> None:
            cursor.execute("SELECT count(*) FROM (SELECT 1 FROM log_lines LIMIT 1000)").fetchone()
            began[number].set()
            # A checkpoint lets no other read begin: then there is none to wait for.
            began[number + 1].wait(0.05)
            done.wait(0.02)

        while not done.is_set():
            await store.read(look)
            number += 2
            reads += 1

    readers = [ensureDeferred(read(number)) for number in range(2)]
    largest = 0
    for _ in range(2_000_000 // ROWS_A_BATCH):
        await store.run(lambda cursor: cursor.execute(LINES).close())
        largest = max(largest, size("-wal"))
    done.set()
    await gatherResults(readers)
    assert reads > 10
    assert largest < 64 << 20
    assert size() > 100 << 20, "else the log would have been small by itself"
    (rows,) = await store.read(
        lambda cursor: cursor.execute("SELECT count(*) FROM log_lines").fetchone()
    )
    assert rows == 2_000_000


async def test_a_checkpoint_cuts_the_log(store: StoreService, size: Size) -> None:
    await store.run(insert)
    assert size("-wal") > 0
    assert await store.checkpoint() is True
    assert size("-wal") == 0


async def test_where_there_is_no_room_the_log_is_begun_anew_however_small(
    store: StoreService, size: Size, flush_logged_errors: Callable[[str], object]
) -> None:
    """Who had read for long has let it fill the disk, and no commit would ever do so again."""
    await store.run(insert)
    assert size("-wal") > 0
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    failures = [error]

    def fails_once(_cursor: sqlite3.Cursor) -> None:
        if failures:
            raise failures.pop()

    await store.run(fails_once)
    assert size("-wal") == 0
    flush_logged_errors("takes no writes")


async def test_it_waits_for_a_read_and_new_reads_for_it(
    store: StoreService, size: Size, until: Until
) -> None:
    await store.run(insert)
    begun, may_end = Event(), Event()

    def slowly(cursor: sqlite3.Cursor) -> None:
        cursor.execute("SELECT count(*) FROM collector_run").fetchone()
        begun.set()
        may_end.wait(30)

    order: list[str] = []
    reading = store.read(slowly)
    reading.addCallback(lambda _: order.append("read"))
    await until(begun.is_set)
    await store.run(insert)
    checkpoint = store.checkpoint()
    checkpoint.addCallback(lambda done: order.append(f"checkpoint {done}"))
    await store.run(lambda _cursor: None)  # when it has found the read in its way
    may_end.set()
    await gatherResults([reading, checkpoint])
    assert order == ["read", "checkpoint True"]
    assert size("-wal") == 0


async def test_writing_waits_for_a_read_also_when_the_log_grows_large_meanwhile(
    store: StoreService, size: Size, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log was small when its checkpoint began: a read of 5 s would let it grow on and on."""
    monkeypatch.setattr(wal, "_LARGEST_BYTES", 1 << 20)
    monkeypatch.setattr(database, "_LOOK_EVERY_SECONDS", 0.0)
    begun, may_end, halted = Event(), Event(), Event()
    halt = Writer.halt

    def noted(writer: Writer, error: StoreError | None = None) -> None:
        halted.set()
        halt(writer, error)

    monkeypatch.setattr(Writer, "halt", noted)

    def slowly(cursor: sqlite3.Cursor) -> None:
        cursor.execute("SELECT count(*) FROM collector_run").fetchone()
        begun.set()
        may_end.wait(30)

    reading = store.read(slowly)
    await until(begun.is_set)
    await store.run(insert)
    checkpoint = store.checkpoint()
    await store.run(lambda _cursor: None)  # when it has found the read in its way
    writing = gatherResults([store.run(insert) for _ in range(20)])
    await until(halted.is_set)
    may_end.set()
    await reading
    await checkpoint
    await writing
    (rows,) = await store.read(
        lambda cursor: cursor.execute("SELECT count(*) FROM collector_run").fetchone()
    )
    assert rows == 21 * ROWS_A_BATCH


async def test_another_program_that_reads_is_in_the_way(
    store: StoreService, path: Path, size: Size
) -> None:
    """Its transaction cannot be ended from here; writing goes on all the same."""
    await store.run(insert)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM collector_run").fetchone()
        await store.run(insert)
        assert await store.checkpoint() is False
        await store.run(insert)
        other.execute("ROLLBACK")
    assert await store.checkpoint() is True
    assert size("-wal") == 0


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM collector_run").fetchone()
print("reads", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the log have small bounds; give the greatest."""
    monkeypatch.setattr(wal, "_LARGE_BYTES", 1 << 16)
    monkeypatch.setattr(wal, "_LARGEST_BYTES", 1 << 17)
    monkeypatch.setattr(wal, "_MOST_BYTES", 1 << 20)
    monkeypatch.setattr(wal, "_LEAST_MOST_BYTES", 1 << 20)
    monkeypatch.setattr(wal, "_TRY_AGAIN_SECONDS", 0.5)
    monkeypatch.setattr(database, "_LOOK_EVERY_SECONDS", 0.0)
    return 1 << 20


@pytest.fixture
def other(store: StoreService, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Give another program that has the database open in a read transaction."""
    with subprocess.Popen(
        [sys.executable, "-c", READER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == b"reads\n"
        yield one


async def test_another_program_that_reads_for_ever_fills_no_disk(
    small: int,
    store: StoreService,
    other: subprocess.Popen[bytes],
    until: Until,
    size: Size,
    flush_logged_errors: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is written beyond a bound; who it is, is told; and all goes on when it has ended."""
    writing = store.run(insert)
    while "unless it makes a copy" not in str(store.health().reason):
        await task.deferLater(reactor, 0.002)
        if writing.called:
            writing = store.run(insert)
    await until(lambda: f"another program (pid {other.pid}) reads" in str(store.health().reason))
    before = size("-wal")
    assert before < 2 * small, "it was tried again at once"
    monkeypatch.setattr(wal, "_TRY_AGAIN_SECONDS", 0.01)
    for number in range(20):
        await store.write([run_of(number)])
    for _ in range(20):
        await task.deferLater(reactor, 0.01)
    assert size("-wal") == before
    assert store.health().held_records == 20
    assert store.health().state == "degraded"
    assert re.match(
        r"The write-ahead log has grown to \d+\.\d MiB, of at most \d+\.\d MiB: ",
        str(store.warning),
    )
    other.terminate()
    await writing
    await until(lambda: not store.health().held_records and store.warning is None)
    assert size("-wal") < before
    flush_logged_errors("takes no writes")


async def test_nobody_is_told_of_a_log_that_is_small_again(store: StoreService) -> None:
    """As after another database has taken the place of a damaged one."""
    checkpoints = store._checkpoints
    assert checkpoints is not None
    checkpoints.warning = "the write-ahead log has grown"
    checkpoints.mind(1 << 20)
    assert store.warning is None


async def test_a_stop_meanwhile_stores_what_waits(
    small: int, path: Path, until: Until, size: Size, flush_logged_errors: Callable[..., Any]
) -> None:
    store = StoreService(path, reactor, lambda: 0.0)
    store.startService()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM collector_run").fetchone()
        while size("-wal") < small:
            await store.run(insert)
        await until(lambda: "a copy of the database is made, or" in str(store.health().reason))
        await store.write([run_of(-1)])
        await store.stopService()
    with closing(sqlite3.connect(path)) as connection:
        rows = "SELECT count(*) FROM collector_run WHERE records = -1"
        assert connection.execute(rows).fetchone() == (1,)
    flush_logged_errors("takes no writes")


def test_who_reads_is_not_known_everywhere(path: Path) -> None:
    assert readers(path, Path("/proc")) == []
    path.with_name(f"{path.name}-shm").touch()
    assert readers(path, path.parent / "none") == []


async def test_two_at_once_are_one(store: StoreService) -> None:
    await store.run(insert)
    first, second = store.checkpoint(), store.checkpoint()
    assert await gatherResults([first, second]) == [True, True]


async def test_it_gives_up_where_the_file_is_to_be_checked_for_damage(
    store: StoreService, until: Until
) -> None:
    """Both want no reads; the check halts the writer, for which the checkpoint waits."""
    await store.run(insert)
    begun, may_end = [Event() for _ in range(4)], Event()

    def slowly(number: int, cursor: sqlite3.Cursor) -> None:
        cursor.execute("SELECT count(*) FROM collector_run").fetchone()
        begun[number].set()
        may_end.wait(30)

    reads: list[Deferred[None]] = [store.read(partial(slowly, number)) for number in range(4)]
    await until(lambda: all(one.is_set() for one in begun))
    await store.run(insert)
    checkpoint = store.checkpoint()
    await store.run(lambda _cursor: None)  # when it has found the reads in its way
    store.suspect(StoreError("a doubt"))
    with pytest.raises(CancelledError):
        await checkpoint
    may_end.set()
    await gatherResults(reads)
    await store.run(insert)
    assert store.health().state == "ok"
    assert await store.checkpoint() is True


async def test_stopping_meanwhile_ends(store: StoreService) -> None:
    await store.run(insert)
    told: list[Any] = []
    store.checkpoint().addBoth(told.append)
    await store.stopService()
    assert len(told) == 1


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_wal_reset_bug(version: tuple[int, ...], affected: bool) -> None:
    assert has_reset_bug(version) is affected


async def test_a_disk_that_is_full_gets_back_what_the_log_takes(
    store: StoreService, until: Any, size: Any
) -> None:
    """What is in the log has its place in the file: room for the deletions that make more."""
    await store.write([run_of(1)])
    assert size("-wal")
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    store._writing_failed(full)
    await until(lambda: not size("-wal"))
