"""Descriptors of processes: of the right one or none, an exit told at once, and how it was."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from etlmon.host.pidfds import Exit, ExitReader, how_it_ended, open_pidfd, read_exit
from etlmon.host.processes import Identity, read_identity

PROC = Path("/proc")
RELEASE = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    script = "import sys; sys.exit(int(sys.stdin.read() or 0))"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", script], stdin=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def finish(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Let it end, and leave it unreaped."""
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize(
    ("code", "exit_", "words"),
    [
        (0, Exit(0, None), "exit status 0"),
        (3 << 8, Exit(3, None), "exit status 3"),
        (9, Exit(None, "SIGKILL"), "killed by SIGKILL"),
        (11 | 0x80, Exit(None, "SIGSEGV"), "killed by SIGSEGV"),
        (40, Exit(None, "signal 40"), "killed by signal 40"),
    ],
)
def test_codes(code: int, exit_: Exit, words: str) -> None:
    assert how_it_ended(code) == exit_
    assert exit_.in_words == words


async def test_an_exit_is_told_once(child) -> None:
    identity = read_identity(PROC, child.pid)
    pidfd = open_pidfd(PROC, identity)
    assert pidfd is not None
    told: Deferred[None] = Deferred()
    reader = ExitReader(reactor, pidfd, lambda: told.callback(None))
    try:
        finish(child, b"")
        await told
        assert reader not in reactor.getReaders()
        os.fstat(pidfd)  # still open
    finally:
        reader.close()
        reader.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pidfd)


def test_of_another_process_there_is_none(child, tmp_path: Path) -> None:
    right = read_identity(PROC, child.pid)
    assert open_pidfd(PROC, right._replace(start_ticks=right.start_ticks + 1)) is None
    assert open_pidfd(PROC, Identity(right.boot_id, (1 << 22) + 1, 1)) is None
    assert open_pidfd(tmp_path, right) is None  # a fixture, or another namespace


def test_how_an_unreaped_one_ended(child) -> None:
    identity = read_identity(PROC, child.pid)
    assert read_exit(PROC, identity, None, privileged=False) is None  # it runs
    finish(child, b"3")
    assert read_exit(PROC, identity, None, privileged=False) == Exit(3, None)
    another = identity._replace(start_ticks=identity.start_ticks + 1)
    assert read_exit(PROC, another, None, privileged=True) is None


def test_a_zero_that_may_be_a_refusal_is_not_believed(child, monkeypatch) -> None:
    identity = read_identity(PROC, child.pid)
    finish(child, b"")
    assert read_exit(PROC, identity, None, privileged=True) == Exit(0, None)
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    assert read_exit(PROC, identity, None, privileged=False) is None


def test_how_a_reaped_one_ended(child) -> None:
    """From Linux 6.15 on the descriptor knows; before, nobody but the parent does."""
    identity = read_identity(PROC, child.pid)
    pidfd = open_pidfd(PROC, identity)
    assert pidfd is not None
    try:
        finish(child, b"5")
        child.wait()
        expected = Exit(5, None) if RELEASE >= (6, 15) else None
        assert read_exit(PROC, identity, pidfd, privileged=True) == expected
        assert read_exit(PROC, identity, None, privileged=True) is None
    finally:
        os.close(pidfd)


def test_what_is_no_pidfd_tells_nothing(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file:
        none = Identity("", (1 << 22) + 1, 1)
        assert read_exit(PROC, none, file.fileno(), privileged=True) is None
