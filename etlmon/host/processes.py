"""Processes as procfs tells them (proc(5)): their identity, and one pass over all of them.

A pid alone names nothing: the kernel gives it out again. What names a process is its pid together
with when it started, in clock ticks since the boot, and which boot that was.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
COMM_BYTES = 15
"""The kernel keeps so many bytes of a process's name; a longer one is cut."""
ENDED_STATES = frozenset("ZXx")
"""States of a process that has ended: its parent has not asked how yet, or asks just now."""

_CPU_CLOCK = 2  # CPUCLOCK_SCHED: what the scheduler has counted, in nanoseconds
_COARSE_NS = 1_000_000
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the flags of stat
_STAT_BYTES = 2048  # a line of stat is far shorter
_MOST_ANCESTORS = 1000
_IDENTITY = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([0-9]{1,10}):([0-9]{1,19})")


class Identity(NamedTuple):
    """One process of one boot: no other one ever is equal to it.

    Its text, ``BOOT:PID:START``, is what the API shows and takes.
    """

    boot_id: str
    pid: int
    start_ticks: int
    """When it started, in clock ticks since the boot (field 22 of stat)."""

    def __str__(self) -> str:
        return f"{self.boot_id}:{self.pid}:{self.start_ticks}"


def parse_identity(text: str) -> Identity:
    """Give the identity that ``str()`` has written; raise ValueError for any other text."""
    found = _IDENTITY.fullmatch(text)
    if found is None:
        raise ValueError("not an identity; take it as GET /processes gives it")
    boot_id, pid, start_ticks = found.groups()
    return Identity(boot_id, int(pid), int(start_ticks))


class ProcessStat(NamedTuple):
    """What one line of ``/proc/PID/stat`` says, as far as it is used."""

    pid: int
    comm: bytes
    """The kernel's name of it, at most 15 bytes of any kind but NUL."""
    state: str
    """The kernel's letter: R, S, D, T, t, Z, X, I ..."""
    parent_pid: int
    flags: int
    cpu_ticks: int
    """Clock ticks of CPU that it has used, in user and kernel mode, all its threads together."""
    threads: int
    start_ticks: int
    """When it started, clock ticks since the boot."""
    rss_pages: int
    program_mark: tuple[bytes, bytes, bytes]
    """Changes when it executes another program; all the same where it may not be read."""
    exit_code: int
    """How it ended, as wait(2) tells it, once it has; 0 also where it may not be read."""

    @property
    def is_kernel_thread(self) -> bool:
        """Whether it is a part of the kernel: no program, no memory, not to be killed."""
        return bool(self.flags & _KERNEL_THREAD)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, and only its entry in the table of processes is left.

        One whose first thread alone has ended shows the same letter, and works on.
        """
        return self.state in ENDED_STATES and self.threads <= 1


def parse_stat(line: bytes) -> ProcessStat:
    """Take a line of stat apart; raise ValueError if it is none.

    The name in it may hold spaces, parentheses and newlines: the last ``)`` ends it.
    """
    begin, end = line.find(b" ("), line.rfind(b") ")
    if begin < 1 or end < begin:
        raise ValueError("not a line of /proc/PID/stat")
    fields = line[end + 2 :].split()
    if len(fields) < 22:
        raise ValueError("not a line of /proc/PID/stat")
    return ProcessStat(
        pid=int(line[:begin]),
        comm=line[begin + 2 : end],
        state=fields[0].decode("ascii"),
        parent_pid=int(fields[1]),
        flags=int(fields[6]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        threads=int(fields[17]),
        start_ticks=int(fields[19]),
        rss_pages=int(fields[21]),
        # Where the stack starts, and where the arguments lie: random for each program executed.
        program_mark=(fields[25], fields[45], fields[46]) if len(fields) > 46 else (b"",) * 3,
        exit_code=int(fields[49]) if len(fields) > 49 else 0,
    )


def read_raw_stat(name: bytes | str, proc_fd: int) -> bytes:
    """Read the stat of a process, below the open directory of procfs.

    Raises ProcessLookupError if there is none, PermissionError where it is hidden (hidepid).
    """
    path = name + b"/stat" if isinstance(name, bytes) else f"{name}/stat"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    except FileNotFoundError as error:
        raise ProcessLookupError(error.errno, "no such process") from error
    try:
        return os.read(descriptor, _STAT_BYTES)
    finally:
        os.close(descriptor)


def read_stat(proc: Path, pid: int) -> ProcessStat:
    """Read what ``/proc/PID/stat`` says.

    Raises ProcessLookupError if there is no such process, PermissionError where it is hidden
    (hidepid), ValueError if what is read is no line of stat.
    """
    directory = os.open(proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return parse_stat(read_raw_stat(str(pid), directory))
    finally:
        os.close(directory)


def cpu_clock_ns(pid: int) -> int | None:
    """Give the nanoseconds of CPU that a process has used, all its threads together.

    It is the kernel's clock of it (clock_getcpuclockid(3)): one call, for anybody, and a tenth of
    the effort of reading any of its files. While it stands still the process has done nothing. None
    where there is no such process, or its clock goes in steps that leave out what takes less.
    ``pid`` is of the namespace that this process itself is in.
    """
    try:
        found = time.clock_gettime_ns(~pid << 3 | _CPU_CLOCK)
    except (OSError, OverflowError):
        return None
    return found if found % _COARSE_NS else None


def read_boot_id(proc: Path) -> str:
    """Give the kernel's name of this boot, a UUID. Raises OSError, or ValueError if it is none."""
    text = (proc / "sys/kernel/random/boot_id").read_text("ascii").strip()
    if not _IDENTITY.fullmatch(f"{text}:1:1"):
        raise ValueError("/proc/sys/kernel/random/boot_id holds no UUID")
    return text


def read_identity(proc: Path, pid: int) -> Identity:
    """Give the identity of the process that has ``pid`` now.

    Raises ProcessLookupError if there is none; OSError or ValueError if its start cannot be
    read - which is not to be taken for another process's (PermissionError: hidepid).
    """
    return Identity(read_boot_id(proc), pid, read_stat(proc, pid).start_ticks)


def own_pid(proc: Path) -> int | None:
    """Give the pid that this process itself has in ``proc``; None if it is not in there.

    It is ``os.getpid()`` unless ``proc`` shows the pids of another namespace: those must not be
    handed to the kernel, it would take them for others.
    """
    try:
        return int(os.readlink(proc / "self"))
    except (OSError, ValueError):
        return None


def descends_from(proc: Path, pid: int, ancestor: int) -> bool:
    """Whether ``pid`` is ``ancestor``, or a child of it, or a child of such a one, and so on.

    Raises as ``read_stat`` does where ``pid`` itself cannot be read.
    """
    for _ in range(_MOST_ANCESTORS):
        if pid == ancestor:
            return True
        if pid <= 1:
            return False
        pid = read_stat(proc, pid).parent_pid
    return False
