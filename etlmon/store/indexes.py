"""Indexes that do not fit their tables: found, and made anew within the room that there is."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from etlmon.errors import StoreError
from etlmon.store.damage import DamagedError, in_one_line, is_damage
from etlmon.store.deletions import SHARES, delete_share
from etlmon.store.faults import NoRoomError, by_the_disk, is_full, more_room
from etlmon.store.sizes import index_bytes, largest_first, quoted
from etlmon.store.vacuum import lacking_room, temporary_directory, temporary_files, vacuum
from etlmon.store.wal import begin_anew

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from etlmon.store.tables.base import Table

_STEPS_BETWEEN_LOOKS = 100_000
"""Of SQLite, some milliseconds."""
_SPARE = 1.5
"""Pages are not full to the last byte, and a sort has some twice on its way."""


def mend_indexes(
    connection: sqlite3.Connection,
    path: Path,
    cancelled: Callable[[], bool] = lambda: False,
    histories: Sequence[Table] = (),
    went: Callable[[int], None] = lambda _rows: None,
) -> bool:
    """Check all of a database, and make the indexes anew of each table that one does not fit.

    One after the other, so that the write-ahead log holds no more than the largest. Gives whether
    there were any. Nobody else may write meanwhile. ``connection`` is in autocommit mode, to the
    database at ``path``; ``cancelled`` is asked now and then whether to give up. ``histories`` are
    the tables of which the oldest rows go where the greatest size is in the way that the connection
    has; none where it has none. ``went`` is told how many that were. Blocks.

    Raises DamagedError where it is not sound then, NoRoomError where the disk is in the way, else
    StoreError.
    """
    connection.set_progress_handler(cancelled, _STEPS_BETWEEN_LOOKS)
    try:
        if _check(connection, "1") == "ok":
            return False
        with temporary_files(connection):
            for table, indexes in _indexes(connection).items():
                if _check(connection, quoted(table)) == "ok":
                    continue
                for index in indexes:
                    deleted = _make_anew(connection, path, table, index, histories)
                    if deleted:
                        went(deleted)
                    begin_anew(connection, path)
        found = _check(connection, "1")
    except sqlite3.Error as error:
        if is_damage(error) or isinstance(error, sqlite3.IntegrityError):
            raise DamagedError(str(error)) from error
        raise StoreError(f"cannot check {path}, or make its indexes anew: {error}") from error
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise DamagedError(found)
    return True


def mend_copy(
    connection: sqlite3.Connection, path: Path, cancelled: Callable[[], bool] = lambda: False
) -> bool:
    """Mend the indexes of a copy as ``mend_indexes`` does, and those, too, of which pages are lost.

    For that the file is written anew. Nobody else may have the copy open, and it is of no use where
    this fails. Raises as that does.
    """
    try:
        return mend_indexes(connection, path, cancelled)
    except DamagedError as damaged:
        try:
            _make_all_anew(connection, cancelled)
        except (sqlite3.Error, DamagedError):
            raise damaged from None
        return True


def _make_all_anew(connection: sqlite3.Connection, cancelled: Callable[[], bool]) -> None:
    """Make all indexes anew without a look at the old ones.

    Both REINDEX and DROP INDEX would go through their pages. So the schema forgets them, and the
    file is written anew without these pages, if the tables are sound.
    """
    connection.set_progress_handler(cancelled, _STEPS_BETWEEN_LOOKS)
    try:
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        of_ours = "type = 'index' AND sql IS NOT NULL"
        made = connection.execute(f"SELECT sql FROM sqlite_schema WHERE {of_ours}").fetchall()
        connection.execute(f"DELETE FROM sqlite_schema WHERE {of_ours}")
        connection.execute("PRAGMA writable_schema = RESET")
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table'"
        ).fetchall()
        _refuse_damaged(connection, [quoted(name) for (name,) in tables])
        vacuum(connection.cursor())
        for (sql,) in made:
            connection.execute(sql)
        _refuse_damaged(connection, ["1"])
    finally:
        connection.set_progress_handler(None, 0)


def _refuse_damaged(connection: sqlite3.Connection, parts: Sequence[str]) -> None:
    for part in parts:
        found = _check(connection, part)
        if found != "ok":
            raise DamagedError(found)


def _check(connection: sqlite3.Connection, what: str) -> str:
    return in_one_line(str(connection.execute(f"PRAGMA integrity_check({what})").fetchone()[0]))


def _indexes(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Give the indexes of each table that has any."""
    found: dict[str, list[str]] = {}
    for table, index in connection.execute(
        "SELECT tbl_name, name FROM sqlite_schema WHERE type = 'index'"
    ):
        found.setdefault(table, []).append(index)
    return found


def _make_anew(
    connection: sqlite3.Connection,
    path: Path,
    table: str,
    index: str,
    histories: Sequence[Table],
) -> int:
    """Make an index anew; give how many rows went for that."""
    needed_bytes = round(_SPARE * index_bytes(connection.cursor(), table, index))
    lacking = lacking_room(path, needed_bytes)
    if lacking is not None:
        raise _no_room(table, index, lacking, lambda: lacking_room(path, needed_bytes) is None)
    places = path.resolve().parent, temporary_directory()
    is_over = more_room(places)
    for share in (0.0, *SHARES):
        try:
            if not share:
                connection.execute(f"REINDEX {quoted(index)}")
                return 0
            return _make_anew_with_less(connection, index, histories, share)
        except sqlite3.OperationalError as error:
            if not is_full(error):
                raise
            is_disk = by_the_disk(places)
            with suppress(sqlite3.Error):  # what was begun takes room in the log still
                begin_anew(connection, path, least_bytes=0)
            if is_disk or not histories:
                raise _no_room(table, index, "more free space on the disk", is_over) from error
    # Without rows it fits in any size: something like a quota is in the way, which nobody tells.
    raise _no_room(table, index, "more free space, or a larger node.db_max_bytes", lambda: True)


def _no_room(table: str, index: str, what: str, is_over: Callable[[], bool]) -> NoRoomError:
    return NoRoomError(
        f"an index of {table} is damaged, and making {index} anew needs {what}", is_over
    )


def _make_anew_with_less(
    connection: sqlite3.Connection, index: str, histories: Sequence[Table], share: float
) -> int:
    """Make an index anew with fewer rows in the largest history, all in one transaction.

    That one's own indexes are made anew, too: through one that is damaged nothing can be deleted.
    """
    table = largest_first(connection.cursor(), histories)[0]
    connection.execute("BEGIN IMMEDIATE")
    try:
        own: list[tuple[str, str]] = connection.execute(
            "SELECT name, sql FROM sqlite_schema"
            " WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
            (table.name,),
        ).fetchall()
        for name, _ in own:
            connection.execute(f"DROP INDEX {quoted(name)}")
        deleted = delete_share(table, share)(connection.cursor())
        for _, sql in own:
            connection.execute(sql)
        if index not in dict(own):
            connection.execute(f"REINDEX {quoted(index)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return deleted
