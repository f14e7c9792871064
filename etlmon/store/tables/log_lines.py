"""The lines of all logs, in the order in which they were committed.

They come by the hundred thousand a second in a burst, so the table has no index. A block stands
for lines of one file whose numbers follow each other; the blocks lead to the lines of a log.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from etlmon.records.log import LineMark, LogBlock, LogLine
from etlmon.store.tables import log_files
from etlmon.store.tables.base import Table, columns, records
from etlmon.units import from_millis, to_millis

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

_COLUMNS = ", ".join(columns(LogLine))
MOST_CHARACTERS = 4 << 20
"""Text that one answer holds at most, but for its last line: it is a page, not a file."""
_WIDTHS = (256, 64, 16)
"""How many rows one statement inserts: the fewer statements, the less each line costs."""
_LEAST_WIDTH = 16
"""Of fewer rows one statement inserts as many as there are."""
_MOST_BLOCK_LINES = 5_000
"""A longer block is not extended: the times of a block should say something."""
_PLAIN = "[]"
_MARKED = "INSERT INTO log_lines VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_EXTEND = f"""
UPDATE log_blocks SET last_id = ?1, first_at = min(first_at, ?2), last_at = max(last_at, ?2)
WHERE first_id = (SELECT max(first_id) FROM log_blocks)
AND last_id = ?3 AND log_name = ?4 AND log_path = ?5 AND ?1 - first_id < {_MOST_BLOCK_LINES}
"""
# A block that retention has deleted from in part stays, and leads to what is left of it.
_TRIMMED = """
DELETE FROM log_blocks WHERE first_id < :newest AND last_id < :newest
""".replace(":newest", f"coalesce((SELECT min(id) FROM log_lines), {(1 << 63) - 1})")
_OF_LINE = ", ".join(f"l.{name}" for name in columns(LogLine))
_LINE_AT = columns(LogLine).index("line")
_FIRST = "SELECT min(id) FROM log_lines"
_LAST = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'log_lines'"


@dataclass(frozen=True)
class Stored:
    """Lines that a transaction has stored, as whoever hears of the commit need not read them."""

    first_id: int
    block: LogBlock

    @property
    def last_id(self) -> int:
        """The number of the last line."""
        return self.first_id + len(self.block.lines) - 1

    def lines(self) -> Iterator[LogLine]:
        """Give the lines as they are read from the table."""
        block, plain = self.block, LineMark(flags=())
        created_at = from_millis(to_millis(block.created_at))
        times = block.logged_at_ms or [None] * len(block.lines)
        for place, (line, millis) in enumerate(zip(block.lines, times, strict=True)):
            mark = block.marks.get(place, plain)
            yield LogLine(
                id=self.first_id + place,
                log_name=block.log_name,
                log_path=block.log_path,
                line=line,
                created_at=created_at,
                source_inode=block.source_inode,
                flags=list(mark.flags),
                logged_at=None if millis is None else from_millis(millis),
                length_bytes=mark.length_bytes,
                detail=mark.detail,
            )


def _insert(cursor: sqlite3.Cursor, blocks: Sequence[LogBlock]) -> list[Stored]:
    stored = []
    for block in blocks:
        if not block.lines:
            continue
        at = to_millis(block.created_at)
        head = (block.log_name, block.log_path, at, block.source_inode, _PLAIN)
        start = 0
        for place in sorted(block.marks):
            _insert_plain(cursor, head, block, start, place)
            _insert_marked(cursor, head, block, place)
            start = place + 1
        _insert_plain(cursor, head, block, start, len(block.lines))
        assert cursor.lastrowid is not None
        first_id = cursor.lastrowid - len(block.lines) + 1  # nobody else writes in between
        _note_block(cursor, block, first_id, at)
        log_files.count(cursor, block)
        stored.append(Stored(first_id, block))
    return stored


def _insert_plain(
    cursor: sqlite3.Cursor, head: tuple[Any, ...], block: LogBlock, start: int, stop: int
) -> None:
    """Insert ordinary lines, all but the odd ones by the widest statement."""
    lines: Sequence[str | int | None] = block.lines
    step = 1
    if block.logged_at_ms is not None:
        pairs = zip(block.lines[start:stop], block.logged_at_ms[start:stop], strict=True)
        lines, step = list(chain.from_iterable(pairs)), 2
        start, stop = 0, len(lines)
    while start < stop:
        left = (stop - start) // step
        width = left if left < _LEAST_WIDTH else next(one for one in _WIDTHS if one <= left)
        taken = width * step
        sql = _insert_sql(width, step == 2)
        cursor.execute(sql, head + tuple(lines[start : start + taken]))
        start += taken


@lru_cache
def _insert_sql(width: int, has_times: bool) -> str:
    """Give the INSERT of ``width`` lines: what they have in common is bound once."""
    names = "log_name, log_path, line, created_at, source_inode, flags"
    if has_times:
        rows = (f"(?1, ?2, ?{at}, ?3, ?4, ?5, ?{at + 1})" for at in range(6, 6 + 2 * width, 2))
        names += ", logged_at"
    else:
        rows = (f"(?1, ?2, ?{at}, ?3, ?4, ?5)" for at in range(6, 6 + width))
    return f"INSERT INTO log_lines ({names}) VALUES {', '.join(rows)}"


def _insert_marked(
    cursor: sqlite3.Cursor, head: tuple[Any, ...], block: LogBlock, place: int
) -> None:
    name, path, at, inode, _ = head
    mark: LineMark = block.marks[place]
    flags = msgspec.json.encode(mark.flags).decode()
    logged_at = None if block.logged_at_ms is None else block.logged_at_ms[place]
    line = block.lines[place]
    cursor.execute(
        _MARKED,
        (name, path, line, at, inode, flags, logged_at, mark.length_bytes, mark.detail),
    )


def _note_block(cursor: sqlite3.Cursor, block: LogBlock, first_id: int, at: int) -> None:
    """Extend the newest block if the lines go on where it ends, else begin another."""
    end = first_id + len(block.lines) - 1
    cursor.execute(_EXTEND, (end, at, first_id - 1, block.log_name, block.log_path))
    if cursor.rowcount == 0:
        cursor.execute(
            "INSERT INTO log_blocks VALUES (?, ?, ?, ?, ?, ?)",
            (first_id, end, block.log_name, block.log_path, at, at),
        )


TABLE = Table(
    "log_lines",
    {LogBlock: _insert},
    time_column="created_at",
    ages_by_id=True,
    trimmed=_TRIMMED,
    rows={LogBlock: lambda block: len(block.lines)},
    characters={LogBlock: lambda block: sum(map(len, filter(None, block.lines)))},
)
BLOCKS = Table("log_blocks", {})


@dataclass(frozen=True)
class Part:
    """Which lines of a log: those of one file or of all, between numbers and between times."""

    log_name: str
    log_path: str | None = None
    after: int = 0
    """Only lines with a larger number."""
    before: int = (1 << 63) - 1
    """Only lines with a smaller number."""
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, block: LogBlock) -> bool:
        """Whether lines that are read now, and so have the largest numbers, belong to it."""
        at = to_millis(block.created_at)
        return (
            self.log_name == block.log_name
            and self.log_path in (None, block.log_path)
            and (self.since is None or to_millis(self.since) <= at)
            and (self.until is None or at <= to_millis(self.until))
        )

    @property
    def blocks(self) -> str:
        """The blocks b that may hold such lines, as SQL from FROM on."""
        terms = [
            "FROM log_blocks b WHERE b.log_name = :name AND b.first_id < :before",
            # No two blocks overlap: only the newest that begins there may reach beyond it.
            "b.first_id >= coalesce((SELECT first_id FROM log_blocks WHERE first_id <= :after"
            " ORDER BY first_id DESC LIMIT 1), 0)",
        ]
        if self.log_path is not None:
            terms.append("b.log_path = :path")
        if self.since is not None:
            terms.append("b.last_at >= :since")
        if self.until is not None:
            terms.append("b.first_at <= :until")
        return " AND ".join(terms)

    @property
    def source(self) -> str:
        """The blocks b and of them the lines l, as SQL from FROM on.

        CROSS JOIN lets SQLite go by the blocks and then by the lines of each, in the order of
        their numbers: nothing is sorted.
        """
        blocks = self.blocks.replace(
            "FROM log_blocks b WHERE",
            "FROM log_blocks b CROSS JOIN log_lines l"
            " ON l.id BETWEEN max(b.first_id, :after + 1) AND min(b.last_id, :before - 1) WHERE",
        )
        terms = [blocks]
        if self.since is not None:
            terms.append("l.created_at >= :since")
        if self.until is not None:
            terms.append("l.created_at <= :until")
        return " AND ".join(terms)

    @property
    def values(self) -> dict[str, str | int]:
        """The values of ``blocks`` and ``source``."""
        values: dict[str, str | int] = {
            "name": self.log_name,
            "after": self.after,
            "before": self.before,
        }
        if self.log_path is not None:
            values["path"] = self.log_path
        if self.since is not None:
            values["since"] = to_millis(self.since)
        if self.until is not None:
            values["until"] = to_millis(self.until)
        return values


def last_id(cursor: sqlite3.Cursor) -> int:
    """Give the number of the newest line of all logs, also if it is deleted by now; 0 for none."""
    found: int = cursor.execute(_LAST).fetchone()[0]
    return found


def oldest_id(cursor: sqlite3.Cursor) -> int:
    """Give the number of the oldest line that is left, else that which the next one will have."""
    found: int | None = cursor.execute(_FIRST).fetchone()[0]
    return last_id(cursor) + 1 if found is None else found


def is_known(cursor: sqlite3.Cursor, log_name: str) -> bool:
    """Whether any line of a log is stored."""
    found = cursor.execute("SELECT 1 FROM log_blocks WHERE log_name = ? LIMIT 1", (log_name,))
    return found.fetchone() is not None


def lines(
    cursor: sqlite3.Cursor,
    part: Part,
    most: int,
    *,
    newest: bool,
    most_characters: int = MOST_CHARACTERS,
) -> list[LogLine]:
    """Give at most so many lines, the newest or the oldest of the part, in their order.

    They end early with the line by which they hold so much text.
    """
    order = "DESC" if newest else "ASC"
    found = cursor.execute(
        f"SELECT {_OF_LINE} {part.source} ORDER BY b.first_id {order}, l.id {order} LIMIT :most",
        {**part.values, "most": most},
    )
    rows = list(_within(found, most_characters))
    if newest:
        rows.reverse()
    return records(LogLine, iter(rows))


def with_ids(cursor: sqlite3.Cursor, ids: Sequence[int]) -> list[LogLine]:
    """Give the lines with these numbers, in their order."""
    rows = (
        row
        for one in sorted(ids)
        for row in cursor.execute(f"SELECT {_COLUMNS} FROM log_lines WHERE id = ?", (one,))
    )
    return records(LogLine, rows)


def is_empty(cursor: sqlite3.Cursor, part: Part) -> bool:
    """Whether a part holds no line."""
    found = cursor.execute(f"SELECT 1 {part.source} LIMIT 1", part.values)
    return found.fetchone() is None


def _within(rows: Iterator[tuple[Any, ...]], most_characters: int) -> Iterator[tuple[Any, ...]]:
    size = 0
    for row in rows:
        yield row
        size += len(row[_LINE_AT] or "")
        if size >= most_characters:
            return
