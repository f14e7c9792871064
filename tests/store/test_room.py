"""The greatest size: it is never met, for the oldest rows go before those that come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from etlmon.config.node import RetentionSection
from etlmon.records.log import LogBlock
from etlmon.records.xferlog import PLAIN_FIELDS, XferlogBlock, XferlogRun
from etlmon.store.database import StoreService
from etlmon.store.retention import RetentionService
from etlmon.store.tables.all import TABLES
from etlmon.units import utc
from tests.store.writer_bench import run_of

Until = Callable[[Callable[[], object]], Awaitable[None]]
Size = Callable[..., int]
Sql = Callable[..., list[tuple[Any, ...]]]
Flush = Callable[..., list[Any]]

NOW = 1_800_000_000.0
MOST = 8 << 20
IDS = "SELECT min(id), max(id), count(*) FROM log_lines"


def block(lines: int, length: int = 120) -> LogBlock:
    return LogBlock(
        log_name="app",
        log_path="/var/log/app.log",
        created_at=utc(NOW),
        lines=["x" * length] * lines,
    )


def transfers(names: list[str]) -> XferlogBlock:
    plain = dict.fromkeys(PLAIN_FIELDS) | {"status": "complete", "ts_quality": "unknown"}
    values = [value for name in names for value in (plain | {"filename": name}).values()]
    return XferlogBlock(
        log_path="/var/log/xferlog",
        source_inode=None,
        created_at=utc(NOW),
        lines=[XferlogRun(values)],
    )


class ClockWithThreads(Clock):
    """Time is the test's, threads are the reactor's."""

    getThreadPool = staticmethod(reactor.getThreadPool)
    callFromThread = staticmethod(reactor.callFromThread)


class Capped:
    """A store with a greatest size, its retention on a clock of the test, and what was told."""

    def __init__(self, path: Path) -> None:
        self.store = StoreService(path, reactor, lambda: NOW, max_bytes=MOST)
        self.clock = ClockWithThreads()
        self.retention = RetentionService(
            self.store,
            TABLES,
            lambda table: RetentionSection(),
            self.clock,
            lambda: NOW,
            MOST,
            settle_seconds=0.0,
        )
        self.room = self.retention.room
        self.store.on_commit(self.room.committed)
        self.store.on_full(self.room.full)
        self.states: list[str] = []
        self.told: list[str] = []

    def hear(self, event: Any) -> None:
        if event["log_namespace"].startswith("etlmon.store.room"):
            self.told.append(event["log_level"].name)

    async def pass_minutes(self, minutes: int) -> None:
        """Let retention run once a minute, each time to its end."""
        for _ in range(minutes):
            while not self.clock.getDelayedCalls():
                await self.store.run(lambda cursor: None)
            self.clock.advance(60)

    async def write(self, *records: Any) -> None:
        await self.store.write(list(records))
        self.states.append(self.store.health().state)


@pytest.fixture
def capped(path: Path) -> Iterator[Capped]:
    one = Capped(path)
    globalLogPublisher.addObserver(one.hear)
    one.store.startService()
    one.retention.startService()
    yield one
    pytest_twisted.blockon(one.retention.stopService())
    pytest_twisted.blockon(one.store.stopService())
    globalLogPublisher.removeObserver(one.hear)


async def test_a_flood_never_meets_it(capped: Capped, size: Size, sql: Sql) -> None:
    """More than there is room for: each commit succeeds, and the newest rows are there."""
    await capped.write(*(run_of(number) for number in range(100)))
    for _ in range(25):
        await capped.write(block(1_000))
    for _ in range(120):
        await capped.write(block(250))
    assert set(capped.states) == {"ok"}
    assert size() <= MOST
    ((first, last, rows),) = sql(IDS)
    assert (last, rows) == (55_000, last - first + 1)
    assert rows * 170 > MOST * 0.6, "not more went than had to"
    assert sql("SELECT count(*) FROM collector_run") == [(100,)], "a small history loses nothing"
    health = capped.store.health()
    assert health.early_rows == 55_000 - rows
    assert "(8MiB): the oldest rows go before their time, those of log_lines" in str(
        capped.room.warning
    )
    assert capped.told == ["warn"]


async def test_a_burst_meets_it_no_more_than_a_trickle(
    capped: Capped, size: Size, until: Until
) -> None:
    """What is kept free follows what a transaction brings."""
    for lines in (50, 5_000) * 12:
        await capped.write(block(lines))
        await until(lambda: capped.room._running is None)
    await capped.write(*(block(2_500, 250) for _ in range(2)))
    assert set(capped.states) == {"ok"}
    assert size() <= MOST


async def test_long_names_of_transfers_meet_it_no_more_than_short_ones(
    capped: Capped, size: Size, sql: Sql
) -> None:
    """What waits at once goes in transactions of some bytes, not of some rows."""
    names = [f"/in/{number:04}{'x' * 4_088}" for number in range(250)]
    for _ in range(3):
        await gatherResults([capped.store.write([transfers(names)]) for _ in range(12)])
        capped.states.append(capped.store.health().state)
    assert set(capped.states) == {"ok"}
    assert size() <= MOST
    assert capped.store.health().dropped_records == 0
    ((last,),) = sql("SELECT max(id) FROM xferlog_entries")
    assert last == 36 * 250


async def test_a_batch_such_as_never_came_before(
    capped: Capped,
    sql: Sql,
    until: Until,
    flush_logged_errors: Flush,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its commit fails; then more room is made until it succeeds, and it is there once."""
    monkeypatch.setattr("etlmon.store.trouble._SETTLED_SECONDS", 0.05)
    for _ in range(40):
        await capped.write(block(1_000))
    await capped.write(block(12_000, 200))
    assert len(flush_logged_errors("takes no writes: database or disk is full")) == 1
    assert sql("SELECT count(*) FROM log_lines WHERE length(line) = 200") == [(12_000,)]
    await until(lambda: capped.store.health().state == "ok")
    await capped.write(block(12_000, 200))
    assert capped.store.health().state == "ok", "now so much is kept free"
    assert sql("SELECT count(*) FROM log_lines WHERE length(line) = 200") >= [(12_000,)]


async def test_batches_for_which_all_must_go(
    capped: Capped, sql: Sql, flush_logged_errors: Flush
) -> None:
    """That no history has any rows is so until the next batch is stored, and no minute longer."""
    for number in range(1, 5):
        batch = capped.store.write([block(1_950, 2_000)])
        batch.addTimeout(20, reactor)
        await batch
        assert sql(IDS) == [(1_950 * (number - 1) + 1, 1_950 * number, 1_950)]
    flush_logged_errors("takes no writes: database or disk is full")


async def test_a_full_disk_is_not_taken_for_it(
    capped: Capped, sql: Sql, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleting would not help: the rows that are there stay."""
    for _ in range(35):
        await capped.write(block(1_000))
    before = sql(IDS)
    asked: list[Path] = []

    def statvfs(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(f_bfree=0, f_bavail=0, f_frsize=4096)

    monkeypatch.setattr("etlmon.store.room.os.statvfs", statvfs)
    monkeypatch.setattr(type(capped.store), "is_full", True)
    capped.room.full()
    await until(lambda: asked)
    await capped.store.run(lambda cursor: None)
    assert sql(IDS) == before
    assert capped.store.health().early_rows == 0


async def test_it_is_told_when_it_begins_and_when_it_is_over(capped: Capped, sql: Sql) -> None:
    for _ in range(50):
        await capped.write(block(1_000))
    await capped.pass_minutes(20)
    assert capped.told == ["warn"], "it is still as full"
    await capped.store.run(lambda cursor: cursor.execute("DELETE FROM log_lines").close())
    await capped.pass_minutes(2)
    assert capped.told == ["warn", "info"]
    assert capped.room.warning is None
    for _ in range(50):
        await capped.write(block(1_000))
    assert capped.told == ["warn", "info", "warn"]


async def test_the_largest_history_loses_rows_whichever_it_is(capped: Capped, sql: Sql) -> None:
    await capped.write(block(10_000))
    for first in range(0, 60_000, 1_000):
        await capped.write(*(run_of(number, "x" * 150) for number in range(first, first + 1_000)))
    assert set(capped.states) == {"ok"}
    assert sql("SELECT count(*) FROM log_lines") == [(10_000,)]
    ((first, last, rows),) = sql("SELECT min(records), max(records), count(*) FROM collector_run")
    assert (last, rows) == (59_999, last - first + 1), "the newest, without a hole"


async def test_it_ends_while_a_step_waits(capped: Capped, until: Until) -> None:
    """A stop waits for no step: it may wait for ever."""
    for _ in range(40):
        capped.store.write([block(1_000)])
    await until(lambda: capped.store.health().early_rows)
    await capped.retention.stopService()
    early = capped.store.health().early_rows
    await capped.store.write([block(1_000)])
    assert capped.store.health().early_rows <= early + 20_000


async def test_a_greatest_size_below_that_of_the_file(
    path: Path, capped: Capped, size: Size, sql: Sql, until: Until
) -> None:
    """The file shrinks to it, and from then on SQLite itself lets it grow no further."""
    pages = "PRAGMA max_page_count"
    await capped.store.run(lambda cursor: cursor.execute(f"{pages} = 10000").fetchone())
    capped.room.stop()
    for _ in range(80):
        await capped.store.write([block(1_000)])
    assert size("-wal") + size() > MOST * 1.3
    capped.room.start()
    await capped.store.write([block(1)])
    await until(lambda: capped.room._running is None)
    await capped.pass_minutes(3)
    await capped.store.checkpoint()
    assert size() <= MOST
    assert capped.store.health().early_rows > 20_000
    most = await capped.store.run(lambda cursor: cursor.execute(pages).fetchone())
    assert most == (MOST // 4096,)
