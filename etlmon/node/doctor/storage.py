"""Checks of the database itself: whether it is sound, and what has been kept beside it."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.errors import StoreError
from etlmon.node.doctor.base import Finding, is_there
from etlmon.node.places import database_path, node_name
from etlmon.store.damage import SIDE_FILES, check, looks_like_database, read_only_uri
from etlmon.store.migrate import load_migrations, schema_version
from etlmon.store.rotation import KeptCopies, place_of
from etlmon.text import shell_word
from etlmon.units import mebibytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etlmon.config.node import NodeConfig
    from etlmon.node.doctor.base import Host

_MOST_CHECKED_BYTES = 64 << 20
"""A check of more may take longer than a check of the doctor has."""
_MOST_KEPT = 10
_KEPT = re.compile(r"\.(?:(corrupt|before-restore)-(\d{8}T\d{6}Z)(?:-\d+)?|schema-(\d+))")


def damage(_host: Host, config: NodeConfig) -> Iterator[Finding]:
    """The database is sound, and not of a newer etlmon."""
    path = database_path(config)
    if not is_there(path):
        return
    try:
        size_bytes = path.stat().st_size
        trouble = _trouble(path, size_bytes)
        found = 0 if trouble is not None else _schema(path)
    except (OSError, sqlite3.Error, StoreError) as error:
        yield Finding("warning", "database", f"{path}: cannot be looked into: {error}")
        return
    if trouble is not None and not looks_like_database(path):
        yield Finding("problem", "database", f"{path}: no database", "name another node.db_path")
        return
    if trouble is not None:
        yield Finding(
            "problem",
            "database",
            f"{path}: damaged: {trouble}",
            f"etlmon restore -c node.yaml {_copy(config)}, while no node runs; one that starts "
            "keeps the file under another name, and begins a new one",
        )
        return
    newest = load_migrations()[-1].schema_version
    if found > newest:
        yield Finding(
            "problem",
            "database",
            f"{path}: has schema {found}, this etlmon knows up to {newest}",
            f"install the newer etlmon again, or etlmon restore -c node.yaml {_copy(config)}",
        )
    elif size_bytes > _MOST_CHECKED_BYTES:
        yield Finding(
            "ok",
            "database",
            f"{path}: {mebibytes(size_bytes)}, too large to be checked here; the node does once a "
            "day (etlmon get admin/db), and each copy is checked",
        )
    else:
        yield Finding("ok", "database", f"{path}: {mebibytes(size_bytes)}, checked, no damage")


def _trouble(path: Path, size_bytes: int) -> str | None:
    """Give what a check finds, of a large database that of one small table; None for nothing."""
    at_rest = not _has_log(path)
    table = "meta" if size_bytes > _MOST_CHECKED_BYTES else None
    trouble = check(path, table, at_rest=at_rest)
    if trouble is not None and at_rest and _has_log(path):
        return check(path, table)  # a node has begun to write meanwhile
    return trouble


def _schema(path: Path) -> int:
    uri = read_only_uri(path, at_rest=not _has_log(path))
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return schema_version(connection)


def _has_log(path: Path) -> bool:
    real = path.resolve()
    return is_there(real.with_name(f"{real.name}-wal"))


def _copy(config: NodeConfig) -> str:
    """Name the newest copy, as a shell takes it; COPY if none is known."""
    newest = None
    if config.backup is not None:
        with suppress(OSError):
            database, node = database_path(config), node_name(config)
            place = place_of(database, node)
            copies = KeptCopies(Path(config.backup.directory), node, database, place)
            newest = copies.newest(time.time())
    return "COPY" if newest is None else shell_word(str(newest))


def kept(_host: Host, config: NodeConfig) -> Iterator[Finding]:
    """What was kept of former databases is there until somebody has had a look at it."""
    real = database_path(config).resolve()
    try:
        names = sorted(one.name for one in real.parent.iterdir())
    except OSError:
        return
    found = [
        (name, match)
        for name in names
        if name.startswith(real.name) and (match := _KEPT.fullmatch(name[len(real.name) :]))
    ]
    for name, match in found[-_MOST_KEPT:]:
        with suppress(OSError):
            yield _of_kept(real.with_name(name), match)
    if len(found) > _MOST_KEPT:
        yield Finding("warning", "database", f"{len(found) - _MOST_KEPT} more are kept beside it")


def _of_kept(path: Path, match: re.Match[str]) -> Finding:
    why, stamp, schema = match.groups()
    beside = [path.with_name(path.name + end) for end in SIDE_FILES]
    there = [one for one in (path, *beside) if is_there(one)]
    size_bytes = sum(one.stat().st_size for one in there)
    since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    with suppress(ValueError, TypeError):
        since = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    told = f"{path}: {mebibytes(size_bytes)}, since {since:%Y-%m-%d %H:%M} UTC"
    # One by one: what begins with the name of one is another's too, as .schema-1 and .schema-16.
    files = " ".join(shell_word(str(one)) for one in there)
    if why == "corrupt":
        return Finding(
            "warning",
            "database",
            f"{told}: a damaged database that a node has set aside",
            "look for what fails: dmesg, smartctl; etlmon restore puts a copy back; then "
            f"rm {files}",
        )
    what = "was there before a restore" if why else f"of schema {schema}, from before an upgrade"
    return Finding("ok", "database", f"{told}: the database {what}", f"no more needed? rm {files}")
