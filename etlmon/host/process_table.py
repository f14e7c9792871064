"""One pass over all processes, and what else procfs tells of a single one."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from etlmon.host.processes import COMM_BYTES, ProcessStat, parse_stat, read_raw_stat
from etlmon.text import host_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_ARGUMENT_BYTES = 64 << 10
_MOST_ARGUMENTS = 2000
_SMALL_FILE_BYTES = 16 << 10
_YOUNG_LOOKS = 3
_EVERY_LOOKS = 24
"""How soon the stat of a process that nobody watches is read again: it may run another program."""
_LIST_EVERY_LOOKS = 12
"""How soon the list of processes is read again, whatever the kernel says of new ones."""
_SYS_PTRACE = 19  # the number of the capability that lets read others' details


@contextmanager
def opened(proc: Path) -> Iterator[int]:
    """Open the directory of procfs, below which all is read; closes it."""
    directory = os.open(proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield directory
    finally:
        os.close(directory)


class _Counts(NamedTuple):
    """Which processes there are, in short."""

    threads: bytes
    newest: bytes
    """The pid that was given out last, to a process or a thread."""
    inode: int | None
    """Of that one, for its pid may have been given out again; None when it has ended."""


class ProcessTable:
    """All processes that can be seen, by pid; ``look`` brings it up to date.

    To read a process's stat costs many times as much as to see that it is still the same one: its
    directory in procfs keeps its inode as long as the process lives, and the list of processes
    holds it. So the stat of most processes is read while they are young, and then now and then. The
    list itself is not read while the kernel's counts say that no process has begun or ended.
    """

    def __init__(self) -> None:
        self.stats: dict[int, ProcessStat] = {}
        self.hidden: frozenset[int] = frozenset()
        """Pids that are listed but may not be looked at (hidepid=1)."""
        self._inodes: dict[str, int] = {}
        """What tells, without a look into it, that a process is still the same."""
        self._young: dict[int, int] = {}
        """The look that saw a process first, of those that have not been seen for long."""
        self._looks = 0
        self._counts: _Counts | None = None
        """The kernel's counts before the list was read; None if the next look is to read it."""

    @property
    def sees_all(self) -> bool:
        """Whether no process is hidden: pid 1 is always there, and the first to be hidden."""
        return not self.hidden and 1 in self.stats

    def look(self, proc_fd: int, closely: Collection[int] | None = None) -> list[int]:
        """Look which processes there are, and give the pids of those whose stat has been read.

        It is read of those in ``closely``, of all if that is None, and of all that are new. Of
        the others ``stats`` holds what they were like when it was last read. Raises OSError if
        the list of processes cannot be read.
        """
        self._looks += 1
        looks, stats = self._looks, self.stats
        inodes, new = self._list(proc_fd)
        if closely is None:
            again: set[int] = set(stats)
        else:
            due = -looks % _EVERY_LOOKS
            again = {pid for pid in stats if pid % _EVERY_LOOKS == due}
            again.update(pid for pid in closely if pid in stats)
            again.update(pid for pid in self._young if pid in stats)
        self._young = {
            pid: since for pid, since in self._young.items() if looks - since < _YOUNG_LOOKS - 1
        }
        hidden: set[int] = set()
        read: list[int] = []
        for name in [*new, *map(str, again)]:
            pid = int(name)
            try:
                stats[pid] = parse_stat(read_raw_stat(name, proc_fd))
            except (OSError, ValueError) as error:
                # It ended meanwhile, or is hidden, or is no process: it is new when it is there.
                if isinstance(error, PermissionError):
                    hidden.add(pid)
                elif not isinstance(error, ProcessLookupError | ValueError):
                    raise
                self._forget(name)
                del inodes[name]
                self._counts = None
            else:
                read.append(pid)
        self._inodes, self.hidden = inodes, frozenset(hidden)
        return read

    def _list(self, proc_fd: int) -> tuple[dict[str, int], set[str]]:
        """Give the inodes of all that is listed, and the names of the processes that are new."""
        counts = _read_counts(proc_fd)
        if counts is not None and counts == self._counts and self._looks % _LIST_EVERY_LOOKS:
            return self._inodes, set()
        self._counts = counts  # of before the list: what begins meanwhile is seen the next time
        with os.scandir(proc_fd) as entries:
            inodes = {entry.name: entry.inode() for entry in entries}
        for name in self._inodes.keys() - inodes.keys():
            self._forget(name)
        new = {
            name
            for name, inode in inodes.items() - self._inodes.items()
            if name.isascii() and name.isdecimal()
        }
        for name in new:
            self._forget(name)
            self._young[int(name)] = self._looks
        return inodes, new

    def _forget(self, name: str) -> None:
        """Forget what is known of a process that is not there any more."""
        if name.isascii() and name.isdecimal():
            self.stats.pop(int(name), None)
            self._young.pop(int(name), None)


def _read_counts(proc_fd: int) -> _Counts | None:
    """Give what changes whenever a process begins or ends, from the end of loadavg.

    None where that is not told, or not of the processes that procfs shows: it may be that of
    another namespace of pids, and in a container somebody else may make the file up (lxcfs).
    """
    try:
        if os.readlink("self", dir_fd=proc_fd) != str(os.getpid()):
            return None
        descriptor = os.open("loadavg", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_dev != os.fstat(proc_fd).st_dev:
            return None
        _, _, counts = os.read(descriptor, _SMALL_FILE_BYTES).rpartition(b"/")
    except OSError:
        return None
    finally:
        os.close(descriptor)
    threads, _, newest = counts.strip().partition(b" ")
    if not (threads.isdigit() and newest.isdigit() and int(newest)):
        return None
    inode = None
    with suppress(OSError):
        inode = os.stat(newest, dir_fd=proc_fd).st_ino
    return _Counts(threads, newest, inode)


def read_arguments(proc_fd: int, pid: int) -> bytes | None:
    """Give the arguments of a process as they lie in its memory, up to 64 KiB.

    None if they may not be read, or there is no such process any more.
    """
    return _read(proc_fd, f"{pid}/cmdline", _ARGUMENT_BYTES)


def split_arguments(raw: bytes) -> list[str]:
    """Take arguments apart; those that a process has written over are one text."""
    parts = raw.rstrip(b"\0").split(b"\0", _MOST_ARGUMENTS)
    if len(parts) > _MOST_ARGUMENTS:
        parts[_MOST_ARGUMENTS] = b"..."
    return [] if parts == [b""] else [host_text(part) for part in parts]


def process_name(stat: ProcessStat, arguments: list[str]) -> str:
    """Give the name of a process.

    The kernel cuts it after 15 bytes: then it is completed from the base name of what was
    executed, if that begins so. A kernel thread stands in brackets, as ps shows it.
    """
    name = host_text(stat.comm)
    if stat.is_kernel_thread:
        return f"[{name}]"
    if len(stat.comm) == COMM_BYTES and arguments:
        whole = arguments[0].rpartition("/")[2].partition(" ")[0]
        if whole.startswith(name):
            return whole
    return name


def read_owner(proc_fd: int, pid: int) -> tuple[int, int | None] | None:
    """Give the effective user id of a process, and its pid in its own container (None: in none).

    None if there is no such process any more, or it may not be read.
    """
    raw = _read(proc_fd, f"{pid}/status", _SMALL_FILE_BYTES)
    if raw is None:
        return None
    try:
        uid = int(_after(raw, b"\nUid:").split()[1])
    except (IndexError, ValueError):
        return None
    pids = _after(raw, b"\nNSpid:").split()
    return uid, int(pids[-1]) if len(pids) > 1 else None


def read_exe(proc_fd: int, pid: int) -> str | None:
    """Give the file of a process's program, as it was called when it began; None if unreadable.

    One that has been replaced meanwhile, by an upgrade, is still called the same.
    """
    try:
        target = os.readlink(os.fsencode(f"{pid}/exe"), dir_fd=proc_fd)
    except OSError:
        return None
    return host_text(target.removesuffix(b" (deleted)"))


def read_cgroup(proc_fd: int, pid: int) -> str | None:
    """Give the control group of a process: of version 2, else where systemd keeps its units.

    None if it has none, or it may not be read.
    """
    raw = _read(proc_fd, f"{pid}/cgroup", _SMALL_FILE_BYTES)
    groups: dict[bytes, bytes] = {}
    for line in (raw or b"").splitlines():
        number, _, rest = line.partition(b":")
        controllers, _, group = rest.partition(b":")
        groups[number if number == b"0" else controllers] = group
    unified, legacy = groups.get(b"0"), groups.get(b"name=systemd")
    best = legacy if unified in (None, b"/") and legacy is not None else unified
    if best == b"/":
        best = max(groups.values(), key=len)
    return None if best is None else host_text(best)


def count_open_files(proc_fd: int, pid: int) -> int | None:
    """Give how many files a process has open; None if that may not be read."""
    path = f"{pid}/fd"
    try:
        # From Linux 6.2 on the size of the directory is their number.
        size = os.stat(path, dir_fd=proc_fd).st_size
        if size:
            return size
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc_fd)
    except OSError:
        return None
    try:
        return len(os.listdir(descriptor))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_disk_bytes(proc_fd: int, pid: int) -> tuple[int, int] | None:
    """Give the bytes that a process made disks read and write; None if that may not be read."""
    raw = _read(proc_fd, f"{pid}/io", _SMALL_FILE_BYTES)
    if raw is None:
        return None
    try:
        return int(_after(raw, b"\nread_bytes:")), int(_after(raw, b"\nwrite_bytes:"))
    except ValueError:
        return None


def may_read_others(proc: Path) -> bool:
    """Whether this process may read the details of those of all users (CAP_SYS_PTRACE)."""
    try:
        raw = (proc / "self/status").read_bytes()
        return bool(int(_after(raw, b"\nCapEff:"), 16) >> _SYS_PTRACE & 1)
    except (OSError, ValueError):
        return False


def _read(proc_fd: int, path: str, most_bytes: int) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    except OSError:
        return None
    try:
        return os.read(descriptor, most_bytes)  # of such files procfs gives all at once
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _after(raw: bytes, label: bytes) -> bytes:
    """Give the rest of the line that begins with ``label``; empty if none does."""
    begin = raw.find(label)
    if begin < 0:
        return b""
    begin += len(label)
    end = raw.find(b"\n", begin)
    return raw[begin : len(raw) if end < 0 else end]
