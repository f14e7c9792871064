"""A node that is well, and one that is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from etlmon.records.health import CollectorHealth, DatabaseHealth, Health, StuckWorker
from tests.ui.views.recorded.base import NOW


def collector(name: str, instance: str = "", **fields: Any) -> CollectorHealth:
    fields = {
        "state": "ok",
        "interval_seconds": 15.0,
        "last_run_at": NOW - timedelta(seconds=8),
        "duration_ms": 12,
        "next_run_at": NOW + timedelta(seconds=7),
        "runs": 1_234,
    } | fields
    return CollectorHealth(name=name, instance=instance, **fields)


def health(state: str = "ok", **fields: Any) -> Health:
    database = DatabaseHealth(
        path="/var/lib/etlmon/etlmon.db",
        size_bytes=52 << 20,
        wal_bytes=4 << 20,
        schema_version=1,
        sqlite_version="3.40.1",
        wal_reset_bug=False,
        commits=99,
        pending_batches=0,
        **{"state": "ok", "last_commit_at": NOW} | fields.pop("database", {}),
    )
    fields = {
        "warnings": [],
        "collectors": [collector("disk"), collector("path", "/data/in")],
        "stuck_workers": [],
    } | fields
    return Health(
        node_name="prod-etl-01",
        version="0.1.0",
        state=state,
        started_at=NOW - timedelta(days=2, hours=3),
        uptime_seconds=183_600.0,
        now=NOW,
        database=database,
        **fields,
    )


DEGRADED = health(
    "degraded",
    database={
        "state": "degraded",
        "reason": "database or disk is full; trying again; 7 samples wait in memory",
        "held_records": 7,
        "last_error": "database or disk is full",
        "last_error_at": NOW,
    },
    warnings=["Commands are open to the network: set auth.tokens_file."],
    collectors=[
        collector("disk", state="running", lag_seconds=12.0),
        collector("path", "/data/in", skipped=3),
        collector(
            "path",
            "/gone",
            state="error",
            last_error="/gone: No such file or directory",
            last_error_at=NOW - timedelta(minutes=5),
            errors=4,
        ),
        collector("path", "/new", state="waiting", last_run_at=None, duration_ms=None, runs=0),
    ],
    stuck_workers=[
        StuckWorker(mount_point="/mnt/nfs", pid=4711, stuck_since=NOW - timedelta(minutes=7))
    ],
)
