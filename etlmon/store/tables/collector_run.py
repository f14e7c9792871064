"""The runs of the collectors: when a trouble began can be read here after the fact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.health import CollectorRun
from etlmon.store.tables.base import Table, insert_sql, row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_INSERT = insert_sql("collector_run", CollectorRun)


def _insert(cursor: sqlite3.Cursor, runs: Sequence[CollectorRun]) -> None:
    cursor.executemany(_INSERT, [row(run) for run in runs])


TABLE = Table("collector_run", {CollectorRun: _insert}, time_column="started_at", may_be_held=True)
