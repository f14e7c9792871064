"""The files of cron, and what their daemon makes of them. What is gone is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.cron import CronFile, CronListing
from etlmon.store.tables import cron_jobs
from etlmon.store.tables.base import Table, columns, insert_sql, records, row
from etlmon.units import to_millis

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_COLUMNS = ", ".join(columns(CronFile))
_INSERT = insert_sql("cron_files", CronFile).replace("INSERT", "INSERT OR REPLACE", 1)


def _insert(cursor: sqlite3.Cursor, files: Sequence[CronFile]) -> None:
    cursor.executemany(_INSERT, [row(file) for file in files])


def _insert_listing(cursor: sqlite3.Cursor, listings: Sequence[CronListing]) -> None:
    """Forget the files and the jobs that are gone."""
    wanted = set(listings[-1].paths)
    known = [path for (path,) in cursor.execute("SELECT path FROM cron_files")]
    cursor.executemany(
        "DELETE FROM cron_files WHERE path = ?", [(path,) for path in known if path not in wanted]
    )
    cursor.execute(
        "UPDATE cron_files SET last_checked = ?", (to_millis(listings[-1].last_checked),)
    )
    cron_jobs.insert_listing(cursor, listings)


TABLE = Table("cron_files", {CronFile: _insert, CronListing: _insert_listing})


def newest(cursor: sqlite3.Cursor) -> list[CronFile]:
    """Give all files, those that are ignored first."""
    return records(
        CronFile,
        cursor.execute(
            f"SELECT {_COLUMNS} FROM cron_files ORDER BY status = 'active', status, path"
        ),
    )
