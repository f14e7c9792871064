"""The watched processes as they were seen last, and those that have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.process import ProcessesSeen, ProcessSample
from etlmon.store.tables.base import Table, columns, insert_sql, records, row

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_COLUMNS = ", ".join(columns(ProcessSample))
_INSERT = insert_sql("process_stats", ProcessSample)


def _make_room(cursor: sqlite3.Cursor, _seen: Sequence[ProcessesSeen]) -> None:
    cursor.execute("DELETE FROM process_stats")


def _insert(cursor: sqlite3.Cursor, samples: Sequence[ProcessSample]) -> None:
    cursor.executemany(_INSERT, [row(sample) for sample in samples])


def _characters(sample: ProcessSample) -> int:
    """Give how long what a process may make long is; asked of each of a thousand."""
    return len(sample.cmdline or "") + len(sample.exe or "") + len(sample.cgroup or "")


TABLE = Table(
    "process_stats",
    {ProcessesSeen: _make_room, ProcessSample: _insert},
    may_be_held=True,
    characters={ProcessSample: _characters},
)


def newest(cursor: sqlite3.Cursor, watch: str | None = None) -> list[ProcessSample]:
    """Give the processes of all watches, or of one, in the order of the configuration."""
    return records(
        ProcessSample,
        cursor.execute(
            f"SELECT {_COLUMNS} FROM process_stats WHERE ? IS NULL OR watch = ? ORDER BY rowid",
            (watch, watch),
        ),
    )


def by_pid(cursor: sqlite3.Cursor, pid: int) -> list[ProcessSample]:
    """Give what is stored of a pid, by watch: that which runs, or else what ended last."""
    found = records(
        ProcessSample,
        cursor.execute(
            f"SELECT {_COLUMNS} FROM process_stats WHERE pid = ?"
            " ORDER BY status = 'RUNNING' DESC, ended_at DESC, is_child, rowid",
            (pid,),
        ),
    )
    return [one for one in found if one.identity == found[0].identity]
