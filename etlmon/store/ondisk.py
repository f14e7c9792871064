"""The database's files as they are found on the disk, and what has become of those in use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etlmon.store.damage import SIDE_FILES

if TYPE_CHECKING:
    import os
    from pathlib import Path

_LOST = "the database file was removed or replaced; what is collected is lost at the next stop"
_CUT_OFF = (
    "a file that belongs to the database (-wal, -shm) was removed or replaced; restart the node:"
    " when it stops in order, what it has collected is kept"
)


@dataclass(frozen=True)
class OnDisk:
    """The database file as it is found by its name: its identity and the bytes it takes."""

    identity: tuple[int, int] | None = None
    size_bytes: int | None = None
    wal_bytes: int | None = None
    beside: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The identities of what SQLite keeps beside it, by the end of their names."""


class InUse:
    """The files that the connections have open, as they were found last by their names.

    SQLite itself goes on with files that nobody sees any more.
    """

    def __init__(self, found: OnDisk | None = None) -> None:
        """``found`` is what was there when the connections were opened."""
        self._opened = self.found = found or OnDisk()
        self._beside: dict[str, tuple[int, int]] = {}
        self.is_cut_off = False
        """Whether a file beside the database is not the one any more that is in use."""

    @property
    def is_lost(self) -> bool:
        """Whether the database's file is not the one any more that is in use."""
        return self.found.identity != self._opened.identity

    @property
    def trouble(self) -> str | None:
        """What has become of them, and what to do; None while all are there."""
        return _LOST if self.is_lost else _CUT_OFF if self.is_cut_off else None

    def note(self, found: OnDisk) -> bool:
        """Note what was found now; give whether that changes the trouble.

        Those beside it are made some time after the opening, and stay until the last connection is
        closed.
        """
        before, self.found = self.trouble, found
        if not self.is_lost:
            if any(found.beside.get(end) != known for end, known in self._beside.items()):
                self.is_cut_off = True
            self._beside = {**found.beside, **self._beside}
        return self.trouble != before


def look(path: Path) -> OnDisk:
    """Look at the database's file and at those beside it; what is not there is None. Blocks."""
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
