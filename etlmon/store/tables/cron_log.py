"""How far the log of cron has been read, so that a node goes on where it had stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.cron import CronLogRead
from etlmon.store.tables.base import Table, insert_sql, records, row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_INSERT = insert_sql("cron_log", CronLogRead)


def _insert(cursor: sqlite3.Cursor, reads: Sequence[CronLogRead]) -> None:
    cursor.execute("DELETE FROM cron_log")
    cursor.execute(_INSERT, row(reads[-1]))


def _saved(cursor: sqlite3.Cursor, _instance: str) -> list[CronLogRead]:
    return records(CronLogRead, cursor.execute("SELECT path, cursor FROM cron_log"))


TABLE = Table("cron_log", {CronLogRead: _insert}, saved={CronLogRead: _saved})
