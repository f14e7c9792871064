"""The usage of each mount over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from etlmon.records.disk import Filesystem, FilesystemPoint, FilesystemUsage
from etlmon.store.forecast import Sample, full_at
from etlmon.store.tables.base import Table, columns, insert_sql, records, row, spread
from etlmon.units import to_millis

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

_COLUMNS = ", ".join(columns(FilesystemUsage))
_INSERT = insert_sql("filesystem_usage", FilesystemUsage)
_NEWEST_POINT = f"""
SELECT {", ".join(columns(FilesystemPoint))} FROM filesystem_usage
WHERE mount_point = :of AND state = 'ok' AND collected_at > :after AND collected_at <= :until
ORDER BY collected_at DESC LIMIT 1
"""
_SAMPLES = 48
"""How many samples of the history a forecast looks at."""


def _insert(cursor: sqlite3.Cursor, usages: Sequence[FilesystemUsage]) -> None:
    cursor.execute("DELETE FROM filesystem_usage WHERE state = 'hidden'")
    cursor.executemany(_INSERT, [row(usage) for usage in usages])


TABLE = Table(
    "filesystem_usage", {FilesystemUsage: _insert}, time_column="collected_at", may_be_held=True
)


def newest(
    cursor: sqlite3.Cursor, *, hidden: bool, forecast: slice = slice(None)
) -> list[Filesystem]:
    """Give the mounts of the newest run, by mount point; those of a slice with their forecast.

    The newest run is the one that was stored last, whatever the clock said.
    """
    found = records(
        Filesystem,
        cursor.execute(
            f"SELECT {_COLUMNS}, NULL FROM filesystem_usage"
            " WHERE collected_at = (SELECT collected_at FROM filesystem_usage"
            " WHERE rowid = (SELECT max(rowid) FROM filesystem_usage)) AND (? OR state <> 'hidden')"
            " ORDER BY mount_point, rowid",
            (hidden,),
        ),
    )
    found[forecast] = [
        usage
        if usage.state == "hidden"
        else replace(usage, full_at=full_at(_samples(cursor, usage.mount_point)))
        for usage in found[forecast]
    ]
    return found


def history(
    cursor: sqlite3.Cursor, mount_point: str, since: datetime, until: datetime, points: int
) -> list[FilesystemPoint] | None:
    """Give at most ``points`` samples of a mount from ``since`` to ``until``, evenly spread.

    None for a mount of which nothing is stored.
    """
    known = cursor.execute(
        "SELECT 1 FROM filesystem_usage WHERE mount_point = ? LIMIT 1", (mount_point,)
    ).fetchone()
    if known is None:
        return None
    first, last = to_millis(since), to_millis(until)
    return records(FilesystemPoint, spread(cursor, _NEWEST_POINT, mount_point, first, last, points))


def _samples(cursor: sqlite3.Cursor, mount_point: str) -> list[Sample]:
    bounds = _bounds(cursor, mount_point)
    if bounds is None:
        return []
    return [
        Sample(at_ms=at, used_bytes=used, avail_bytes=avail)
        for at, _total, used, avail, *_ in spread(
            cursor, _NEWEST_POINT, mount_point, *bounds, _SAMPLES
        )
    ]


def _bounds(cursor: sqlite3.Cursor, mount_point: str) -> tuple[int, int] | None:
    """Give when a mount was first and last measured, in ms; by two seeks, not one long read."""
    first, last = (
        cursor.execute(
            f"SELECT {extreme}(collected_at) FROM filesystem_usage"
            " WHERE mount_point = ? AND state = 'ok'",
            (mount_point,),
        ).fetchone()[0]
        for extreme in ("min", "max")
    )
    return None if first is None else (first, last)
