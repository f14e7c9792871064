"""How large the database and its tables are, without reading them through.

SQLite knows the pages in use exactly, but which table they belong to only by reading every page
(``dbstat``: seconds for some hundred megabytes). So the pages in use are shared out by the number
of rows and the length of some that are spread evenly over each table. Counting the rows of a large
table reads all of an index, seconds too where it comes from the disk: their numbers tell enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from etlmon.store.tables.base import Table

_SAMPLES = 200
_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples are spread evenly and never with a period, as holes may have one."""
_MOST_SAMPLED_BYTES = 8 << 20
"""After so many fewer rows tell, for to know how long one is reads all of it."""
_MOST_COUNTED = 100_000
"""A table with more numbers than these is not counted row by row."""
_BYTES_AROUND_ROW = 6
"""Its header, its rowid, and its place in the page."""
_LENGTH = {
    "INTEGER": "1 + coalesce((length(printf('%x', abs({0}))) + 1) / 2, 0)",
    "REAL": "1 + 8 * ({0} IS NOT NULL)",
}
_LENGTH_OF_TEXT = "1 + coalesce(length(CAST({0} AS BLOB)), 0)"


@dataclass(frozen=True)
class Pages:
    """The pages of the database file."""

    page_bytes: int
    pages: int
    free_pages: int

    @property
    def content_bytes(self) -> int:
        """Bytes of the pages in use."""
        return (self.pages - self.free_pages) * self.page_bytes


@dataclass(frozen=True)
class Size:
    """How large a table is."""

    rows: int
    bytes: int


def pages(cursor: sqlite3.Cursor) -> Pages:
    """Tell of the file's pages."""
    size, count, free = (
        cursor.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    return Pages(size, count, free)


def reckon(cursor: sqlite3.Cursor, tables: Iterable[str]) -> dict[str, Size]:
    """Give the rows of each table, and its bytes with those of its indexes, roughly.

    The rows are exact, but for a table of more than 100,000 that has holes between them.
    """
    found = {table: _Sample.of(cursor, table) for table in tables}
    weights = {table: sample.rows * sample.bytes_a_row for table, sample in found.items()}
    total = sum(weights.values()) or 1.0
    content = pages(cursor).content_bytes
    return {
        table: Size(sample.rows, round(content * weights[table] / total))
        for table, sample in found.items()
    }


def largest_first(cursor: sqlite3.Cursor, tables: Iterable[Table]) -> list[Table]:
    """Give those of the tables that are there, by their size.

    All of them is read, and no index: it may be one that has not got all rows.
    """
    known = {name for (name,) in cursor.execute("SELECT name FROM sqlite_schema").fetchall()}

    def size(table: Table) -> int:
        length = "+".join(_terms(cursor, table.name))
        found = cursor.execute(f"SELECT sum({length}) FROM {table.name} NOT INDEXED").fetchone()[0]
        return int(found or 0)

    return sorted((table for table in tables if table.name in known), key=size, reverse=True)


def index_bytes(cursor: sqlite3.Cursor, table: str, index: str) -> int:
    """Give how large an index is at most when it is made anew. All of its table is read."""
    terms = [str(2 * _BYTES_AROUND_ROW)]
    for name, kind in cursor.execute(
        "SELECT i.name, t.type FROM pragma_index_info(?) i"
        " LEFT JOIN pragma_table_info(?) t ON t.name = i.name",
        (index, table),
    ).fetchall():
        column = "NULL" if name is None else quoted(name)
        terms.append(_LENGTH.get(kind, _LENGTH_OF_TEXT).format(column))
    (found,) = cursor.execute(
        f"SELECT sum({'+'.join(terms)}) FROM {quoted(table)} NOT INDEXED"
    ).fetchone()
    return int(found or 0)


def quoted(name: str) -> str:
    """Give a name as SQL has it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def ends(cursor: sqlite3.Cursor, table: str) -> tuple[int, int] | None:
    """Give the numbers (rowid) of the first row and the last; None for an empty table.

    Two seeks: min and max in one statement would read all of it.
    """
    first, last = (
        cursor.execute(f"SELECT {extreme}(rowid) FROM {table}").fetchone()[0]
        for extreme in ("min", "max")
    )
    return None if first is None else (first, last)


@dataclass(frozen=True)
class _Sample:
    """How many rows a table has, and how long one of them is with its entries in the indexes."""

    rows: int = 0
    bytes_a_row: float = 0.0

    @classmethod
    def of(cls, cursor: sqlite3.Cursor, table: str) -> _Sample:
        terms = "+".join(_terms(cursor, table))
        if _is_without_rowid(cursor, table):
            # Nothing to spread by; such a table is no history, and small.
            rows, mean = cursor.execute(
                f"SELECT (SELECT count(*) FROM {table}), avg({terms})"
                f" FROM (SELECT * FROM {table} LIMIT {_SAMPLES})"
            ).fetchone()
            return cls(rows, mean or 0.0)
        found = ends(cursor, table)
        if found is None:
            return cls()
        first, last = found
        numbers = last - first + 1
        one = f"SELECT rowid, {terms} FROM {table} WHERE rowid >= ? ORDER BY rowid LIMIT 1"
        looks, hits, length = 0, 0, 0
        while looks < _SAMPLES and length < _MOST_SAMPLED_BYTES:
            number = first + int((last - first) * (looks * _GOLDEN % 1))
            row, row_length = cursor.execute(one, (number,)).fetchone()
            looks += 1
            hits += row == number
            length += row_length
        if numbers <= _MOST_COUNTED:
            (rows,) = cursor.execute(f"SELECT count(*) FROM {table}").fetchone()
        else:
            rows = max(1, numbers * hits // looks)
        return cls(rows, length / looks)


def _terms(cursor: sqlite3.Cursor, table: str) -> list[str]:
    """Give in SQL what adds up to the bytes of a row and of its entries in the indexes."""
    info = cursor.execute(f"PRAGMA table_info({table})").fetchall()
    length = {name: _LENGTH.get(kind, _LENGTH_OF_TEXT).format(name) for _, name, kind, *_ in info}
    terms = [str(_BYTES_AROUND_ROW), *length.values()]
    for _, index, *_ in cursor.execute(f"PRAGMA index_list({table})").fetchall():
        terms.append(str(_BYTES_AROUND_ROW))
        for _, _, column in cursor.execute(f"PRAGMA index_info({index})").fetchall():
            terms.append(length.get(column, "8"))
    return terms


def _is_without_rowid(cursor: sqlite3.Cursor, table: str) -> bool:
    (sql,) = cursor.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
    ).fetchone()
    return "WITHOUT ROWID" in sql.upper()
