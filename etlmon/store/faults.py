"""What a failed commit tells: whether it may pass, and whether room is what it lacks."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LEAST_BYTES = 1 << 20
"""What a database needs beside its file to be opened, and somewhat more."""

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


def lacks_room(error: BaseException, directory: Path) -> bool:
    """Whether a database could not be opened for want of room. Blocks.

    SQLite calls it an error of the disk where its shared memory finds none.
    """
    cause = error.__cause__ or error
    if isinstance(cause, OSError):
        return cause.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return False
    try:
        found = os.statvfs(directory)
    except OSError:
        return False
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return free * found.f_frsize < _LEAST_BYTES


def may_pass(error: BaseException) -> bool:
    """Whether the same may be done later: the database is at fault, not what is to be stored."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _MAY_PASS
