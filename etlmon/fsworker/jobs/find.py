"""The job that finds the files whose names match, and stats only those."""

from __future__ import annotations

import os
import re
import stat
from heapq import heappush, heappushpop

from etlmon.fsworker.jobs.links import follow
from etlmon.fsworker.jobs.search import Search
from etlmon.fsworker.jobs.wire import RequestError, cut, optional

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from etlmon.fsworker.jobs.memory import Directory

    # What of which pattern is to be matched next: the numbers of the pattern and of its part.
    State = tuple[int, int]


class _Pattern:
    """A glob, part by part (None for any number of directories), and what it has found."""

    def __init__(self, wanted: object, max_listed: int) -> None:
        if not isinstance(wanted, dict) or not wanted.get("parts"):
            raise RequestError(f"bad request: pattern {cut(repr(wanted))}")
        self.parts: list[Callable[[str], object] | None] = [
            None if part is None else re.compile(part).fullmatch for part in wanted["parts"]
        ]
        if self.parts[-1] is None or (None, None) in zip(self.parts, self.parts[1:], strict=False):
            raise RequestError("bad request: pattern without a name")
        self._max_listed = max_listed
        self._since_ns = optional(wanted, "since_ns", int)
        self._min_bytes = optional(wanted, "min_bytes", int) or 0
        self._matched = self._recent = self._arrived = self._empty = self._recent_bytes = 0
        self._links = 0
        # The newest ones.
        self._listed: list[tuple[int, str, int]] = []

    def take(self, path: str, status: os.stat_result) -> None:
        """Count a file whose name matches; ``path`` is as it is told."""
        self._matched += 1
        if self._since_ns is None or status.st_mtime_ns >= self._since_ns:
            self._recent += 1
            self._recent_bytes += status.st_size
            self._empty += status.st_size == 0
            self._arrived += status.st_size >= self._min_bytes
        if len(self._listed) < self._max_listed:
            heappush(self._listed, (status.st_mtime_ns, path, status.st_size))
        elif self._listed and status.st_mtime_ns > self._listed[0][0]:
            heappushpop(self._listed, (status.st_mtime_ns, path, status.st_size))

    def take_link(self) -> None:
        """Count a link whose name matches, and that leads to no file here."""
        self._links += 1

    def told(self) -> dict[str, object]:
        """Give what it has found, with the newest files first."""
        return {
            "matched": self._matched,
            "recent": self._recent,
            "arrived": self._arrived,
            "empty": self._empty,
            "recent_bytes": self._recent_bytes,
            "links": self._links,
            "files": [
                [path, size, mtime_ns]
                for mtime_ns, path, size in sorted(self._listed, reverse=True)
            ],
        }


class Find(Search):
    """Finds files by patterns, entering only directories in which some may be.

    Links to files below the directory are files too; of other links the number is told.
    """

    def __init__(
        self, path: str, *, patterns: Iterable[object], max_listed: int, **limits: Any
    ) -> None:
        super().__init__(path, **limits)
        try:
            self._patterns = [_Pattern(wanted, max_listed) for wanted in patterns]
        except (re.error, TypeError) as error:
            raise RequestError(f"bad request: pattern: {error}") from error
        # What may be found in each level.
        self._states: list[set[State]] = []

    def _found(self) -> dict[str, object]:
        found = [pattern.told() for pattern in self._patterns]
        return {**super()._found(), "found": found}

    def _closed(self, states: set[State]) -> set[State]:
        """Add what follows if any number of directories is none."""
        for number, at in list(states):
            # There are never two in a row, and never one at the end.
            if self._patterns[number].parts[at] is None:
                states.add((number, at + 1))
        return states

    def _arrive(self, directory: Directory, fd: int, status: os.stat_result) -> None:
        if self._states:
            states = self._below(self._states[-1], directory.name)
        else:
            states = self._closed({(number, 0) for number in range(len(self._patterns))})
        self._states.append(states)
        super()._arrive(directory, fd, status)

    def _pop(self) -> None:
        del self._states[-1]
        super()._pop()

    def _is_worth(self, name: str) -> bool:
        return bool(self._below(self._states[-1], name))

    def _below(self, states: set[State], name: str) -> set[State]:
        """Give what may be found in a subdirectory of one in which ``states`` may be."""
        below = set()
        for number, at in states:
            parts = self._patterns[number].parts
            matches = parts[at]
            if matches is None:
                if not name.startswith("."):
                    below.add((number, at))
            elif at + 1 < len(parts) and matches(name):
                below.add((number, at + 1))
        return self._closed(below)

    def _matching(self, states: set[State], name: str) -> set[int]:
        """Give the patterns that a name matches where ``states`` may be."""
        numbers = set()
        for number, at in states:
            parts = self._patterns[number].parts
            matches = parts[at]
            if matches is not None and at + 1 == len(parts) and matches(name):
                numbers.add(number)
        return numbers

    def _take(self, entry: os.DirEntry[str]) -> None:
        """Count a file with the patterns that its name matches."""
        numbers = self._matching(self._states[-1], entry.name)
        if not numbers:
            return
        self._wait_turn()
        self._look()
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            self._failed(error, entry.name)
            return
        if stat.S_ISLNK(status.st_mode):
            self._take_link(entry.name, numbers)
        elif stat.S_ISREG(status.st_mode):
            shown = self._shown(entry.name)
            for number in numbers:
                self._patterns[number].take(shown, status)

    def _take_link(self, name: str, numbers: set[int]) -> None:
        """Count a link as the file that it leads to, unless that is found by its own name."""
        self._wait_turn()
        try:
            status, target = follow(self._root, self._path, self._relative(name))
        except (OSError, ImportError, AttributeError):
            status, target = None, ""
        for number in numbers:
            if status is None or not stat.S_ISREG(status.st_mode):
                self._patterns[number].take_link()
            elif not self._finds(number, target):
                self._patterns[number].take(self._shown(name), status)

    def _finds(self, number: int, path: str) -> bool:
        """Tell whether a pattern matches a path."""
        *above, name = path.split("/")
        states = self._closed({(number, 0)})
        for directory in above:
            states = self._below(states, directory)
        return number in self._matching(states, name)
