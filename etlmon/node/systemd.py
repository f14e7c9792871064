"""What the node and systemd tell each other: sd_notify(3), sd_listen_fds(3), the watchdog.

Without systemd nothing of this happens.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.logger import Logger

from etlmon.errors import EtlmonError
from etlmon.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping
    from types import TracebackType

    from twisted.internet.interfaces import IDelayedCall

_FIRST_DESCRIPTOR = 3
_FEWEST_TICKS_SECONDS = 1.0
_LOOK_EVERY_SECONDS = 30.0
_AT_WORK_SECONDS = 0.3
"""So much of the processor is used in that time by a start that is at work on the disk, too."""
_EXTENSION_SECONDS = 900
_NOTIFY_NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_LISTEN_NAMES = ("LISTEN_PID", "LISTEN_FDS")


class Notifier:
    """Tells systemd how the service is. What cannot be told is lost: nobody else would hear it."""

    def __init__(self, address: str | None, watchdog_seconds: float | None = None) -> None:
        """``watchdog_seconds``: after so long without a word systemd ends the process."""
        self.watchdog_seconds = watchdog_seconds if address else None
        self._address = address
        self._socket: socket.socket | None = None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], pid: int) -> Notifier:
        """Take what systemd has set, out of ``environ``: it is not for our children."""
        address, microseconds, watched = (environ.pop(name, "") for name in _NOTIFY_NAMES)
        is_for_us = watched in ("", str(pid)) and microseconds.isdigit()
        seconds = int(microseconds) / 1e6 if is_for_us else 0.0
        return cls(address if address[:1] in ("/", "@") else None, seconds or None)

    def tell(self, **words: object) -> None:
        """Send assignments: ``tell(READY=1, STATUS="well")``."""
        if self._address is None:
            return
        text = "\n".join(f"{name}={one_line(str(word))}" for name, word in words.items())
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            address = self._address
            self._socket.sendto(text.encode(), address.replace("@", "\0", 1))
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the socket; the next word opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Starting:
    """Has systemd wait for a start as long as that is at work, in the time of a ``with`` statement.

    To bring a large database to another schema, or to mend it, takes what it takes; where systemd
    ended that it would begin again and again. Each half minute in which the process has used some
    of the processor puts the end of its patience off. One that hangs is ended as ever.
    """

    def __init__(
        self,
        notifier: Notifier,
        status: str,
        cpu_seconds: Callable[[], float] = time.process_time,
        every_seconds: float = _LOOK_EVERY_SECONDS,
    ) -> None:
        """``status`` is a line for `systemctl status`, once it takes long."""
        self._notifier = notifier
        self._status = status
        self._cpu_seconds = cpu_seconds
        self._every_seconds = every_seconds
        self._is_over = Event()
        self._thread = Thread(target=self._look, name="starting", daemon=True)

    def __enter__(self) -> None:
        """Begin to look. Nothing else may tell systemd anything meanwhile."""
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Look no more."""
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        used = self._cpu_seconds()
        while not self._is_over.wait(self._every_seconds):
            before, used = used, self._cpu_seconds()
            if used - before >= _AT_WORK_SECONDS:
                microseconds = _EXTENSION_SECONDS * 1_000_000
                self._notifier.tell(EXTEND_TIMEOUT_USEC=microseconds, STATUS=self._status)


class SupervisedService(Service):
    """Tells systemd that the node is ready, lives, is well or not, reloads and stops.

    ``dead_part`` names a part that makes no progress any more, None while all live: the watchdog
    is fed only then, and by the reactor itself. ``status`` gives a line for `systemctl status`.
    """

    name = "systemd"
    log = Logger()

    def __init__(
        self,
        notifier: Notifier,
        reactor: Any,
        dead_part: Callable[[], str | None],
        status: Callable[[], str],
    ) -> None:
        self._notifier = notifier
        self._reactor = reactor
        self._dead_part = dead_part
        self._status = status
        self._told_status = ""
        self._told_dead: str | None = None
        self._tick_call: IDelayedCall | None = None

    def starting(self, status: str) -> Starting:
        """Give what has systemd wait for a part of the start that may take long."""
        return Starting(self._notifier, status)

    def startService(self) -> None:
        """Say that the node is ready, as soon as the reactor runs."""
        super().startService()
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> None:
        """Say that the node stops."""
        super().stopService()
        if self._tick_call is not None:
            self._tick_call.cancel()
            self._tick_call = None
        self._notifier.tell(STOPPING=1, STATUS="stopping")
        self._notifier.close()

    def reloading(self) -> None:
        """Say that the configuration is being read again; ``ready`` must follow."""
        # Of all clocks systemd takes this one.
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notifier.tell(RELOADING=1, MONOTONIC_USEC=microseconds)

    def ready(self) -> None:
        """Say that the node is ready, again after a reload."""
        if self.running:
            self._told_status = self._status()
            self._notifier.tell(READY=1, STATUS=self._told_status)

    def _begin(self) -> None:
        if self.running:
            self.ready()
            self._tick()

    def _tick(self) -> None:
        dead = self._dead_part()
        if dead is None:
            self._notifier.tell(WATCHDOG=1)
        if dead != self._told_dead:
            self._tell_of_dead(dead)
        self._told_dead = dead
        status = self._status()
        if status != self._told_status:
            self._told_status = status
            self._notifier.tell(STATUS=status)
        limit = self._notifier.watchdog_seconds
        seconds = 10.0 if limit is None else max(limit / 3, _FEWEST_TICKS_SECONDS)
        self._tick_call = self._reactor.callLater(seconds, self._tick)

    def _tell_of_dead(self, dead: str | None) -> None:
        if dead is None:
            self.log.info("{part} lives again.", part=self._told_dead)
        elif self._notifier.watchdog_seconds is None:
            self.log.error("{part} makes no progress.", part=dead)
        else:
            self.log.error("{part} makes no progress; systemd will end this node.", part=dead)


def first_environment(proc: Path = Path("/proc")) -> dict[str, str]:
    """Give the environment with which this process began.

    Twisted takes out of it what systemd says of sockets, when it is imported.
    """
    words = (proc / "self" / "environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(word).partition("=") for word in words)
    return {name: value for name, separator, value in pairs if separator}


def inherited_socket(environ: Mapping[str, str], pid: int) -> socket.socket | None:
    """Give the listening socket that systemd has opened for us; None if it has not.

    Raises EtlmonError if it is more than one, or none that listens.
    """
    for_whom, count = (environ.get(name, "") for name in _LISTEN_NAMES)
    if for_whom != str(pid) or not count.isdigit() or count == "0":
        return None
    if count != "1":
        raise EtlmonError(
            f"systemd hands over {count} sockets, and a node listens on one; "
            "give the .socket unit one ListenStream="
        )
    try:
        found = socket.socket(fileno=_FIRST_DESCRIPTOR)
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        is_stream = found.type == socket.SOCK_STREAM
    except OSError as error:
        raise EtlmonError(f"what systemd hands over is no socket: {error.strerror}") from error
    if not (listens and is_stream):
        found.detach()
        raise EtlmonError("what systemd hands over is no listening socket; write ListenStream=")
    os.set_inheritable(_FIRST_DESCRIPTOR, False)
    found.setblocking(False)
    return found


def listen_text(listening: socket.socket) -> str:
    """Give where a socket listens in the words of ``node.listen``."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        path = name if isinstance(name, str) else os.fsdecode(name)
        return f"unix:{path}"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
