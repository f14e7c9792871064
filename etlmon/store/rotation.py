"""Copies that are kept in a directory: whose they are, by their names, and which of them stay.

Several nodes may use one directory, even by one name: the name of a copy has the node's in it,
unless an older etlmon has made it, and a database has in it the moment at which it was begun. A
copy is a node's if that is the same, and the name, where it has one. A database that was cloned,
and its node with it, has both of another: so a copy has in it, too, of which file it was made.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.store.damage import read_only_uri, stamp
from etlmon.store.leftovers import clear_half_made
from etlmon.store.shape import be_wary

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"etlmon-(?:(.+)-)?([0-9]{8}T[0-9]{6}Z)\.db")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_MOST_CHARACTERS = 64
COPIED_FROM = "copied_from"
"""The key, in the table ``meta`` of a copy, of where its database was."""
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"


def backup_name(node: str, wall_seconds: float) -> str:
    """Give the name of a copy of a node's database made at a moment; its names sort by time."""
    return f"etlmon-{_word(node)}-{stamp(wall_seconds)}.db"


def _word(node: str) -> str:
    """Give a node's name as file names have it; two that differ still do."""
    word = _NOT_IN_NAMES.sub("_", node)[:_MOST_CHARACTERS]
    if word == node:
        return word
    return f"{word}~{hashlib.sha256(node.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def place_of(database: Path, node: str, etc: Path = Path("/etc")) -> str:
    """Give what tells a database from a clone of it, on another host or on this one."""
    try:
        host = (etc / "machine-id").read_text("ascii", "replace").strip() or node
    except OSError:
        host = node
    where = f"{host}\0{database.resolve()}"
    return hashlib.sha256(where.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def made_at(name: str) -> float:
    """Give when a copy was made, seconds since the epoch, by its name.

    Raises ValueError if it is not the name of one.
    """
    found = _NAME.fullmatch(name)
    text = found[2] if found else name
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class KeptCopies:
    """The copies of a node's database in a directory. All of it blocks."""

    directory: Path
    node: str
    database: Path
    place: str
    """What its copies have in them of where it is (``place_of``)."""

    def newest(self, wall_seconds: float) -> Path | None:
        """Give the newest copy.

        One from the future was made by a clock that was wrong: it tells nothing. Where the database
        cannot be asked any more the name must do. Raises OSError.
        """
        begun_at = _begun_at(self.database)
        made = [one for one in self._all(begun_at) if made_at(one.name) <= wall_seconds]
        return max(made, key=_moment, default=None)

    def rotate(self, keep: int, wall_seconds: float) -> list[Path]:
        """Remove all but the newest ``keep`` copies, and nothing else; give what went.

        Those from the future count as the oldest: they may not push out what is made now. What was
        half made by one that was killed goes, too. Raises OSError.
        """
        begun_at = _begun_at(self.database)
        newest_first = sorted(
            self._all(begun_at) if begun_at else (),
            key=lambda one: (made_at(one.name) <= wall_seconds, _moment(one)),
            reverse=True,
        )
        gone = newest_first[keep:]
        for path in gone:
            path.unlink(missing_ok=True)
        return gone + clear_half_made(self.directory, wall_seconds, self._is_named)

    def _all(self, begun_at: str | None) -> Iterator[Path]:
        """Give the copies of a database by when that was begun; by their names where None."""
        with suppress(FileNotFoundError):
            for path in [*self.directory.iterdir()]:
                is_named = self._is_named(path.name)
                if not (is_named or _is_nameless(path.name)) or not _is_copy(path):
                    continue
                if is_named if begun_at is None else self._is_of(path, begun_at):
                    yield path

    def _is_of(self, copy: Path, begun_at: str) -> bool:
        """Whether a copy is of the database, and not of a clone of it."""
        told = _told(copy)
        return told.get("created_at") == begun_at and told.get(COPIED_FROM) in (None, self.place)

    def _is_named(self, name: str) -> bool:
        """Whether that is the name of a copy that this node has made."""
        found = _NAME.fullmatch(name)
        return found is not None and found[1] == _word(self.node)


def _moment(copy: Path) -> tuple[float, str]:
    return made_at(copy.name), copy.name


def _is_nameless(name: str) -> bool:
    """Whether it is the name of a copy that tells no node."""
    found = _NAME.fullmatch(name)
    return found is not None and found[1] is None


def _is_copy(path: Path) -> bool:
    """Whether a file has the name of a copy, and is as long as the database in it says."""
    try:
        made_at(path.name)
        if not path.is_file():
            return False
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except (ValueError, OSError):
        return False
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        return False
    page_bytes, pages = int.from_bytes(header[16:18]), int.from_bytes(header[28:32])
    return path.stat().st_size == pages * (65_536 if page_bytes == 1 else page_bytes)


def _begun_at(database: Path) -> str | None:
    """Give when a database was begun, as it says itself; None if it does not."""
    return _told(database).get("created_at")


def _told(database: Path) -> dict[str, str]:
    """Give what a database says of itself; nothing if it cannot be asked.

    Others may put files into the directory: one in which a view has the table's name, which gives
    rows for ever, may neither hold up the copies nor fill the memory.
    """
    real = database.resolve()
    has_log = real.with_name(f"{real.name}-wal").exists()
    try:
        uri = read_only_uri(real, at_rest=not has_log)
        with closing(sqlite3.connect(uri, uri=True)) as connection, be_wary(connection):
            found = connection.execute(
                "SELECT key, value FROM meta WHERE key IN ('created_at', ?) LIMIT 2", (COPIED_FROM,)
            ).fetchall()
    except sqlite3.Error:
        return {}
    return {key: str(value) for key, value in found}
