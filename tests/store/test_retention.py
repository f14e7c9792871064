"""Retention: the limits hold, in steps that let the collectors in between, and the file shrinks."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from etlmon.config.node import NodeConfig, RetentionSection
from etlmon.errors import StoreError
from etlmon.records.audit import AuditEvent
from etlmon.records.health import CollectorRun
from etlmon.records.log import LogBlock, LogFileRead
from etlmon.records.path import EndedScan
from etlmon.store.database import StoreService
from etlmon.store.retention import RetentionService
from etlmon.store.tables import collector_run
from etlmon.store.tables.all import TABLES
from etlmon.units import utc

Until = Callable[[Callable[[], object]], Awaitable[None]]
Size = Callable[..., int]
Sql = Callable[..., list[tuple[Any, ...]]]

NOW = 1_800_000_000.0
UNLIMITED = RetentionSection()


def run_of(number: int, at: float, text: str = "") -> CollectorRun:
    return CollectorRun(
        collector="test",
        instance=text,
        started_at=utc(at),
        duration_ms=0,
        state="ok",
        records=number,
    )


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


class Steps:
    """A store that notes what the steps of retention give."""

    is_open = True

    def __init__(self, store: StoreService) -> None:
        self._store = store
        self.read, self.checkpoint = store.read, store.checkpoint
        self.results: list[int] = []

    def run(self, work: Any, tables: Any = (), **how: bool) -> Deferred[int]:
        def note(result: int) -> int:
            self.results.append(result)
            return result

        return self._store.run(work, tables, **how).addCallback(note)


def retention(store: Any, clock: Clock, **limits: Any) -> RetentionService:
    """Give the service with limits for collector_run only."""
    section = RetentionSection(**limits)
    return RetentionService(
        store,
        TABLES,
        lambda table: section if table == "collector_run" else UNLIMITED,
        clock,
        lambda: NOW,
        settle_seconds=0.0,
    )


async def trim(store: StoreService, **limits: Any) -> list[int]:
    """Let one run go to its end; give the results of its steps."""
    steps, clock = Steps(store), Clock()
    service = retention(steps, clock, **limits)
    service.startService()
    while not clock.getDelayedCalls():  # the next run is planned when this one has ended
        await store.run(lambda cursor: None)
    await service.stopService()
    return steps.results


def count(cursor: sqlite3.Cursor) -> int:
    found: int = cursor.execute("SELECT count(*) FROM collector_run").fetchone()[0]
    return found


class Evidence:
    """The audit, and a clock of the day that a test sets."""

    def __init__(self, store: StoreService) -> None:
        self.store = store
        self.clock = Clock()
        self.wall = NOW
        limits = NodeConfig(retention={"audit_log": RetentionSection(max_age=3600.0)}).retention_of
        self.service = RetentionService(store, TABLES, limits, self.clock, lambda: self.wall)

    async def add(self, at: float) -> None:
        event = AuditEvent(
            requested_at=utc(at), who="a", origin="-", command="x", target="y", outcome="done"
        )
        await self.store.write([event])

    async def rows(self) -> list[float]:
        def read(cursor: sqlite3.Cursor) -> list[float]:
            return [at / 1000 for (at,) in cursor.execute("SELECT requested_at FROM audit_log")]

        return await self.store.read(read)

    async def pass_time(self, seconds: float) -> None:
        """Let the clock go on evenly, and a run of retention to its end."""
        self.wall += seconds
        self.clock.advance(seconds)
        while not self.clock.getDelayedCalls():
            await self.store.run(lambda cursor: None)


async def test_a_clock_that_jumps_deletes_no_evidence(store: StoreService) -> None:
    audit = Evidence(store)
    await audit.add(NOW)
    audit.service.startService()
    await audit.pass_time(0)
    audit.wall += 2 * 365 * 86400
    await audit.add(audit.wall)
    await audit.pass_time(60)
    assert len(await audit.rows()) == 2
    audit.wall = NOW + 120
    await audit.pass_time(60)
    assert len(await audit.rows()) == 2, "a row of the future is one all the same"
    hours = 0
    while len(await audit.rows()) == 2:
        await audit.pass_time(3600)
        hours += 1
    await audit.service.stopService()
    assert await audit.rows() == [NOW + 2 * 365 * 86400], "old by a clock that has gone evenly"
    assert hours == 24


async def test_the_audit_has_no_age_unless_it_is_given_one(store: StoreService) -> None:
    assert NodeConfig().retention_of("audit_log") == RetentionSection(max_rows=100_000)


def command(name: str, outcome: str = "done") -> AuditEvent:
    return AuditEvent(
        requested_at=utc(NOW), who="a", origin="-", command=name, target="y", outcome=outcome
    )


async def trim_audit(store: StoreService, most: int) -> None:
    section, clock = RetentionSection(max_rows=most), Clock()
    service = RetentionService(
        store,
        TABLES,
        lambda table: section if table == "audit_log" else UNLIMITED,
        clock,
        lambda: NOW,
    )
    service.startService()
    while not clock.getDelayedCalls():
        await store.run(lambda cursor: None)
    await service.stopService()


KINDS = """
SELECT command, outcome, count(*), min(id) FROM audit_log GROUP BY command, outcome
ORDER BY command, outcome
"""


async def test_commands_that_come_in_masses_push_out_no_kill(store: StoreService, sql: Sql) -> None:
    """The oldest go of the kind that has the most; what is refused may be a stranger's masses."""
    await store.write([command("kill_process"), command("kill_process", "failed")])
    await store.write([command("console")])
    await store.write([command("kill_process", "refused")] * 40)
    await store.write([command("scan_paths")] * 60)
    await trim_audit(store, 30)
    assert sql(KINDS) == [
        ("console", "done", 1, 3),
        ("kill_process", "done", 1, 1),
        ("kill_process", "failed", 1, 2),
        ("kill_process", "refused", 13, 31),
        ("scan_paths", "done", 14, 90),
    ]
    await store.write([command("kill_process")] * 60)
    await trim_audit(store, 30)
    assert sql("SELECT count(*) FROM audit_log") == [(30,)]
    assert sql("SELECT count(*) FROM audit_log WHERE command = 'scan_paths'") == [(10,)]
    assert sql("SELECT count(*), max(id) FROM audit_log WHERE outcome != 'refused'")[0] == (20, 163)
    await trim_audit(store, 1)
    assert len(sql("SELECT id FROM audit_log")) == 1
    await store.write([command("scan_paths")])
    assert sql("SELECT max(id) FROM audit_log") == [(164,)]


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
    await store.write([lines_at(NOW, 3)])
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


async def trim_lines(store: StoreService, **limits: Any) -> list[int]:
    """Let one run trim log_lines; give the results of its steps."""
    section, clock, steps = RetentionSection(**limits), Clock(), Steps(store)
    service = RetentionService(
        steps,  # type: ignore[arg-type]
        TABLES,
        lambda table: section if table == "log_lines" else UNLIMITED,
        clock,
        lambda: NOW,
        settle_seconds=0.0,
    )
    service.startService()
    while not clock.getDelayedCalls():
        await store.run(lambda cursor: None)
    await service.stopService()
    return steps.results


def lines_at(at: float, count: int, name: str = "app") -> LogBlock:
    return LogBlock(log_name=name, log_path="/a", created_at=utc(at), lines=["x"] * count)


IDS = "SELECT min(id), max(id), count(*) FROM log_lines"
BLOCKS = "SELECT first_id, last_id FROM log_blocks"


async def test_too_many_lines(store: StoreService, sql: Sql) -> None:
    """The oldest go in small steps, with the blocks that are empty then."""
    await store.write([lines_at(NOW, 5_000), lines_at(NOW, 5_000), lines_at(NOW, 5_000)])
    assert (await trim_lines(store, max_rows=8_000))[:2] == [5_000, 2_000]
    assert sql(IDS) == [(7_001, 15_000, 8_000)]
    assert sql(BLOCKS) == [(5_001, 10_000), (10_001, 15_000)]


async def test_lines_grow_old_from_the_head_of_the_table(store: StoreService, sql: Sql) -> None:
    """Those that a wrong clock dates after tomorrow go with the first behind them that is not."""
    for age in (90.0, -200_000.0, 80.0, -200_000.0, 9.0, 90.0, -200_000.0):
        await store.write([lines_at(NOW - age, 2)])
    await trim_lines(store, max_age=60.0)
    assert sql(IDS) == [(7, 14, 8)]
    assert sql(BLOCKS)[-1][1] == 14


@pytest.mark.parametrize(("behind", "left"), [(90.0, 0), (9.0, 5_003), (-200_000.0, 5_003)])
async def test_a_clock_that_was_ahead_loses_no_line(
    store: StoreService, sql: Sql, behind: float, left: int
) -> None:
    """Not the first in a database either, nor more of them than are looked at in a step."""
    await store.write([lines_at(NOW + 200_000, 5_002), lines_at(NOW - behind, 1)])
    await trim_lines(store, max_age=60.0)
    assert sql(IDS)[0][2] == left


async def test_no_lines_are_left(store: StoreService, sql: Sql) -> None:
    await store.write([lines_at(NOW - 90, 5_001), lines_at(NOW - 80, 10, "other")])
    assert (await trim_lines(store, max_age=60.0, max_rows=5))[:2] == [5_000, 11]
    assert sql(IDS) == [(None, None, 0)]
    assert sql(BLOCKS) == []
    await store.write([lines_at(NOW, 1)])
    assert sql(IDS) == [(5_012, 5_012, 1)]


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


# --- when something fails -------------------------------------------------------------------------


class FakeStore:
    """Answers what it is told to."""

    is_open = True

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Callable[[], Deferred[Any]] = lambda: succeed(0)

    def run(self, work: Any, tables: Any = (), **how: bool) -> Deferred[Any]:
        self.asked += 1
        return self.answer()

    def read(self, query: Any) -> Deferred[Any]:
        return succeed(0)


def test_errors_do_not_end_the_timer(flush_logged_errors: Callable[..., list[Any]]) -> None:
    store, clock = FakeStore(), Clock()
    service = retention(store, clock, max_age=1.0)
    store.answer = lambda: fail(StoreError("disk on fire"))
    service.startService()
    clock.pump([60, 60])
    assert store.asked == 3
    assert len(flush_logged_errors("Retention failed: disk on fire")) == 1  # not three times
    store.answer = lambda: fail(ZeroDivisionError("a mistake of ours"))
    clock.advance(60)
    assert len(flush_logged_errors(ZeroDivisionError)) == 1
    store.answer = lambda: succeed(0)
    clock.advance(60)
    assert store.asked == 6  # delete, free pages
    store.answer = lambda: fail(StoreError("disk on fire"))
    clock.advance(60)
    assert len(flush_logged_errors("disk on fire")) == 1  # it was well in between
    service.stopService()
    assert not clock.getDelayedCalls()


def test_mistake_in_the_limits_does_not_end_the_timer(
    flush_logged_errors: Callable[..., list[Any]],
) -> None:
    clock = Clock()
    service = retention(FakeStore(), clock)
    service.limits = lambda table: {}[table]  # type: ignore[misc]
    service.startService()
    clock.advance(60)
    assert len(flush_logged_errors(KeyError)) == 2
    service.stopService()


def test_run_that_takes_long_is_not_begun_twice() -> None:
    store, clock = FakeStore(), Clock()
    pending: Deferred[int] = Deferred()
    store.answer = lambda: pending
    service = retention(store, clock, max_age=1.0)
    service.startService()
    clock.pump([60] * 5)
    assert store.asked == 1
    store.answer = lambda: succeed(0)
    pending.callback(0)
    service.stopService()


def test_stop_leaves_the_step_to_the_writer_and_begins_no_other() -> None:
    """The writer may be waiting for space on the disk, for ever."""
    store, clock = FakeStore(), Clock()
    pending: Deferred[int] = Deferred()
    store.answer = lambda: pending
    service = retention(store, clock, max_age=1.0, max_rows=1)
    service.startService()
    stopped = service.stopService()
    assert stopped.called
    assert store.asked == 1
    assert not clock.getDelayedCalls()


def test_stop_during_a_step_that_fails_is_silent() -> None:
    store, clock = FakeStore(), Clock()
    pending: Deferred[int] = Deferred()
    store.answer = lambda: pending
    service = retention(store, clock, max_age=1.0)
    service.startService()
    stopped = service.stopService()
    assert stopped.called
    assert pending.called


def test_it_works_again_after_a_stop_and_a_start() -> None:
    store, clock = FakeStore(), Clock()
    service = retention(store, clock, max_age=1.0)
    service.startService()
    asked = store.asked
    service.stopService()
    service.startService()
    assert store.asked == 2 * asked
    service.stopService()


def test_deleting_uses_the_index(store: StoreService, path: Path) -> None:
    seen: list[str] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.set_trace_callback(seen.append)

        class OnConnection(FakeStore):
            def run(self, work: Any, tables: Any = (), **how: bool) -> Deferred[Any]:
                return succeed(work(connection.cursor()))

            read = run

        collector_run.TABLE.inserts[CollectorRun](
            connection.cursor(), [run_of(n, NOW - 10 * n) for n in range(3)]
        )
        service = retention(OnConnection(), Clock(), max_age=15.0, max_rows=1)
        service.startService()
        service.stopService()
        connection.set_trace_callback(None)
        deletes = [text for text in seen if text.startswith("DELETE")]
        assert len(deletes) == 2
        for text in deletes:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}")]
            assert any("INDEX collector_run_by_time" in step for step in plan), plan
            assert "SCAN collector_run" not in plan
            assert not any("TEMP B-TREE" in step for step in plan)


async def test_stop_while_the_database_takes_no_writes(
    store: StoreService, path: Path, until: Until, flush_logged_errors: Callable[..., list[Any]]
) -> None:
    """In the order of the node: retention first, then the store. Neither may wait for ever."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN IMMEDIATE")
        service = retention(store, Clock(), max_age=1.0)
        service.startService()
        await until(lambda: store.health().state == "degraded")
        assert store.health().pending_batches == 1
        await service.stopService()
        await store.stopService()
    flush_logged_errors("locked")


# --- bytes ----------------------------------------------------------------------------------------


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


async def test_a_step_that_fails_is_tried_with_fewer_rows(store: StoreService) -> None:
    """A deletion needs room, too: on a disk that is full there may be some for a small one."""
    asked: list[int] = []
    tries = 4

    def run(step: Any, _tables: Any, *, joins: bool) -> Deferred[int]:
        assert joins
        results = [step(None) for _ in range(tries)]
        return succeed(results[-1])

    service = RetentionService(store, TABLES, lambda _: RetentionSection(), reactor, lambda: 0.0)
    service._store = SimpleNamespace(run=run)  # type: ignore[assignment]
    for tries in (4, 1, 1):  # noqa: B007 - `run` asks it
        await service._step(lambda rows: lambda _cursor: asked.append(rows) or 0)  # type: ignore[func-returns-value]
    assert asked == [5_000, 1_250, 312, 78, 78, 156]
    tries = 10
    await service._step(lambda rows: lambda _cursor: asked.append(rows) or 0)  # type: ignore[func-returns-value]
    assert asked[-1] == 8
