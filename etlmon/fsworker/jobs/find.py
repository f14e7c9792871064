"""The job that finds the files whose names match, and stats only those."""

from __future__ import annotations

import os
import re
import stat
from heapq import heappush, heappushpop
from itertools import islice

from etlmon.fsworker.jobs.links import follow
from etlmon.fsworker.jobs.memory import Directory
from etlmon.fsworker.jobs.walk import CHUNK, Walk, few_at_once
from etlmon.fsworker.jobs.wire import RequestError, cut, optional

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

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
        """Count a file whose name matches."""
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
                [cut(path), size, mtime_ns]
                for mtime_ns, path, size in sorted(self._listed, reverse=True)
            ],
        }


class Find(Walk):
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
        # What may be found in each level, and in what is pending there.
        self._states: list[set[State]] = []
        self._pending_states: list[list[set[State]]] = []
        self._entries = 0

    def _visit(self, status: os.stat_result) -> None:
        begin = self._closed({(number, 0) for number in range(len(self._patterns))})
        self._arrive(Directory(""), os.dup(self._root), status, begin)
        while self._levels:
            self._look()
            pending = self._levels[-1].pending
            if not pending:
                self._pop()
                continue
            directory, states = pending.pop(), self._pending_states[-1].pop()
            opened = self._open(directory.name)
            if opened is not None:
                self._arrive(directory, *opened, states)

    def _found(self) -> dict[str, object]:
        found = [pattern.told() for pattern in self._patterns]
        return {"entries": self._entries, "found": found}

    def _progress(self) -> dict[str, object]:
        return {"entries": self._entries}

    def _closed(self, states: set[State]) -> set[State]:
        """Add what follows if any number of directories is none."""
        for number, at in list(states):
            # There are never two in a row, and never one at the end.
            if self._patterns[number].parts[at] is None:
                states.add((number, at + 1))
        return states

    def _arrive(
        self, directory: Directory, fd: int, status: os.stat_result, states: set[State]
    ) -> None:
        """Look for what may be in a directory that has been opened."""
        self._push(directory, fd, status)
        self._states.append(states)
        self._pending_states.append([])
        try:
            self._list()
        except OSError as error:
            self._failed(error, "")

    def _pop(self) -> None:
        del self._states[-1], self._pending_states[-1]
        super()._pop()

    def _list(self) -> None:
        level = self._levels[-1]
        with os.scandir(level.fd) as entries:
            while True:
                self._wait_turn()
                chunk = list(islice(entries, CHUNK))
                last = len(chunk) < CHUNK
                self._entries += len(chunk)
                for some in few_at_once(chunk):
                    for entry in self._without_excluded(some):
                        if entry.is_dir(follow_symlinks=False):
                            states = self._below(self._states[-1], entry.name)
                            if states:
                                level.pending.append(Directory(entry.name))
                                self._pending_states[-1].append(states)
                        else:
                            self._match(entry)
                    self._look()
                if last:
                    return

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

    def _match(self, entry: os.DirEntry[str]) -> None:
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
        path = self._relative(entry.name)
        if stat.S_ISLNK(status.st_mode):
            self._match_link(path, numbers)
        elif stat.S_ISREG(status.st_mode):
            for number in numbers:
                self._patterns[number].take(path, status)

    def _match_link(self, path: str, numbers: set[int]) -> None:
        """Count a link as the file that it leads to, unless that is found by its own name."""
        self._wait_turn()
        try:
            status, target = follow(self._root, self._path, path)
        except (OSError, ImportError, AttributeError):
            status, target = None, ""
        for number in numbers:
            if status is None or not stat.S_ISREG(status.st_mode):
                self._patterns[number].take_link()
            elif not self._finds(number, target):
                self._patterns[number].take(path, status)

    def _finds(self, number: int, path: str) -> bool:
        """Tell whether a pattern matches a path."""
        *above, name = path.split("/")
        states = self._closed({(number, 0)})
        for directory in above:
            states = self._below(states, directory)
        return number in self._matching(states, name)
