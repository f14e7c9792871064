"""How far each file of each log has been read, and which logs a command has paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import json

from etlmon.records.log import (
    LogFile,
    LogFileGone,
    LogFileRead,
    LogSaved,
    LogsConfigured,
    LogSwitched,
    LogUnseen,
)
from etlmon.store.tables.base import Table, columns, records, row
from etlmon.units import from_millis, to_millis

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from etlmon.records.log import LogBlock

_FORGET_AFTER_MS = 7 * 86_400_000
"""A log that is not configured any more keeps its positions for so long: it may come back."""

_READ = columns(LogFileRead)
_KEPT = ", ".join(f"{name} = excluded.{name}" for name in _READ if not name.startswith("log_"))
_INSERT_READ = f"""
INSERT INTO log_files ({", ".join(_READ)}, lines_total, gaps, configured)
VALUES ({", ".join("?" * len(_READ))}, 0, 0, 1)
ON CONFLICT (log_name, log_path) DO UPDATE SET {_KEPT}, configured = 1
"""
# Lines come before the word on their file: the row may not be there yet.
_COUNT = """
INSERT INTO log_files
    (log_name, log_path, state, updated_at, lines_total, gaps, last_line_at, configured)
VALUES (?1, ?2, 'following', ?3, ?4, ?5, CASE WHEN ?4 > 0 THEN ?3 END, 1)
ON CONFLICT (log_name, log_path) DO UPDATE SET
    lines_total = lines_total + excluded.lines_total,
    gaps = gaps + excluded.gaps,
    last_line_at = coalesce(excluded.last_line_at, last_line_at)
"""
_UNSEEN = """
UPDATE log_files SET state = ?3, error_message = ?4, updated_at = ?5 WHERE log_name = ?1
"""
_INSERT_UNSEEN = """
INSERT INTO log_files
    (log_name, log_path, state, error_message, updated_at, lines_total, gaps, configured)
SELECT ?1, ?2, ?3, ?4, ?5, 0, 0, 1
WHERE NOT EXISTS (SELECT 1 FROM log_files WHERE log_name = ?1)
"""
_COLUMNS = ", ".join(
    {"name": "log_name", "path": "log_path"}.get(name, name) for name in columns(LogFile)
)
_SWITCH = """
INSERT INTO log_switches VALUES (?, ?, ?)
ON CONFLICT (log_name) DO UPDATE SET paused = excluded.paused, switched_at = excluded.switched_at
"""
# Its files may be where nothing answers: how they are is told once they have been looked at.
_RESUME = """
UPDATE log_files
SET state = 'waiting', error_message = coalesce(error_message, 'resumed: not looked at yet')
WHERE log_name = ? AND state = 'paused'
"""


def count(cursor: sqlite3.Cursor, block: LogBlock) -> None:
    """Count the lines of a block, within the transaction of the cursor that stores them."""
    without = gaps = 0
    if block.marks:
        without = sum(block.lines[place] is None for place in block.marks)
        gaps = sum("gap" in mark.flags for mark in block.marks.values())
    at = to_millis(block.created_at)
    cursor.execute(_COUNT, (block.log_name, block.log_path, at, len(block.lines) - without, gaps))


def _insert_read(cursor: sqlite3.Cursor, files: Sequence[LogFileRead]) -> None:
    cursor.executemany(_INSERT_READ, [row(file) for file in files])


def _insert_gone(cursor: sqlite3.Cursor, files: Sequence[LogFileGone]) -> None:
    cursor.executemany(
        "DELETE FROM log_files WHERE log_name = ? AND log_path = ?", [row(file) for file in files]
    )


def _insert_unseen(cursor: sqlite3.Cursor, logs: Sequence[LogUnseen]) -> None:
    for log in logs:
        cursor.execute(_UNSEEN, row(log))
        cursor.execute(_INSERT_UNSEEN, row(log))


def _insert_configured(cursor: sqlite3.Cursor, configured: Sequence[LogsConfigured]) -> None:
    wanted = set(configured[-1].names)
    cursor.execute(  # those whose positions went with a database that was damaged
        "INSERT OR IGNORE INTO meta SELECT 'logs_at_first', ?"
        " WHERE EXISTS (SELECT 1 FROM meta WHERE key = 'in_place_of')",
        (json.encode(sorted(wanted)).decode(),),
    )
    known = [name for (name,) in cursor.execute("SELECT DISTINCT log_name FROM log_files")]
    cursor.executemany(
        "UPDATE log_files SET configured = ? WHERE log_name = ?",
        [(name in wanted, name) for name in known],
    )
    # What is configured is looked at all the time: the newest look is now, near enough.
    cursor.execute(
        "DELETE FROM log_files WHERE NOT configured AND updated_at <"
        " (SELECT max(updated_at) FROM log_files) - ?",
        (_FORGET_AFTER_MS,),
    )
    switched = [name for (name,) in cursor.execute("SELECT log_name FROM log_switches")]
    cursor.executemany(
        "DELETE FROM log_switches WHERE log_name = ?",
        [(name,) for name in switched if name not in wanted and name not in known],
    )


def _insert_switched(cursor: sqlite3.Cursor, switches: Sequence[LogSwitched]) -> None:
    cursor.executemany(_SWITCH, [row(switch) for switch in switches])
    # Known at once; the collector tells it again when it has seen to it.
    for switch in switches:
        paused = "UPDATE log_files SET state = 'paused' WHERE log_name = ?"
        cursor.execute(paused if switch.paused else _RESUME, (switch.log_name,))


def _saved(cursor: sqlite3.Cursor, log_name: str) -> list[LogSaved]:
    switch = cursor.execute(
        "SELECT paused FROM log_switches WHERE log_name = ?", (log_name,)
    ).fetchone()
    cursors = cursor.execute(
        "SELECT log_path, cursor FROM log_files WHERE log_name = ? AND cursor IS NOT NULL",
        (log_name,),
    )
    return [
        LogSaved(
            paused=None if switch is None else bool(switch[0]),
            cursors=dict(cursors),
            missed=_missed(cursor, log_name),
        )
    ]


def _missed(cursor: sqlite3.Cursor, log_name: str) -> str | None:
    """Say that positions were lost with a damaged database, if there was this log then."""
    meta = dict(cursor.execute("SELECT * FROM meta WHERE key IN ('in_place_of', 'logs_at_first')"))
    if "in_place_of" not in meta:
        return None
    if "logs_at_first" in meta and log_name not in json.decode(meta["logs_at_first"]):
        return None
    return (
        f"the database was damaged and is kept as {meta['in_place_of']}, a new one was begun: what "
        "was written before, and had not been read, is missing"
    )


TABLE = Table(
    "log_files",
    {
        LogFileRead: _insert_read,
        LogFileGone: _insert_gone,
        LogUnseen: _insert_unseen,
        LogsConfigured: _insert_configured,
    },
    saved={LogSaved: _saved},
)
SWITCHES = Table("log_switches", {LogSwitched: _insert_switched})


def listed(cursor: sqlite3.Cursor, most: int = -1, offset: int = 0) -> list[LogFile]:
    """Give the files of all configured logs, by name and path; or at most so many, from one on."""
    return records(
        LogFile,
        cursor.execute(
            f"SELECT {_COLUMNS} FROM log_files WHERE configured ORDER BY log_name, log_path"
            " LIMIT ? OFFSET ?",
            (most, offset),
        ),
    )


def counted(cursor: sqlite3.Cursor) -> tuple[int, datetime | None]:
    """Give how many files there are in all, and when one of them was looked at last."""
    files, newest = cursor.execute(
        "SELECT count(*), max(updated_at) FROM log_files WHERE configured"
    ).fetchone()
    return files, None if newest is None else from_millis(newest)
