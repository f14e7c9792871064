"""Retention of what goes in the order of its numbers: lines of logs, and the audit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from etlmon.config.node import NodeConfig, RetentionSection
from etlmon.records.audit import AuditEvent
from etlmon.records.log import LogBlock
from etlmon.store.database import StoreService
from etlmon.store.retention import RetentionService
from etlmon.store.tables.all import TABLES
from etlmon.units import utc
from tests.store.trimming import NOW, trim

Sql = Callable[..., list[tuple[Any, ...]]]


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


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            3600.0,
            "The clock has gone ahead by 1h: it was set, or the host slept. No row goes by its",
        ),
        (-3600.0, "The clock has gone back by 1h: "),
        (-7.0, "The clock has gone back by 7s: "),
    ],
)
async def test_a_clock_that_is_set_is_told_until_it_is_trusted(
    store: StoreService, log_lines: list[str], step: float, words: str
) -> None:
    audit = Evidence(store)
    audit.service.startService()
    await audit.pass_time(60)
    assert audit.service.warning is None
    audit.wall += step
    await audit.pass_time(60)
    assert str(audit.service.warning).startswith(words)
    assert len([line for line in log_lines if line.startswith(words)]) == 1
    await audit.pass_time(540)
    assert audit.service.warning is not None
    await audit.pass_time(60)
    assert audit.service.warning is None
    assert len([line for line in log_lines if "The clock has gone" in line]) == 1
    await audit.service.stopService()


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
    assert NodeConfig().retention_of("audit_log").max_age is None


def command(name: str, outcome: str = "done") -> AuditEvent:
    return AuditEvent(
        requested_at=utc(NOW), who="a", origin="-", command=name, target="y", outcome=outcome
    )


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
    await trim(store, "audit_log", max_rows=30)
    assert sql(KINDS) == [
        ("console", "done", 1, 3),
        ("kill_process", "done", 1, 1),
        ("kill_process", "failed", 1, 2),
        ("kill_process", "refused", 13, 31),
        ("scan_paths", "done", 14, 90),
    ]
    await store.write([command("kill_process")] * 60)
    await trim(store, "audit_log", max_rows=30)
    assert sql("SELECT count(*) FROM audit_log") == [(30,)]
    assert sql("SELECT count(*) FROM audit_log WHERE command = 'scan_paths'") == [(10,)]
    assert sql("SELECT count(*), max(id) FROM audit_log WHERE outcome != 'refused'")[0] == (20, 163)
    await trim(store, "audit_log", max_rows=1)
    assert len(sql("SELECT id FROM audit_log")) == 1
    await store.write([command("scan_paths")])
    assert sql("SELECT max(id) FROM audit_log") == [(164,)]


def lines_at(at: float, count: int, name: str = "app") -> LogBlock:
    return LogBlock(log_name=name, log_path="/a", created_at=utc(at), lines=["x"] * count)


IDS = "SELECT min(id), max(id), count(*) FROM log_lines"
BLOCKS = "SELECT first_id, last_id FROM log_blocks"


async def test_too_many_lines(store: StoreService, sql: Sql) -> None:
    """The oldest go in small steps, with the blocks that are empty then."""
    await store.write([lines_at(NOW, 5_000), lines_at(NOW, 5_000), lines_at(NOW, 5_000)])
    assert (await trim(store, "log_lines", max_rows=8_000))[:2] == [5_000, 2_000]
    assert sql(IDS) == [(7_001, 15_000, 8_000)]
    assert sql(BLOCKS) == [(5_001, 10_000), (10_001, 15_000)]


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        (1, -(1 << 62), (2, 300, 299)),
        (1, -7, (2, 300, 299)),
        (300, 1 << 61, (1 << 61, 1 << 61, 1)),
    ],
)
async def test_a_hole_between_the_numbers_takes_no_lines_behind_it(
    store: StoreService, sql: Sql, old: int, new: int, left: tuple[int, int, int]
) -> None:
    """Whoever has left one in a copy would have all lines deleted, the newest, too."""
    await store.write([lines_at(NOW, 300)])
    sql(f"UPDATE log_lines SET id = {new} WHERE id = {old}")
    await trim(store, "log_lines", max_rows=299)
    assert sql(IDS) == [left]


async def test_lines_grow_old_from_the_head_of_the_table(store: StoreService, sql: Sql) -> None:
    """Those that a wrong clock dates after tomorrow go with the first behind them that is not."""
    for age in (90.0, -200_000.0, 80.0, -200_000.0, 9.0, 90.0, -200_000.0):
        await store.write([lines_at(NOW - age, 2)])
    await trim(store, "log_lines", max_age=60.0)
    assert sql(IDS) == [(7, 14, 8)]
    assert sql(BLOCKS)[-1][1] == 14


@pytest.mark.parametrize(("behind", "left"), [(90.0, 0), (9.0, 5_003), (-200_000.0, 5_003)])
async def test_a_clock_that_was_ahead_loses_no_line(
    store: StoreService, sql: Sql, behind: float, left: int
) -> None:
    """Not the first in a database either, nor more of them than are looked at in a step."""
    await store.write([lines_at(NOW + 200_000, 5_002), lines_at(NOW - behind, 1)])
    await trim(store, "log_lines", max_age=60.0)
    assert sql(IDS)[0][2] == left


async def test_no_lines_are_left(store: StoreService, sql: Sql) -> None:
    await store.write([lines_at(NOW - 90, 5_001), lines_at(NOW - 80, 10, "other")])
    assert (await trim(store, "log_lines", max_age=60.0, max_rows=5))[:2] == [5_000, 11]
    assert sql(IDS) == [(None, None, 0)]
    assert sql(BLOCKS) == []
    await store.write([lines_at(NOW, 1)])
    assert sql(IDS) == [(5_012, 5_012, 1)]
