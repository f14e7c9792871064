"""Every table, one line each."""

from __future__ import annotations

from etlmon.store.tables import collector_run, filesystem_usage, path_history, path_stats
from etlmon.store.tables.base import Table

TABLES: tuple[Table, ...] = (
    filesystem_usage.TABLE,
    path_stats.TABLE,
    path_history.TABLE,
    collector_run.TABLE,
)
