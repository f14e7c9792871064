"""A terminal that is gone ends the program, and is not read for ever."""

from __future__ import annotations

import os
import pty
import select
from contextlib import suppress

from etlmon.ui.terminal import Terminal
from tests.waiting import PATIENCE_SECONDS


def _read_until(master: int, wanted: bytes) -> bytes:
    """Read what is shown up to there: a terminal gives it in pieces, of any size."""
    seen = b""
    while wanted not in seen:
        assert select.select([master], [], [], PATIENCE_SECONDS)[0], seen
        seen += os.read(master, 65536)
    return seen


def test_no_row_runs_into_the_next() -> None:
    """While it is used; what comes after it wraps again."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "r+b", buffering=0) as line, os.fdopen(os.dup(slave), "w") as out:
        terminal = Terminal(input=line, output=out)
        terminal.start()
        assert b"\x1b[?7h" not in _read_until(master, b"\x1b[?7l")
        terminal.stop()
        _read_until(master, b"\x1b[?7h")
    os.close(master)


def test_its_end_is_told_and_gives_no_keys() -> None:
    master, slave = pty.openpty()
    line = os.fdopen(slave, "r+b", buffering=0)
    out = os.fdopen(os.dup(slave), "w")
    terminal = Terminal(input=line, output=out)
    lost: list[bool] = []
    terminal.lost = lambda: lost.append(True)
    terminal.start()
    _read_until(master, b"\x1b[?7l")
    assert terminal.get_available_raw_input() == []
    assert lost == []
    os.close(master)
    assert terminal.get_available_raw_input() == []
    assert lost == [True]
    for file in (terminal, out, line):
        with suppress(OSError, ValueError):
            file.stop() if file is terminal else file.close()
