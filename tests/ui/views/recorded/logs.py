"""Files of logs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from etlmon.records.log import LogFile
from tests.ui.views.recorded.base import NOW


def log_file(name: str, state: str = "following", **fields: Any) -> LogFile:
    """Give a file of a log that is read to its end."""
    fields = {
        "path": f"/var/log/{name}.log",
        "watch_mode": "inotify",
        "offset": 1_000_000,
        "size": 1_000_000,
        "lag_bytes": 0,
        "lines_total": 12_345,
        "last_line_at": NOW - timedelta(seconds=3),
        "source_inode": 4711,
        "updated_at": NOW,
    } | fields
    return LogFile(name=name, state=state, **fields)


LOGS = [
    log_file("app"),
    log_file("batch", "paused", lag_bytes=73_400_320, size=74_400_320),
    log_file("etl", "waiting", error_message="/var/log/etl.log: No such file or directory"),
    log_file("jobs", path="/data/jobs/load-한국.log", gaps=2, last_line_at=None),
    log_file(
        "jobs", "error", path="/data/jobs/merge.log", error_message="Permission denied", gaps=1
    ),
]
