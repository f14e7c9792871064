"""What the jobs have in common that look at each entry of the directories that they come to."""

from __future__ import annotations

import os
from abc import abstractmethod
from itertools import islice

from etlmon.fsworker.jobs.memory import Directory
from etlmon.fsworker.jobs.walk import CHUNK, Walk, few_at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Search(Walk):
    """A walk that looks at entries, one by one; ``limits`` are those of a walk.

    Nothing of a directory is held but the names of the subdirectories that are to be entered.
    """

    def __init__(self, path: str, **limits: Any) -> None:
        super().__init__(path, **limits)
        self._entries = 0

    def _visit(self, status: os.stat_result) -> None:
        self._arrive(Directory(""), os.dup(self._root), status)
        while self._levels:
            self._look()
            directory = self._levels[-1].take()
            if directory is None:
                self._pop()
                continue
            opened = self._open(directory.name)
            if opened is not None:
                self._arrive(directory, *opened)

    def _found(self) -> dict[str, object]:
        return {"entries": self._entries}

    def _progress(self) -> dict[str, object]:
        return {"entries": self._entries}

    def _arrive(self, directory: Directory, fd: int, status: os.stat_result) -> None:
        """Look at what is in a directory that has been opened."""
        self._push(directory, fd, status)
        try:
            self._list()
        except OSError as error:
            self._failed(error, "")

    def _list(self) -> None:
        level = self._levels[-1]
        with os.scandir(level.fd) as entries:
            while True:
                self._wait_turn()
                chunk = list(islice(entries, CHUNK))
                for some in few_at_once(chunk):
                    for entry in self._without_excluded(some):
                        self._entries += 1
                        if not entry.is_dir(follow_symlinks=False):
                            self._take(entry)
                        elif self._is_worth(entry.name):
                            level.add(entry.name)
                    self._look()
                if len(chunk) < CHUNK:
                    return

    # What each search does in its own way

    @abstractmethod
    def _take(self, entry: os.DirEntry[str]) -> None:
        """Look at an entry of the deepest level that is no directory."""

    def _is_worth(self, name: str) -> bool:
        """Tell whether a subdirectory of the deepest level is to be entered."""
        return True
