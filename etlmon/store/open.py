"""Opens the database file: its place, its PRAGMAs, its schema. Synchronous, once, at start."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from etlmon import __version__
from etlmon.errors import StoreError
from etlmon.store.damage import DamagedError, is_damage, is_emptied, read_only_uri
from etlmon.store.lock import make_directory, network_filesystem
from etlmon.store.migrate import load_migrations, migrate, schema_version
from etlmon.store.sizes import pages
from etlmon.store.tables.all import HISTORIES, TABLES

if TYPE_CHECKING:
    from pathlib import Path


_SPARE_BYTES = 1 << 20
_CACHE = "cache_size = -2000"
"""KiB, for each connection; it is what SQLite takes by itself."""
_BEGUN = "SELECT 1 FROM meta WHERE key = 'created_at'"


def writer_pragmas(connection: sqlite3.Connection, max_bytes: int | None = None) -> None:
    """Set up the one connection that writes; beyond ``max_bytes`` it writes no more (FULL).

    ``auto_vacuum`` is set when the file is made (``prepare``): it must come before the first
    page. ``mmap_size=0`` and the absence of any other checkpointer keep clear of the WAL-reset
    bug of SQLite before 3.51.3. ``cache_size``: a file may name another, as large as memory is.
    """
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "mmap_size = 0",
        _CACHE,
        "busy_timeout = 2000",
        "temp_store = MEMORY",
        "journal_size_limit = 16777216",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchone()
    if max_bytes is not None:
        limit(connection, max_bytes)


def limit(connection: sqlite3.Connection | sqlite3.Cursor, max_bytes: int) -> None:
    """Let a connection write no file larger than that; one that is larger may not grow."""
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {max_bytes // page_bytes}").fetchone()


def reader_pragmas(connection: sqlite3.Connection) -> None:
    """Set up a connection that only reads; it never checkpoints either."""
    for pragma in ("query_only = ON", "mmap_size = 0", _CACHE, "busy_timeout = 2000"):
        connection.execute(f"PRAGMA {pragma}").fetchone()


def prepare(
    path: Path,
    *,
    now_ms: int,
    network_filesystem_allowed: bool,
    proc: Path,
    in_place_of: str | None = None,
    max_bytes: int | None = None,
) -> int:
    """Make or upgrade the database at ``path`` and give its schema version.

    ``in_place_of`` names the damaged one whose place it takes, for those who lose by that. An
    upgrade that has no room below ``max_bytes`` makes it: the oldest rows of the largest history
    go, which the copy made before has still.
    Raises StoreError, with the remedy, where it cannot be used; DamagedError where SQLite says
    that the file is no sound database, NoRoomError where the disk has no room for an upgrade.
    """
    if not network_filesystem_allowed:
        refuse_network_filesystem(path, proc)
    make_directory(path.parent)
    try:
        _make_file(path)
        if is_emptied(path):
            raise DamagedError(
                f"cannot use the database {path}: it is empty, with a write-ahead log beside it"
            )
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return _prepare(connection, path, now_ms, in_place_of, max_bytes)
    except OSError as error:
        raise StoreError(f"cannot open the database {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        if is_damage(error):
            raise DamagedError(
                f"cannot use the database {path}: {error}; "
                "restore a copy, or move it away and a new one is made"
            ) from error
        raise StoreError(f"cannot use the database {path}: {error}") from error


def _prepare(
    connection: sqlite3.Connection,
    path: Path,
    now_ms: int,
    in_place_of: str | None,
    max_bytes: int | None,
) -> int:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema")]
    if not tables:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    elif schema_version(connection) == 0:
        raise StoreError(
            f"the database {path} belongs to another program; name another node.db_path"
        )
    writer_pragmas(connection)
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal":
        raise StoreError(
            f"{path}: its file system cannot hold a write-ahead log (journal mode is {mode}); "
            "put node.db_path on a local disk"
        )
    histories = () if max_bytes is None else HISTORIES
    if max_bytes is not None:
        now = pages(connection.cursor())
        size_bytes = now.pages * now.page_bytes
        # One that has become too large by the configuration must be opened all the same.
        limit(connection, max_bytes if size_bytes <= max_bytes else size_bytes + _SPARE_BYTES)
    version = migrate(connection, path, now_ms, load_migrations(), histories)
    if not connection.execute(_BEGUN).fetchall():
        made = [("created_at", str(now_ms)), ("created_by", __version__)]
        if in_place_of is not None:
            made.insert(0, ("in_place_of", in_place_of))  # the first, for who is killed in between
        connection.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", made)
    for table in TABLES:
        if table.at_open is not None:
            connection.execute(table.at_open)
    return version


def is_half_begun(path: Path) -> bool:
    """Whether the file is empty, or holds a database that was not made to the end. Blocks.

    So it is where a damaged one has been set aside, until another has taken its place.
    """
    try:
        if path.stat().st_size == 0:
            return True
        with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_schema").fetchall():
                return True
            return not connection.execute(_BEGUN).fetchall()
    except (OSError, sqlite3.Error):
        return False


def _make_file(path: Path) -> None:
    """Make the file, 0640 whatever the umask: log lines are in it. Its -wal gets the same mode."""
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        if is_new:
            os.fchmod(descriptor, 0o640)
    finally:
        os.close(descriptor)


def refuse_network_filesystem(path: Path, proc: Path) -> None:
    """Raise StoreError where a database would be on a network file system; touches nothing there.

    Even the lock beside it would, and on a mount that does not answer that would be for ever.
    """
    fs_type = network_filesystem(path, proc)
    if fs_type is not None:
        raise StoreError(
            f"the database {path} would be on a network file system ({fs_type}), where "
            "SQLite's locks do not hold; name a local node.db_path, or set "
            "node.db_on_network_filesystem: true if only this host ever opens it"
        )
