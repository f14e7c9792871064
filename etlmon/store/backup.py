"""Copies of the database: made while the node writes, checked, kept in number, and put back."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.errors import StoreError
from etlmon.store.damage import check, read_only_uri, set_aside, stamp
from etlmon.store.migrate import load_migrations, schema_version
from etlmon.store.open import lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PAGES_A_STEP = 1_000
_NAME = re.compile(r"etlmon-([0-9]{8}T[0-9]{6}Z)\.db")


def backup_name(wall_seconds: float) -> str:
    """Give the name of a copy made at a moment; such names sort by time."""
    return f"etlmon-{stamp(wall_seconds)}.db"


def back_up(database: Path, target: Path, cancelled: Callable[[], bool] = lambda: False) -> int:
    """Copy the database to ``target``, also while a node writes to it; give the copy's bytes.

    The copy is one read transaction's view, checked, and on the disk when this returns. Its
    directory is made if need be, for the owner of the database. A file that is there already is not
    replaced. ``cancelled`` is asked now and then whether to give up.
    Blocks. Raises StoreError.
    """
    if target.exists():
        raise StoreError(f"{target} exists already; name another file")
    if not database.exists():
        raise StoreError(f"there is no database {database}")
    half_made = target.with_name(target.name + ".part")
    try:
        if not target.parent.exists():
            target.parent.mkdir(mode=0o750, parents=True)
            _give_to_owner_of(database, target.parent)
        _refuse_without_room(database, target.parent)
        half_made.unlink(missing_ok=True)
        os.close(os.open(half_made, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_RDWR, 0o640))
        _copy(database, half_made, cancelled)
        _refuse_unsound(half_made)
        _sync(half_made)
        half_made.rename(target)
        _sync(target.parent)
        return target.stat().st_size
    except (OSError, sqlite3.Error, StoreError) as error:
        with suppress(OSError):
            half_made.unlink(missing_ok=True)
        words = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"cannot copy {database} to {target}: {words}") from error


def restore(copy: Path, database: Path, wall_seconds: float) -> Path | None:
    """Put a copy in the place of the database; give where the old one is kept, if there was one.

    The copy is checked first, and stays. Refused while a node holds the lock. Blocks. Raises
    StoreError; until the very last step nothing has changed.
    """
    held = lock(database)
    try:
        real = database.resolve()
        if copy.resolve() == real:
            raise StoreError(f"{copy} is the database itself; name a copy of it")
        if not copy.is_file():
            raise StoreError(f"there is no file {copy}")
        _refuse_unsound(copy)
        fresh = real.with_name(real.name + ".restored")
        try:
            fresh.unlink(missing_ok=True)
            shutil.copyfile(copy, fresh)
            fresh.chmod(0o640)
            _give_to_owner_of(real if real.exists() else real.parent, fresh)
            _refuse_unsound(fresh)
            _sync(fresh)
            old = (
                set_aside(real, f"before-restore-{stamp(wall_seconds)}") if real.exists() else None
            )
            fresh.rename(real)
            _sync(real.parent)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise StoreError(f"cannot restore {database}: {error.strerror}") from error
        return old
    finally:
        held.close()


def newest_backup(directory: Path) -> Path | None:
    """Give the newest scheduled copy in a directory."""
    return max(_backups(directory), default=None)


def rotate(directory: Path, keep: int) -> list[Path]:
    """Remove all but the newest ``keep`` scheduled copies, and nothing else; give what went."""
    gone = sorted(_backups(directory), reverse=True)[keep:]
    for path in gone:
        path.unlink(missing_ok=True)
    return gone


def _backups(directory: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            if _NAME.fullmatch(path.name) and path.is_file():
                yield path


def _copy(database: Path, target: Path, cancelled: Callable[[], bool]) -> None:
    """Copy from a connection that holds one read transaction all the time.

    Without it each write of the node would begin the copy anew, and it would never end.
    """

    def look(_status: int, _remaining: int, _total: int) -> None:
        if cancelled():
            raise StoreError("given up, for the node stops")

    with (
        closing(sqlite3.connect(read_only_uri(database), uri=True, isolation_level=None)) as source,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        source.execute("PRAGMA busy_timeout = 10000")
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_schema").fetchone()
        source.backup(copy, pages=_PAGES_A_STEP, progress=look)
        source.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()  # so that it is one file


def _refuse_unsound(copy: Path) -> None:
    """Raise StoreError unless a file is a sound database of a schema that is known here."""
    found = check(copy)
    if found is not None:
        raise StoreError(f"{copy} is damaged: {found}")
    newest = load_migrations()[-1].schema_version
    with closing(sqlite3.connect(read_only_uri(copy), uri=True)) as connection:
        present = schema_version(connection)
    if present == 0:
        raise StoreError(f"{copy} is no database of etlmon")
    if present > newest:
        raise StoreError(
            f"{copy} has schema {present}, this etlmon knows up to {newest}; "
            "install the newer etlmon first"
        )


def _refuse_without_room(database: Path, directory: Path) -> None:
    needed, free = database.stat().st_size, shutil.disk_usage(directory).free
    if free < needed:
        raise StoreError(f"{directory} has {free} bytes free, {needed} are needed")


def _give_to_owner_of(example: Path, path: Path) -> None:
    """What root makes for the node, the node must be able to write."""
    if os.geteuid() == 0:
        found = example.stat()
        os.chown(path, found.st_uid, found.st_gid)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
