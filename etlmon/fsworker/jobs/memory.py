"""What a scan leaves behind for the next one of the same tree."""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

# What all scans together may remember, and what a directory takes besides its name: the object,
# its numbers and its place in a list (measured by test_memory_of_a_directory).
_MAX_REMEMBERED_BYTES = 24 << 20
_DIRECTORY_BYTES = 240
# More subdirectories of one are never remembered.
MOST_BELOW = _MAX_REMEMBERED_BYTES // _DIRECTORY_BYTES


class Directory:
    """A directory that is to be visited, and what is remembered of the visit before.

    ``inode`` is 0 if there was none. ``ctime_ns`` is None if it must be listed in any case;
    ``subdirectories`` may be good for reuse all the same.
    """

    __slots__ = (
        "ctime_ns",
        "dirs",
        "files",
        "inode",
        "mtime_ns",
        "name",
        "others",
        "subdirectories",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.inode = self.files = self.dirs = self.others = self.mtime_ns = 0
        self.ctime_ns: int | None = None
        self.subdirectories: Sequence[Directory] = ()

    @property
    def is_remembered(self) -> bool:
        """Whether its content, or that of something below it, may be reused."""
        return self.ctime_ns is not None or bool(self.subdirectories)

    def is_unchanged(self, status: os.stat_result) -> bool:
        """Tell whether what is remembered still holds, for a directory of the same device."""
        return (
            status.st_ctime_ns == self.ctime_ns
            and status.st_mtime_ns == self.mtime_ns
            and status.st_ino == self.inode
        )


def size_bytes(directories: Iterable[Directory]) -> int:
    """Give the memory that directories take, with all that is remembered below them."""
    total = 0
    stack = list(directories)
    while stack:
        directory = stack.pop()
        total += _DIRECTORY_BYTES + sys.getsizeof(directory.name)
        stack.extend(directory.subdirectories)
    return total


class Memory:
    """What scans leave behind for the next of the same name, within a bound.

    When it is full, what has not been used for the longest time goes, name by name; of a tree
    that is too large by itself, some directories are remembered and the rest are listed always.
    """

    def __init__(self, max_bytes: int = _MAX_REMEMBERED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._scans: dict[str, tuple[int, object, dict[str, Directory]]] = {}
        self._clock_ahead_ns = 0

    def recall(
        self, name: str, generation: int, scan_id: object, parts: Iterable[str]
    ) -> list[Directory]:
        """Give what is remembered of each part, new directories where nothing is.

        What was remembered in another generation is forgotten.
        """
        self._check_clock()
        known_generation, known_id, known = self._scans.pop(name, (generation, scan_id, {}))
        if (known_generation, known_id) != (generation, scan_id):
            # A new scan begins, with all the parts that this worker had and still has.
            kept = set(parts) if known_generation == generation else set()
            for gone in known.keys() - kept:
                self._bytes -= size_bytes([known.pop(gone)])
        self._scans[name] = generation, scan_id, known
        for part in parts:
            if part not in known:
                known[part] = Directory(part.rpartition("/")[2])
                self._bytes += size_bytes([known[part]])
        return [known[part] for part in parts]

    def remember(
        self,
        directory: Directory,
        status: os.stat_result,
        counts: tuple[int, int, int],
        subdirectories: Sequence[Directory],
        *,
        settled: bool,
    ) -> bool:
        """Replace what is remembered of a directory by what has just been found in it.

        ``counts`` are its files, directories and others; what is not ``settled`` must be listed
        again next time. False if there is no room for its subdirectories.
        """
        kept = True
        if subdirectories or directory.subdirectories:
            kept = self._keep(directory, subdirectories)
        directory.files, directory.dirs, directory.others = counts
        directory.inode = status.st_ino
        directory.mtime_ns = status.st_mtime_ns
        directory.ctime_ns = None
        if settled and kept:
            # Mostly the same number: then one object holds it.
            same = status.st_ctime_ns == directory.mtime_ns
            directory.ctime_ns = directory.mtime_ns if same else status.st_ctime_ns
        return kept

    def forget(self, directory: Directory) -> None:
        """Have a directory be as if never visited."""
        self._replace(new=(), old=directory.subdirectories)
        directory.inode = 0
        directory.ctime_ns = None
        directory.subdirectories = ()

    def _keep(self, directory: Directory, subdirectories: Sequence[Directory]) -> bool:
        old, new = set(directory.subdirectories), set(subdirectories)
        kept = self._replace(new=new - old, old=old - new)
        if not kept:
            self._replace(new=(), old=old & new)
        directory.subdirectories = tuple(subdirectories) if kept else ()
        return kept

    def _replace(self, new: Iterable[Directory], old: Iterable[Directory]) -> bool:
        """Take account of what comes and goes; False if there is no room for the new."""
        self._bytes -= size_bytes(old)
        needed = size_bytes(new)
        while self._bytes + needed > self._max_bytes and len(self._scans) > 1:
            *_, parts = self._scans.pop(next(iter(self._scans)))
            self._bytes -= size_bytes(parts.values())
        if self._bytes + needed > self._max_bytes:
            return False
        self._bytes += needed
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._bytes = 0
        self._scans.clear()

    def _check_clock(self) -> None:
        """Forget everything if the clock was set back: times that have been may come again."""
        ahead_ns = time.time_ns() - time.monotonic_ns()
        if ahead_ns < self._clock_ahead_ns - 1_000_000_000:
            self.clear()
            self._clock_ahead_ns = ahead_ns
        self._clock_ahead_ns = max(ahead_ns, self._clock_ahead_ns)
