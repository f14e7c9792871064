"""How large the database and its tables are, without reading them through.

SQLite knows the pages in use exactly, but which table they belong to only by reading every page
(``dbstat``: seconds for some hundred megabytes). So the pages in use are shared out by the number
of rows and the length of some that are spread evenly over each table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_SAMPLES = 200
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
    """Give the rows of each table exactly, and its bytes, with those of its indexes, roughly."""
    rows = {
        table: cursor.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables
    }
    weights = {
        table: count * _bytes_a_row(cursor, table) if count else 0.0
        for table, count in rows.items()
    }
    total = sum(weights.values()) or 1.0
    content = pages(cursor).content_bytes
    return {
        table: Size(count, round(content * weights[table] / total)) for table, count in rows.items()
    }


def _bytes_a_row(cursor: sqlite3.Cursor, table: str) -> float:
    """Give the mean bytes of a row and of its entries in the indexes, from a sample."""
    info = cursor.execute(f"PRAGMA table_info({table})").fetchall()
    length = {name: _LENGTH.get(kind, _LENGTH_OF_TEXT).format(name) for _, name, kind, *_ in info}
    terms = [str(_BYTES_AROUND_ROW), *length.values()]
    for _, index, *_ in cursor.execute(f"PRAGMA index_list({table})").fetchall():
        terms.append(str(_BYTES_AROUND_ROW))
        for _, _, column in cursor.execute(f"PRAGMA index_info({index})").fetchall():
            terms.append(length.get(column, "8"))
    if _is_without_rowid(
        cursor, table
    ):  # nothing to spread by; such a table is no history, and small
        found = cursor.execute(
            f"SELECT avg({'+'.join(terms)}) FROM (SELECT * FROM {table} LIMIT {_SAMPLES})"
        ).fetchone()
        return float(found[0] or 1.0)
    first, last = (
        cursor.execute(f"SELECT {extreme}(rowid) FROM {table}").fetchone()[0]
        for extreme in ("min", "max")
    )
    one = f"SELECT {'+'.join(terms)} FROM {table} WHERE rowid >= ? ORDER BY rowid LIMIT 1"
    lengths = [
        cursor.execute(one, (first + (last - first) * step // _SAMPLES,)).fetchone()[0]
        for step in range(_SAMPLES)
    ]
    return float(sum(lengths) / len(lengths))


def _is_without_rowid(cursor: sqlite3.Cursor, table: str) -> bool:
    found = cursor.execute(
        "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (table,)
    ).fetchone()
    return bool(found[0])
