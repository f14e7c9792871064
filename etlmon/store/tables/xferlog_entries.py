"""The lines of transfer logs, and what became of the uploads among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import count, groupby
from typing import TYPE_CHECKING, Any

from etlmon.records.xferlog import (
    PLAIN_FIELDS,
    PLAIN_REST,
    XferlogBlock,
    XferlogEntry,
    XferlogLanding,
    XferlogLine,
    XferlogPending,
    XferlogRun,
    XferlogSummary,
)
from etlmon.store.tables.base import Table, columns, records, row
from etlmon.units import to_millis

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

_COLUMNS = ", ".join(columns(XferlogEntry))
# A block gives each line's fields; what all its lines have in common is bound once.
_COMMON = ("log_path", "source_inode", "created_at")
_WIDTHS = (500, 50, 5, 1)
"""How many rows one statement inserts. While one runs others can have the interpreter, and then its
thread must wait for it: the fewer statements, the better it goes along with reading. Of wider ones
SQLite's programs are too long for the processor's cache."""
_LONG_FIELDS = ("filename", "username", "remote_host", "auth_user")
"""Of an ordinary line."""
_MOST_BLOCK_ENTRIES = 5_000
"""A longer block is not extended: the times of a block should say something."""
_NEWEST_BLOCK = "SELECT first_id, last_id FROM xferlog_blocks ORDER BY first_id DESC LIMIT 1"
_EXTEND = """
UPDATE xferlog_blocks SET last_id = ?2,
    first_time = min(coalesce(first_time, ?3), coalesce(?3, first_time)),
    last_time = max(coalesce(last_time, ?4), coalesce(?4, last_time))
WHERE first_id = ?1
"""
# A block that retention has deleted from in part stays, and leads to what is left of it.
_TRIMMED = f"""
DELETE FROM xferlog_blocks
WHERE last_id < coalesce((SELECT min(id) FROM xferlog_entries), {(1 << 63) - 1})
"""
# Of two lines at one place the one that was read last is meant: the inode was given out again.
_LAND = """
UPDATE xferlog_entries SET landing = ?4, landing_reason = ?5, landed_path = ?6, landed_bytes = ?7,
    landing_checked_at = ?8
WHERE id = (
    SELECT max(id) FROM xferlog_entries
    WHERE log_path = ?1 AND source_inode IS ?2 AND offset = ?3 AND landing IS NOT NULL
)
"""
# As the index has it, word for word.
_UNSETTLED = f"""
SELECT {", ".join(columns(XferlogPending))} FROM xferlog_entries
WHERE log_path = ? AND landing IN ('pending', 'partial', 'vanished', 'ambiguous', 'unknown')
ORDER BY id DESC LIMIT 10000
"""
_LAST = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'xferlog_entries'"
_MOST_INTEGER = (1 << 63) - 1
# SQLite's sum() fails above that, and what a log says may add up to more: so in two halves.
_SUM_HALVES = "coalesce(sum({0} >> 32), 0), coalesce(sum({0} & 0xFFFFFFFF), 0)"
_HOUR_MS = 3_600_000
_GROUPS = {
    "hour": f"log_time - ((log_time % {_HOUR_MS}) + {_HOUR_MS}) % {_HOUR_MS}",
    "username": "username",
    "remote_host": "remote_host",
    "direction": "direction",
}


@lru_cache
def _insert_sql(fields: tuple[str, ...], width: int) -> str:
    """Give the INSERT of ``width`` lines of which these fields are given."""
    rest = () if fields == XferlogLine._fields else tuple(PLAIN_REST)
    names = ["log_time" if name == "log_time_ms" else name for name in (*fields, *rest)]
    constants = [f"'{PLAIN_REST[name]}'" for name in rest]
    common = [f"?{place}" for place, _ in enumerate(_COMMON, start=1)]
    place = count(len(_COMMON) + 1)
    rows = (
        f"({', '.join([*(f'?{next(place)}' for _ in fields), *constants, *common])})"
        for _ in range(width)
    )
    columns_text = ", ".join([*names, *_COMMON])
    return f"INSERT INTO xferlog_entries ({columns_text}) VALUES {', '.join(rows)}"


def _insert(cursor: sqlite3.Cursor, blocks: Sequence[XferlogBlock]) -> None:
    for block in blocks:
        common = (block.log_path, block.source_inode, to_millis(block.created_at))
        first_id = last_id(cursor) + 1
        times: list[int] = []
        for kind, ones in groupby(block.lines, type):
            fields = PLAIN_FIELDS if kind is XferlogRun else XferlogLine._fields
            values: list[Any] = []
            for one in ones:
                values += one.values if isinstance(one, XferlogRun) else one
            _insert_values(cursor, common, fields, values)
            at = fields.index("log_time_ms")
            times += (time for time in values[at :: len(fields)] if time is not None)
        _note_block(cursor, first_id, times)


def _insert_values(
    cursor: sqlite3.Cursor, common: tuple[Any, ...], fields: tuple[str, ...], values: list[Any]
) -> None:
    """Insert lines whose fields stand one after the other, all but the odd ones many at a time."""
    start = 0
    for width in _WIDTHS:
        taken = width * len(fields)
        stop = start + (len(values) - start) // taken * taken
        if stop > start:
            cursor.executemany(
                _insert_sql(fields, width),
                ([*common, *values[at : at + taken]] for at in range(start, stop, taken)),
            )
        start = stop


def _note_block(cursor: sqlite3.Cursor, first_id: int, times: list[int]) -> None:
    """Note the times of the newest entries: with the newest block, while that is a short one."""
    end = last_id(cursor)
    if end < first_id:
        return
    first_time, last_time = min(times, default=None), max(times, default=None)
    newest = cursor.execute(_NEWEST_BLOCK).fetchone()
    if newest is not None and newest[1] == first_id - 1:
        begin: int = newest[0]
        if end - begin < _MOST_BLOCK_ENTRIES:
            cursor.execute(_EXTEND, (begin, end, first_time, last_time))
            return
    cursor.execute(
        "INSERT INTO xferlog_blocks VALUES (?, ?, ?, ?)", (first_id, end, first_time, last_time)
    )


def _characters(block: XferlogBlock) -> int:
    """Give how long what a client or a server may make long is: the rest of a line is short."""
    found = 0
    for one in block.lines:
        if isinstance(one, XferlogRun):
            for name in _LONG_FIELDS:
                found += sum(map(len, filter(None, one.column(name))))
        else:
            found += sum(len(value) for value in one if isinstance(value, str))
    return found


def _land(cursor: sqlite3.Cursor, landings: Sequence[XferlogLanding]) -> None:
    cursor.executemany(_LAND, [row(landing) for landing in landings])


def _unsettled(cursor: sqlite3.Cursor, path: str) -> list[XferlogPending]:
    """Give the uploads of a log that may land yet, the oldest first, of these the newest 10,000."""
    return records(XferlogPending, cursor.execute(_UNSETTLED, (path,)))[::-1]


TABLE = Table(
    "xferlog_entries",
    {XferlogBlock: _insert, XferlogLanding: _land},
    # Not the time in the log: a line without one must grow old too, and so must one that was
    # written by a clock that was wrong. And who reads an old log wants to see it.
    time_column="created_at",
    ages_by_id=True,
    trimmed=_TRIMMED,
    rows={XferlogBlock: lambda block: block.count},
    characters={XferlogBlock: _characters},
    saved={XferlogPending: _unsettled},
)
BLOCKS = Table("xferlog_blocks", {})


@dataclass(frozen=True)
class Wanted:
    """Which entries are wanted; None is any."""

    user: str | None = None
    host: str | None = None
    filename: str | None = None
    """A glob: without a slash for the last part of the name, else for the whole of it, where ``*``
    stands for slashes too."""
    direction: str | None = None
    status: str | None = None
    landing: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> tuple[list[str], list[Any]]:
        """Give the conditions in SQL, and their values."""
        texts: list[str] = []
        values: list[Any] = []
        for column, value in (
            ("username", self.user),
            ("remote_host", self.host),
            ("direction", self.direction),
            ("status", self.status),
            ("landing", self.landing),
        ):
            if value is not None:
                texts.append(f"{column} = ?")
                values.append(value)
        if self.filename is not None:
            texts.append("filename GLOB ?")
            values.append(self.filename)
            if "/" not in self.filename:
                texts[-1] = "(filename GLOB ? OR filename GLOB ?)"
                values.append(f"*/{self.filename}")
        if self.since is not None:
            texts.append(
                "id >= (SELECT min(first_id) FROM xferlog_blocks WHERE last_time >= ?)"
                " AND log_time >= ?"
            )
            values += [to_millis(self.since)] * 2
        if self.until is not None:
            texts.append(
                "id <= (SELECT max(last_id) FROM xferlog_blocks WHERE first_time <= ?)"
                " AND log_time <= ?"
            )
            values += [to_millis(self.until)] * 2
        return texts, values


def last_id(cursor: sqlite3.Cursor) -> int:
    """Give the number of the newest entry, also if it is deleted by now; 0 for none."""
    found: int = cursor.execute(_LAST).fetchone()[0]
    return found


def oldest_id(cursor: sqlite3.Cursor) -> int:
    """Give the number of the oldest entry that is left, else that which the next one will have."""
    found: int | None = cursor.execute("SELECT min(id) FROM xferlog_entries").fetchone()[0]
    return last_id(cursor) + 1 if found is None else found


def newest(
    cursor: sqlite3.Cursor, wanted: Wanted, limit: int, *, before: int | None = None
) -> list[XferlogEntry]:
    """Give the newest entries, the newest first; with ``before`` those of smaller ids."""
    return _select(cursor, wanted, "DESC", limit, before=before)


def following(
    cursor: sqlite3.Cursor, wanted: Wanted, limit: int, *, after: int, before: int | None = None
) -> list[XferlogEntry]:
    """Give the entries of larger ids than ``after``, the oldest first."""
    return _select(cursor, wanted, "ASC", limit, after=after, before=before)


def _select(
    cursor: sqlite3.Cursor,
    wanted: Wanted,
    order: str,
    limit: int,
    *,
    after: int | None = None,
    before: int | None = None,
) -> list[XferlogEntry]:
    texts, values = wanted.conditions()
    for operator, place in ((">", after), ("<", before)):
        if place is not None:
            texts.append(f"id {operator} ?")
            values.append(place)
    where = f"WHERE {' AND '.join(texts)}" if texts else ""
    return records(
        XferlogEntry,
        cursor.execute(
            f"SELECT {_COLUMNS} FROM xferlog_entries {where} ORDER BY id {order} LIMIT ?",
            (*values, limit),
        ),
    )


def summary(
    cursor: sqlite3.Cursor, wanted: Wanted, by: Sequence[str], limit: int, offset: int
) -> tuple[list[XferlogSummary], int]:
    """Give the transfers added up by ``by``, of username, remote_host, direction and hour.

    The newest hour first, in it what has most transfers first. With the number of groups.
    """
    texts, values = wanted.conditions()
    groups = [name for name in _GROUPS if name in by]
    shown = ", ".join(
        f"{_GROUPS[name] if name in groups else 'NULL'} AS by_{name}" for name in _GROUPS
    )
    order = ["by_hour DESC"] if "hour" in groups else []
    order += ["count(*) DESC", "max(log_time) DESC", *(f"by_{name}" for name in groups)]
    found = cursor.execute(
        f"SELECT {shown}, count(*), count(*) FILTER (WHERE status = 'incomplete'),"
        f" {_SUM_HALVES.format('bytes')}, {_SUM_HALVES.format('transfer_time_sec')},"
        " max(log_time),"
        " count(*) OVER ()"
        f" FROM xferlog_entries WHERE {' AND '.join(['direction IS NOT NULL', *texts])}"
        f" {'GROUP BY ' + ', '.join(f'by_{name}' for name in groups) if groups else ''}"
        f" {'' if groups else 'HAVING count(*) > 0'}"
        f" ORDER BY {', '.join(order)} LIMIT ? OFFSET ?",
        (*values, limit, offset),
    ).fetchall()
    if not found and offset:
        _, total = summary(cursor, wanted, by, 1, 0)
        return [], total
    total = found[0][-1] if found else 0
    return records(XferlogSummary, map(_joined, found)), total


def _joined(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give a row of a summary with its sums whole, none larger than a client can read."""
    *named, high, low, high_sec, low_sec, last_time, _ = values
    sums = ((high << 32) + low, (high_sec << 32) + low_sec)
    shown = (max(-_MOST_INTEGER, min(one, _MOST_INTEGER)) for one in sums)
    return (*named, *shown, last_time)
