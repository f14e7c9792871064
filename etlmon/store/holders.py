"""Which processes have locked a database, as far as the kernel tells (``/proc/locks``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_PROC = Path("/proc")
_READING = range(123, 128)
"""The bytes of the -shm of which SQLite locks one in each read transaction."""
_WRITING = range(120, 123)
"""Those for a transaction that writes, for a checkpoint, and for the reading of a log anew."""
_ALONE = range(1 << 30, (1 << 30) + 512)
"""The bytes of the database itself that are locked by who wants it alone."""


def readers(database: Path, proc: Path = _PROC) -> list[int]:
    """Give the processes that are in a read transaction. Blocks."""
    shared = _shared(database)
    return sorted(set(_holders(shared, "READ", _READING, proc)))


def writers(database: Path, proc: Path = _PROC) -> list[int]:
    """Give the other processes that keep this one from writing. Blocks."""
    found = {
        *_holders(_shared(database), "WRITE", _WRITING, proc),
        *_holders(database.resolve(), "WRITE", _ALONE, proc),
    }
    return sorted(found - {os.getpid()})


def _shared(database: Path) -> Path:
    real = database.resolve()
    return real.with_name(f"{real.name}-shm")


def _holders(file: Path, kind: str, places: Container[int], proc: Path) -> Iterator[int]:
    """Give the processes with a lock of a kind on some bytes of a file; none where none is told."""
    try:
        status = file.stat()
        locks = (proc / "locks").read_text("ascii", "replace")
    except OSError:
        return
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in locks.splitlines():
        # 7: POSIX  ADVISORY  READ 4711 08:01:131 123 123; what waits for a lock has "->" before
        fields = line.split()
        if fields[1:2] + fields[3:4] + fields[5:6] == ["POSIX", kind, place] and (
            int(fields[6]) in places
        ):
            yield int(fields[4])
