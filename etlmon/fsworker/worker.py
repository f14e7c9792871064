"""The child: does what may hang or burn CPU, one request after the other.

It is run as a program, never imported by the parent, and uses the standard library only::

    python -I -S -E -X utf8 worker.py [LIMITS]

LIMITS is an object in JSON; what is not given stays as the parent's: ``nice`` (added),
``memory_bytes`` (RLIMIT_AS), ``descriptors`` (RLIMIT_NOFILE), ``idle_io`` (whether its reads and
writes wait for those of all others, where the disk's scheduler knows such a class).

**Wire format.** One JSON object a line, requests on standard input, answers on standard output,
ASCII only. Names and paths are text by ``surrogateescape``, so every byte of them survives. A
request has an ``id`` and an ``op``; every line of its answer repeats the ``id``::

    {"id": 1, "op": "statvfs", "path": "/data"}
    {"id": 1, "answer": {"blocks": .., "bfree": .., "bavail": .., "frsize": .., "files": ..,
                         "ffree": .., "read_only": false, "st_dev": ..}}

    {"id": 2, "op": "scan", "path": "/data", "max_depth": null, "exclude": null,
     "max_files": null, "timeout_seconds": 600.0, "skip": ["mnt/nfs"],
     "max_ops_per_second": null, "remember_as": null or "..", "scan_id": 7, "relist": false,
     "settle_seconds": 2.0, "parts": [""], "apart": []}
    {"id": 2, "progress": {"files": .., "dirs": .., "others": .., "listed": .., "reused": ..,
                           "directory": ".."}}
    {"id": 2, "given": ["a/b", "c"]}
    {"id": 2, "answer": {"files": .., "dirs": .., "others": .., "listed": .., "reused": ..,
                         "skipped_mounts": .., "newest_mtime_ns": .. or null,
                         "stopped": null or "timeout" or "max_files",
                         "troubles": [{"kind": "EACCES", "count": 3, "example": "a/b"}],
                         "duration_seconds": ..}}

    {"id": 3, "error": {"errno": "ENOENT" or null, "text": "/data: No such file or directory"}}

Exactly one ``answer`` or ``error`` ends a request; ``progress`` lines come before it, a few a
second. ``exclude`` is the source of a regular expression that must match the whole path relative
to the scanned directory, with ``/`` at the end of directories; ``skip`` are relative paths of
directories that are counted and never opened. A request that makes no sense is an error answer.

**Sharing a scan.** While a worker scans, the parent may write ``{"id": 2, "op": "share"}``: it
answers ``given``, directories that it has counted and leaves to others from now on, or none; and
``{"id": 2, "op": "stop"}``: it ends the scan as at ``max_files``. Either is ignored if it comes
too late. ``parts`` are the directories whose content is this worker's share, ``""`` the scanned
one; ``apart`` are those that others have, and are not entered.

**Scanning again.** What a scan with ``remember_as`` found is kept under that name, which must
change with whatever changes the counts. A scan of the same name does not list a directory again
whose device, inode, mtime and ctime are what they were, if those times were ``settle_seconds``
old when it was listed: a change so soon after another may get the same times. (mtime alone would
not do: rsync, tar and touch set it back.) ``relist`` lists all the same. ``scan_id`` tells
requests of one scan from those of the next.

**Its end.** Standard input at its end ends the worker, at the next directory while it scans. ^C
is the parent's business.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import resource
import select
import signal
import sys
import time
from itertools import islice
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from typing import TypeVar

    T = TypeVar("T")

# Entries between two looks at the clock; also what is held of a directory at one time.
_CHUNK = 1024
_PROGRESS_SECONDS = 0.25
# Between two looks at standard input, while a scan runs.
_ORDERS_SECONDS = 0.005
# Open directories on the way down; deeper trees close the upper ones and find them again.
_MAX_OPEN = 24
# Levels down to which a directory is stat'ed by its path from the top, which gets dearer with
# each; below them it is opened.
_BY_PATH_LEVELS = 32
# What the kernel takes as one path, with its NUL.
_PATH_MAX = 4096
_MAX_SHOWN = 1000
# The paths given away at once, in characters: each is at most 6 bytes of a line of 1 MiB.
_MAX_GIVEN_CHARACTERS = 100_000
# What a throttled scan may catch up with after it was held up.
_BURST_SECONDS = 0.1
# What all scans together may remember, and what a directory takes besides its name: the object,
# its numbers and its place in a list (measured by test_memory_of_a_directory).
_MAX_REMEMBERED_BYTES = 24 << 20
_DIRECTORY_BYTES = 240
_CLOSED = -1
_BOUNDS = (("memory_bytes", resource.RLIMIT_AS), ("descriptors", resource.RLIMIT_NOFILE))
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PASS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
# The directory was there when its parent was listed and is not any more, or is something else.
_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class RequestError(Exception):
    """The request cannot be served; its text goes into the error answer."""


class _Stopped(Exception):
    """The scan ends before its end; the text is the reason as the answer gives it."""


class _Directory:
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
        self.subdirectories: Sequence[_Directory] = ()

    @property
    def is_remembered(self) -> bool:
        """Whether its content, or that of something below it, may be reused."""
        return self.ctime_ns is not None or bool(self.subdirectories)

    def forget(self) -> None:
        """Be as if never visited."""
        self.inode = 0
        self.ctime_ns = None
        self.subdirectories = ()

    def is_unchanged(self, status: os.stat_result) -> bool:
        """Tell whether what is remembered still holds, for a directory of the same device."""
        return (
            status.st_ctime_ns == self.ctime_ns
            and status.st_mtime_ns == self.mtime_ns
            and status.st_ino == self.inode
        )


def _size_bytes(directories: Iterable[_Directory]) -> int:
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
        self._scans: dict[str, tuple[object, dict[str, _Directory]]] = {}
        self._clock_ahead_ns = 0

    def recall(self, name: str, scan_id: object, parts: Iterable[str]) -> list[_Directory]:
        """Give what is remembered of each part, new directories where nothing is."""
        self._check_clock()
        known_id, known = self._scans.pop(name, (scan_id, {}))
        if known_id != scan_id:
            # A new scan begins, with all the parts that this worker had and still has.
            for gone in known.keys() - set(parts):
                self._bytes -= _size_bytes([known.pop(gone)])
        self._scans[name] = scan_id, known
        for part in parts:
            if part not in known:
                known[part] = _Directory(part.rpartition("/")[2])
                self._bytes += _size_bytes([known[part]])
        return [known[part] for part in parts]

    def replace(self, new: Iterable[_Directory], old: Iterable[_Directory]) -> bool:
        """Take account of what comes and goes; False if there is no room for the new."""
        self._bytes -= _size_bytes(old)
        needed = _size_bytes(new)
        while self._bytes + needed > self._max_bytes and len(self._scans) > 1:
            _, parts = self._scans.pop(next(iter(self._scans)))
            self._bytes -= _size_bytes(parts.values())
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


class _Level:
    """One directory on the way from the scanned one to where the scan is.

    ``fd`` is _CLOSED while the directory is; ``identity`` tells whether what is opened again
    under its path is still itself; ``pending`` are subdirectories still to be entered; ``kept``
    says that what is found in it is remembered.
    """

    __slots__ = ("directory", "fd", "identity", "kept", "pending")

    def __init__(
        self, directory: _Directory, fd: int, identity: tuple[int, int], kept: bool
    ) -> None:
        self.directory = directory
        self.fd = fd
        self.identity = identity
        self.pending: list[_Directory] = []
        self.kept = kept


class Scan:
    """Counts what is below one directory, as ``find -H DIR -xdev -mindepth 1`` sees it.

    ``orders`` gives what the parent has written meanwhile; ``tell`` writes a line to it.
    """

    def __init__(
        self,
        path: str,
        *,
        max_depth: int | None = None,
        exclude: str | None = None,
        max_files: int | None = None,
        timeout_seconds: float | None = None,
        skip: Iterable[str] = (),
        max_ops_per_second: float | None = None,
        memory: Memory | None = None,
        remember_as: str = "",
        scan_id: object = None,
        relist: bool = False,
        settle_seconds: float = 2.0,
        parts: Sequence[str] = ("",),
        apart: Iterable[str] = (),
        tell: Callable[[dict[str, object]], None] = lambda _: None,
        orders: Callable[[], Collection[object]] = tuple,
    ) -> None:
        self._path = path
        self._max_depth = max_depth
        self._excluded = None if exclude is None else re.compile(exclude).fullmatch
        self._max_files = max_files
        self._skip = frozenset(skip)
        # Few directories share a name with one to be skipped: only theirs is worth a whole path.
        self._skip_names = frozenset(path.rpartition("/")[2] for path in self._skip)
        self._seconds_per_call = 1 / max_ops_per_second if max_ops_per_second else 0.0
        self._next_call = 0.0
        self._memory = memory
        self._remember_as = remember_as
        self._scan_id = scan_id
        self._reuses = memory is not None and not relist
        self._settle_ns = int(settle_seconds * 1e9)
        self._parts = parts
        self._apart: dict[str, set[str]] = {}
        for part in apart:
            above, slash, name = part.rpartition("/")
            self._apart.setdefault(above + slash, set()).add(name)
        self._tell = tell
        self._orders = orders
        self._began = monotonic()
        self._deadline = None if timeout_seconds is None else self._began + timeout_seconds
        self._next_progress = self._began + _PROGRESS_SECONDS
        self._next_orders = self._began + _ORDERS_SECONDS
        self._root = _CLOSED
        self._levels: list[_Level] = []
        self._on_the_way: set[tuple[int, int]] = set()
        self._files = self._dirs = self._others = 0
        self._listed = self._reused = self._skipped_mounts = 0
        self._newest_mtime_ns: int | None = None
        self._troubles: dict[str, tuple[int, str]] = {}

    def run(self) -> dict[str, object]:
        """Scan and give the answer; raise OSError if the directory itself cannot be opened."""
        stopped = None
        self._root = _open_directory(self._path, None, _OPEN)
        try:
            status = os.fstat(self._root)
            self._device = status.st_dev
            if self._memory is None:
                directories = [_Directory(part.rpartition("/")[2]) for part in self._parts]
            else:
                # Another file system may be mounted there now, with the same inodes.
                name = f"{self._remember_as} {self._device}"
                directories = self._memory.recall(name, self._scan_id, self._parts)
            for part, directory in zip(self._parts, directories, strict=True):
                if part:
                    self._go_to(part, directory, status)
                else:
                    self._arrive(directory, os.dup(self._root), status)
                self._walk()
        except _Stopped as reason:
            stopped = str(reason)
        finally:
            while self._levels:
                self._pop()
            os.close(self._root)
        return {
            **self._counts(),
            "skipped_mounts": self._skipped_mounts,
            "newest_mtime_ns": self._newest_mtime_ns,
            "stopped": stopped,
            "troubles": [
                {"kind": kind, "count": count, "example": example}
                for kind, (count, example) in sorted(self._troubles.items())
            ],
            "duration_seconds": monotonic() - self._began,
        }

    def _counts(self) -> dict[str, object]:
        return {
            "files": self._files,
            "dirs": self._dirs,
            "others": self._others,
            "listed": self._listed,
            "reused": self._reused,
        }

    def _go_to(self, part: str, directory: _Directory, root: os.stat_result) -> None:
        """Go down to the parent of a part, whose entries are another worker's."""
        *upper, _ = part.split("/")
        self._push(_Directory(""), os.dup(self._root), root)
        try:
            for name in upper:
                fd = os.open(name, _PASS, dir_fd=self._levels[-1].fd)
                self._push(_Directory(name), fd, os.fstat(fd))
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
                self._pop()
            elif not (self._reuses and self._reuse()):
                # Here too, for a million directories that cannot be opened.
                self._look()
                self._enter(self._levels[-1].pending.pop())

    def _reuse(self) -> bool:
        """Take over what is remembered of pending directories, as long as nothing has changed.

        Give False if the next one must be entered. One system call and few steps for each
        directory: this loop is what a rescan consists of.
        """
        if len(self._levels) > _BY_PATH_LEVELS:
            return False
        level = self._levels[-1]
        pending = level.pending
        above = self._relative("")
        root, device, stat = self._root, self._device, os.stat
        look_at = min(self._next_orders, self._deadline or self._next_orders)
        newest_mtime_ns = self._newest_mtime_ns or 0
        known = pending[-1]
        files = dirs = others = reused = 0
        try:
            while known.ctime_ns is not None:
                if self._seconds_per_call:
                    self._wait_turn()
                # By its path: a link put in the way leads to what does not have this identity.
                status = stat(above + known.name, dir_fd=root, follow_symlinks=False)
                if not (
                    status.st_ctime_ns == known.ctime_ns
                    and status.st_mtime_ns == known.mtime_ns
                    and status.st_ino == known.inode
                    and status.st_dev == device
                ):
                    return False
                pending.pop()
                reused += 1
                files += known.files
                dirs += known.dirs
                others += known.others
                if known.mtime_ns > newest_mtime_ns:  # noqa: PLR1730 - max() costs more here
                    newest_mtime_ns = known.mtime_ns
                if known.subdirectories:
                    self._push(known, _CLOSED, status)
                    self._pend(known.subdirectories)
                    return True
                if not pending or monotonic() >= look_at:
                    return True
                known = pending[-1]
            return False
        except OSError:
            return False  # To be entered, which tells what the matter is.
        finally:
            self._files += files
            self._dirs += dirs
            self._others += others
            self._reused += reused
            self._newest_mtime_ns = newest_mtime_ns or self._newest_mtime_ns
            self._look()

    def _enter(self, directory: _Directory) -> None:
        """Open and visit one subdirectory of the deepest level."""
        name = directory.name
        if name in self._skip_names and self._relative(name) in self._skip:
            self._skipped_mounts += 1
            return
        self._wait_turn()
        try:
            parent = self._levels[-1]
            if parent.fd == _CLOSED:
                parent.fd = self._reopen()
            fd = _open_directory(name, parent.fd, _OPEN | os.O_NOFOLLOW)
        except OSError as error:
            self._failed(error, name)
            if self._levels[-1].fd == _CLOSED:
                # Its subdirectories cannot be reached any more: gone, or the trouble just noted.
                self._levels[-1].pending.clear()
            return
        status = os.fstat(fd)
        if status.st_dev != self._device:
            os.close(fd)
            self._skipped_mounts += 1
        elif (status.st_dev, status.st_ino) in self._on_the_way:
            # An upper directory bound below itself. find reports the loop and does not count it.
            os.close(fd)
            self._dirs -= 1
            self._trouble("ELOOP", name)
        else:
            self._arrive(directory, fd, status)

    def _arrive(self, directory: _Directory, fd: int, status: os.stat_result) -> None:
        """Count what is in a directory that has been opened, by listing it where that is needed."""
        if self._newest_mtime_ns is None or status.st_mtime_ns > self._newest_mtime_ns:
            self._newest_mtime_ns = status.st_mtime_ns
        self._push(directory, fd, status)
        if self._reuses and directory.is_unchanged(status):
            self._files += directory.files
            self._dirs += directory.dirs
            self._others += directory.others
            self._reused += 1
            self._pend(directory.subdirectories)
            self._look()
            return
        # Before the listing: what changes from now on gets times that differ from those in status.
        settled = max(status.st_mtime_ns, status.st_ctime_ns) <= time.time_ns() - self._settle_ns
        before = self._files, self._dirs, self._others
        names: list[str] = []
        try:
            self._list(names)
        except OSError as error:
            self._failed(error, "")
            settled = False
        known = {}
        if directory.inode == status.st_ino:
            known = {one.name: one for one in directory.subdirectories}
        subdirectories = [known.get(name) or _Directory(name) for name in names]
        if self._levels[-1].kept:
            counts = self._files - before[0], self._dirs - before[1], self._others - before[2]
            self._remember(directory, status, settled, counts, subdirectories)
        self._pend(subdirectories)

    def _remember(
        self,
        directory: _Directory,
        status: os.stat_result,
        settled: bool,
        counts: tuple[int, int, int],
        subdirectories: list[_Directory],
    ) -> None:
        """Replace what is remembered of a directory by what has just been found in it."""
        assert self._memory is not None
        old, new = set(directory.subdirectories), set(subdirectories)
        kept = self._memory.replace(new=new - old, old=old - new)
        if not kept:
            self._memory.replace(new=(), old=old & new)
        self._levels[-1].kept = kept
        directory.subdirectories = tuple(subdirectories) if kept else ()
        directory.files, directory.dirs, directory.others = counts
        directory.inode = status.st_ino
        directory.mtime_ns = status.st_mtime_ns
        directory.ctime_ns = None
        if settled and kept:
            # Mostly the same number: then one object holds it.
            same = status.st_ctime_ns == directory.mtime_ns
            directory.ctime_ns = directory.mtime_ns if same else status.st_ctime_ns

    def _pend(self, subdirectories: Sequence[_Directory]) -> None:
        """Note the subdirectories of the deepest level that are to be visited by this worker."""
        pending = list(subdirectories)
        if self._apart:
            others = self._apart.get(self._relative(""), ())
            if others:
                pending = [one for one in pending if one.name not in others]
        self._levels[-1].pending = pending

    def _list(self, names: list[str]) -> None:
        """Count the entries of the deepest level, and give the subdirectories to be entered."""
        level = self._levels[-1]
        depth = len(self._levels)
        if self._max_depth is not None and depth > self._max_depth:
            return
        deeper = self._max_depth is None or depth < self._max_depth
        self._listed += 1
        with os.scandir(level.fd) as entries:
            while True:
                self._wait_turn()
                wanted = self._wanted()
                chunk = list(islice(entries, wanted))
                last = len(chunk) < wanted
                if self._excluded is not None:
                    chunk = self._without_excluded(chunk, self._excluded)
                # The type comes with the name: no stat of the file, except where the file
                # system does not tell it. One call for an ordinary file is the hot path.
                rest = [entry for entry in chunk if not entry.is_file(follow_symlinks=False)]
                self._files += len(chunk) - len(rest)
                for entry in rest:
                    if entry.is_dir(follow_symlinks=False):
                        self._dirs += 1
                        if deeper:
                            names.append(entry.name)
                    else:
                        self._others += 1
                self._look()
                if last:
                    return

    def _without_excluded(
        self, entries: list[os.DirEntry[str]], excluded: Callable[[str], object]
    ) -> list[os.DirEntry[str]]:
        above = self._relative("")
        return [
            entry
            for entry in entries
            if not excluded(
                f"{above}{entry.name}/"
                if entry.is_dir(follow_symlinks=False)
                else above + entry.name
            )
        ]

    def _wanted(self) -> int:
        """Give how many entries to read: never more than one file beyond ``max_files``."""
        if self._max_files is None:
            return _CHUNK
        return min(_CHUNK, self._max_files - self._files + 1)

    def _look(self) -> None:
        """Stop at a limit; now and then obey the parent, and tell how far the scan is."""
        if self._max_files is not None and self._files > self._max_files:
            self._files = self._max_files
            raise _Stopped("max_files")
        now = monotonic()
        if self._deadline is not None and now >= self._deadline:
            raise _Stopped("timeout")
        if now < self._next_orders:
            return
        self._next_orders = now + _ORDERS_SECONDS
        for order in self._orders():
            if order == "stop":
                raise _Stopped("max_files")
            self._tell({"given": self._give()})
        if now >= self._next_progress:
            self._next_progress = now + _PROGRESS_SECONDS
            directory = _cut(self._relative("").rstrip("/"))
            self._tell({"progress": {**self._counts(), "directory": directory}})

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
                self._memory.replace(new=(), old=directory.subdirectories)
                directory.forget()
            characters += len(above) + len(directory.name)
            if characters > _MAX_GIVEN_CHARACTERS:
                break
        names = set(given)
        pending = self._levels[depth].pending
        pending[:] = [one for one in pending if one.name not in names]
        return [above + name for name in given]

    def _wait_turn(self) -> None:
        """Wait until one more call of the file system is allowed, where their rate is limited."""
        if not self._seconds_per_call:
            return
        now = monotonic()
        self._next_call = max(self._next_call, now - _BURST_SECONDS) + self._seconds_per_call
        while (wait_seconds := self._next_call - now) > 0:
            time.sleep(min(wait_seconds, _PROGRESS_SECONDS))
            self._look()
            now = monotonic()

    def _push(self, directory: _Directory, fd: int, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        kept = self._levels[-1].kept if self._levels else self._memory is not None
        self._levels.append(_Level(directory, fd, identity, kept))
        self._on_the_way.add(identity)
        self._close_upper()

    def _pop(self) -> None:
        level = self._levels.pop()
        self._on_the_way.discard(level.identity)
        if level.fd != _CLOSED:
            os.close(level.fd)

    def _close_upper(self) -> None:
        """Close the level that has just become too far up; the scanned one stays open."""
        index = len(self._levels) - 1 - _MAX_OPEN
        if index > 0:
            level = self._levels[index]
            if level.fd != _CLOSED:
                os.close(level.fd)
                level.fd = _CLOSED

    def _reopen(self) -> int:
        """Open the deepest level again, from the scanned directory down."""
        fd = os.dup(self._root)
        try:
            for part in _in_parts(level.directory.name for level in self._levels[1:]):
                upper, fd = fd, os.open(part, _PASS, dir_fd=fd)
                os.close(upper)
            upper, fd = fd, _open_directory(".", fd, _OPEN)
            os.close(upper)
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != self._levels[-1].identity:
                raise FileNotFoundError(errno.ENOENT, "replaced while it was scanned")
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _failed(self, error: OSError, name: str) -> None:
        """Note what could not be read; what merely went away meanwhile is no trouble."""
        if error.errno not in _VANISHED:
            self._trouble(_errno_name(error) or "EIO", name)

    def _trouble(self, kind: str, name: str) -> None:
        count, example = self._troubles.get(kind, (0, ""))
        self._troubles[kind] = (count + 1, example or _cut(self._relative(name).rstrip("/")) or ".")

    def _relative(self, name: str) -> str:
        """Give the path of an entry of the deepest level, relative to the scanned directory."""
        return "/".join([*(level.directory.name for level in self._levels[1:]), name])


def _open_directory(path: str, dir_fd: int | None, flags: int) -> int:
    """Open a directory, leaving its access time alone where that is allowed (its owner's right)."""
    try:
        return os.open(path, flags | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        return os.open(path, flags, dir_fd=dir_fd)


def _in_parts(names: Iterable[str]) -> Iterator[str]:
    """Join names to relative paths, each short enough for the kernel."""
    part: list[str] = []
    size = 0
    for name in names:
        length = len(os.fsencode(name)) + 1
        if size + length > _PATH_MAX:
            yield "/".join(part)
            part, size = [], 0
        part.append(name)
        size += length
    if part:
        yield "/".join(part)


def _cut(text: str) -> str:
    """Give a text as it is told to people: the end of a very long one, which tells most."""
    return text if len(text) <= _MAX_SHOWN else "..." + text[-_MAX_SHOWN:]


def _errno_name(error: OSError) -> str | None:
    return errno.errorcode.get(error.errno or 0)


def _field(request: dict[str, object], name: str, kind: type[T]) -> T:
    """Give a field of the request; raise RequestError if it is missing or of another type."""
    value = request.get(name)
    if type(value) is not kind:
        raise RequestError(f"bad request: {name} is {_cut(repr(value))}")
    return value


def _optional(request: dict[str, object], name: str, kind: type[T]) -> T | None:
    """Give a field of the request that may be null or missing."""
    return None if request.get(name) is None else _field(request, name, kind)


class Server:
    """Answers the requests on standard input, one after the other."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._lines: list[bytes] = []
        self._begun = b""

    def run(self) -> None:
        """Serve standard input to its end."""
        while True:
            while not self._lines:
                self._read()
            self.serve(self._lines.pop(0))

    def _read(self) -> None:
        """Read what there is of standard input; wait if there is nothing; at its end, end."""
        data = os.read(0, 1 << 16)
        if not data:
            os._exit(0)
        *lines, self._begun = (self._begun + data).split(b"\n")
        self._lines.extend(lines)

    def _orders(self, number: object) -> list[object]:
        """Give what the parent has said about the request under way."""
        while select.select([0], [], [], 0)[0]:
            self._read()
        orders = [order for order in map(_order, self._lines) if order]
        self._lines = [line for line in self._lines if not _order(line)]
        return [order["op"] for order in orders if order["id"] == number]

    def serve(self, line: bytes) -> None:
        """Answer one line of a request, whatever it holds."""
        number: object = None
        path: object = None
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise RequestError("bad request: not an object")
            number, path = request.get("id"), request.get("path")
            name = request.get("op")
            if name == "statvfs":
                answer = _statvfs(request)
            elif name == "scan":
                answer = self._scan(request)
            elif _order(line):
                return  # The scan that it was for has ended.
            else:
                raise RequestError(f"bad request: no operation {_cut(repr(name))}")
            _write({"id": number, "answer": answer})
        except RequestError as error:
            _write_error(number, None, str(error))
        except OSError as error:
            _write_error(number, _errno_name(error), f"{path}: {error.strerror or error}")
        except Exception as error:
            # A mistake of the parent or of this program, or no memory: told, since the next
            # request may be good.
            self._memory.clear()
            _write_error(number, None, f"{type(error).__name__}: {error}")

    def _scan(self, request: dict[str, object]) -> dict[str, object]:
        number = request.get("id")
        remember_as = _optional(request, "remember_as", str)
        try:
            scan = Scan(
                _field(request, "path", str),
                max_depth=_optional(request, "max_depth", int),
                exclude=_optional(request, "exclude", str),
                max_files=_optional(request, "max_files", int),
                timeout_seconds=_optional(request, "timeout_seconds", float),
                skip=_optional(request, "skip", list) or (),
                max_ops_per_second=_optional(request, "max_ops_per_second", float),
                memory=None if remember_as is None else self._memory,
                remember_as=remember_as or "",
                scan_id=request.get("scan_id"),
                relist=_optional(request, "relist", bool) or False,
                settle_seconds=_field({"settle_seconds": 2.0, **request}, "settle_seconds", float),
                parts=_optional(request, "parts", list) or [""],
                apart=_optional(request, "apart", list) or (),
                tell=lambda content: _write({"id": number, **content}),
                orders=lambda: self._orders(number),
            )
        except re.error as error:
            raise RequestError(f"bad request: exclude: {error}") from error
        return scan.run()


def _order(line: bytes) -> dict[str, object]:
    """Give a line that speaks of the scan under way; nothing for another one."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    known = isinstance(message, dict) and message.get("op") in ("share", "stop")
    return {"id": message.get("id"), "op": message["op"]} if known else {}


def _statvfs(request: dict[str, object]) -> dict[str, object]:
    path = _field(request, "path", str)
    status = os.statvfs(path)
    return {
        "blocks": status.f_blocks,
        "bfree": status.f_bfree,
        "bavail": status.f_bavail,
        "frsize": status.f_frsize,
        "files": status.f_files,
        "ffree": status.f_ffree,
        "read_only": bool(status.f_flag & os.ST_RDONLY),
        "st_dev": os.stat(path).st_dev,
    }


def _write(message: dict[str, object]) -> None:
    """Write one line to the parent; end the worker if the parent is gone."""
    line = memoryview(json.dumps(message).encode() + b"\n")
    try:
        while line:
            line = line[os.write(1, line) :]
    except BrokenPipeError:
        os._exit(0)


def _write_error(number: object, kind: str | None, text: str) -> None:
    _write({"id": number, "error": {"errno": kind, "text": _cut(text)}})


def _limit(limits: dict[str, int]) -> None:
    """Bound what this process may take; never beyond what it may have anyway."""
    os.nice(limits.get("nice", 0))
    if limits.get("idle_io"):
        _set_idle_io()
    for name, kind in _BOUNDS:
        if name in limits:
            _, most = resource.getrlimit(kind)
            bound = limits[name] if most == resource.RLIM_INFINITY else min(limits[name], most)
            resource.setrlimit(kind, (bound, bound))


def _set_idle_io() -> None:
    """Enter the idle class of ioprio_set(2), for which Python has no function; or let it be."""
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is not None:
        import ctypes

        ctypes.CDLL(None).syscall(number, 1, 0, 3 << 13)


def main() -> None:
    """Serve standard input to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nothing here makes cycles; looking for them among a million directories takes long.
    gc.disable()
    os.chdir("/")
    if len(sys.argv) > 1:
        _limit(json.loads(sys.argv[1]))
    Server().run()


if __name__ == "__main__":
    main()
