"""A database file that is damaged: finding out, and setting it aside. Nothing is ever deleted."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from etlmon.errors import StoreError
from etlmon.store.files import link, make, rename_anew
from etlmon.store.leftovers import half_made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_MAGIC = b"SQLite format 3\0"
_MOST_CHARACTERS = 300
"""Of what a check finds: a row of it may name a hundred pages."""
SIDE_FILES = ("-wal", "-shm")
"""What SQLite keeps beside a database; it belongs to that file and to no other."""


CORRUPT = "corrupt-"
"""How the label of a damaged database begins that has been set aside."""


class DamagedError(StoreError):
    """SQLite says that the file is no sound database."""


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file is no sound database."""
    if isinstance(error, DamagedError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _DAMAGED


def looks_like_database(path: Path) -> bool:
    """Whether a file was a database once, and not whatever ``db_path`` names by mistake.

    It begins as each SQLite database does, or with zeros, as a power failure leaves it, or it has
    a write-ahead log beside it.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except OSError:
        return False
    return head in (_MAGIC, bytes(len(_MAGIC))) or _wal(path).exists()


def is_emptied(path: Path) -> bool:
    """Whether the file is empty, and has a write-ahead log: SQLite would delete that log."""
    try:
        return path.stat().st_size == 0 and _wal(path).stat().st_size > 0
    except OSError:
        return False


def _wal(path: Path) -> Path:
    return path.resolve().with_name(path.resolve().name + "-wal")


def read_only_uri(path: Path, *, at_rest: bool = False) -> str:
    """Give the URI by which SQLite opens a file for reading alone.

    ``at_rest``: nobody has it open, and no log is beside it; then SQLite leaves none there either.
    """
    return f"file:{quote(os.fsencode(path))}?mode=ro{'&immutable=1' if at_rest else ''}"


def check(
    path: Path, table: str | None = None, *, with_indexes: bool = False, at_rest: bool = False
) -> str | None:
    """Give what SQLite's quick check finds wrong with a database, or a table of it; else None.

    That looks at each page and row; ``with_indexes`` compares the indexes with the tables, too.
    Raises StoreError where the file cannot be read at all.
    """
    if is_emptied(path):
        return "the file is empty"
    what = "integrity_check" if with_indexes else "quick_check"
    what += "" if table is None else f"({table})"
    try:
        with closing(sqlite3.connect(read_only_uri(path, at_rest=at_rest), uri=True)) as connection:
            rows = connection.execute(f"PRAGMA {what}").fetchmany(3)
    except sqlite3.Error as error:
        if is_damage(error):
            return str(error)
        raise StoreError(f"cannot check {path}: {error}") from error
    found = in_one_line("\n".join(str(row[0]) for row in rows))
    return None if found == "ok" else found or "the check said nothing"


def in_one_line(found: str) -> str:
    """Give what a check of SQLite says, without its heading (``*** in database main ***``)."""
    said = (line for line in found.splitlines() if not line.startswith("***"))
    return "; ".join(said)[:_MOST_CHARACTERS]


def stamp(wall_seconds: float) -> str:
    """Give a moment as file names have it here: 20260131T120000Z."""
    return datetime.fromtimestamp(wall_seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def unused(path: Path) -> Path:
    """Give a name that no file has: this one, or with a number behind it."""
    number, found = 1, path
    while any(found.with_name(found.name + end).exists() for end in ("", *SIDE_FILES)):
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def newest_set_aside(path: Path) -> Path | None:
    """Give the damaged database that was set aside last, by its name; None if there is none."""
    with suppress(OSError):
        return max(_all_set_aside(path.resolve()), default=None)
    return None


def half_set_aside(path: Path) -> Path | None:
    """Give the other name that a database has since who set it aside was killed; None for none."""
    real = path.resolve()
    with suppress(OSError):
        status = real.lstat()
        for one in _all_set_aside(real):
            if os.path.samestat(one.lstat(), status):
                return one
    return None


def _all_set_aside(real: Path) -> Iterator[Path]:
    for one in real.parent.iterdir():
        if one.name.startswith(f"{real.name}.{CORRUPT}") and not one.name.endswith(SIDE_FILES):
            yield one


def set_aside(path: Path, label: str) -> Path:
    """Rename a database and what lies beside it to ``<name>.<label>``; give the new path.

    Of a database that is gone, what lies beside it still: SQLite would bring that into the file
    that takes its place. It has both names until all is done, by which the next one finds that it
    was begun (``half_set_aside``), and ends it. In its place is then an empty file, until a new
    database is begun in it: one that somebody removes leaves none. Raises StoreError where that
    cannot be done.
    """
    real = path.resolve()
    aside = half_set_aside(path) or unused(real.with_name(f"{real.name}.{label}"))
    try:
        has_both = aside.exists() or (real.exists() and link(real, aside))
        for suffix in SIDE_FILES:  # first: beside a new file they would be taken for its own
            beside = real.with_name(real.name + suffix)
            if beside.exists():
                beside.rename(aside.with_name(aside.name + suffix))
        if has_both:
            _leave_empty(real)
        elif real.exists():
            rename_anew(real, aside)
            os.close(make(real))
    except OSError as error:
        raise StoreError(f"cannot set {real} aside as {aside.name}: {error.strerror}") from error
    return aside


def _leave_empty(real: Path) -> None:
    """Put an empty file in the place of one that has another name."""
    empty = half_made(real)
    try:
        os.close(make(empty))
        empty.replace(real)
    finally:
        empty.unlink(missing_ok=True)
