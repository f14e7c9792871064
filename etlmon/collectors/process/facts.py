"""What is known of one process: read when it is asked for, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from etlmon.host.process_table import (
    count_open_files,
    process_name,
    read_arguments,
    read_cgroup,
    read_disk_bytes,
    read_exe,
    read_owner,
    split_arguments,
)
from etlmon.host.processes import (
    PAGE_BYTES,
    Identity,
    cpu_clock_ns,
    parse_stat,
    read_raw_stat,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.host.processes import ProcessStat
    from etlmon.redaction import Redaction

T = TypeVar("T")

_WORKER = b"/etlmon/fsworker/worker.py"
_SHOWN_CHARACTERS = 4096
_CUT = " ... "


class _once(Generic[T]):
    """A property that is worked out once; without the lock of functools's, which costs more."""

    def __init__(self, find: Callable[[Any], T]) -> None:
        self._find = find
        self._name = find.__name__
        self.__doc__ = find.__doc__

    def __get__(self, one: Any, _owner: type | None = None) -> T:
        found = one.__dict__[self._name] = self._find(one)
        return found


class Candidate:
    """A process that may be one to watch. What cannot be read is None.

    ``has_clock`` says whether its pid is one of this process's own namespace.
    """

    def __init__(
        self, stat: ProcessStat, proc_fd: int, redaction: Redaction, *, has_clock: bool = False
    ) -> None:
        self.stat = stat
        self._proc_fd = proc_fd
        self._redaction = redaction
        self._has_clock = has_clock

    @_once
    def cpu_ns(self) -> int | None:
        """What its clock of CPU shows, to be asked before all else is read; None while it runs.

        What was read when it showed the same is so still: it is the process itself that changes its
        arguments, opens files and has disks work, and it has done nothing since.
        """
        if not self._has_clock or self.stat.state == "R":
            return None
        return cpu_clock_ns(self.stat.pid)

    @_once
    def arguments_hash(self) -> int:
        """What changes with the arguments."""
        return hash(self.raw_arguments)

    def keeps_arguments(self, arguments_hash: int) -> None:
        """Take note that its arguments are those that were read before; they are not read again."""
        self.__dict__["arguments_hash"] = arguments_hash

    @_once
    def raw_arguments(self) -> bytes | None:
        """The arguments as they lie in memory."""
        return read_arguments(self._proc_fd, self.stat.pid)

    @_once
    def _arguments(self) -> list[str]:
        return split_arguments(self.raw_arguments or b"")

    @_once
    def name(self) -> str:
        """The name of the process."""
        return process_name(self.stat, self._arguments)

    @_once
    def line(self) -> str | None:
        """The whole command line, secrets redacted."""
        return None if self.raw_arguments is None else self._redaction.line(self._arguments)

    @_once
    def owner(self) -> tuple[int, int | None] | None:
        """The effective user's number, and the pid in the process's own container."""
        return read_owner(self._proc_fd, self.stat.pid)

    @_once
    def exe(self) -> str | None:
        """The file of the program."""
        return read_exe(self._proc_fd, self.stat.pid)

    @_once
    def cgroup(self) -> str | None:
        """The control group."""
        return read_cgroup(self._proc_fd, self.stat.pid)


class Sighting(NamedTuple):
    """A process as it was seen in one look."""

    identity: Identity
    name: str
    line: str | None
    """The command line as it is shown: redacted, and cut in the middle where it is long."""
    stat: ProcessStat
    uid: int | None
    container_pid: int | None
    exe: str | None
    cgroup: str | None
    open_files: int | None
    disk_bytes: tuple[int, int] | None
    user: str | None

    @property
    def has_ended(self) -> bool:
        """Whether it is but a zombie."""
        return self.stat.has_ended

    @property
    def rss_bytes(self) -> int:
        """Memory that it occupies."""
        return self.stat.rss_pages * PAGE_BYTES

    @property
    def is_whole(self) -> bool:
        """Whether all was readable that this process has."""
        if self.stat.is_kernel_thread or self.has_ended:
            return True
        return None not in (self.line, self.exe, self.open_files, self.disk_bytes)


def shown(line: str) -> str:
    """Cut a long command line in the middle: what it runs stands at either end."""
    if len(line) <= _SHOWN_CHARACTERS:
        return line
    half = (_SHOWN_CHARACTERS - len(_CUT)) // 2
    return line[:half] + _CUT + line[-half:]


def counters(proc_fd: int, pid: int) -> tuple[int | None, tuple[int, int] | None]:
    """Give the open files and the bytes to and from disks, which change from look to look."""
    return count_open_files(proc_fd, pid), read_disk_bytes(proc_fd, pid)


def is_ours(one: Candidate, itself: int | None) -> bool:
    """Whether a process is etlmon's own, or a worker of it."""
    return one.stat.pid == itself or (
        one.stat.parent_pid == itself and _WORKER in (one.raw_arguments or b"")
    )


def has_ended(proc_fd: int, pid: int) -> bool:
    """Whether a process has ended meanwhile: then it is no wonder that it cannot be read."""
    stat = stat_of(proc_fd, pid)
    return stat is None or stat.has_ended


def stat_of(proc_fd: int, pid: int) -> ProcessStat | None:
    """Read the stat of a process; None if it is not there, or hidden."""
    try:
        return parse_stat(read_raw_stat(str(pid), proc_fd))
    except (OSError, ValueError):
        return None
