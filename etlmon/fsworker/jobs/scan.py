"""The job that counts what is below a directory, and remembers it for the next time."""

from __future__ import annotations

import errno
import os
import time
from time import monotonic

from etlmon.fsworker.jobs.children import Children
from etlmon.fsworker.jobs.counting import Counting
from etlmon.fsworker.jobs.memory import Directory
from etlmon.fsworker.jobs.walk import CLOSED, PASS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from etlmon.fsworker.jobs.ahead import Visit
    from etlmon.fsworker.jobs.memory import Memory

# Levels down to which a directory is stat'ed by its path from the top, which gets dearer with
# each; below them it is opened.
_BY_PATH_LEVELS = 32
# The paths given away at once, and their characters: each is at most 6 bytes of a line of 1 MiB.
_MAX_GIVEN, _MAX_GIVEN_CHARACTERS = 2_000, 100_000


class Scan(Counting):
    """Counts what is below one directory, as ``find -H DIR -xdev -mindepth 1`` sees it.

    ``limits`` are those of a walk that counts.
    """

    def __init__(
        self,
        path: str,
        *,
        memory: Memory | None = None,
        remember_as: str = "",
        scan_id: object = None,
        generation: int = 0,
        settle_seconds: float = 2.0,
        parts: Sequence[str] = ("",),
        apart: Iterable[str] = (),
        **limits: Any,
    ) -> None:
        super().__init__(path, **limits)
        self._memory = memory
        self._remember_as = remember_as
        self._scan_id = scan_id
        self._generation = generation
        self._reuses = False
        self._settle_ns = int(settle_seconds * 1e9)
        self._parts = parts
        self._children = Children()
        self._children.share(parts)
        self._apart: dict[str, set[str]] = {}
        for part in apart:
            above, slash, name = part.rpartition("/")
            self._apart.setdefault(above + slash, set()).add(name)
        self._children.share(apart)
        # The counts before the child of the root that the scan is in.
        self._before_child = 0, 0, 0
        self._reused = 0
        self._newest_mtime_ns: int | None = None

    def _visit(self, status: os.stat_result) -> None:
        if self._memory is None:
            directories = [Directory(part.rpartition("/")[2]) for part in self._parts]
        else:
            # Another file system may be mounted there now, with the same inodes.
            name = f"{self._remember_as} {self._device}"
            directories = self._memory.recall(name, self._generation, self._scan_id, self._parts)
            self._reuses = any(directory.is_remembered for directory in directories)
        for part, directory in zip(self._parts, directories, strict=True):
            if part:
                self._go_to(part, directory, status)
            else:
                self._arrive(directory, os.dup(self._root), status)
            self._walk()

    def _found(self) -> dict[str, object]:
        return {
            **self._progress(),
            **self._children.told(),
            "newest_mtime_ns": self._newest_mtime_ns,
        }

    def _progress(self) -> dict[str, object]:
        return {**super()._progress(), "reused": self._reused}

    def _share(self) -> None:
        self._tell({"given": self._give()})

    def _go_to(self, part: str, directory: Directory, root: os.stat_result) -> None:
        """Go down to the parent of a part, whose entries are another worker's."""
        *upper, _ = part.split("/")
        self._before_child = self._files, self._dirs, self._others
        self._push(Directory(""), os.dup(self._root), root)
        try:
            for name in upper:
                fd = os.open(name, PASS, dir_fd=self._levels[-1].fd)
                self._push(Directory(name), fd, os.fstat(fd))
        except OSError as error:
            # Who has the upper directory tells of one that may not be entered.
            if error.errno != errno.EACCES:
                self._failed(error, name)
            return
        self._levels[-1].pending.append(directory)

    def _walk(self) -> None:
        """Visit what is pending, and all below it."""
        while self._levels:
            if not self._levels[-1].pending:
                self._unpack_or_pop()
            else:
                self._go_on()

    def _go_on(self) -> None:
        """Visit at least one of the pending directories of the deepest level."""
        if not (self._reuses and self._reuse()):
            self._enter(self._levels[-1].pending.pop())

    def _unpack_or_pop(self) -> None:
        """Go on in the deepest level with those that are packed, or leave it."""
        unpacked = self._levels[-1].unpack()
        if unpacked:
            self._pend(unpacked)
        else:
            self._pop()

    def _reuse(self) -> bool:
        """Take over what is remembered of pending directories, as long as nothing has changed.

        Give False if the next one must be entered. One system call and few steps for each
        directory: this loop is what a rescan consists of.
        """
        if len(self._levels) > _BY_PATH_LEVELS:
            return False
        pending = self._levels[-1].pending
        above = self._relative("")
        at_root = len(self._levels) == 1
        root, device, lstat, is_slowed = self._root, self._device, os.lstat, self._seconds_per_call
        look_at = min(self._next_orders, self._deadline or self._next_orders)
        newest_mtime_ns = self._newest_mtime_ns or 0
        files = dirs = others = reused = 0
        try:
            for known in reversed(pending):
                if known.ctime_ns is None:
                    return False
                if is_slowed:
                    self._wait_turn()
                # By its path: a link put in the way leads to what does not have this identity.
                status = lstat(above + known.name, dir_fd=root)
                if not (
                    status.st_ctime_ns == known.ctime_ns
                    and status.st_mtime_ns == known.mtime_ns
                    and status.st_ino == known.inode
                    and status.st_dev == device
                ):
                    return False
                reused += 1
                files += known.files
                dirs += known.dirs
                others += known.others
                if known.mtime_ns > newest_mtime_ns:  # noqa: PLR1730 - max() costs more here
                    newest_mtime_ns = known.mtime_ns
                if known.subdirectories:
                    self._push(known, CLOSED, status)
                    if at_root:
                        self._before_child = (
                            self._files + files - known.files,
                            self._dirs + dirs - known.dirs,
                            self._others + others - known.others,
                        )
                    self._pend(known.subdirectories)
                    return True
                if at_root:
                    self._children.add(known.name, known.files, known.dirs, known.others)
                if monotonic() >= look_at:
                    break
            return True
        except OSError:
            return False  # To be entered, which tells what the matter is.
        finally:
            if reused:
                del pending[-reused:]
            self._files += files
            self._dirs += dirs
            self._others += others
            self._reused += reused
            self._newest_mtime_ns = newest_mtime_ns or self._newest_mtime_ns
            self._look()

    def _enter(self, directory: Directory) -> None:
        """Open and visit one subdirectory of the deepest level."""
        opened = self._open(directory.name)
        if opened is None:
            self._look()  # Here too, for a million directories that cannot be opened.
        else:
            self._arrive(directory, *opened)

    def _loops(self, name: str) -> None:
        self._dirs -= 1  # find reports the loop and does not count it.
        super()._loops(name)

    def _pop(self) -> None:
        if len(self._levels) == 2:
            self._add_child(self._levels[1].directory.name, self._before_child)
        super()._pop()

    def _add_child(self, name: str, before: tuple[int, int, int]) -> None:
        """Note what has been counted since ``before``, which is below a child of the root."""
        files, dirs, others = before
        self._children.add(name, self._files - files, self._dirs - dirs, self._others - others)

    def _arrive(
        self, directory: Directory, fd: int, status: os.stat_result, visit: Visit | None = None
    ) -> None:
        """Count what is in a directory that has been opened; go down where something is below it.

        It is closed where that is not so: most directories have no others in them.
        """
        if self._newest_mtime_ns is None or status.st_mtime_ns > self._newest_mtime_ns:
            self._newest_mtime_ns = status.st_mtime_ns
        before = self._files, self._dirs, self._others
        kept = self._levels[-1].kept if self._levels else True
        subdirectories: Sequence[Directory]
        packed: list[str] = []
        try:
            if self._reuses and directory.is_unchanged(status):
                subdirectories = self._take_known(directory)
            else:
                subdirectories, kept = self._take_new(
                    directory, fd, status, visit, packed, kept=kept
                )
        except BaseException as error:
            _close(fd)
            if isinstance(error, MemoryError):
                raise self._out_of_memory(directory.name) from None
            raise
        if subdirectories or packed:
            self._push(directory, fd, status)
            self._levels[-1].kept = kept
            self._levels[-1].packed = packed
            if len(self._levels) == 2:
                self._before_child = before
            self._pend(subdirectories)
            return
        _close(fd)
        if len(self._levels) == 1:
            self._add_child(directory.name, before)

    def _take_known(self, directory: Directory) -> Sequence[Directory]:
        """Count what is remembered of a directory; give its subdirectories."""
        self._files += directory.files
        self._dirs += directory.dirs
        self._others += directory.others
        self._reused += 1
        self._look()
        return directory.subdirectories

    def _take_new(
        self,
        directory: Directory,
        fd: int,
        status: os.stat_result,
        visit: Visit | None,
        packed: list[str],
        *,
        kept: bool,
    ) -> tuple[Sequence[Directory], bool]:
        """Count what a directory holds, by listing it.

        Give its subdirectories, and whether they are remembered, which ``kept`` asks for. Where
        they are very many, the names of most are added to ``packed``, and none is remembered.
        """
        # Before the listing: what changes from now on gets times that differ from those in status.
        now_ns = visit.listed_at_ns if visit else time.time_ns()
        settled = max(status.st_mtime_ns, status.st_ctime_ns) <= now_ns - self._settle_ns
        before = self._files, self._dirs, self._others
        names: list[str] = []
        try:
            if visit is None:
                self._list(directory, fd, names, packed)
        except OSError as error:
            self._failed(error, directory.name)
            settled = False
        if visit is not None:
            names = visit.names
            self._pack(names, packed)
            settled = self._take_over(visit) and settled
        known = {}
        if directory.subdirectories and directory.inode == status.st_ino:
            known = {one.name: one for one in directory.subdirectories}
        subdirectories = [known.get(name) or Directory(name) for name in names]
        if self._memory is not None and kept:
            counts = self._files - before[0], self._dirs - before[1], self._others - before[2]
            if packed:
                self._memory.forget(directory)
                kept = False
            else:
                kept = self._memory.remember(
                    directory, status, counts, subdirectories, settled=settled
                )
        return subdirectories, kept

    def _pend(self, subdirectories: Sequence[Directory]) -> None:
        """Note the subdirectories of the deepest level that are to be visited by this worker."""
        pending = list(subdirectories)
        if self._apart:
            others = self._apart.get(self._relative(""), ())
            if others:
                pending = [one for one in pending if one.name not in others]
        self._levels[-1].pending = pending

    def _give(self) -> list[str]:
        """Leave to another worker half of the pending directories that are highest up.

        Only of those that cost as much there: not what may be reused here. The last one stays.
        """
        fresh = [
            [one for one in level.pending if not (self._reuses and one.is_remembered)]
            for level in self._levels
        ]
        if sum(map(len, fresh)) < 2:
            return []
        depth = next(index for index, directories in enumerate(fresh) if directories)
        above = "".join(f"{level.directory.name}/" for level in self._levels[1 : depth + 1])
        given: list[str] = []
        characters = 0
        for directory in fresh[depth][: (len(fresh[depth]) + 1) // 2]:
            given.append(directory.name)
            if self._memory is not None and self._levels[depth].kept:
                self._memory.forget(directory)
            characters += len(above) + len(directory.name)
            if characters > _MAX_GIVEN_CHARACTERS or len(given) == _MAX_GIVEN:
                break
        names = set(given)
        pending = self._levels[depth].pending
        pending[:] = [one for one in pending if one.name not in names]
        self._children.share([above + name for name in given])
        return [above + name for name in given]


def _close(fd: int) -> None:
    if fd != CLOSED:
        os.close(fd)
