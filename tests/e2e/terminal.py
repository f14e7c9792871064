"""A program on a terminal: what it shows, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from typing import Any

import pyte

from tests.waiting import PATIENCE_SECONDS

# The screen hides the cursor before it draws.
_PICTURE = b"\x1b[?25l"
_UNFINISHED = re.compile(rb"\x1b(\[[<=>?]?[0-9;]*)?$")


class Terminal:
    """A program on a pseudo-terminal, and what an emulator shows of it."""

    def __init__(self, command: list[str], env: dict[str, str], cols: int = 100, rows: int = 30):
        self.screen = pyte.Screen(cols, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._unseen = b""
        self.master, self.slave = pty.openpty()
        self._set_size(cols, rows)
        self.before = termios.tcgetattr(self.slave)
        # setsid: the terminal is to be the program's own, as in a shell, for ^C to reach it.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env=env,
        )

    def _set_size(self, cols: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def resize(self, cols: int, rows: int) -> None:
        self.screen.resize(rows, cols)
        self._set_size(cols, rows)

    def type(self, keys: str) -> None:
        """Type keys; what the program has written before is no answer to them."""
        while select.select([self.master], [], [], 0)[0]:
            self._unseen += os.read(self.master, 65536)
        self._take(len(self._unseen))
        os.write(self.master, keys.encode())

    @property
    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def _read(self, seconds: float) -> bool:
        """Show the next of the program's pictures; False if nothing comes in time.

        One at a time: nothing that it shows is passed over, however late somebody looks.
        """
        if not _UNFINISHED.sub(b"", self._unseen):
            if not select.select([self.master], [], [], seconds)[0]:
                return False
            self._unseen += os.read(self.master, 65536)
        end = self._unseen.find(_PICTURE, 1)
        self._take(len(self._unseen) if end < 0 else end)
        return True

    def _take(self, size: int) -> None:
        """Show so many bytes of what the program has written, but half a sequence later."""
        data = _UNFINISHED.sub(b"", self._unseen[:size])
        self._unseen = self._unseen[len(data) :]
        self.raw += data
        if data:
            # pyte takes private CSI such as XTMODKEYS for others and fails on their arguments.
            self.stream.feed(re.sub(rb"\x1b\[[<=>][0-9;]*[a-zA-Z]", b"", data))

    def wait(self, wanted: str | Callable[[str], Any], seconds: float = PATIENCE_SECONDS) -> str:
        """Read until the screen shows what is wanted: a regular expression, or a predicate."""
        give_up_at = time.monotonic() + seconds
        while True:
            found = re.search(wanted, self.text) if isinstance(wanted, str) else wanted(self.text)
            if found:
                return self.text
            assert time.monotonic() < give_up_at, f"no {wanted} in:\n{self.text}"
            self._read(0.1)

    def end(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Read until the program is over; give its exit status."""
        give_up_at = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < give_up_at, f"it does not end:\n{self.text}"
            self._read(0.05)
        while self._read(0):
            pass
        return self.process.returncode

    def is_clean(self) -> bool:
        """Whether the terminal is as it was: no alternate screen, cursor, no mouse, its modes."""
        off = {b"?1049": b"l", b"?25": b"h", b"?1000": b"l", b"?1002": b"l", b"?1006": b"l"}
        for mode, letter in off.items():
            found = re.findall(rb"\x1b\[" + re.escape(mode) + rb"([hl])", self.raw)
            if found and found[-1] != letter:
                return False
        return termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
