"""Every table, one line each."""

from __future__ import annotations

from etlmon.store.tables import (
    audit_log,
    collector_run,
    cron_files,
    cron_jobs,
    cron_log,
    filesystem_usage,
    log_files,
    log_lines,
    path_children,
    path_expected,
    path_history,
    path_stats,
    process_events,
    process_history,
    process_stats,
    process_watches,
    xferlog_entries,
    xferlog_files,
)
from etlmon.store.tables.base import Table

TABLES: tuple[Table, ...] = (
    filesystem_usage.TABLE,
    path_stats.TABLE,
    path_history.TABLE,
    path_children.TABLE,
    path_expected.TABLE,
    process_events.TABLE,
    process_stats.TABLE,
    process_watches.TABLE,
    process_history.TABLE,
    log_lines.TABLE,
    log_lines.BLOCKS,
    log_files.TABLE,
    log_files.SWITCHES,
    xferlog_entries.TABLE,
    xferlog_entries.BLOCKS,
    xferlog_files.TABLE,
    cron_jobs.TABLE,
    cron_files.TABLE,
    cron_log.TABLE,
    collector_run.TABLE,
    audit_log.TABLE,
)
HISTORIES = tuple(table for table in TABLES if table.time_column is not None)
"""Those whose rows grow old."""
