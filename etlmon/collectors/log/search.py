"""Finding the files that a path, or a pattern of paths, names. Blocks."""

from __future__ import annotations

import glob
import os
import re
import stat
from fnmatch import translate
from typing import TYPE_CHECKING

from etlmon.collectors.log.places import changed_ns, count_names, expanded, fixed_part
from etlmon.host.generation import COMPRESSED
from etlmon.host.rotated import bases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence, Set

MOST_FILES = 10_000
"""Files that one pattern may match; those that were written last are taken."""
_SETTLED_SECONDS = 2.0
_NAMES_A_SECOND = 2_000
"""Names that are looked through, on average, while others than the pattern's come and go."""


class Search:
    """The files of a log, found again and again; looked for only where something has changed."""

    def __init__(self, pattern: bytes) -> None:
        self._pattern = pattern
        self.is_pattern = glob.has_magic(pattern)
        self.fixed_path = fixed_part(pattern)
        self.directories: dict[bytes, int] = {}
        """Where files are looked for, and when each directory had changed last."""
        self.paths: frozenset[bytes] = frozenset()
        """The files that were found last."""
        self.rotated_bases: set[bytes] = set()
        """Names that rotated files which match have come from."""
        self._found_at = 0.0
        self._names_there = 0
        """Names in the directories then."""
        self._is_settled = False
        """Whether the files are the same as long as their directory does not change."""
        names = translate(os.fsdecode(os.path.basename(pattern)))
        self._own_names: Callable[[bytes], object] = re.compile(os.fsencode(names)).match

    def is_own(self, name: bytes) -> bool:
        """Tell whether a file of this name may be one of the log's; may be asked in any thread."""
        return bool(self._own_names(name))

    def may_find_more(self, now: float, came: Iterable[bytes]) -> bool:
        """Whether to look anew: at once when one is heard to have come, else once in a while."""
        if not self.is_pattern:
            return False
        has_come = any(self.is_own(os.path.basename(path)) for path in came)
        # What comes within the tick of a look leaves its directory with the time that it had.
        if self._are_unchanged() and (self._is_settled or not has_come):
            return False
        return has_come or now - self._found_at >= self._names_there / _NAMES_A_SECOND

    def find(
        self,
        now: float,
        known: Set[bytes],
        belongs_to_another: Callable[[bytes, os.stat_result], bool],
    ) -> list[bytes]:
        """Give the paths of the files; ``now`` is the monotonic clock's.

        ``known`` are those of which something is known. Of one that is new it is asked whether it
        is another one under a second name.
        """
        if not self.is_pattern:
            places = {self._pattern, os.path.realpath(self._pattern)}
            self.directories = dict.fromkeys(map(os.path.dirname, places), 0)
            self._own_names = frozenset(map(os.path.basename, places)).__contains__
            return [self._pattern]
        if self._is_settled and self._are_unchanged() and self.paths <= known:
            return []
        directory, before = os.path.dirname(self._pattern), self.directories
        parents = expanded(directory)
        self.directories = {one: changed_ns(one) for one in parents if os.path.isdir(one)}
        found = expanded(self._pattern)
        paths, is_all = self._matches(found, known, belongs_to_another)
        # Not where directories may come, nor where one may change again within its tick.
        self._is_settled = (
            is_all
            and parents == [directory]
            and before == self.directories
            and now - self._found_at >= _SETTLED_SECONDS
        )
        self._found_at, self._names_there = now, count_names(self.directories)
        self.paths = frozenset(paths)
        return paths

    def _are_unchanged(self) -> bool:
        return all(changed_ns(one) == at_ns for one, at_ns in self.directories.items())

    def _matches(
        self,
        paths: Sequence[bytes],
        known: Set[bytes],
        belongs_to_another: Callable[[bytes, os.stat_result], bool],
    ) -> tuple[list[bytes], bool]:
        """Give those of the files that are logs, not what rotation has put aside.

        Tells, too, whether that is all: one that is left out may be a log at another time.
        """
        files: dict[tuple[int, int], list[tuple[int, bytes]]] = {}
        left_out = 0
        self.rotated_bases = set()
        names = {*paths, *known}
        for path in paths:
            own_bases = bases(path) & names
            self.rotated_bases |= own_bases
            if path.endswith(COMPRESSED) or own_bases:
                continue
            try:
                status = os.stat(path)
            except OSError:
                left_out += 1
                continue
            if stat.S_ISREG(status.st_mode) and not belongs_to_another(path, status):
                identity = (status.st_dev, status.st_ino)
                files.setdefault(identity, []).append((status.st_mtime_ns, path))
            else:
                left_out += 1
        found: list[tuple[int, bytes]] = []
        for same in files.values():
            read = _names_to_read(same, known)
            left_out += len(same) - len(read)
            found += read
        found.sort(reverse=True)
        is_all = not left_out and len(found) <= MOST_FILES
        return [path for _, path in found[:MOST_FILES]], is_all


def _names_to_read(same: list[tuple[int, bytes]], known: Set[bytes]) -> list[tuple[int, bytes]]:
    """Give those names of one file under which it is read: one that is, or was, goes on.

    Where it is new its own name is taken rather than that of a link to it.
    """
    if len(same) == 1:
        return same
    read = [one for one in same if one[1] in known]
    return read or [min(same, key=lambda one: (os.path.islink(one[1]), one[1]))]
