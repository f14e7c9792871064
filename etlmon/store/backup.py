"""Copies of the database: made while the node writes, checked, and kept in number."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.errors import StoreError
from etlmon.host.owners import acting_as, group_of, owner_of
from etlmon.store.damage import DamagedError, is_emptied, read_only_uri, stamp
from etlmon.store.faults import READ_ONLY, explained, hindrance
from etlmon.store.files import make, rename_anew, sync
from etlmon.store.indexes import mend_indexes
from etlmon.store.leftovers import clear, clear_half_made, half_made
from etlmon.store.migrate import lacking, load_migrations, schema_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

_PAGES_A_STEP = 1_000
_NAME = re.compile(r"etlmon-([0-9]{8}T[0-9]{6}Z)\.db")


def backup_name(wall_seconds: float) -> str:
    """Give the name of a copy made at a moment; such names sort by time."""
    return f"etlmon-{stamp(wall_seconds)}.db"


@dataclass(frozen=True)
class Copied:
    """A copy that was made."""

    size_bytes: int
    is_mended: bool
    """Whether an index of the database is damaged: in the copy, all were made anew."""


def back_up(
    database: Path,
    target: Path,
    cancelled: Callable[[], bool] = lambda: False,
    *,
    is_alone: bool = False,
    spare_bytes: int = 0,
) -> Copied:
    """Copy the database to ``target``, also while a node writes to it.

    The copy is one read transaction's view, checked, and on the disk when this returns. Its
    directory is made if need be. A file that is there already is not replaced. ``cancelled`` is
    asked now and then whether to give up. ``is_alone``: this process has no connection to the
    database, and gets none meanwhile; one that has cannot copy what is on a read-only file system.
    ``spare_bytes`` must stay free on the database's own disk, if the copy goes there.
    Blocks. Raises StoreError; DamagedError where the copy is no sound database.
    """
    _refuse_existing(target)
    if not database.exists():
        raise StoreError(f"there is no database {database}")
    if is_emptied(database):  # SQLite would delete the log, even where it may only read
        raise StoreError(f"{database} is damaged: the file is empty")
    made = half_made(target)
    try:
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        is_own_disk = target.parent.stat().st_dev == database.stat().st_dev
        needed_bytes = database.stat().st_size + (spare_bytes if is_own_disk else 0)
        refuse_without_room(needed_bytes, target.parent)
        os.close(make(made))
        try:
            view = _view(database)
        except sqlite3.Error as error:
            if hindrance(database.resolve().parent) != READ_ONLY:
                raise
            if not is_alone:
                raise StoreError(
                    f"{database} is on a read-only file system; `etlmon backup --to` copies it"
                ) from error
            _copy_at_rest(database, made)
        else:
            with closing(view):
                _copy(view, made, cancelled)
        is_mended = make_sound(made, target, cancelled)
        sync(made)
        rename_anew(made, target)
        sync(target.parent)
        return Copied(target.stat().st_size, is_mended)
    except (OSError, sqlite3.Error, StoreError) as error:
        kind = DamagedError if isinstance(error, DamagedError) else StoreError
        if isinstance(error, sqlite3.Error) and (plain := explained(error, database)) is not error:
            raise kind(f"cannot copy {database}: {plain}") from error
        raise kind(f"cannot copy {database} to {target}: {_words(error, target)}") from error
    finally:
        with suppress(OSError):
            made.unlink(missing_ok=True)


def _words(error: OSError | sqlite3.Error | StoreError, target: Path) -> object:
    if isinstance(error, FileExistsError):
        return "a file of that name exists since a moment ago; name another"
    if isinstance(error, sqlite3.Error):
        return explained(error, target)
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return f"{target.parent} is on a read-only file system; name a file elsewhere"
    return error.strerror if isinstance(error, OSError) else error


def back_up_for_root(database: Path, target: Path, wall_seconds: float) -> Copied:
    """Copy as ``back_up`` does, for root too: with the rights of those whose directories they are.

    A directory that must be made is the database's owner's; a copy where only root can write is
    root's, and made beside the database first. What killed ones have left there goes away, and
    where the copy goes. Not for a process with threads.
    """
    try:
        reader, writer = owner_of(database), owner_of(target)
        with acting_as(reader):
            clear(database, wall_seconds, is_locked=False)
        if os.geteuid() == 0 and writer == 0 and not target.parent.exists():
            target.parent.mkdir(mode=0o750, parents=True)
            os.chown(target.parent, reader, group_of(reader))
            writer = reader
        if os.geteuid() != 0 or reader == writer:
            with acting_as(reader):
                clear_half_made(target.parent, wall_seconds)
                return back_up(database, target, is_alone=True)
        with acting_as(writer):
            clear_half_made(target.parent, wall_seconds)
            _refuse_existing(target)
        with acting_as(reader):
            found, copied = _passing_copy(database)
        with found, acting_as(writer):
            _write(found, target)
        return copied
    except OSError as error:
        raise StoreError(f"cannot copy {database} to {target}: {_words(error, target)}") from error


def _passing_copy(database: Path) -> tuple[IO[bytes], Copied]:
    """Give a copy that has no name any more."""
    beside = half_made(database)
    copied = back_up(database, beside, is_alone=True)
    opened = beside.open("rb")
    beside.unlink()
    return opened, copied


def _write(source: IO[bytes], target: Path) -> None:
    """Write a file where none is."""
    made = half_made(target)
    try:
        with os.fdopen(make(made), "wb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        rename_anew(made, target)
        sync(target.parent)
    finally:
        made.unlink(missing_ok=True)


def made_at(copy: Path) -> float:
    """Give when a scheduled copy was made, seconds since the epoch, by its name.

    Raises ValueError if it is not the name of one.
    """
    found = _NAME.fullmatch(copy.name)
    text = found[1] if found else copy.name
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def newest_backup(directory: Path, wall_seconds: float) -> Path | None:
    """Give the newest scheduled copy in a directory.

    One from the future was made by a clock that was wrong: it tells nothing.
    """
    return max((one for one in _backups(directory) if made_at(one) <= wall_seconds), default=None)


def rotate(directory: Path, keep: int, wall_seconds: float) -> list[Path]:
    """Remove all but the newest ``keep`` scheduled copies, and nothing else; give what went.

    Those from the future count as the oldest: they may not push out what is made now. What was half
    made by one that was killed goes, too.
    """
    newest_first = sorted(
        _backups(directory), key=lambda one: (made_at(one) <= wall_seconds, one), reverse=True
    )
    gone = newest_first[keep:]
    for path in gone:
        path.unlink(missing_ok=True)
    return gone + clear_half_made(directory, wall_seconds)


def _backups(directory: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            with suppress(ValueError):
                made_at(path)
                if path.is_file():
                    yield path


def _view(database: Path) -> sqlite3.Connection:
    """Give a connection that holds one read transaction from now on."""
    source = sqlite3.connect(read_only_uri(database), uri=True, isolation_level=None)
    try:
        source.execute("PRAGMA busy_timeout = 10000")
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except BaseException:
        source.close()
        raise
    return source


def _copy(view: sqlite3.Connection, target: Path, cancelled: Callable[[], bool]) -> None:
    """Copy what a connection sees that holds one read transaction all the time.

    Without it each write of the node would begin the copy anew, and it would never end.
    """

    def look(_status: int, _remaining: int, _total: int) -> None:
        if cancelled():
            raise StoreError("given up, for the node stops")

    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        view.backup(copy, pages=_PAGES_A_STEP, progress=look)


def _copy_at_rest(database: Path, target: Path) -> None:
    """Copy a database, log and all, from a file system that is read-only.

    There SQLite itself can read none that has a log, or had one. Nobody writes to it, unless the
    file system is read-only for this process alone. Not for a process with a connection to it:
    closing a file takes the locks from it that SQLite has there.
    """
    real = database.resolve()
    log = real.with_name(f"{real.name}-wal")
    copied = target.with_name(f"{target.name}-wal")
    before = _state(real), _state(log)
    try:
        shutil.copyfile(real, target)
        if log.exists():
            os.close(make(copied))
            shutil.copyfile(log, copied)
        if (_state(real), _state(log)) != before:
            raise StoreError(f"{database} was written to meanwhile; try again")
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
    finally:
        copied.unlink(missing_ok=True)


def _state(path: Path) -> tuple[int, int, int] | None:
    """Give what changes of a file with all that is written to it; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _refuse_existing(target: Path) -> None:
    if os.path.lexists(target):
        raise StoreError(f"{target} exists already; name another file")


def make_sound(found: Path, copy: Path, cancelled: Callable[[], bool] = lambda: False) -> bool:
    """Check all of a copy, and make its indexes anew if need be; give whether that was so.

    ``found`` is the copy that may be written to, and ``copy`` its name in words. Raises StoreError
    unless it is a database known here; DamagedError where it is not sound.
    """
    try:
        with closing(sqlite3.connect(found, isolation_level=None)) as connection:
            is_mended = mend_indexes(connection, found, cancelled)
            present = schema_version(connection)
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()  # so that it is one file
            lacks = lacking(connection, present)
    except DamagedError as error:
        raise DamagedError(f"{copy} is damaged: {error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"cannot check {copy}: {error}") from error
    newest = load_migrations()[-1].schema_version
    if present == 0:
        raise StoreError(f"{copy} is no database of etlmon")
    if present > newest:
        raise StoreError(
            f"{copy} has schema {present}, this etlmon knows up to {newest}; "
            "install the newer etlmon first"
        )
    if lacks is not None:
        raise StoreError(
            f"{copy} has no {lacks}, which schema {present} has: it is not whole; use another copy"
        )
    return is_mended


def refuse_without_room(needed_bytes: int, directory: Path) -> None:
    """Raise StoreError before a disk is filled, for all who are on it."""
    free = shutil.disk_usage(directory).free
    if free < needed_bytes:
        raise StoreError(f"{directory} has {free} bytes free, {needed_bytes} are needed")
