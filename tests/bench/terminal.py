"""A program on a terminal of its own, its output read as it comes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class OnTerminal:
    """A child on a pty of 80 by 24. Times are of the monotonic clock."""

    def __init__(self, command: Sequence[str]) -> None:
        self.began = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execv(command[0], list(command))
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def read_until(self, wanted: bytes, seconds: float = 30) -> float:
        """Read until ``wanted`` has come; give when it had."""
        seen = b""
        end = time.perf_counter() + seconds
        while wanted not in seen:
            left = end - time.perf_counter()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise TimeoutError(f"no {wanted!r} within {seconds} s, but {seen[-500:]!r}")
            seen = seen[-1000:] + os.read(self.fd, 65536)
        return time.perf_counter()

    def read_anything(self, seconds: float = 5) -> float:
        """Wait for output and give when it came."""
        if not select.select([self.fd], [], [], seconds)[0]:
            raise TimeoutError("no output")
        os.read(self.fd, 65536)
        return time.perf_counter()

    def read_until_quiet(self, seconds: float = 0.05) -> None:
        """Read until nothing has come for so long."""
        while select.select([self.fd], [], [], seconds)[0]:
            os.read(self.fd, 65536)

    def type(self, keys: bytes) -> float:
        """Type keys and give when that was."""
        os.write(self.fd, keys)
        return time.perf_counter()

    def cpu_seconds(self) -> float:
        """Give the processor time that the program has used."""
        stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        fields = stat.rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def idle_for(self, seconds: float) -> float:
        """Read what comes for so long and give the processor time used meanwhile."""
        before = self.cpu_seconds()
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                os.read(self.fd, 65536)
        return self.cpu_seconds() - before

    def end(self) -> None:
        """Kill the program."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)
