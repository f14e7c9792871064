"""The way through a tree of directories: what all jobs that walk have in common."""

from __future__ import annotations

import errno
import os
import re
import time
from _thread import allocate_lock
from abc import ABC, abstractmethod
from time import monotonic

from etlmon.fsworker.jobs.level import Level
from etlmon.fsworker.jobs.wire import MAX_SHOWN, OutOfMemory, cut, errno_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from etlmon.fsworker.jobs.memory import Directory

# What is held of a directory at one time.
CHUNK = 1024
# Entries between two looks at the clock. Few: a file system that does not tell the type of an entry
# is asked for each, and one that is far away answers late each time.
_AT_ONCE = 16
_PROGRESS_SECONDS = 0.25
# Between two looks at standard input, while a job runs.
_ORDERS_SECONDS = 0.005
# Open directories on the way down; deeper trees close the upper ones and find them again.
_MAX_OPEN = 24
# What the kernel takes as one path, with its NUL.
_PATH_MAX = 4096
# What a throttled job may catch up with after it was held up.
_BURST_SECONDS = 0.1
CLOSED = -1

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
PASS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
# The directory was there when its parent was listed and is not any more, or is something else.
_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Stopped(Exception):
    """The job ends before its end; the text is the reason as the answer gives it."""


class Walk(ABC):
    """Visits directories below one, with few descriptors, within limits.

    ``orders`` gives what the parent has written meanwhile; ``tell`` writes a line to it. Other
    file systems, what is in ``skip`` and loops are not entered, links are not followed.
    """

    def __init__(
        self,
        path: str,
        *,
        exclude: str | None = None,
        timeout_seconds: float | None = None,
        skip: Iterable[str] = (),
        max_ops_per_second: float | None = None,
        tell: Callable[[dict[str, object]], None] = lambda _: None,
        orders: Callable[[], Collection[object]] = tuple,
    ) -> None:
        self._path = path
        self._excluded = None if exclude is None else re.compile(exclude).fullmatch
        self._skip = frozenset(skip)
        # Few directories share a name with one to be skipped: only theirs is worth a whole path.
        self._skip_names = frozenset(path.rpartition("/")[2] for path in self._skip)
        self._seconds_per_call = 1 / max_ops_per_second if max_ops_per_second else 0.0
        self._next_call = 0.0
        self._turns = allocate_lock()
        self._tell = tell
        self._orders = orders
        self._began = monotonic()
        self._deadline = None if timeout_seconds is None else self._began + timeout_seconds
        self._next_progress = self._began + _PROGRESS_SECONDS
        self._next_orders = self._began + _ORDERS_SECONDS
        self._root = CLOSED
        self._device = 0
        self._levels: list[Level] = []
        self._on_the_way: set[tuple[int, int]] = set()
        self._skipped_mounts = 0
        self._troubles: dict[str, tuple[int, str]] = {}

    def run(self) -> dict[str, object]:
        """Do it and give the answer; raise OSError if the directory itself cannot be opened."""
        stopped = None
        self._root = open_directory(self._path)
        try:
            status = os.fstat(self._root)
            self._device = status.st_dev
            self._visit(status)
        except Stopped as reason:
            stopped = str(reason)
        except MemoryError:
            raise self._out_of_memory("") from None
        finally:
            self._leave()
            for level in self._levels:
                level.clear()
            while self._levels:
                self._pop()
            os.close(self._root)
        return {
            **self._found(),
            "skipped_mounts": self._skipped_mounts,
            "stopped": stopped,
            "troubles": [
                {"kind": kind, "count": count, "example": example}
                for kind, (count, example) in sorted(self._troubles.items())
            ],
            "duration_seconds": monotonic() - self._began,
        }

    # What each job does in its own way

    @abstractmethod
    def _visit(self, status: os.stat_result) -> None:
        """Visit the root, whose status this is, and all below it."""

    def _leave(self) -> None:  # noqa: B027 - most have nothing more
        """Give up what else is open, at the end or before it."""

    @abstractmethod
    def _found(self) -> dict[str, object]:
        """Give what goes into the answer besides what all have."""

    @abstractmethod
    def _progress(self) -> dict[str, object]:
        """Give what is told now and then."""

    def _share(self) -> None:  # noqa: B027 - most share nothing
        """Do what the parent asks for: give some of the work to others."""

    # On the way

    def _open(self, name: str) -> tuple[int, os.stat_result] | None:
        """Open a subdirectory of the deepest level; None if it is not to be entered."""
        if self._is_skipped(name):
            self._skipped_mounts += 1
            return None
        self._wait_turn()
        try:
            fd = open_directory(name, self._descriptor(), os.O_NOFOLLOW)
        except OSError as error:
            self._not_opened(error, name)
            return None
        try:
            status = os.fstat(fd)
        except OSError as error:
            # On a server it may have gone since, or the server have failed.
            os.close(fd)
            self._failed(error, name)
            return None
        if self._is_admitted(name, status):
            return fd, status
        os.close(fd)
        return None

    def _is_skipped(self, name: str) -> bool:
        return name in self._skip_names and self._relative(name) in self._skip

    def _descriptor(self) -> int:
        """Give the deepest level's descriptor, opened again if need be."""
        level = self._levels[-1]
        if level.fd == CLOSED:
            level.fd = self._reopen()
        return level.fd

    def _not_opened(self, error: OSError, name: str) -> None:
        self._failed(error, name)
        if self._levels[-1].fd == CLOSED:
            # Its subdirectories cannot be reached any more: gone, or the trouble just noted.
            self._levels[-1].clear()

    def _is_admitted(self, name: str, status: os.stat_result) -> bool:
        """Tell whether a subdirectory that has been opened is one to be visited."""
        if status.st_dev != self._device:
            self._skipped_mounts += 1
            return False
        if _identity(status) in self._on_the_way:
            # An upper directory bound below itself.
            self._loops(name)
            return False
        return True

    def _loops(self, name: str) -> None:
        self._trouble("ELOOP", name)

    def _push(self, directory: Directory, fd: int, status: os.stat_result) -> None:
        identity = _identity(status)
        kept = self._levels[-1].kept if self._levels else True
        self._levels.append(Level(directory, fd, identity, kept))
        self._on_the_way.add(identity)
        self._close_upper()

    def _pop(self) -> None:
        level = self._levels.pop()
        self._on_the_way.discard(level.identity)
        if level.fd != CLOSED:
            if self._levels and self._levels[-1].fd == CLOSED and not self._levels[-1].is_done:
                self._levels[-1].fd = self._open_above(level.fd)
            os.close(level.fd)

    def _open_above(self, fd: int) -> int:
        """Open the deepest level from one below it, for one call; CLOSED if that leads elsewhere.

        From the root it takes the longer the deeper it is, which in a deep tree is too long.
        """
        try:
            above = open_directory("..", fd)
        except OSError:
            return CLOSED
        try:
            found = _identity(os.fstat(above))
        except OSError:
            found = None
        if found == self._levels[-1].identity:
            return above
        os.close(above)
        return CLOSED

    def _close_upper(self) -> None:
        """Close the level that has just become too far up; the root stays open."""
        index = len(self._levels) - 1 - _MAX_OPEN
        if index > 0:
            level = self._levels[index]
            if level.fd != CLOSED:
                os.close(level.fd)
                level.fd = CLOSED

    def _reopen(self) -> int:
        """Open the deepest level again, from the root down."""
        fd = os.dup(self._root)
        try:
            for part in _in_parts(level.directory.name for level in self._levels[1:]):
                upper, fd = fd, os.open(part, PASS, dir_fd=fd)
                os.close(upper)
            upper, fd = fd, open_directory(".", fd)
            os.close(upper)
            if _identity(os.fstat(fd)) != self._levels[-1].identity:
                raise FileNotFoundError(errno.ENOENT, "replaced on the way")
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _without_excluded(
        self, entries: list[os.DirEntry[str]], above: str | None = None
    ) -> list[os.DirEntry[str]]:
        """Give the entries of a directory that are not excluded; else ``above`` is its path."""
        excluded = self._excluded
        if excluded is None:
            return entries
        if above is None:
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

    # Limits, orders, progress

    def _look(self) -> None:
        """Stop at the deadline; now and then obey the parent, and tell how far the job is."""
        now = monotonic()
        if self._deadline is not None and now >= self._deadline:
            raise Stopped("timeout")
        if now < self._next_orders:
            return
        self._next_orders = now + _ORDERS_SECONDS
        for order in self._orders():
            if order == "stop":
                raise Stopped("max_files")
            self._share()
        if now >= self._next_progress and self._is_heard():
            self._next_progress = now + _PROGRESS_SECONDS
            self._tell({"progress": {**self._progress(), "directory": self._shown("")}})

    def _is_heard(self) -> bool:
        """Tell whether the file system answers: who is at work here has just been answered."""
        return True

    def _turn(self) -> float:
        """Take the next turn for a call of the file system; give how long to wait for it."""
        if not self._seconds_per_call:
            return 0.0
        with self._turns:
            now = monotonic()
            self._next_call = max(self._next_call, now - _BURST_SECONDS) + self._seconds_per_call
            return self._next_call - now

    def _wait_turn(self) -> None:
        """Wait until one more call of the file system is allowed, where their rate is limited."""
        if not self._seconds_per_call:
            return
        until = monotonic() + self._turn()
        while (wait_seconds := until - monotonic()) > 0:
            time.sleep(min(wait_seconds, _PROGRESS_SECONDS))
            self._look()

    # What is told of places

    def _failed(self, error: OSError, name: str) -> None:
        """Note what could not be read; what merely went away meanwhile is no trouble."""
        if error.errno not in _VANISHED:
            self._trouble(errno_name(error) or "EIO", name)

    def _trouble(self, kind: str, name: str) -> None:
        count, example = self._troubles.get(kind, (0, ""))
        self._troubles[kind] = (count + 1, example or self._shown(name) or ".")

    def _out_of_memory(self, name: str) -> OutOfMemory:
        """Give the error for a job that has no room for what is in a directory."""
        return OutOfMemory(self._shown(name))

    def _relative(self, name: str) -> str:
        """Give the path of an entry of the deepest level, relative to the root."""
        return "/".join([*(level.directory.name for level in self._levels[1:]), name])

    def _shown(self, name: str) -> str:
        """Give the path of an entry of the deepest level, or ``""`` for that, as it is told.

        Where that is its end, only so much is put together: a tree may be very deep.
        """
        names = [name] if name else []
        length, at = len(name), len(self._levels)
        while at > 1 and length <= MAX_SHOWN:
            at -= 1
            names.append(self._levels[at].directory.name)
            length += len(names[-1]) + 1
        return cut("/".join(reversed(names)))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def open_directory(path: str, dir_fd: int | None = None, flags: int = 0) -> int:
    """Open a directory, leaving its access time alone where that is allowed (its owner's right)."""
    flags |= _OPEN
    try:
        return os.open(path, flags | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        return os.open(path, flags, dir_fd=dir_fd)


def few_at_once(entries: list[os.DirEntry[str]]) -> Iterator[list[os.DirEntry[str]]]:
    """Give the entries of a directory in pieces, between which to look at the clock."""
    return (entries[at : at + _AT_ONCE] for at in range(0, len(entries), _AT_ONCE))


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
