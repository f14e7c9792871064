"""The job that finds the largest files and directories, as du measures them."""

from __future__ import annotations

import os
import stat
from heapq import heappush, heapreplace

from etlmon.fsworker.jobs.search import Search

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from etlmon.fsworker.jobs.memory import Directory

# Files with several names of which some are still to be found. Each takes about 100 bytes.
_MAX_LINKED = 200_000
_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's is


class _Largest:
    """The ``count`` largest of what is offered, by one measure."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._serial = 0
        self._heap: list[tuple[int, int, list[object]]] = []

    def offer(self, size: int, row: Callable[[], list[object]]) -> None:
        """Take what ``row`` gives if it is among the largest so far."""
        if len(self._heap) < self._count:
            # Of two that are as large, the one found first stays.
            self._serial -= 1
            heappush(self._heap, (size, self._serial, row()))
        elif size > self._heap[0][0]:
            self._serial -= 1
            heapreplace(self._heap, (size, self._serial, row()))

    def told(self) -> list[list[object]]:
        """Give the rows, the largest first."""
        return [row for _, _, row in sorted(self._heap, reverse=True)]


class _Total:
    """What has been found below a directory so far; ``allocated`` includes what it takes itself."""

    __slots__ = ("allocated", "apparent", "files")

    def __init__(self, allocated: int) -> None:
        self.allocated = allocated
        self.apparent = self.files = 0


class Top(Search):
    """Finds the ``count`` largest files and directories, by allocated and by apparent bytes.

    A directory is as large as all below it. Apparent bytes are those of regular files and links,
    allocated ones those that everything takes on the disk. A file with several names counts where
    it is first found.
    """

    def __init__(self, path: str, *, count: int, **limits: Any) -> None:
        super().__init__(path, **limits)
        self._files = (_Largest(count), _Largest(count))
        self._directories = (_Largest(count), _Largest(count))
        self._totals: list[_Total] = []
        self._allocated = 0
        self._all = _Total(0)
        # How many names are still to be found of a file that has several, by inode.
        self._linked: dict[int, int] = {}
        self._links_exact = True

    def _found(self) -> dict[str, object]:
        return {
            **super()._found(),
            "allocated_bytes": self._all.allocated,
            "apparent_bytes": self._all.apparent,
            "files": [largest.told() for largest in self._files],
            "directories": [largest.told() for largest in self._directories],
            "links_exact": self._links_exact,
        }

    def _progress(self) -> dict[str, object]:
        return {**super()._progress(), "allocated_bytes": self._allocated}

    def _arrive(self, directory: Directory, fd: int, status: os.stat_result) -> None:
        own = status.st_blocks * _BLOCK_BYTES
        self._allocated += own
        self._totals.append(_Total(own))
        super()._arrive(directory, fd, status)

    def _take(self, entry: os.DirEntry[str]) -> None:
        """Measure a file."""
        self._wait_turn()
        self._look()
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            self._failed(error, entry.name)
            return
        if status.st_nlink > 1 and self._is_known(status):
            return
        allocated = status.st_blocks * _BLOCK_BYTES
        self._allocated += allocated
        total = self._totals[-1]
        total.allocated += allocated
        if stat.S_ISLNK(status.st_mode):
            total.apparent += status.st_size
        if not stat.S_ISREG(status.st_mode):
            return
        total.apparent += status.st_size
        total.files += 1

        def row() -> list[object]:
            return [self._shown(entry.name), allocated, status.st_size, status.st_mtime_ns]

        self._files[0].offer(allocated, row)
        self._files[1].offer(status.st_size, row)

    def _is_known(self, status: os.stat_result) -> bool:
        """Tell whether a file has been found under another name."""
        left = self._linked.pop(status.st_ino, 0)
        if left > 1:
            self._linked[status.st_ino] = left - 1
        elif not left:
            if len(self._linked) < _MAX_LINKED:
                self._linked[status.st_ino] = status.st_nlink - 1
            else:
                self._links_exact = False
        return left > 0

    def _pop(self) -> None:
        """Leave the deepest level: what is below it is known, or at least so much."""
        total = self._totals.pop()

        def row() -> list[object]:
            return [self._shown(""), total.allocated, total.apparent, total.files]

        self._directories[0].offer(total.allocated, row)
        self._directories[1].offer(total.apparent, row)
        above = self._totals[-1] if self._totals else self._all
        above.allocated += total.allocated
        above.apparent += total.apparent
        above.files += total.files
        super()._pop()
