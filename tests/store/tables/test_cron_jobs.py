"""Jobs and files of cron: what is read anew, what is kept, what is forgotten, what is found."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from etlmon.records.base import Record
from etlmon.records.cron import CronEntry, CronFile, CronHistory, CronListing
from etlmon.store.tables import cron_files, cron_jobs

AT = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)


def entry(job_id: str, minutes: int | None = 5, **changes: Any) -> CronEntry:
    run = None if minutes is None else AT + timedelta(minutes=minutes)
    return msgspec.structs.replace(
        CronEntry(
            job_id=job_id,
            schedule="5 * * * *",
            command="/opt/Load --all",
            user="etl",
            source="cron.d",
            file="/etc/cron.d/etl",
            line=3,
            next_run=run,
            next_run_local=None if run is None else run.isoformat(),
            next_run_kind="never" if run is None else "exact",
            next_runs=[] if run is None else [run, run + timedelta(hours=1)],
            runs_by_hour=[1] * 24,
            timezone="UTC",
            lint=["odd"],
            file_status="active",
            dialect="debian",
            last_checked=AT,
        ),
        **changes,
    )


def file(path: str, **changes: Any) -> CronFile:
    return msgspec.structs.replace(
        CronFile(path=path, source="cron.d", dialect="debian", status="active", last_checked=AT),
        **changes,
    )


def listing(*jobs: str, paths: tuple[str, ...] = (), at: datetime = AT) -> CronListing:
    return CronListing(job_ids=jobs, paths=paths, last_checked=at)


@pytest.fixture
def put(cursor: sqlite3.Cursor) -> Any:
    inserts = {**cron_jobs.TABLE.inserts, **cron_files.TABLE.inserts}

    def write(*records: Record) -> None:
        for record in records:
            inserts[type(record)](cursor, [record])

    return write


def test_what_goes_in_comes_out(cursor: sqlite3.Cursor, put: Any) -> None:
    put(entry("a"))
    found = cron_jobs.find(cursor, "a")
    assert found is not None
    plain = msgspec.structs.asdict(found)
    assert {name: plain[name] for name in CronEntry.__struct_fields__} == msgspec.structs.asdict(
        entry("a")
    )
    assert cron_jobs.find(cursor, "b") is None


def test_how_it_went_stays_when_a_job_is_read_anew(cursor: sqlite3.Cursor, put: Any) -> None:
    went = CronHistory(job_id="a", last_start=AT, last_exit=1, running_pids=[7], overlap=True)
    put(entry("a"), went, entry("a", 9, schedule="9 * * * *"))
    found = cron_jobs.find(cursor, "a")
    assert found is not None
    assert (found.schedule, found.last_start, found.running_pids, found.overlap) == (
        "9 * * * *",
        AT,
        [7],
        True,
    )


def test_what_is_not_listed_is_gone_and_all_else_was_checked(
    cursor: sqlite3.Cursor, put: Any
) -> None:
    later = AT + timedelta(minutes=1)
    put(entry("a"), entry("b"), file("/x"), file("/y"))
    put(listing("b", paths=("/y",), at=later))
    assert [(one.job_id, one.last_checked) for one in cron_jobs.newest(cursor)] == [("b", later)]
    assert [(one.path, one.last_checked) for one in cron_files.newest(cursor)] == [("/y", later)]


def test_the_next_one_comes_first_and_what_never_runs_last(
    cursor: sqlite3.Cursor, put: Any
) -> None:
    put(
        entry("never", None),
        entry("boot", None, next_run_kind="on_boot"),
        entry("later", 9),
        entry("soon", 1),
    )
    found = [one.job_id for one in cron_jobs.newest(cursor)]
    assert found == ["soon", "later", "boot", "never"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["a", "b", "c"]),
        ({"user": "etl"}, ["a", "c"]),
        ({"user": "ETL"}, []),
        ({"source": "user"}, ["b"]),
        ({"file": "/etc/cron.d/etl"}, ["a", "c"]),
        ({"file": "/etc/cron.d"}, []),
        ({"command": "LOAD"}, ["a", "b"]),
        ({"command": "%"}, []),
        ({"command": "load", "user": "etl"}, ["a"]),
    ],
)
def test_jobs_are_found(
    cursor: sqlite3.Cursor, put: Any, wanted: dict[str, str], found: list[str]
) -> None:
    put(
        entry("a", 1),
        entry("b", 2, user="root", source="user", file="/var/spool/cron/crontabs/root"),
        entry("c", 3, command="true"),
    )
    assert [one.job_id for one in cron_jobs.newest(cursor, **wanted)] == found


def test_files_that_are_ignored_come_first(cursor: sqlite3.Cursor, put: Any) -> None:
    put(file("/a"), file("/b", status="unknown"), file("/c", status="ignored", reason="mode"))
    assert [one.path for one in cron_files.newest(cursor)] == ["/c", "/b", "/a"]
    put(file("/c"))
    assert [one.path for one in cron_files.newest(cursor)] == ["/b", "/a", "/c"]
