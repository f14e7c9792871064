"""Jobs: how each is written, when it comes next and how it went. What is gone is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.cron import CronEntry, CronHistory, CronJob, CronListing
from etlmon.store.tables.base import Table, columns, records, row
from etlmon.units import to_millis

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_ENTRY = columns(CronEntry)
_HISTORY = [name for name in columns(CronHistory) if name != "job_id"]
_COLUMNS = ", ".join(columns(CronJob))
# How it went stays when a job is read anew.
_INSERT = f"""
INSERT INTO cron_jobs ({", ".join(_ENTRY)}) VALUES ({", ".join("?" * len(_ENTRY))})
ON CONFLICT (job_id) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _ENTRY if name != "job_id")}
"""
_WENT = f"UPDATE cron_jobs SET {', '.join(f'{name} = ?' for name in _HISTORY)} WHERE job_id = ?"


def _insert(cursor: sqlite3.Cursor, entries: Sequence[CronEntry]) -> None:
    cursor.executemany(_INSERT, [row(entry) for entry in entries])


def _insert_history(cursor: sqlite3.Cursor, histories: Sequence[CronHistory]) -> None:
    rows = [row(history) for history in histories]
    cursor.executemany(_WENT, [(*values, job) for job, *values in rows])


def insert_listing(cursor: sqlite3.Cursor, listings: Sequence[CronListing]) -> None:
    """Forget the jobs that are gone, within the transaction of the cursor."""
    wanted = set(listings[-1].job_ids)
    known = [job for (job,) in cursor.execute("SELECT job_id FROM cron_jobs")]
    cursor.executemany(
        "DELETE FROM cron_jobs WHERE job_id = ?", [(job,) for job in known if job not in wanted]
    )
    cursor.execute("UPDATE cron_jobs SET last_checked = ?", (to_millis(listings[-1].last_checked),))


def _saved(cursor: sqlite3.Cursor, _instance: str) -> list[CronHistory]:
    names = ", ".join(columns(CronHistory))
    return records(CronHistory, cursor.execute(f"SELECT {names} FROM cron_jobs"))


def _saved_entries(cursor: sqlite3.Cursor, _instance: str) -> list[CronEntry]:
    return records(CronEntry, cursor.execute(f"SELECT {', '.join(_ENTRY)} FROM cron_jobs"))


TABLE = Table(
    "cron_jobs",
    {CronEntry: _insert, CronHistory: _insert_history},
    saved={CronHistory: _saved, CronEntry: _saved_entries},
)


def newest(
    cursor: sqlite3.Cursor,
    *,
    user: str | None = None,
    source: str | None = None,
    file: str | None = None,
    command: str | None = None,
) -> list[CronJob]:
    """Give the jobs that are asked for, the next one to run first, those that never run last.

    ``command`` is a part of it, in any case of any letter; the others must be equal.
    """
    found = records(
        CronJob,
        cursor.execute(
            f"SELECT {_COLUMNS} FROM cron_jobs"
            " WHERE (?1 IS NULL OR user = ?1) AND (?2 IS NULL OR source = ?2)"
            " AND (?3 IS NULL OR file = ?3)"
            " ORDER BY next_run IS NULL, next_run, next_run_kind = 'never', file, line, job_id",
            (user, source, file),
        ),
    )
    if command is None:
        return found
    part = command.casefold()  # SQLite knows the letters of ASCII alone
    return [job for job in found if part in job.command.casefold()]


def find(cursor: sqlite3.Cursor, job_id: str) -> CronJob | None:
    """Give one job, None for an id that is not known."""
    found = records(
        CronJob, cursor.execute(f"SELECT {_COLUMNS} FROM cron_jobs WHERE job_id = ?", (job_id,))
    )
    return found[0] if found else None
