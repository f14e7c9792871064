"""The count of a directory's own entries, one directory after the other, within limits."""

from __future__ import annotations

import os
from itertools import islice

from etlmon.fsworker.jobs.entries import Entries
from etlmon.fsworker.jobs.memory import MOST_BELOW
from etlmon.fsworker.jobs.walk import CHUNK, Stopped, Walk, few_at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from etlmon.fsworker.jobs.ahead import Visit
    from etlmon.fsworker.jobs.memory import Directory


class Counting(Walk):
    """A walk that counts what is in the directories that it comes to.

    ``limits`` are those of a walk; ``at_a_time`` is how many directories are listed at once.
    """

    def __init__(
        self,
        path: str,
        *,
        at_a_time: int = 1,
        max_depth: int | None = None,
        max_files: int | None = None,
        **limits: Any,
    ) -> None:
        super().__init__(path, **limits)
        self._max_depth = max_depth
        self._max_files = max_files
        self._files = self._dirs = self._others = self._listed = 0
        # Not where the names matter, nor where it is each call that counts and not the time.
        plain = self._excluded is None and not self._seconds_per_call and at_a_time == 1
        self._entries = Entries.of_this_system() if plain else None

    def _progress(self) -> dict[str, object]:
        return {
            "files": self._files,
            "dirs": self._dirs,
            "others": self._others,
            "listed": self._listed,
        }

    def _enters_below(self, path: str) -> bool:
        """Tell whether the subdirectories of this one are entered too."""
        return self._max_depth is None or path.count("/") + 2 < self._max_depth

    def _list(self, directory: Directory, fd: int, names: list[str], packed: list[str]) -> None:
        """Count the entries of a directory below the deepest level.

        The names of its subdirectories are added to ``names`` if they are entered, to ``packed``
        where they are very many.
        """
        depth = len(self._levels) + 1
        if self._max_depth is not None and depth > self._max_depth:
            return
        deeper = self._max_depth is None or depth < self._max_depth
        self._listed += 1
        if self._entries is not None:
            found: list[str] = []
            while (counted := self._entries.count(fd, found, self._look)) is not None:
                self._files += counted[0]
                self._dirs += counted[1]
                self._others += counted[2]
                if deeper:
                    names += found
                    self._pack(names, packed)
                found.clear()
                self._look()
            return
        above = self._relative(f"{directory.name}/") if self._levels else ""
        with os.scandir(fd) as entries:
            while True:
                self._wait_turn()
                wanted = self._wanted()
                chunk = list(islice(entries, wanted))
                last = len(chunk) < wanted
                for some in few_at_once(chunk):
                    self._count(self._without_excluded(some, above), names if deeper else None)
                    self._look()
                self._pack(names, packed)
                if last:
                    return

    def _take_over(self, visit: Visit) -> bool:
        """Count what a thread has found in a directory; False if it could not read all of it."""
        self._listed += 1
        self._files += visit.files
        self._dirs += visit.dirs
        self._others += visit.others
        if visit.trouble is not None:
            self._failed(visit.trouble, visit.directory.name)
        self._look()
        return visit.trouble is None

    def _pack(self, names: list[str], packed: list[str]) -> None:
        """Take away very many names, of which none could be remembered, as texts."""
        while len(names) >= MOST_BELOW:
            packed.append("/".join(names[-MOST_BELOW:]))
            del names[-MOST_BELOW:]

    def _count(self, entries: list[os.DirEntry[str]], names: list[str] | None) -> None:
        """Count entries, and add the names of directories to ``names`` if they are entered."""
        # The type comes with the name: no stat of the file, except where the file system does not
        # tell it. One call for an ordinary file is the hot path.
        rest = [entry for entry in entries if not entry.is_file(follow_symlinks=False)]
        self._files += len(entries) - len(rest)
        for entry in rest:
            if entry.is_dir(follow_symlinks=False):
                self._dirs += 1
                if names is not None:
                    names.append(entry.name)
            else:
                self._others += 1

    def _wanted(self) -> int:
        """Give how many entries to read: never more than one file beyond ``max_files``."""
        if self._max_files is None:
            return CHUNK
        return min(CHUNK, self._max_files - self._files + 1)

    def _look(self) -> None:
        if self._max_files is not None and self._files > self._max_files:
            self._files = self._max_files
            raise Stopped("max_files")
        super()._look()
