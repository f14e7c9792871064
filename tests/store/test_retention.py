"""Retention: the limits hold, in steps that let the collectors in between, and the file shrinks."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from etlmon.config.node import NodeConfig, RetentionSection
from etlmon.records.log import LogBlock, LogFileRead
from etlmon.records.path import EndedScan
from etlmon.store import sizes
from etlmon.store.database import StoreService
from etlmon.store.retention import RetentionService
from etlmon.store.tables.all import TABLES
from etlmon.units import utc
from tests.store.trimming import NOW, UNLIMITED, retention, run_of, trim

Until = Callable[[Callable[[], object]], Awaitable[None]]
Size = Callable[..., int]
Sql = Callable[..., list[tuple[Any, ...]]]


def scan(at: float) -> EndedScan:
    return EndedScan(
        path_id="a",
        collected_at=utc(at),
        file_count=1,
        dir_count=0,
        other_count=0,
        complete=True,
        status="OK",
        scan_duration_ms=1,
    )


def count(cursor: sqlite3.Cursor) -> int:
    found: int = cursor.execute("SELECT count(*) FROM collector_run").fetchone()[0]
    return found


async def test_scans_of_paths_grow_old_as_the_configuration_says(
    store: StoreService, sql: Sql
) -> None:
    config = NodeConfig(retention={"path_history": RetentionSection(max_age=3600.0)})
    for age in (3601.0, 3599.0):
        await store.write([scan(NOW - age)])
    clock = Clock()
    service = RetentionService(
        store, TABLES, config.retention_of, clock, lambda: NOW, settle_seconds=0.0
    )
    service.startService()
    while not clock.getDelayedCalls():
        await store.run(lambda cursor: None)
    await service.stopService()
    assert sql("SELECT collected_at FROM path_history") == [(round(NOW - 3599) * 1000,)]


@pytest.mark.parametrize("years", [10, -1])
async def test_a_clock_that_is_wrong_at_first_deletes_nothing(
    store: StoreService, sql: Sql, years: int
) -> None:
    """At boot it may be, until it is set; what it would take for old, or of the future, stays."""
    config = NodeConfig(retention={"path_history": RetentionSection(max_age=3600.0)})
    await store.write([scan(NOW - 3599)])
    lines = LogBlock(log_name="app", log_path="/a", created_at=utc(NOW), lines=["x"] * 3)
    await store.write([lines])
    clock, wall = Clock(), NOW + years * 365 * 86400
    service = RetentionService(store, TABLES, config.retention_of, clock, lambda: wall)

    async def minutes(count: int) -> None:
        nonlocal wall
        for _ in range(count):
            wall += 60
            clock.advance(60)
            while not clock.getDelayedCalls():
                await store.run(lambda cursor: None)

    service.startService()
    await minutes(9)
    wall = NOW + 540
    await minutes(1)
    kept = "SELECT (SELECT count(*) FROM path_history), (SELECT count(*) FROM log_lines)"
    assert sql(kept) == [(1, 3)]
    await minutes(9)
    assert sql(kept) == [(1, 3)], "it has been right for 9 minutes"
    await minutes(1)
    await service.stopService()
    assert sql(kept) == [(0, 3)]


NUMBERS = "SELECT records FROM collector_run ORDER BY rowid"


async def test_age(store: StoreService, sql: Sql) -> None:
    """The row of exactly the limit stays."""
    await store.write([run_of(n, NOW - 3600 + n) for n in range(-50, 50)])
    await trim(store, max_age=3600.0)
    assert sql(NUMBERS) == [(n,) for n in range(50)]


async def test_rows(store: StoreService, sql: Sql) -> None:
    """The oldest by time go, not the first written."""
    await store.write([run_of(n, NOW - n) for n in range(100)])
    await trim(store, max_rows=30)
    assert sql(NUMBERS) == [(n,) for n in range(30)]


async def test_a_large_table_is_counted_in_pieces_and_not_each_minute(
    store: StoreService, sql: Sql, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one read it would take seconds; a few rows more go, so that it is not needed soon."""
    monkeypatch.setattr("etlmon.store.retention._ROWS_A_PIECE", 100)
    await store.write([run_of(n, NOW - 2_000 + n // 7) for n in range(2_000)])
    seen: list[str] = []
    await store.run(lambda cursor: cursor.execute("DELETE FROM collector_run WHERE rowid = 1990"))
    read = store.read

    def note(query: Any) -> Deferred[Any]:
        seen.append(query.__qualname__)
        return read(query)

    monkeypatch.setattr(store, "read", note)
    clock = Clock()
    service = retention(store, clock, max_rows=500)
    service.startService()
    await until(clock.getDelayedCalls)
    assert sql("SELECT count(*) FROM collector_run") == [(495,)]
    counts = [name for name in seen if name.startswith("_count_later")]
    assert len(counts) == 20, "of some more than 100 rows each"
    seen.clear()
    await store.write([run_of(2_000 + n, NOW + n) for n in range(5)])
    clock.advance(60)
    await until(clock.getDelayedCalls)
    assert sql("SELECT count(*) FROM collector_run") == [(500,)]
    assert not [name for name in seen if name.startswith("_count_later")]
    await service.stopService()


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"max_age": 50.5, "max_rows": 20}, 20),
        ({"max_age": 10.5, "max_rows": 20}, 11),
        ({"max_age": 1000.0, "max_rows": 1000}, 100),
        ({}, 100),
    ],
)
async def test_the_narrower_limit_counts(
    store: StoreService, sql: Sql, limits: dict[str, Any], left: int
) -> None:
    await store.write([run_of(n, NOW - n) for n in range(100)])
    await trim(store, **limits)
    assert sql("SELECT count(*) FROM collector_run") == [(left,)]


async def test_nothing_stored(store: StoreService) -> None:
    assert await trim(store, max_age=1.0, max_rows=1) == [0, 0]


@pytest.mark.parametrize("limits", [{"max_age": 3600.0}, {"max_rows": 1000}])
async def test_steps_are_small(store: StoreService, sql: Sql, limits: dict[str, Any]) -> None:
    await store.write([run_of(n, NOW - 7200 + n / 1000) for n in range(12_000)])
    await store.write([run_of(n, NOW) for n in range(1000)])
    results = await trim(store, **limits)
    assert results[:3] == [5000, 5000, 2000]
    assert sql("SELECT count(*) FROM collector_run") == [(1000,)]


async def test_collectors_get_in_between(store: StoreService) -> None:
    await store.write([run_of(n, NOW - 7200) for n in range(30_000)])
    service = retention(store, Clock(), max_age=3600.0)
    service.startService()
    left = []
    for n in range(3):
        await store.write([run_of(n, NOW)])
        left.append(await store.run(count))  # in its turn, too: at most two steps are before it
    await service.stopService()
    assert left[0] >= 20_001
    assert sorted(left, reverse=True) == left


async def test_file_shrinks(store: StoreService, size: Size, sql: Sql) -> None:
    for _ in range(10):
        await store.write([run_of(n, NOW - 7200, "x" * 500) for n in range(2000)])
    await store.write([run_of(n, NOW) for n in range(100)])
    assert sql("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0
    full = size()
    assert full > 10_000_000
    results = await trim(store, max_age=3600.0)
    assert len(results) >= 14  # several of 250 pages each
    assert size() < full / 50
    assert size("-wal") == 0
    assert sql("PRAGMA freelist_count") == [(0,)]
    assert sql("PRAGMA integrity_check") == [("ok",)]
    assert sql("SELECT count(*) FROM collector_run") == [(100,)]


async def test_the_file_is_within_1_3_of_its_content_under_load(
    store: StoreService, size: Size, sql: Sql
) -> None:
    """Lines come all the time; the content is what SQLite finds page by page."""
    log = LogBlock(
        log_name="app", log_path="/a", created_at=utc(NOW), lines=["a line of a log " * 8] * 1_000
    )
    for _ in range(40):
        await store.write([log])
    await store.checkpoint()
    full, clock = size(), Clock()
    limits = RetentionSection(max_rows=8_000)
    service = RetentionService(
        store,
        TABLES,
        lambda table: limits if table == "log_lines" else UNLIMITED,
        clock,
        lambda: NOW,
    )
    service.startService()
    while not clock.getDelayedCalls():
        await store.write([log])
    await service.stopService()
    await store.checkpoint()
    ((content,),) = sql("SELECT sum(pgsize) FROM dbstat")
    ((text,),) = sql("SELECT sum(length(line)) FROM log_lines")
    assert content > text > 8_000 * 128
    assert size() <= 1.3 * content
    assert size() < 0.8 * full


async def test_write_ahead_log_stays_small_meanwhile(store: StoreService, size: Size) -> None:
    for _ in range(10):
        await store.write([run_of(n, NOW - 7200, "x" * 500) for n in range(2000)])
    await trim(store, max_age=3600.0)
    assert size("-wal") < 17 << 20


async def test_rows_of_a_clock_that_was_wrong_go(store: StoreService, sql: Sql) -> None:
    """They would never grow old, and the limit of rows would push out good ones for them."""
    day = 86_400
    await store.write([run_of(0, NOW - 10), run_of(1, NOW + day - 10), run_of(2, NOW + day + 10)])
    await trim(store, max_age=3600.0)
    assert sql("SELECT count(*) FROM collector_run") == [(2,)]


async def test_limits_that_change_hold_from_the_next_run_on(
    store: StoreService, sql: Sql, until: Until
) -> None:
    await store.write([run_of(n, NOW - n) for n in range(100)])
    clock = Clock()
    service = retention(store, clock, max_rows=50)
    service.startService()
    await until(clock.getDelayedCalls)
    assert sql("SELECT count(*) FROM collector_run") == [(50,)]
    service.limits = lambda table: RetentionSection(max_rows=10)
    clock.advance(60)
    await until(clock.getDelayedCalls)
    assert sql("SELECT count(*) FROM collector_run") == [(10,)]
    await service.stopService()


async def test_bytes_of_a_table(store: StoreService, path: Path, size: Size) -> None:
    """The newest rows stay, as many as the bytes allow, and the file shrinks to them."""
    rows = [run_of(number, NOW - 1000 + number / 100, "x" * 900) for number in range(8_000)]
    await store.write(rows)
    await store.checkpoint()
    assert size() > 7_000_000
    await trim(store, max_bytes=2_000_000)
    await store.checkpoint()
    assert 1_400_000 < size() < 2_600_000
    kept = await store.read(
        lambda cursor: cursor.execute(
            "SELECT min(records), max(records) FROM collector_run"
        ).fetchone()
    )
    assert kept[1] == 7_999
    assert kept[0] > 5_000


async def test_within_its_bytes_nothing_goes(store: StoreService) -> None:
    await store.write([run_of(number, NOW) for number in range(100)])
    await trim(store, max_bytes=1_000_000)
    assert await store.read(count) == 100


async def test_bytes_are_reckoned_only_where_all_together_take_more(
    store: StoreService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done each minute, and costs some 10 ms."""
    reckoned: list[object] = []
    reckon = sizes.reckon
    monkeypatch.setattr(sizes, "reckon", lambda *args: reckoned.append(1) or reckon(*args))
    await store.write([run_of(number, NOW) for number in range(100)])
    all_bytes = (await store.read(sizes.pages)).content_bytes
    await trim(store, max_bytes=all_bytes)
    assert reckoned == []
    await trim(store, max_bytes=all_bytes - 1)
    assert reckoned == [1]


async def test_bytes_of_what_is_no_history_count_for_none(store: StoreService) -> None:
    """A pattern of logs may stand for thousands of files, with a position of each."""
    await store.write([run_of(number, NOW) for number in range(1_000)])
    files = [
        LogFileRead(
            log_name="app",
            log_path=f"/{number:0200}",
            state="waiting",
            updated_at=utc(NOW),
            cursor=None,
        )
        for number in range(10_000)
    ]
    await store.write(files)
    await trim(store, max_bytes=1_000_000)
    assert await store.read(count) == 1_000
