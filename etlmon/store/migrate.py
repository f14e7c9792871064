"""Brings a database to the newest schema, one migration after the other.

An upgrade is one transaction, together with the notes of what ran, so that a migration that fails
leaves the database as it was, for the older program, too. Before a database with data in it is
changed, a copy is made beside it. A database that is newer than the program is refused.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from twisted.logger import Logger

from etlmon import __version__
from etlmon.errors import StoreError
from etlmon.store.damage import DamagedError, is_damage, read_only_uri
from etlmon.store.deletions import SHARES, delete_share
from etlmon.store.faults import NoRoomError, by_the_disk, is_full, more_room
from etlmon.store.files import make, sync
from etlmon.store.leftovers import half_made
from etlmon.store.sizes import largest_first
from etlmon.store.wal import checkpoint
from etlmon.text import shell_word
from etlmon.units import from_millis, mebibytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from etlmon.store.tables.base import Table

_log = Logger()
_LAST_MOMENT_MS = 253_402_300_799_999
"""The end of the year 9999."""
_NAME = re.compile(r"^(\d{4})_(\w+)\.sql$")
RECORD = """
CREATE TABLE IF NOT EXISTS migrations (
    schema_version INTEGER PRIMARY KEY, -- the migration's number
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL,        -- ms since 1970-01-01T00:00:00Z
    applied_by TEXT NOT NULL            -- version of etlmon
) STRICT
"""


@dataclass(frozen=True)
class Migration:
    """One step of the schema: its number, its name and its SQL."""

    schema_version: int
    name: str
    sql: str


@cache
def load_migrations() -> tuple[Migration, ...]:
    """Give the migrations that this version of etlmon knows, in their order."""
    found = []
    for entry in resources.files("etlmon.store.migrations").iterdir():
        matched = _NAME.match(entry.name)
        if matched:
            number, name = matched.groups()
            found.append(Migration(int(number), name, entry.read_text("utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.schema_version))


def schema_version(connection: sqlite3.Connection) -> int:
    """Give the number of the newest migration that a database holds.

    0 for a new one, or one of another program: a table of the name is in many. A view of it is
    never asked: it might give rows for ever.
    """
    is_table = connection.execute(
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'"
        " AND sql NOT LIKE 'CREATE VIRTUAL %'"
    ).fetchone()
    known = (
        is_table
        and connection.execute(
            "SELECT 1 FROM pragma_table_info('migrations') WHERE name = 'schema_version'"
        ).fetchone()
    )
    if not known:
        return 0
    (newest,) = connection.execute("SELECT max(schema_version) FROM migrations").fetchone()
    return newest if isinstance(newest, int) and newest > 0 else 0


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    now_ms: int,
    migrations: Sequence[Migration],
    histories: Sequence[Table] = (),
    seconds: Callable[[], float] = time.monotonic,
) -> int:
    """Apply what is missing and give the schema version reached.

    ``connection`` is in autocommit mode (``isolation_level=None``); ``path`` is its file, used to
    name the copy made before an upgrade, which the log tells, and in how many ``seconds``.
    ``histories`` are the tables of which the oldest rows go where the greatest size is in the way
    that the connection has; none where it has none.
    Raises StoreError; NoRoomError where the disk is in the way, DamagedError where the file is no
    sound database.
    """
    present = schema_version(connection)
    newest = migrations[-1].schema_version
    if present > newest:
        raise StoreError(
            f"{path}: the database has schema {present}, this etlmon {__version__} knows up to "
            f"{newest}; install the newer etlmon again, or {_way_back(connection, path, newest)}"
        )
    began_at = seconds()
    missing = [step for step in migrations if step.schema_version > present]
    if missing and present > 0:
        _copy(connection, _copy_of(path, present), path)
    if missing:
        _upgrade(connection, path, now_ms, missing, histories)
    if missing and present > 0:
        _log.info(
            "The database has been brought from schema {present} to {newest} in {seconds:.1f} s;"
            " as it was before, it is kept as {copy}.",
            present=present,
            newest=newest,
            seconds=seconds() - began_at,
            copy=str(_copy_of(path, present)),
        )
    return newest


def _upgrade(
    connection: sqlite3.Connection,
    path: Path,
    now_ms: int,
    missing: Sequence[Migration],
    histories: Sequence[Table],
) -> None:
    """Apply migrations, with fewer rows if the greatest size of the file leaves them no room."""
    directory = path.resolve().parent
    is_over = more_room((directory,))
    words = ""
    for share in (0.0, *SHARES):
        try:
            deleted = _apply(connection, missing, now_ms, share, histories)
        except _FailedError as failed:
            error = failed.error
            words = f"{path}: {failed}; the database is as it was before it"
            if is_damage(error):
                raise DamagedError(words) from error
            if not is_full(error):
                raise StoreError(words) from error
            if not histories or by_the_disk((directory,)):
                raise NoRoomError(words, is_over) from error
        else:
            if deleted:
                _log.warn(
                    "The {rows} oldest rows of the largest history went for the upgrade before"
                    " their time: node.db_max_bytes left no room. The copy of before has them.",
                    rows=deleted,
                )
            return
    # Without rows it fits in any size: something like a quota is in the way, which nobody tells.
    raise NoRoomError(f"{words}; free space, or allow a larger node.db_max_bytes", lambda: True)


class _FailedError(Exception):
    """A migration could not be applied."""

    def __init__(self, step: Migration, error: sqlite3.Error) -> None:
        super().__init__(f"migration {step.schema_version} ({step.name}) failed: {error}")
        self.error = error


def _way_back(connection: sqlite3.Connection, path: Path, newest: int) -> str:
    """Say what else there is for a program that knows no newer schema than that."""
    try:
        steps = _steps(connection)
    except sqlite3.OperationalError:  # a newer one may note them in another way
        steps = {}
    for version in range(newest, 0, -1):
        copy = _copy_of(path, version)
        if version + 1 in steps and _is_from_before(copy, steps, version):
            made_at = from_millis(steps[version + 1])
            return (
                f"go back to the copy made before its upgrade, at {made_at:%Y-%m-%d %H:%M} UTC, "
                "which lacks all that was stored since: etlmon restore -c node.yaml "
                f"{shell_word(str(copy))}"
            )
    return "name another node.db_path"


def _is_from_before(copy: Path, steps: dict[int, int], version: int) -> bool:
    """Whether a copy is of the database with these steps, from before those after a version."""
    if not copy.exists():
        return False
    try:
        with closing(sqlite3.connect(read_only_uri(copy, at_rest=True), uri=True)) as connection:
            found = _steps(connection)
    except sqlite3.Error:
        return False
    return found == {step: moment for step, moment in steps.items() if step <= version}


def _steps(connection: sqlite3.Connection) -> dict[int, int]:
    """Give the migrations that a database holds, and when each was applied, in ms.

    Whatever is no moment is left out: the database may be of anybody.
    """
    found = connection.execute(
        "SELECT schema_version, applied_at FROM migrations"
        " WHERE typeof(applied_at) = 'integer' AND applied_at BETWEEN 0 AND ?",
        (_LAST_MOMENT_MS,),
    )
    return dict(found.fetchall())


def _copy_of(path: Path, version: int) -> Path:
    """Give where the copy goes that is made before an upgrade from a schema.

    Beside the file itself: a link may lead away from a disk that has no room for it.
    """
    real = path.resolve()
    return real.with_name(f"{real.name}.schema-{version}")


def _apply(
    connection: sqlite3.Connection,
    steps: Sequence[Migration],
    now_ms: int,
    share: float,
    histories: Sequence[Table],
) -> int:
    """Apply migrations, all or none of them, without a share of the rows of the largest history.

    Gives how many rows that were.
    """
    step, deleted = steps[0], 0
    try:
        connection.execute("BEGIN IMMEDIATE")
        if share:
            deleted = _cut(connection.cursor(), histories, share)
        connection.execute(RECORD)
        for step in steps:
            for statement in _statements(step.sql):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?, ?, ?)",
                (step.schema_version, step.name, now_ms, __version__),
            )
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise _FailedError(step, error) from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return deleted


def _cut(cursor: sqlite3.Cursor, histories: Sequence[Table], share: float) -> int:
    """Delete the oldest rows of the largest history that this schema knows as today's does."""
    for table in largest_first(cursor, histories):
        cursor.execute("SAVEPOINT cut")
        try:
            return delete_share(table, share)(cursor)
        except sqlite3.OperationalError as error:
            if is_full(error):
                raise
            cursor.execute("ROLLBACK TO cut")
    return 0


def _statements(sql: str) -> Iterator[str]:
    """Split a script into statements, also where several stand on a line or the last lacks its ";".

    sqlite3's own ``executescript`` commits first and runs outside any transaction of ours.
    """
    statement = ""
    for piece in re.split(r"(?<=;)", sql):
        statement += piece
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def _copy(connection: sqlite3.Connection, target: Path, path: Path) -> None:
    """Copy the database whole to ``target``; a copy of the same schema made before is replaced.

    One of just this state stays: an upgrade that has room for its copy and none for itself is tried
    again and again. The copy's time tells: it is that of the database when nothing else was in it.
    """
    made = half_made(target)
    try:
        log_is_empty = checkpoint(connection.cursor())
        state = path.stat()
        if log_is_empty and _is_of(target, state):
            return
        size_bytes = _refuse_without_room(connection, target.parent)
        _log.info(
            "The database ({size}) is copied to {copy}, and then brought to the new schema; nothing"
            " is served until that is done.",
            size=mebibytes(size_bytes),
            copy=str(target),
        )
        os.close(make(made))
        with closing(sqlite3.connect(made)) as copy:
            connection.backup(copy)
        if log_is_empty:
            os.utime(made, ns=(state.st_atime_ns, state.st_mtime_ns))
        sync(made)
        made.replace(target)
        sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        made.unlink(missing_ok=True)
        kind = DamagedError if is_damage(error) else StoreError
        raise kind(f"cannot copy the database to {target} before its upgrade: {error}") from error


def _is_of(copy: Path, state: os.stat_result) -> bool:
    """Whether a copy is of the database as it is, by its size and its time."""
    try:
        found = copy.stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (state.st_size, state.st_mtime_ns)


def _refuse_without_room(connection: sqlite3.Connection, directory: Path) -> int:
    """Give how large a database is.

    Raises OSError before a disk is filled: a start that waits for room tries again and again.
    """
    pages, page_bytes = (
        connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size")
    )
    if shutil.disk_usage(directory).free < pages * page_bytes:
        raise OSError(
            errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {pages * page_bytes} bytes are needed"
        )
    return int(pages * page_bytes)
