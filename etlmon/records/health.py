"""How the node itself is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from etlmon.records.base import Record, about
from etlmon.records.database import DatabaseContent


class CollectorRun(Record, frozen=True, kw_only=True):
    """One finished run of a collector."""

    collector: Annotated[str, about("The collector's name, for example disk.")]
    instance: Annotated[str, about("What it watches, for example a path; empty if it is one.")]
    started_at: Annotated[datetime, about("When the run began, UTC.")]
    duration_ms: Annotated[int, about("How long it took, milliseconds.")]
    state: Annotated[str, about("ok, or error if it did not do its work.")]
    error_message: Annotated[str | None, about("Why not.")] = None
    records: Annotated[int, about("Records that it gave.")]


class CollectorHealth(Record, frozen=True, kw_only=True):
    """How one collector fares since the node began."""

    name: Annotated[str, about("The collector's name, for example disk.")]
    instance: Annotated[str, about("What it watches, for example a path; empty if it is one.")]
    state: Annotated[
        str, about("waiting for its first run, running, or how its last run ended: ok, error.")
    ]
    interval_seconds: Annotated[float, about("Time from one run to the next.")]
    last_run_at: Annotated[datetime | None, about("When the last finished run began, UTC.")] = None
    duration_ms: Annotated[int | None, about("How long that run took, milliseconds.")] = None
    last_success_at: Annotated[datetime | None, about("When the last good run began, UTC.")] = None
    last_error: Annotated[str | None, about("The newest error, null if there was none.")] = None
    last_error_at: Annotated[datetime | None, about("When it came, UTC.")] = None
    running_since: Annotated[datetime | None, about("When the run under way began, UTC.")] = None
    next_run_at: Annotated[datetime | None, about("When the next run is due, UTC.")] = None
    lag_seconds: Annotated[
        float, about("How late the running or overdue run is against its schedule.")
    ] = 0.0
    runs: Annotated[int, about("Finished runs.")] = 0
    errors: Annotated[int, about("Runs that failed.")] = 0
    skipped: Annotated[int, about("Runs left out, since the one before was still going.")] = 0
    cancelled: Annotated[
        int, about("Runs ended by a command; no finished runs, and no errors.")
    ] = 0


class DatabaseHealth(Record, frozen=True, kw_only=True):
    """How the database fares."""

    state: Annotated[str, about("ok; degraded: the last commit failed and is being retried.")]
    reason: Annotated[
        str | None, about("Why it is degraded, and what becomes of what is collected.")
    ] = None
    path: Annotated[str, about("Where the database file is.")]
    size_bytes: Annotated[int | None, about("Size of the database file.")]
    free_bytes: Annotated[
        int | None,
        about("Of it, pages that nothing uses, as of the newest commit; null before the first."),
    ] = None
    wal_bytes: Annotated[int | None, about("Size of the write-ahead log beside it.")]
    schema_version: Annotated[int, about("Number of the newest migration that it holds.")]
    sqlite_version: Annotated[str, about("The SQLite library in use.")]
    wal_reset_bug: Annotated[
        bool, about("Whether this SQLite has the WAL-reset bug; etlmon's one writer avoids it.")
    ]
    commits: Annotated[int, about("Transactions committed since the node began.")]
    pending_batches: Annotated[int, about("Batches that wait for their commit.")]
    held_records: Annotated[
        int, about("Samples kept in memory, while the database takes no writes.")
    ] = 0
    dropped_records: Annotated[
        int, about("Samples lost since the node began, for there was no more room for them.")
    ] = 0
    max_bytes: Annotated[int | None, about("Size that the file never exceeds, if set.")] = None
    early_rows: Annotated[
        int, about("Rows that went before their time since the node began, to stay below it.")
    ] = 0
    content: Annotated[
        DatabaseContent | None,
        about("Rows and bytes of each table, null in the first seconds after the start."),
    ] = None
    last_commit_at: Annotated[datetime | None, about("When the newest commit ended, UTC.")] = None
    last_error: Annotated[
        str | None,
        about("The newest error, null if there was none; whether it is over, `reason` says."),
    ] = None
    last_error_at: Annotated[datetime | None, about("When it came, UTC.")] = None


class StuckWorker(Record, frozen=True, kw_only=True):
    """A worker process that hangs inside the kernel and cannot even be killed."""

    mount_point: Annotated[str, about("The mount that does not answer.")]
    pid: Annotated[int, about("The process that hangs.")]
    stuck_since: Annotated[datetime, about("When its deadline passed, UTC.")]


class Health(Record, frozen=True, kw_only=True):
    """The node, its database and each collector; answered from memory, even with no database."""

    node_name: Annotated[str, about("The node's name.")]
    version: Annotated[str, about("etlmon's version.")]
    state: Annotated[str, about("ok; degraded: something below needs a look.")]
    started_at: Annotated[datetime, about("When the node began, UTC.")]
    uptime_seconds: Annotated[float, about("Time since then, by the monotonic clock.")]
    now: Annotated[datetime, about("The node's clock, UTC.")]
    warnings: Annotated[list[str], about("What an operator should know, one sentence each.")]
    database: DatabaseHealth
    collectors: list[CollectorHealth]
    stuck_workers: list[StuckWorker]
