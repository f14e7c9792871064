"""Descriptors of processes (pidfd_open(2)): they tell an exit at once, and never change hands."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.abstract import FileDescriptor

from etlmon.host.processes import own_pid, read_stat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from etlmon.host.processes import Identity

# struct pidfd_info in its first version (Linux 6.13): mask, cgroup, eleven ids, exit code.
_INFO = struct.Struct("=QQ11Ii")
_GET_INFO = 0xC000FF0B | _INFO.size << 16  # _IOWR(0xFF, 11, struct pidfd_info)
_WITH_EXIT = 1 << 3


class Exit(NamedTuple):
    """How a process ended: one of the two."""

    status: int | None
    signal: str | None

    @property
    def in_words(self) -> str:
        """Say it for people: ``exit status 3``, ``killed by SIGKILL``."""
        return f"exit status {self.status}" if self.signal is None else f"killed by {self.signal}"


def how_it_ended(code: int) -> Exit:
    """Give the exit that a code of wait(2) stands for."""
    number = code & 0x7F
    if not number:
        return Exit(code >> 8 & 0xFF, None)
    try:
        return Exit(None, signal.Signals(number).name)
    except ValueError:
        return Exit(None, f"signal {number}")  # a real-time one


def open_pidfd(proc: Path, identity: Identity) -> int | None:
    """Open a descriptor of that very process, to be closed by the caller.

    None where there can be none: it has ended, the kernel has no such thing, ``proc`` shows
    another namespace's pids, or this process has too many files open.
    """
    if own_pid(proc) != os.getpid():
        return None
    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        return None
    # Whoever has the pid now: the descriptor is of the right one only if it is still there.
    with suppress(OSError, ValueError):
        if read_stat(proc, identity.pid).start_ticks == identity.start_ticks:
            return descriptor
    os.close(descriptor)
    return None


def has_exited(pidfd: int) -> bool:
    """Whether the process of a descriptor has ended, be it seen or not."""
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    return bool(ended.poll(0))


def read_exit(
    proc: Path, identity: Identity, pidfd: int | None, *, privileged: bool
) -> Exit | None:
    """Tell how a process that has ended did so; None where that cannot be known.

    The kernel tells a process's exit to its parent. Others learn it from the entry that is left
    until the parent has asked, with the right to read it (``privileged``, or the same user), and
    from Linux 6.15 on from a descriptor that was opened before.
    """
    with suppress(OSError, ValueError):
        stat = read_stat(proc, identity.pid)
        if stat.start_ticks == identity.start_ticks and stat.has_ended:
            # Without the right to know, 0 is what one reads.
            if stat.exit_code or privileged or _is_ours(proc, identity.pid):
                return how_it_ended(stat.exit_code)
            return None
    if pidfd is None:
        return None
    request = bytearray(_INFO.pack(_WITH_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, request)
    except OSError:
        return None
    mask, *_, code = _INFO.unpack(request)
    return how_it_ended(code) if mask & _WITH_EXIT else None


def _is_ours(proc: Path, pid: int) -> bool:
    return os.stat(proc / str(pid)).st_uid == os.geteuid()


class ExitReader(FileDescriptor):
    """Calls back once, from the reactor, when the process of a pidfd has ended.

    The descriptor stays open: it may tell how the process ended. ``close`` closes it.
    """

    def __init__(self, reactor: Any, pidfd: int, ended: Callable[[], None]) -> None:
        super().__init__(reactor)
        self._pidfd = pidfd
        self._ended = ended
        self._closed = False
        self.startReading()

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._pidfd

    def doRead(self) -> None:
        """Take note of the end; it would be told again and again."""
        self.stopReading()
        self._ended()

    def close(self) -> None:
        """Listen no more, and close the descriptor."""
        if not self._closed:
            self._closed = True
            self.stopReading()
            os.close(self._pidfd)

    def connectionLost(self, reason: Any) -> None:
        """Close: the reactor ends, or takes the descriptor for broken."""
        self.close()
