"""Copies of the database: made while the node writes, checked, and whole when they have a name."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from contextlib import closing, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from etlmon.errors import StoreError
from etlmon.host.owners import acting_as, group_of, owner_of
from etlmon.store.damage import DamagedError, is_damage, is_emptied, read_only_uri
from etlmon.store.faults import READ_ONLY, explained, hindrance, is_full
from etlmon.store.files import make, rename_anew, sync
from etlmon.store.indexes import mend_copy
from etlmon.store.leftovers import clear, clear_half_made, half_made
from etlmon.store.migrate import load_migrations, schema_version
from etlmon.store.shape import lacking
from etlmon.text import shell_word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import IO

_PAGES_A_STEP = 1_000
_PATIENCE_MS = 10_000
"""With another program that has the database for itself."""
_SEEN_TO = (
    "a node that runs, or is started, keeps it under another name and begins a new one; "
    "`etlmon restore` puts an older copy back"
)


class UnfitError(StoreError):
    """A file is a sound database, but none that this etlmon can use."""


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
    notes: Mapping[str, str] = MappingProxyType({}),
    told: str | None = None,
) -> Copied:
    """Copy the database to ``target``, also while a node writes to it.

    The copy is one read transaction's view, checked, and on the disk when this returns. Its
    directory is made if need be, and none above. A file that is there already is not replaced.
    ``cancelled`` is asked now and then whether to give up. ``is_alone``: this process has no
    connection to the database, and gets none meanwhile; one that has cannot copy what is on a
    read-only file system. ``spare_bytes`` must stay free on the database's own disk, if the copy
    goes there. ``notes`` go into its table ``meta``. ``told`` is what errors call the
    target. Blocks. Raises StoreError; DamagedError where the copy is no sound database.
    """
    _refuse_existing(target)
    if not database.exists():
        raise StoreError(f"there is no database {database}")
    if is_emptied(database):  # SQLite would delete the log, even where it may only read
        raise StoreError(f"{database} is damaged: the file is empty; {_SEEN_TO}")
    made = half_made(target)
    try:
        make_place(target.parent)
        is_own_disk = target.parent.stat().st_dev == database.stat().st_dev
        needed_bytes = database.stat().st_size + (spare_bytes if is_own_disk else 0)
        refuse_without_room(needed_bytes, target.parent)
        descriptor = make(made)
        try:
            is_mended = _fill(made, descriptor, database, target, cancelled, is_alone=is_alone)
            _note(made, notes)
            os.fsync(descriptor)
            _refuse_exchanged(made, descriptor)
        finally:
            os.close(descriptor)  # no sooner: that takes the locks from it that SQLite has there
        rename_anew(made, target)
        sync(target.parent)
        return Copied(target.stat().st_size, is_mended)
    except (OSError, sqlite3.Error, StoreError) as error:
        kind = DamagedError if is_damage(error) else StoreError
        if isinstance(error, sqlite3.Error) and not is_full(error):  # full is where it goes to
            plain = explained(error, database)
            if plain is not error:
                raise kind(f"cannot copy {database}: {plain}") from error
        words = _words(error, target)
        raise kind(f"cannot copy {database} to {told or target}: {words}") from error
    finally:
        with suppress(OSError):
            made.unlink(missing_ok=True)


def _note(copy: Path, notes: Mapping[str, str]) -> None:
    if notes:
        with closing(sqlite3.connect(copy)) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", notes.items())


def make_place(directory: Path) -> None:
    """Make the directory for copies, if it is not there, but none above it.

    Without the disk that it is on all would go to another, which may be the database's. Blocks.
    Raises OSError; StoreError where something is missing, or in the way.
    """
    try:
        directory.mkdir(mode=0o750)
    except FileExistsError as error:
        if not directory.is_dir():
            raise StoreError(f"{directory} is no directory") from error
    except FileNotFoundError as error:
        above = directory.parent
        missing = next((one for one in reversed(above.parents) if not one.exists()), above)
        raise StoreError(
            f"{missing} is not there: mount its file system, or mkdir -p {shell_word(str(above))}"
        ) from error


def _fill(
    made: Path,
    descriptor: int,
    database: Path,
    target: Path,
    cancelled: Callable[[], bool],
    *,
    is_alone: bool,
) -> bool:
    """Copy into a file that is empty, and check that; give whether an index had to be mended."""
    try:
        view = _view(database)
    except sqlite3.Error as error:
        if hindrance(database.resolve().parent) != READ_ONLY:
            raise
        if not is_alone:
            raise StoreError(
                f"{database} is on a read-only file system; `etlmon backup --to` copies it"
            ) from error
        _copy_at_rest(database, made, descriptor)
    else:
        with closing(view):
            _copy(view, made, cancelled)
    return make_sound(made, target, cancelled)


def _refuse_exchanged(made: Path, descriptor: int) -> None:
    """Raise StoreError where a file does not bear its name any more.

    SQLite knows files by their names: where others may exchange those, it has written elsewhere.
    """
    if not os.path.samestat(made.lstat(), os.fstat(descriptor)):
        raise StoreError(
            f"somebody has exchanged {made} meanwhile; name a directory where nobody else may write"
        )


def _words(error: OSError | sqlite3.Error | StoreError, target: Path) -> object:
    if is_damage(error):
        found = error.__cause__ if isinstance(error, DamagedError) else error
        return f"the database is damaged: {found}; {_SEEN_TO}"
    if isinstance(error, FileExistsError):
        return "a file of that name exists since a moment ago; name another"
    if isinstance(error, sqlite3.Error):
        return explained(error, target)
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return f"{target.parent} is on a read-only file system; name a file elsewhere"
    return (error.strerror or error) if isinstance(error, OSError) else error


def back_up_for_root(database: Path, target: Path, wall_seconds: float) -> Copied:
    """Copy as ``back_up`` does, for root too: with the rights of those whose directories they are.

    A directory that must be made is the database's owner's. A copy where only root can write is
    root's, and made beside the database first; so is one where everybody may make files, who could
    put one there that SQLite takes for its own. What killed ones have left there goes away, and
    where the copy goes. Not for a process with threads.
    """
    load_migrations()  # they may be where only root may read, who acts as others from here on
    try:
        reader = owner_of(database)
        with acting_as(reader):
            clear(database, wall_seconds, is_locked=False)
        if os.geteuid() == 0 and owner_of(target) == 0 and not target.parent.exists():
            make_place(target.parent)
            os.chown(target.parent, reader, group_of(reader), follow_symlinks=False)
        writer = owner_of(target)  # only now: somebody may have made it meanwhile
        is_own = os.geteuid() != 0 or reader == writer
        if is_own and not _is_open_to_all(target.parent):
            with acting_as(reader):
                clear_half_made(target.parent, wall_seconds)
                return back_up(database, target, is_alone=True)
        with acting_as(writer):
            clear_half_made(target.parent, wall_seconds)
            _refuse_existing(target)
        with acting_as(reader):
            found, copied = _passing_copy(database, target)
        with found, acting_as(writer):
            _write(found, target)
        return copied
    except OSError as error:
        raise StoreError(f"cannot copy {database} to {target}: {_words(error, target)}") from error


def _is_open_to_all(directory: Path) -> bool:
    """Whether everybody may make files there, and exchange none, as in /tmp."""
    try:
        mode = directory.stat().st_mode
    except FileNotFoundError:
        return False
    return bool(mode & stat.S_ISVTX and mode & (stat.S_IWGRP | stat.S_IWOTH))


def _passing_copy(database: Path, target: Path) -> tuple[IO[bytes], Copied]:
    """Give a copy that has no name any more; for ``target``, which errors name."""
    beside = half_made(database)
    told = f"{target}, by way of {database.parent}"
    copied = back_up(database, beside, is_alone=True, told=told)
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


def _view(database: Path) -> sqlite3.Connection:
    """Give a connection that holds one read transaction from now on."""
    source = sqlite3.connect(read_only_uri(database), uri=True, isolation_level=None)
    try:
        source.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
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


def _copy_at_rest(database: Path, target: Path, descriptor: int) -> None:
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
        _copy_content(real, os.dup(descriptor))
        if log.exists():
            _copy_content(log, make(copied))
        if (_state(real), _state(log)) != before:
            raise StoreError(f"{database} was written to meanwhile; try again")
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()
    finally:
        copied.unlink(missing_ok=True)


def _copy_content(source: Path, descriptor: int) -> None:
    """Copy into an empty file, whatever bears its name now, and close that."""
    with os.fdopen(descriptor, "wb") as target, source.open("rb") as file:
        shutil.copyfileobj(file, target)


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

    ``found`` is the copy that may be written to, and ``copy`` its name in words. Raises UnfitError
    unless it is a database known here, DamagedError where it is not sound, StoreError where that
    cannot be seen.
    """
    try:
        with closing(sqlite3.connect(found, isolation_level=None)) as connection:
            is_mended = mend_copy(connection, found, cancelled)
            present = schema_version(connection)
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()  # so that it is one file
            lacks = lacking(connection, present)
    except DamagedError as error:
        raise DamagedError(f"{copy} is damaged: {error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"cannot check {copy}: {error}") from error
    refuse_unknown(copy, present)
    if lacks is not None:
        raise not_whole(copy, lacks, present)
    return is_mended


def refuse_unknown(copy: Path, version: int) -> None:
    """Raise UnfitError unless a schema of that version, as a copy has it, is known here."""
    newest = load_migrations()[-1].schema_version
    if version == 0:
        raise UnfitError(f"{copy} is no database of etlmon")
    if version > newest:
        raise UnfitError(
            f"{copy} has schema {version}, this etlmon knows up to {newest}; "
            "install the newer etlmon first"
        )


def not_whole(copy: Path, lacks: str, version: int) -> UnfitError:
    """Give the error of a copy that lacks something of its schema."""
    return UnfitError(
        f"{copy} has no {lacks}, which schema {version} has: it is not whole; use another copy"
    )


def refuse_without_room(needed_bytes: int, directory: Path) -> None:
    """Raise StoreError before a disk is filled, for all who are on it."""
    free = shutil.disk_usage(directory).free
    if free < needed_bytes:
        raise StoreError(f"{directory} has {free} bytes free, {needed_bytes} are needed")
