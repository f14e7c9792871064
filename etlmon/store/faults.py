"""What a failure of the database tells: whether it may pass, and whether the disk is why."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.errors import StoreError
from etlmon.store.holders import writers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PROC = Path("/proc")
_LEAST_BYTES = 1 << 20
"""What a database needs beside its file to be opened, and somewhat more."""

_BRINK_BYTES = 4 << 20
"""What was given back since a large transaction failed is not more than that."""
_FULL = "the disk is full"
READ_ONLY = "the file system is read-only"
_FAILS = "the disk fails, see dmesg"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_BY_THE_DISK = frozenset((sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY))

# The database's troubles, not the batch's: worth trying again. The low byte is the primary code.
_MAY_PASS = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
    )
)


class NoRoomError(StoreError):
    """What must be written at once has no room on the disk."""

    def __init__(self, words: str, is_over: Callable[[], bool]) -> None:
        """``is_over`` tells whether there is more room now: then it is worth a try. It blocks."""
        super().__init__(words)
        self.is_over = is_over


def is_full(error: BaseException) -> bool:
    """Whether there is no room: the disk is full, or the database at its greatest size."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def hindrance(directory: Path) -> str | None:
    """Say why nothing can be written in a directory: it is full, read-only, or fails. Blocks.

    None for any other reason, and for none. It is tried with a file that never has a name: one that
    the kernel has made read-only after an error does not say so when asked.
    """
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno == errno.EROFS:
            return READ_ONLY
        if error.errno in _NO_ROOM:
            return _FULL
        if error.errno == errno.EIO:
            return _FAILS
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    if found.f_flag & os.ST_RDONLY:
        return READ_ONLY
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return _FULL if free * found.f_frsize < _LEAST_BYTES else None


def by_the_disk(places: Iterable[Path]) -> bool:
    """Whether there is so little room in one of these directories that a disk is full. Blocks."""
    return any(shutil.disk_usage(place).free < _BRINK_BYTES for place in places)


def more_room(places: Iterable[Path]) -> Callable[[], bool]:
    """Give what tells later whether one of these directories has more room than now. Blocks."""
    before = {place: shutil.disk_usage(place).free for place in places}

    def is_more() -> bool:
        return any(
            shutil.disk_usage(place).free > free + _LEAST_BYTES for place, free in before.items()
        )

    return is_more


def explained(error: sqlite3.Error, path: Path, proc: Path = _PROC) -> sqlite3.Error:
    """Give an error with what hinders in its words, where SQLite does not tell. Blocks.

    That is where it says "disk I/O error", or "database or disk is full", or takes for damage what
    a disk that fails does not give; and which process has locked the database. ``path`` is that of
    the database.
    """
    code = error.sqlite_errorcode & 0xFF
    if code in _LOCKED and (others := _others(path, proc)):
        return _with_words(error, f"{error} by another program ({others})")
    if code not in _BY_THE_DISK | _DAMAGED | {sqlite3.SQLITE_FULL}:
        return error
    why = hindrance(path.resolve().parent)
    if why is None or (is_full(error) and why != _FULL) or (code in _DAMAGED and why != _FAILS):
        return error
    return _with_words(error, f"{why}: {error}")


def _with_words(error: sqlite3.Error, words: str) -> sqlite3.Error:
    plain = type(error)(words)
    plain.sqlite_errorcode = error.sqlite_errorcode
    return plain


def _others(path: Path, proc: Path) -> str:
    """Name the processes that have locked a database; nothing where the kernel tells none."""
    found = writers(path, proc)
    return f"pid {', '.join(map(str, found))}" if found else ""


def why_not_yet(error: BaseException, path: Path, proc: Path = _PROC) -> str | None:
    """Say what keeps a database from being opened now and may pass by itself; else None. Blocks.

    That is a full disk, a file system that is read-only though a database has been made on it, and
    another program that writes.
    """
    cause = error.__cause__ or error
    number, code = getattr(cause, "errno", None), getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, NoRoomError) or number in _NO_ROOM or code == sqlite3.SQLITE_FULL:
        return _FULL
    if code in _LOCKED:
        others = _others(path, proc)
        return f"another program {f'({others}) ' if others else ''}has locked it"
    if number == errno.EROFS:
        why: str | None = READ_ONLY
    else:
        why = hindrance(path.resolve().parent) if code in _BY_THE_DISK else None
    if why != READ_ONLY:
        return why
    try:
        return why if path.stat().st_size > 0 else None
    except OSError:
        return None


def may_pass(error: BaseException) -> bool:
    """Whether the same may be done later: the database is at fault, not what is to be stored."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _MAY_PASS
