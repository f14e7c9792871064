"""The database's files as they are found on the disk. To be asked in a thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from pathlib import Path


@dataclass(frozen=True)
class OnDisk:
    """The database file as it is found by its name: its identity and the bytes it takes."""

    identity: tuple[int, int] | None = None
    size_bytes: int | None = None
    wal_bytes: int | None = None


def look(path: Path) -> OnDisk:
    """Look at the database's file and its write-ahead log; what is not there is None."""
    path = path.resolve()
    found, wal = _stat(path), _stat(path.with_name(path.name + "-wal"))
    return OnDisk(
        identity=(found.st_dev, found.st_ino) if found else None,
        size_bytes=found.st_size if found else None,
        wal_bytes=wal.st_size if wal else None,
    )


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
