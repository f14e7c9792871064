"""Cron in numbers: all jobs together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from etlmon.api.metrics.cron import Cron
from etlmon.records.cron import CronEntry, CronFile, CronHistory, CronListing

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FILE = CronFile(
    path="/etc/cron.d/load", source="cron.d", dialect="debian", status="active", last_checked=NOW
)
JOB = CronEntry(
    job_id="one",
    schedule="* * * * *",
    command="load",
    source="cron.d",
    file="/etc/cron.d/load",
    next_run_kind="exact",
    timezone="UTC",
    file_status="active",
    last_checked=NOW,
)
OTHER = replace(JOB, job_id="other", file_status="ignored")
BOTH = CronListing(job_ids=("one", "other"), paths=(FILE.path,), last_checked=NOW)


def test_nothing_is_said_before_the_first_look(taken: Any, value: Any) -> None:
    assert value(taken(Cron()), "cron_jobs", file_status="active") is None
    assert value(taken(Cron()), "cron_checked_timestamp_seconds") is None


def test_jobs_and_files_by_what_the_daemon_makes_of_them(taken: Any, value: Any) -> None:
    seen = taken(Cron(), [JOB, OTHER, FILE, BOTH])
    jobs = [value(seen, "cron_jobs", file_status=word) for word in ("active", "ignored", "unknown")]
    assert jobs == [1, 1, 0]
    assert value(seen, "cron_files", status="active") == 1
    assert value(seen, "cron_checked_timestamp_seconds") == NOW.timestamp()


def test_how_jobs_went(taken: Any, value: Any) -> None:
    ill = CronHistory(
        job_id="one", last_exit=3, late_since=NOW, missed_at=NOW, overlap=True, running_pids=[7]
    )
    seen = taken(Cron(), [JOB, OTHER, BOTH, ill, CronHistory(job_id="other", last_exit=0)])

    def count(what: str) -> float | None:
        return value(seen, "cron_jobs_by_history", what=what)

    whats = ("failed", "late", "missed", "overlapping", "running")
    assert [count(what) for what in whats] == [1, 1, 1, 1, 1]
    well = replace(ill, last_exit=0, late_since=None, missed_at=None, overlap=False)
    taken(seen, [replace(well, running_pids=[])])
    assert [count(what) for what in whats] == [0, 0, 0, 0, 0]
    # One that was missed is so until the next one begins.
    taken(seen, [replace(well, missed_at=NOW, last_start=NOW - timedelta(hours=1))])
    assert count("missed") == 1
    taken(seen, [replace(well, missed_at=NOW, last_start=NOW + timedelta(hours=1))])
    assert count("missed") == 0


def test_what_is_gone_is_forgotten(taken: Any, value: Any) -> None:
    ill = CronHistory(job_id="one", last_exit=3)
    seen = taken(
        Cron(), [JOB, FILE, BOTH, ill], [CronListing(job_ids=(), paths=(), last_checked=NOW)]
    )
    assert value(seen, "cron_jobs", file_status="active") == 0
    assert value(seen, "cron_files", status="active") == 0
    assert value(seen, "cron_jobs_by_history", what="failed") == 0
