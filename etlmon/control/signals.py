"""Signals to one certain process, and never to another one that has got its pid.

The kernel gives a pid out again as soon as its process is gone. So a descriptor of the process is
opened first, which stands for that process for ever; then what the descriptor is of is compared
with what the caller means; and the signal goes to the descriptor. Whatever happens in between, it
reaches that process or none.

Everything here blocks for as long as reading a file of /proc takes, and is called in a thread.
"""

from __future__ import annotations

import errno
import os
import pwd
import signal
from typing import TYPE_CHECKING

from etlmon.errors import ApiError
from etlmon.host.pidfds import has_exited, read_exit
from etlmon.host.processes import (
    Identity,
    descends_from,
    own_pid,
    read_boot_id,
    read_stat,
)
from etlmon.text import host_text

if TYPE_CHECKING:
    from pathlib import Path

    from etlmon.host.processes import ProcessStat

_CAP_KILL = 5
_CAP_SYS_PTRACE = 19
_MOST_PID = (1 << 31) - 1
_NO_PIDFD = (errno.ENOSYS, errno.EPERM, errno.EACCES)
"""A kernel without pidfd, or a filter of system calls that forbids it."""
_HIDDEN = (
    "Where /proc is mounted with hidepid, let the node run with CAP_SYS_PTRACE, or in the group "
    "that /proc is mounted with (gid=)."
)


class Target:
    """A process that may be sent a signal: held by a descriptor, to be closed."""

    def __init__(self, proc: Path, identity: Identity, name: str, pidfd: int | None) -> None:
        self.identity = identity
        self.name = name
        self.pidfd = pidfd
        """None where the kernel has no such thing."""
        self._proc = proc

    def send(self, number: signal.Signals) -> None:
        """Send a signal. Raises ApiError: 404 if it has ended, 403 if the kernel forbids it."""
        pid = self.identity.pid
        try:
            if self.pidfd is not None:
                signal.pidfd_send_signal(self.pidfd, number)
            else:
                self._check_again()
                os.kill(pid, number)
        except ProcessLookupError as error:
            raise gone(pid, self.name) from error
        except PermissionError as error:
            raise _not_permitted(self._proc, pid, self.name) from error

    def has_ended(self) -> bool:
        """Whether it is gone, or only waits for its parent to take note of that.

        One of which that cannot be read is not said to have ended.
        """
        if self.pidfd is not None:
            return has_exited(self.pidfd)
        try:
            stat = self._stat()
        except (OSError, ValueError):
            return False
        return stat is None or stat.has_ended

    def state(self) -> str | None:
        """Give the kernel's letter of it, None once it has gone or if it cannot be read."""
        try:
            stat = self._stat()
        except (OSError, ValueError):
            return None
        return None if stat is None else stat.state

    def exit_reason(self) -> str | None:
        """Say how it ended, None where only its parent knows."""
        ended = read_exit(
            self._proc,
            self.identity,
            self.pidfd,
            privileged=_has_capability(self._proc, _CAP_SYS_PTRACE),
        )
        return None if ended is None else ended.in_words

    def close(self) -> None:
        """Close the descriptor."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    def _stat(self) -> ProcessStat | None:
        """Give its stat, None once it has gone; raise OSError or ValueError where it is unknown."""
        try:
            stat = read_stat(self._proc, self.identity.pid)
        except ProcessLookupError:
            return None
        return stat if stat.start_ticks == self.identity.start_ticks else None

    def _check_again(self) -> None:
        try:
            stat = self._stat()
        except (OSError, ValueError) as error:
            raise _unknown(self.identity.pid, error) from error
        if stat is None:
            raise gone(self.identity.pid, self.name)


def open_target(proc: Path, expected: Identity) -> Target:
    """Give the process that is meant, if it still has its pid and may be sent signals at all.

    Raises ApiError: 404 if no process has the pid, 409 if another one has it, if its identity
    cannot be read or if it has ended, 403 for one that is never sent a signal.
    """
    pid = expected.pid
    if not 0 < pid <= _MOST_PID:
        raise gone(pid)
    if own_pid(proc) != os.getpid():
        raise ApiError(
            403,
            "other-pid-namespace",
            "This node sees the processes of another pid namespace than its own (the host's /proc "
            "in a container?): it cannot send them signals. Run it in that namespace.",
        )
    pidfd = _open(pid)
    try:
        stat = _check_identity(proc, expected, pidfd)
        name = host_text(stat.comm)
        _check_not_protected(proc, pid, stat, name)
    except BaseException:
        if pidfd is not None:
            os.close(pidfd)
        raise
    return Target(proc, expected, name, pidfd)


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in _NO_PIDFD:
            return None
        if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):  # or it is a mere thread
            raise gone(pid) from error
        raise ApiError(
            503,
            "signal-not-possible",
            f"The process {pid} cannot be opened: {error.strerror}; nothing was sent.",
            headers={"Retry-After": "5"},
        ) from error


def _check_identity(proc: Path, expected: Identity, pidfd: int | None) -> ProcessStat:
    """Give the stat of the process that is meant; raise ApiError if it is not there any more."""
    pid = expected.pid
    try:
        stat = read_stat(proc, pid)
        found = Identity(read_boot_id(proc), pid, stat.start_ticks)
    except (OSError, ValueError) as error:
        if isinstance(error, ProcessLookupError) and not (pidfd is not None and _is_there(pidfd)):
            raise gone(pid) from error
        raise _unknown(pid, error) from error
    if found != expected:
        what = "boot of the host" if found.boot_id != expected.boot_id else "process"
        raise ApiError(
            409,
            "identity-changed",
            f"The pid {pid} belongs to another {what} now ({host_text(stat.comm)}, {found}): the "
            f"one that was meant ({expected}) has ended. Nothing was sent.",
        )
    return stat


def _is_there(pidfd: int) -> bool:
    """Whether a process is there, seen or not: with hidepid=2 it looks as if it were not."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's, to whom this one may not send anything
    return True


def _check_not_protected(proc: Path, pid: int, stat: ProcessStat, name: str) -> None:
    """Raise ApiError for a process that is never sent a signal, whatever the configuration says."""
    if stat.is_kernel_thread:
        raise _protected(pid, name, "it is a part of the kernel")
    if pid == 1:
        raise _protected(pid, name, "it is the first process, which keeps all others")
    own = os.getpid()
    if pid == own:
        raise _protected(pid, name, "it is this node itself; use systemctl to stop it")
    try:
        is_worker = _is_below(proc, pid, own)
        is_parent = descends_from(proc, own, pid)
    except (OSError, ValueError) as error:
        raise ApiError(
            409,
            "identity-unknown",
            f"It cannot be read which processes this node runs below ({_words(error)}), and the "
            f"process {pid} may be one of them; nothing was sent. {_HIDDEN}",
        ) from error
    if is_worker:
        raise _protected(pid, name, "it is a worker of this node")
    if is_parent:
        raise _protected(pid, name, "this node runs below it")
    if stat.has_ended:
        raise ApiError(
            409,
            "process-has-ended",
            f"The process {pid} ({name}) has ended already; what is left of it goes when its "
            f"parent, {stat.parent_pid}, takes note. Nothing was sent.",
        )


def _is_below(proc: Path, pid: int, own: int) -> bool:
    """Whether a process is this node's child, or a child's child, and so on.

    Below this node all is its own user's and can be seen. So what cannot be, on the way up from
    ``pid``, is a stranger (hidepid), and what is below that one is not ours.
    """
    try:
        return descends_from(proc, pid, own)
    except (PermissionError, ProcessLookupError):
        return False


def gone(pid: int, name: str = "") -> ApiError:
    """Give the problem of a process that is not there."""
    named = f" ({name})" if name else ""
    return ApiError(
        404,
        "process-not-found",
        f"There is no process {pid}{named}: it has ended, or never was. Nothing was sent.",
    )


def _unknown(pid: int, error: Exception) -> ApiError:
    """Give the problem of a process of which it is not known which one it is.

    That is not another one: it is said to be just that.
    """
    return ApiError(
        409,
        "identity-unknown",
        f"It cannot be read when the process {pid} started ({_words(error)}), so it is not "
        f"sure which one it is; nothing was sent. {_HIDDEN}",
    )


def _protected(pid: int, name: str, why: str) -> ApiError:
    return ApiError(
        403,
        "process-protected",
        f"The process {pid} ({name}) is never sent a signal by this node: {why}.",
    )


def _not_permitted(proc: Path, pid: int, name: str) -> ApiError:
    """Give the problem of a signal that the kernel forbids: whose process it is, and the remedy."""
    owner = _owner(proc, pid)
    own = _user(os.geteuid())
    begin = f"The process {pid} ({name}) belongs to {owner}, and this node runs as {own}"
    if os.geteuid() == 0 or _has_capability(proc, _CAP_KILL):
        text = (
            f"{begin}, with the right to send signals to all; yet the kernel forbids it. A "
            "security module (AppArmor, SELinux) or a user namespace does that: see journalctl -k. "
            "Nothing was sent."
        )
    else:
        text = (
            f"{begin}, which may not send it a signal. Run the node as that user, or give it the "
            "capability CAP_KILL: systemctl edit etlmon-node, with the lines [Service], "
            "AmbientCapabilities=CAP_KILL and CapabilityBoundingSet=CAP_KILL, then systemctl "
            "restart etlmon-node (the package has them in /usr/share/doc/etlmon/rights/kill.conf). "
            "Nothing was sent."
        )
    return ApiError(403, "signal-not-permitted", text)


def _owner(proc: Path, pid: int) -> str:
    """Give the user whose process it is: the real one, which is the one that counts for signals."""
    real = _status_field(proc, str(pid), "Uid:")
    return _user(int(real)) if real.isdecimal() else "another user"


def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except (KeyError, OverflowError):
        return f"uid {uid}"


def _has_capability(proc: Path, number: int) -> bool:
    """Whether this process has a capability in effect."""
    try:
        return bool(int(_status_field(proc, "self", "CapEff:"), 16) >> number & 1)
    except ValueError:
        return False


def _status_field(proc: Path, pid: str, name: str) -> str:
    """Give the first word of a line of /proc/PID/status, empty if it cannot be read."""
    try:
        text = (proc / pid / "status").read_bytes().decode("latin-1")
    except OSError:
        return ""
    lines = (line.split() for line in text.splitlines())
    return next((words[1] for words in lines if len(words) > 1 and words[0] == name), "")


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
