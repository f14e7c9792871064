"""The four tables of processes: what a look leaves in them, and what they give out."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from etlmon.records.base import Record
from etlmon.records.process import (
    NewProcessEvent,
    ProcessesFound,
    ProcessesSeen,
    ProcessSample,
    ProcessUsage,
    ProcessWatchStatus,
    WatchesConfigured,
)
from etlmon.store.batches import Batches
from etlmon.store.tables import process_events, process_history, process_stats, process_watches

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BOOT = "4dd80203-a77c-47d9-8ea3-510dd3e1d2ef"
TABLES = [
    process_events.TABLE,
    process_stats.TABLE,
    process_watches.TABLE,
    process_history.TABLE,
]


def sample(pid: int, **changes: Any) -> ProcessSample:
    plain = ProcessSample(
        watch="etl",
        pid=pid,
        process_name="load",
        cmdline="load",
        start_time=AT,
        runtime_sec=5.0,
        cpu_seconds=1.0,
        mem_rss_bytes=1,
        status="RUNNING",
        state="S",
        threads=1,
        user="etl",
        parent_pid=1,
        visibility="full",
        identity=f"{BOOT}:{pid}:7",
        collected_at=AT,
    )
    return replace(plain, **changes)


def status(watch: str) -> ProcessWatchStatus:
    return ProcessWatchStatus(
        watch=watch,
        state="ok",
        since=AT,
        process_count=1,
        mem_rss_bytes=1,
        threads=1,
        visibility="full",
        collected_at=AT,
    )


def usage(minute: int, pid: int | None = None, watch: str = "etl") -> ProcessUsage:
    return ProcessUsage(
        watch=watch,
        pid=pid,
        collected_at=AT + timedelta(minutes=minute),
        process_count=1,
        cpu_percent=float(minute),
        cpu_share=0.1,
        mem_rss_bytes=minute,
        threads=1,
    )


def event(kind: str, minute: int, watch: str = "etl", pid: int | None = 1) -> NewProcessEvent:
    return NewProcessEvent(
        watch=watch, event=kind, occurred_at=AT + timedelta(minutes=minute), pid=pid
    )


@pytest.fixture
def store(cursor: sqlite3.Cursor):
    def insert(*records: Record) -> None:
        inserts = {kind: insert for table in TABLES for kind, insert in table.inserts.items()}
        for record in records:
            inserts[type(record)](cursor, [record])

    return insert


def test_the_samples_of_a_look_take_the_place_of_those_before(cursor, store) -> None:
    store(sample(1), sample(2))
    store(ProcessesSeen(collected_at=AT), sample(3), sample(4, watch="other"))
    assert process_stats.newest(cursor) == [sample(3), sample(4, watch="other")]
    assert process_stats.newest(cursor, "other") == [sample(4, watch="other")]
    store(ProcessesSeen(collected_at=AT))
    assert process_stats.newest(cursor) == []


def test_of_a_pid_the_running_process_comes_first_and_alone(cursor, store) -> None:
    ended = sample(1, status="STOPPED", ended_at=AT, identity=f"{BOOT}:1:3")
    store(ended, sample(1), sample(1, watch="b"), sample(2))
    assert process_stats.by_pid(cursor, 1) == [sample(1), sample(1, watch="b")]
    assert process_stats.by_pid(cursor, 9) == []


def test_of_ended_ones_the_last_stands_for_a_pid(cursor, store) -> None:
    first = sample(1, status="STOPPED", ended_at=AT, identity=f"{BOOT}:1:3")
    last = replace(first, ended_at=AT + timedelta(hours=1), identity=f"{BOOT}:1:5")
    store(first, last)
    assert process_stats.by_pid(cursor, 1) == [last]


def test_what_ended_while_nobody_looked_becomes_an_event(cursor, store) -> None:
    store(sample(1), sample(2), sample(3, is_child=True), sample(4, status="STOPPED"))
    store(ProcessesFound(identities=[sample(2).identity]))
    (missed,), total = process_events.newest(cursor, limit=10)
    assert total == 1
    assert (missed.event, missed.pid, missed.occurred_at) == ("exited", 1, AT)
    assert missed.runtime_sec == 5.0
    assert "did not look" in (missed.detail or "")
    assert missed.exit_reason is None


def test_watches_that_are_configured_no_more_are_forgotten(cursor, store) -> None:
    store(status("a"), status("b"), sample(1, watch="a"), sample(2, watch="b"))
    store(WatchesConfigured(watches=("b", "c")))
    assert process_watches.newest(cursor) == [status("b")]
    assert process_stats.newest(cursor) == [sample(2, watch="b")]
    store(replace(status("b"), state="down"))
    assert [one.state for one in process_watches.newest(cursor)] == ["down"]


def test_history_of_a_watch_and_of_a_process(cursor, store) -> None:
    store(*(usage(minute) for minute in range(60)), *(usage(m, pid=7) for m in range(60)))
    store(usage(1, watch="other"))
    until = AT + timedelta(hours=1)
    found = process_history.history(cursor, "etl", None, AT, until, 6)
    assert found is not None
    assert [point.mem_rss_bytes for point in found] == [10, 20, 30, 40, 50, 59]
    assert {point.pid for point in found} == {None}
    of_one = process_history.history(cursor, "etl", 7, AT, until, 2)
    assert of_one is not None
    assert [(point.pid, point.mem_rss_bytes) for point in of_one] == [(7, 30), (7, 59)]
    assert process_history.history(cursor, "etl", 8, AT, until, 2) is None
    assert process_history.history(cursor, "none", None, AT, until, 2) is None
    assert process_history.history(cursor, "etl", None, until, until + timedelta(hours=1), 2) == []


@pytest.mark.parametrize("pid", [None, 7])
def test_a_long_history_costs_no_more(cursor, store, plans, pid: int | None) -> None:
    store(usage(1, pid=pid))
    until = AT + timedelta(hours=1)
    found = plans(lambda: process_history.history(cursor, "etl", pid, AT, until, 2))
    assert found
    for steps in found.values():
        assert all("USING INDEX process_history_by_watch" in step for step in steps) or all(
            "USING COVERING INDEX process_history_by_watch" in step for step in steps
        ), steps


def test_events_come_newest_first_and_in_parts(cursor, store) -> None:
    store(*(event("started", minute) for minute in range(5)), event("exited", 9, "b", None))
    found, total = process_events.newest(cursor, limit=2, offset=1)
    assert ([one.id for one in found], total) == ([5, 4], 6)
    found, total = process_events.newest(cursor, after=2, limit=2)
    assert ([one.id for one in found], total) == ([3, 4], 4)
    found, total = process_events.newest(cursor, watch="b", limit=9)
    assert ([one.event for one in found], total) == (["exited"], 1)
    found, total = process_events.newest(cursor, pid=1, since=AT + timedelta(minutes=3), limit=9)
    assert ([one.id for one in found], total) == ([5, 4], 2)


def test_an_id_is_never_given_out_again(cursor, store) -> None:
    store(event("started", 1))
    cursor.execute("DELETE FROM process_events")
    store(event("started", 2))
    assert [one.id for one in process_events.newest(cursor, limit=1)[0]] == [2]


def test_what_a_process_may_make_long_is_its_weight() -> None:
    one = sample(7, cmdline="x" * 300, exe="/e" * 50)
    assert Batches(TABLES).of([one] * 3, may_wait=False).characters == 1_200
