"""What a failure of the database tells: whether it may pass, and whether the disk is why."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LEAST_BYTES = 1 << 20
"""What a database needs beside its file to be opened, and somewhat more."""

_FULL = "the disk is full"
_READ_ONLY = "the file system is read-only"
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


def is_full(error: BaseException) -> bool:
    """Whether there is no room: the disk is full, or the database at its greatest size."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def why_not_yet(error: BaseException, path: Path) -> str | None:
    """Say what keeps a database from being opened now and may pass by itself; else None. Blocks.

    That is a full disk, and a file system that is read-only though a database has been made on it.
    SQLite calls both an error of the disk where its shared memory finds no place.
    """
    cause = error.__cause__ or error
    number, code = getattr(cause, "errno", None), getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if number in (errno.ENOSPC, errno.EDQUOT) or code == sqlite3.SQLITE_FULL:
        return _FULL
    if number != errno.EROFS and code not in _BY_THE_DISK:
        return None
    try:
        found = os.statvfs(path.parent)
        has_database = path.stat().st_size > 0
    except OSError:
        return None
    if number == errno.EROFS or found.f_flag & os.ST_RDONLY:
        return _READ_ONLY if has_database else None
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return _FULL if free * found.f_frsize < _LEAST_BYTES else None


def may_pass(error: BaseException) -> bool:
    """Whether the same may be done later: the database is at fault, not what is to be stored."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _MAY_PASS
