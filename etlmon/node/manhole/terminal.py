"""``etlmon console``: the socket of the console at one end, a terminal or a pipe at the other."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import termios
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

from etlmon.errors import EtlmonError

if TYPE_CHECKING:
    from collections.abc import Iterator

ON_TERMINAL = b"\0terminal\n"
"""What begins a session of somebody at a terminal, whose keys are to be taken one by one."""
_LEAVE = b"\x1d"
_CHUNK_BYTES = 65_536


def run_console(path: str, stdin: int = 0, stdout: int = 1) -> None:
    """Hand on what is typed and what comes back, until either end is over.

    Raises EtlmonError if the socket cannot be reached. Ctrl-] leaves, also when the node hangs.
    """
    with _connected(path) as line:
        if os.isatty(stdin) and os.isatty(stdout):
            with _raw(stdin):
                line.sendall(ON_TERMINAL)
                _relay(line, stdin, stdout, leave=_LEAVE)
            os.write(stdout, b"\r\n")
        else:
            _relay(line, stdin, stdout)


def _connected(path: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.connect(path)
    except OSError as error:
        line.close()
        raise EtlmonError(f"cannot reach the console {path}: {_why(error)}") from error
    return line


def _why(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return (
            "no node listens there; is it running, and does its node.yaml have manhole: {socket: "
            "...}? A node needs a restart to open it"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return "only root and the node's own user may; try: sudo etlmon console"
    return error.strerror or str(error)


def _relay(line: socket.socket, stdin: int, stdout: int, leave: bytes | None = None) -> None:
    sources: list[int | socket.socket] = [line, stdin]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if stdin in ready:
            typed = os.read(stdin, _CHUNK_BYTES)
            if leave is not None and leave in typed:
                return
            if not _send(line, typed):
                return
            if not typed:
                sources.remove(stdin)
        if line in ready:
            try:
                shown = line.recv(_CHUNK_BYTES)
            except ConnectionError:
                return
            if not shown:
                return
            _write_all(stdout, shown)


def _send(line: socket.socket, typed: bytes) -> bool:
    """Send what was typed, or that it was the last; False if nobody takes it any more."""
    try:
        if typed:
            line.sendall(typed)
        else:
            line.shutdown(socket.SHUT_WR)
    except OSError:
        return False
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Let each key come through as it is, and put the terminal back whatever happens."""
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        sys.stdout.flush()
