"""Writing the whole database file anew (VACUUM), and the room that this takes on the way."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping


def vacuum(cursor: sqlite3.Cursor) -> None:
    """Write the file anew, by way of a file for temporary data: memory may not hold all of it.

    One that was put together by hand (``.dump``) gives pages back from then on, as others do.
    """
    cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
    with temporary_files(cursor):
        cursor.execute("VACUUM")


@contextmanager
def temporary_files(connection: sqlite3.Connection | sqlite3.Cursor) -> Iterator[None]:
    """Let a connection sort in files: memory may not hold all of a large index."""
    before = connection.execute("PRAGMA temp_store").fetchone()[0]
    connection.execute("PRAGMA temp_store = FILE")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA temp_store = {before}")


def lacking_room(
    database: Path, content_bytes: int, environ: Mapping[str, str] = os.environ
) -> str | None:
    """Say which room a vacuum needs that is not there; None if there is enough. Blocks.

    The content goes into a temporary file, and from there through the write-ahead log. So it is
    with what is sorted to make an index.
    """
    beside, temporary = database.resolve().parent, temporary_directory(environ)
    needed = {beside: content_bytes}
    if temporary.stat().st_dev == beside.stat().st_dev:
        needed[beside] += content_bytes
    else:
        needed[temporary] = content_bytes
    if not os.access(temporary, os.W_OK | os.X_OK):
        return "a directory for temporary files that can be written to: let SQLITE_TMPDIR name one"
    for place, needed_bytes in needed.items():
        free = shutil.disk_usage(place).free
        if free < needed_bytes:
            what = "beside the database" if place is beside else "for temporary files"
            return f"{needed_bytes} bytes of free space {what}, in {place}, where there are {free}"
    return None


def temporary_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Give where SQLite puts temporary files: the first of its places that can be written."""
    named = (environ.get("SQLITE_TMPDIR"), environ.get("TMPDIR"))
    for place in (*named, "/var/tmp", "/usr/tmp", "/tmp"):  # noqa: S108 - they are SQLite's
        if place and Path(place).is_dir() and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    return Path()
