"""Retention when something fails, or stops it: the timer lives on, and nothing waits for ever."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from etlmon.config.node import RetentionSection
from etlmon.errors import StoreError
from etlmon.records.audit import AuditEvent
from etlmon.records.health import CollectorRun
from etlmon.records.log import LogBlock
from etlmon.store.database import StoreService
from etlmon.store.retention import RetentionService
from etlmon.store.tables import collector_run
from etlmon.store.tables.all import TABLES
from etlmon.units import utc
from tests.store.trimming import NOW, retention, run_of, trim

Until = Callable[[Callable[[], object]], Awaitable[None]]


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


@pytest.mark.parametrize(
    ("table", "limits"),
    [
        ("collector_run", {"max_age": 60.0}),
        ("collector_run", {"max_rows": 1}),
        ("log_lines", {"max_age": 60.0}),
        ("log_lines", {"max_rows": 1}),
        ("audit_log", {"max_rows": 1}),
    ],
)
async def test_every_deletion_is_as_small_as_it_must_be(
    store: StoreService, table: str, limits: dict[str, Any]
) -> None:
    """Each that succeeds lets the next be larger."""
    command = AuditEvent(
        requested_at=utc(NOW - 90), who="a", origin="-", command="x", target="y", outcome="done"
    )
    lines = LogBlock(log_name="a", log_path="/a", created_at=utc(NOW - 90), lines=["x"] * 100)
    await store.write([run_of(number, NOW - 90) for number in range(100)])
    await store.write([lines])
    await store.write([command] * 100)
    assert (await trim(store, table, 8, **limits))[:3] == [8, 16, 32]


async def test_few_pages_are_given_back_at_a_time_where_steps_must_be_small(
    store: StoreService,
) -> None:
    await store.write([run_of(number, NOW, "x" * 500) for number in range(500)])
    await store.run(lambda cursor: cursor.execute("DELETE FROM collector_run"))
    left = await trim(store, rows_a_step=8)
    assert [more - less for more, less in pairwise(left[:4])] == [4, 4, 4]
    assert left[-1] == 0
