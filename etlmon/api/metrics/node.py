"""How the node itself fares: its collectors, its database, its workers."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etlmon.api.metrics.families import (
    Each,
    counter,
    first,
    gauge,
    label,
    left_out,
    seconds,
    seconds_since_epoch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client import Metric

    from etlmon.api.metrics.families import Families, Row, Takers
    from etlmon.fsworker.lanes import LaneState
    from etlmon.records.database import BackupState, DatabaseCheck
    from etlmon.records.health import CollectorHealth, DatabaseHealth, Health


@dataclass(frozen=True)
class NodeFigures:
    """What the node tells of itself, from memory."""

    health: Health
    committing_seconds: float
    check: DatabaseCheck | None
    backup: BackupState | None
    lanes: Sequence[LaneState]
    streams: int
    inotify_overflows: int


class NodeMetrics:
    """The node, driven by what ``/health`` tells: a new collector is there by itself."""

    def __init__(self, figures: Callable[[], NodeFigures]) -> None:
        self.kinds: Takers = {}
        self._figures = figures
        self._collectors: Sequence[CollectorHealth] = ()

    def snapshot(self) -> Families:
        """Take the values as they are now."""
        figures = self._figures()
        self._collectors = figures.health.collectors
        return lambda: _families(figures)

    def left_out(self) -> Row:
        """Give how many collectors have no series."""
        return left_out("collector", self._collectors)


def _families(figures: NodeFigures) -> Iterator[Metric]:
    health = figures.health
    yield gauge(
        "build_info",
        "The program; always 1.",
        ("version", "python_version", "sqlite_version"),
        [((health.version, platform.python_version(), health.database.sqlite_version), 1.0)],
    )
    yield gauge(
        "start_time_seconds",
        "When the node began.",
        rows=[((), seconds_since_epoch(health.started_at))],
    )
    yield gauge(
        "healthy",
        "1 if all is well, 0 if /health says degraded.",
        rows=[((), float(health.state == "ok"))],
    )
    yield gauge("warnings", "Warnings that /health has.", rows=[((), float(len(health.warnings)))])
    yield from _collectors(health.collectors)
    yield from _database(health.database, figures)
    yield from _workers(figures)
    yield counter(
        "inotify_overflows",
        "How often the kernel's queue of changes in directories was full: all was looked at then.",
        rows=[((), float(figures.inotify_overflows))],
    )
    yield gauge(
        "http_streams", "Streams of events that are open.", rows=[((), float(figures.streams))]
    )


def _collectors(all_of_them: Sequence[CollectorHealth]) -> Iterator[Metric]:
    by_name = {f"{one.name}\0{one.instance}": one for one in all_of_them}
    found = [((label(one.name), label(one.instance)), one) for _, one in first(by_name)]
    each = Each("collector", ("collector", "subject"), found)
    yield each.gauge(
        "up",
        "1 if the last finished run did its work, 0 if it failed; absent before the first.",
        _is_up,
    )
    yield each.gauge(
        "running", "1 while a run is going on.", lambda one: one.running_since is not None
    )
    yield each.gauge(
        "interval_seconds", "Time from one run to the next.", lambda one: one.interval_seconds
    )
    yield each.gauge(
        "lag_seconds",
        "How late the run under way is against its schedule.",
        lambda one: one.lag_seconds,
    )
    yield each.gauge(
        "last_run_duration_seconds",
        "How long the last finished run took.",
        lambda one: seconds(one.duration_ms),
    )
    yield each.gauge(
        "last_run_timestamp_seconds",
        "When the last finished run began.",
        lambda one: seconds_since_epoch(one.last_run_at),
    )
    yield each.gauge(
        "last_success_timestamp_seconds",
        "When the last good run began.",
        lambda one: seconds_since_epoch(one.last_success_at),
    )
    yield each.counter("runs", "Finished runs.", lambda one: one.runs)
    yield each.counter("errors", "Runs that failed.", lambda one: one.errors)
    yield each.counter(
        "skipped", "Runs left out, for the one before was still going.", lambda one: one.skipped
    )
    yield each.counter("cancelled", "Runs ended by a command.", lambda one: one.cancelled)


def _is_up(one: CollectorHealth) -> float | None:
    if one.last_run_at is None:
        return None
    return float(one.last_error_at != one.last_run_at)


def _database(database: DatabaseHealth, figures: NodeFigures) -> Iterator[Metric]:
    def one(name: str, about: str, value: float | None) -> Metric:
        return gauge(f"database_{name}", about, rows=[((), value)])

    yield one(
        "up", "1 if the last commit succeeded, 0 if it is being retried.", database.state == "ok"
    )
    yield one("size_bytes", "Size of the database file.", database.size_bytes)
    yield one("wal_bytes", "Size of the write-ahead log beside it.", database.wal_bytes)
    yield one("limit_bytes", "Size that the file never exceeds, if set.", database.max_bytes)
    yield one("schema_version", "Its newest migration.", database.schema_version)
    yield one("pending_batches", "Batches that wait for their commit.", database.pending_batches)
    yield one(
        "held_records",
        "Samples kept in memory, while the database takes no writes.",
        database.held_records,
    )
    yield one(
        "last_commit_timestamp_seconds",
        "When the newest commit ended.",
        seconds_since_epoch(database.last_commit_at),
    )
    yield one(
        "commit_running_seconds",
        "How long the transaction under way has taken so far.",
        figures.committing_seconds,
    )
    yield counter(
        "database_commits", "Transactions committed.", rows=[((), float(database.commits))]
    )
    yield counter(
        "database_dropped_records",
        "Samples lost, for there was no more room for them in memory.",
        rows=[((), float(database.dropped_records))],
    )
    yield counter(
        "database_early_rows",
        "Rows that went before their time, to stay below the limit.",
        rows=[((), float(database.early_rows))],
    )
    check, backup = figures.check, figures.backup
    yield one(
        "check_ok",
        "1 if the daily check found nothing; absent before the first.",
        None if check is None else check.state == "ok",
    )
    yield one(
        "check_timestamp_seconds",
        "When the newest check began.",
        None if check is None else seconds_since_epoch(check.checked_at),
    )
    yield one(
        "backup_ok",
        "1 if the newest copy on schedule could be made, and none hangs; absent without a"
        " schedule.",
        None if backup is None else backup.last_error is None and backup.state != "hanging",
    )
    yield one(
        "backup_timestamp_seconds",
        "When the newest good copy was made.",
        None if backup is None else seconds_since_epoch(backup.last_at),
    )
    yield one(
        "backup_size_bytes",
        "Size of the newest good copy.",
        None if backup is None else backup.last_bytes,
    )


def _workers(figures: NodeFigures) -> Iterator[Metric]:
    each = Each("worker", ("lane",), [((lane.name,), lane) for lane in figures.lanes])
    yield each.gauge("limit", "Worker processes that there may be.", lambda lane: lane.limit)
    yield each.gauge("processes", "Worker processes that there are.", lambda lane: lane.processes)
    yield each.gauge("busy", "Worker processes that are at work.", lambda lane: lane.busy)
    yield each.gauge(
        "waiting", "Requests that wait for a worker process.", lambda lane: lane.waiting
    )
    yield gauge(
        "worker_stuck",
        "Worker processes that hang in the kernel and cannot be killed.",
        rows=[((), float(len(figures.health.stuck_workers)))],
    )
