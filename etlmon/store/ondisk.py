"""The database's files as they are found on the disk. To be asked in a thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etlmon.store.damage import SIDE_FILES

if TYPE_CHECKING:
    import os
    from pathlib import Path


@dataclass(frozen=True)
class OnDisk:
    """The database file as it is found by its name: its identity and the bytes it takes."""

    identity: tuple[int, int] | None = None
    size_bytes: int | None = None
    wal_bytes: int | None = None
    beside: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The identities of what SQLite keeps beside it, by the end of their names."""


def look(path: Path) -> OnDisk:
    """Look at the database's file and at those beside it; what is not there is None."""
    path = path.resolve()
    found = _stat(path)
    beside = {end: _stat(path.with_name(path.name + end)) for end in SIDE_FILES}
    wal = beside["-wal"]
    return OnDisk(
        identity=_identity(found) if found else None,
        size_bytes=found.st_size if found else None,
        wal_bytes=wal.st_size if wal else None,
        beside={end: _identity(one) for end, one in beside.items() if one},
    )


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
