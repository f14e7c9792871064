"""Puts a copy in the place of the database, so that there is a whole one at every moment.

Whoever kills it, at whatever point, finds the old database under its name, or the new one.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etlmon.errors import StoreError
from etlmon.host.owners import acting_as, owner_of, user_name
from etlmon.store.backup import (
    UnfitError,
    make_sound,
    not_whole,
    refuse_unknown,
    refuse_without_room,
)
from etlmon.store.damage import (
    SIDE_FILES,
    DamagedError,
    is_damage,
    is_emptied,
    read_only_uri,
    stamp,
    unused,
)
from etlmon.store.faults import explained
from etlmon.store.files import link, make, sync
from etlmon.store.leftovers import clear, half_restored
from etlmon.store.lock import lock
from etlmon.store.migrate import load_migrations, schema_version
from etlmon.store.shape import (
    altered,
    be_wary,
    drop_foreign,
    drop_statistics,
    lacking,
    put_right,
    strange,
    used_up,
)
from etlmon.text import one_line, shell_word

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import IO

_ANY = "SELECT 1 FROM sqlite_schema"
_PATIENCE_MS = 2_000
"""With other programs that look at the database."""
_NOT_NOW = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
_PIECE_BYTES = 1 << 20
_DEAD_LOG = bytes(32)
"""A write-ahead log from which SQLite takes nothing: its first bytes are not those of one."""


@dataclass(frozen=True)
class Restored:
    """A copy that was put in the place of the database."""

    kept: Path | None
    """The database that was there."""
    left_out: list[str]
    """What is in the copy and does not belong there, such as a trigger, for people."""


def restore(copy: Path, database: Path, wall_seconds: float) -> Restored:
    """Put a copy in the place of the database, which is kept if there was one.

    The copy is checked first, and stays; a log that is beside it, as of one that was made by hand,
    is brought in. What does not belong to its schema stays out, and an index that it lacks is made.
    Refused where a table is not as its schema has it, and while a node holds the lock. Root does it
    with the rights of those whose directories the files are in. Blocks, and is not for a process
    with threads. Raises StoreError; then the old database is as it was.
    """
    load_migrations()  # they may be where only root may read, who acts as others from here on
    with ExitStack() as opened:
        try:
            owner, reader = owner_of(database), owner_of(copy)
            with acting_as(reader):
                source = opened.enter_context(_open_copy(copy, reader))
                log = _open_log(copy, os.fstat(source.fileno()).st_uid)
        except OSError as error:
            raise StoreError(f"cannot restore {database}: {error.strerror or error}") from error
        if log is not None:
            opened.enter_context(log)
        with acting_as(owner), lock(database):
            clear(database, wall_seconds, is_locked=True, but=os.fstat(source.fileno()))
            return _restore(source, log, copy, database.resolve(), wall_seconds)


def put_back(aside: Path, real: Path, cancelled: Callable[[], bool] = lambda: False) -> bool:
    """Put a database that was set aside back, if no more than its indexes is damaged.

    For who holds the lock, and has nothing in its place that is worth keeping; the one set aside
    stays as it is. Gives whether it was done; ``cancelled`` is asked now and then whether to give
    up. Blocks. Raises StoreError where that could not be found out, as for want of room.
    """
    if not aside.exists() or is_emptied(aside):
        return False
    fresh = half_restored(real)
    ends = [end for end in ("", "-wal") if aside.with_name(aside.name + end).exists()]
    try:
        sizes = [aside.with_name(aside.name + end).stat().st_size for end in ends]
        refuse_without_room(2 * sum(sizes), real.parent)
        for end in ends:
            with aside.with_name(aside.name + end).open("rb") as source:
                _write(source, fresh.with_name(fresh.name + end), cancelled)
        make_sound(fresh, aside, cancelled)
        sync(fresh)
        _exchange(real, fresh)
    except (DamagedError, UnfitError):
        return False
    except OSError as error:
        raise StoreError(f"cannot copy {aside}: {error.strerror or error}") from error
    finally:
        _clear(fresh)
    return True


def _clear(fresh: Path) -> None:
    with suppress(OSError):
        for end in ("", *SIDE_FILES):
            fresh.with_name(fresh.name + end).unlink(missing_ok=True)


def _is_it(source: IO[bytes], path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(source.fileno()), path.stat())


def _open_copy(copy: Path, reader: int) -> IO[bytes]:
    try:
        source = os.fdopen(os.open(copy, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    except FileNotFoundError as error:
        raise StoreError(f"there is no file {copy}") from error
    except PermissionError as error:
        if os.getuid() != 0 or reader == 0:
            raise
        name = user_name(reader)
        raise StoreError(
            f"{copy} is in a directory of {name}, who may not read it: chown -h {name} "
            f"{shell_word(str(copy))}, or copy it to where only root can write"
        ) from error
    except IsADirectoryError as error:
        raise StoreError(f"there is no file {copy}") from error
    if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
        source.close()
        raise StoreError(f"there is no file {copy}")
    return source


def _open_log(copy: Path, owner: int) -> IO[bytes] | None:
    """Open the log beside a copy, as one that was set aside has it; None if there is none.

    Raises StoreError where it is neither the owner's of the copy nor root's: where everybody may
    make files, as in /tmp, anybody could have put it there, and it takes the place of all pages.
    """
    real = copy.resolve()
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        log = os.fdopen(os.open(real.with_name(f"{real.name}-wal"), flags), "rb")
    except FileNotFoundError:
        return None
    found = os.fstat(log.fileno())
    if not stat.S_ISREG(found.st_mode):
        log.close()
        return None
    if found.st_uid not in (0, owner):
        log.close()
        raise StoreError(
            f"{copy}-wal is of {user_name(found.st_uid)}, and {copy} of {user_name(owner)}: "
            "remove it, or chown it if it belongs to that"
        )
    return log


def _restore(
    source: IO[bytes], log: IO[bytes] | None, copy: Path, real: Path, wall_seconds: float
) -> Restored:
    if _is_it(source, real):
        raise StoreError(f"{copy} is the database itself; name a copy of it")
    fresh = half_restored(real)
    aside = unused(real.with_name(f"{real.name}.before-restore-{stamp(wall_seconds)}"))
    try:
        files = [source] if log is None else [source, log]
        refuse_without_room(sum(os.fstat(one.fileno()).st_size for one in files), real.parent)
        for one, end in zip(files, ("", "-wal"), strict=False):
            _write(one, fresh.with_name(fresh.name + end))
        had_statistics, left_out = _make_ours(fresh, copy)
        make_sound(fresh, copy)
        _put_right(fresh, copy, takes_statistics=had_statistics)
        sync(fresh)
        was_there = real.exists()
        _bring_in_log(real)
        _keep(real, aside)
        _exchange(real, fresh)
    except OSError as error:
        raise StoreError(f"cannot restore {real}: {error.strerror}") from error
    finally:
        _clear(fresh)
    return Restored(aside if was_there else None, left_out)


def _make_ours(fresh: Path, copy: Path) -> tuple[bool, list[str]]:
    """Leave in a copy what its schema has, and refuse it where a table is not as that has it.

    Until then nothing looks at its rows: a check would run what stands in its tables, and the
    names of its columns are enough for a view to be taken to pieces. Gives whether there were
    statistics, which go too, and what else went. Raises StoreError; DamagedError where it is no
    sound database.
    """
    try:
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            with be_wary(connection):
                odd = strange(connection)
                if odd is not None:
                    raise _changed(copy, odd)
                version = schema_version(connection)
                refuse_unknown(copy, version)
                _refuse_altered(connection, copy, version)
                had_statistics = drop_statistics(connection)
            return had_statistics, drop_foreign(connection, version)
    except sqlite3.Error as error:
        if is_damage(error):
            raise DamagedError(f"{copy} is damaged: {error}") from error
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise _changed(copy, "to look at its schema takes too long") from error
        raise StoreError(f"cannot check how the tables of {copy} are made: {error}") from error


def _refuse_altered(connection: sqlite3.Connection, copy: Path, version: int) -> None:
    lacks, table = lacking(connection, version), altered(connection, version)
    if table is not None and lacks is not None:
        raise not_whole(copy, lacks, version)
    if table is not None:
        raise _changed(
            copy,
            f"the table {one_line(table)} is not made as schema {version} has it",
            ", and a node might be unable to store its rows there",
        )
    full = used_up(connection, version) if lacks is None else None
    if full is not None:
        raise _changed(
            copy,
            f"the table {full} has no more ids to give, as no node leaves it",
            ", and nothing could be stored there",
        )


def _changed(copy: Path, what: str, then: str = "") -> StoreError:
    return StoreError(f"{copy}: {one_line(what)}: somebody has changed it{then}; use another copy")


def _put_right(fresh: Path, copy: Path, *, takes_statistics: bool) -> None:
    try:
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            version = schema_version(connection)
            put_right(connection, version, takes_statistics=takes_statistics)
    except sqlite3.Error as error:
        raise StoreError(
            f"{copy} is not as its schema has it, nor can be made so: {error}"
        ) from error


def _write(source: IO[bytes], target: Path, cancelled: Callable[[], bool] = lambda: False) -> None:
    """Write a file anew, and have the disk keep it."""
    target.unlink(missing_ok=True)
    with os.fdopen(make(target), "wb") as file:
        while piece := source.read(_PIECE_BYTES):
            if cancelled():
                raise StoreError("given up, as was asked for")
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _bring_in_log(real: Path) -> None:
    """Bring the log of the old database into its file: so it is whole by one name.

    One that cannot be used any more is left as it is. Raises StoreError where another program is in
    the way.
    """
    if not real.exists() or is_emptied(real):  # SQLite would delete the log
        return
    try:
        with closing(sqlite3.connect(read_only_uri(real), uri=True)) as connection:
            connection.execute(_ANY).fetchone()  # where that fails, nothing may write to it
        with closing(sqlite3.connect(real, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
            connection.execute(_ANY).fetchone()  # it opens the log
            _, logged, brought_in = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in _NOT_NOW:
            raise StoreError(f"cannot restore {real}: {explained(error, real)}") from error
        return
    if logged != brought_in:
        raise StoreError(
            f"{real} is being read by another program: end that (fuser -v "
            f"{shell_word(str(real))}), and restore again"
        )


def _keep(real: Path, aside: Path) -> None:
    """Give the old database another name besides its own; its log, if it has one still, first."""
    for end in ("-wal", ""):
        source, target = real.with_name(real.name + end), aside.with_name(aside.name + end)
        if source.exists() and not link(source, target):
            with source.open("rb") as file:
                _write(file, target)
    sync(real.parent)


def _exchange(real: Path, fresh: Path) -> None:
    """Put the new database in the place of the old one, which has another name already.

    What lies beside the old one may lie beside the new one for no moment: SQLite would bring it in.
    A log that could not be brought into its own file gives its name to one with nothing in it,
    which tells the next start that beside an empty file, or none, there was a database.
    """
    shared, log = (real.with_name(real.name + end) for end in ("-shm", "-wal"))
    shared.unlink(missing_ok=True)
    if log.exists():
        dead = fresh.with_name(f"{fresh.name}-wal")
        dead.unlink(missing_ok=True)
        with os.fdopen(make(dead), "wb") as file:
            file.write(_DEAD_LOG)
            file.flush()
            os.fsync(file.fileno())
        dead.replace(log)
    fresh.replace(real)
    log.unlink(missing_ok=True)
    sync(real.parent)
