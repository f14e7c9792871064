"""The cron that is installed: whose it is, whether it runs, and what it was told to do.

The root (``/``) and ``/proc`` are arguments. All calls block.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from etlmon.host.processes import read_stat

if TYPE_CHECKING:
    from pathlib import Path

LOGS_STARTS, LOGS_ENDS, LOGS_FAILURES, LOGS_PIDS = 1, 2, 4, 8
"""What Debian's cron logs of jobs, where the sum that it is told with -L has them."""
LOGS_ALL = LOGS_STARTS | LOGS_ENDS | LOGS_FAILURES | LOGS_PIDS
_CRONIE_MARKS = ("usr/bin/cronnext", "usr/sbin/crond", "usr/bin/crond")
_PID_FILES = ("run/crond.pid", "run/cron.pid", "var/run/crond.pid")
_DAEMONS = (b"cron", b"crond")
_OPTIONS = re.compile(r"""^\s*(?:EXTRA_OPTS|CRONDARGS)=["']?([^"'\n#]*)""", re.MULTILINE)
_WITH_VALUES = {"debian": "xL", "cronie": "xm"}
"""The options of each that are followed by a value."""
_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class Daemon:
    """The cron that is installed."""

    kind: Literal["debian", "cronie"] | None
    """Whose rules it goes by; None where none is installed."""
    running: bool | None
    """Whether it runs; None where that cannot be told."""
    options: tuple[str, ...] = ()
    """What it was started with; where it does not run, what its settings file says."""
    pid: int | None = None
    """Its process, where it runs."""

    @cached_property
    def _given(self) -> dict[str, str]:
        """The letters of its options, with the value of each that takes one; the last counts."""
        with_values = _WITH_VALUES[self.kind or "debian"]
        given: dict[str, str] = {}
        words = iter(self.options)
        for word in words:
            if word == "--":
                break
            if not word.startswith("-"):
                continue
            for place, letter in enumerate(word[1:], 2):
                if letter in with_values:
                    given[letter] = word[place:] or next(words, "")
                    break
                given[letter] = ""
        return given

    @property
    def lsb_names(self) -> bool:
        """Whether Debian's cron takes names by the rules of the LSB (its option -l)."""
        return self.kind != "cronie" and "l" in self._given

    @property
    def permits_any(self) -> bool:
        """Whether cronie takes crontabs of any mode, owner and number of links (its option -p)."""
        return self.kind == "cronie" and "p" in self._given

    @property
    def is_clustered(self) -> bool:
        """Whether cronie runs the users' crontabs on the host alone that their directory names."""
        return self.kind == "cronie" and "c" in self._given

    @property
    def log_level(self) -> int:
        """What Debian's cron is told to log: a sum. cronie knows no such option."""
        if self.kind == "cronie":
            return LOGS_STARTS
        found = _NUMBER.match(self._given.get("L", "1"))
        return int(found[0]) if found else 0


def find_daemon(root: Path, proc: Path) -> Daemon:
    """Find out which cron is installed, and whether it runs."""
    kind: Literal["debian", "cronie"] | None = None
    if any(os.path.exists(root / mark) for mark in _CRONIE_MARKS):
        kind = "cronie"
    elif os.path.exists(root / "usr/sbin/cron"):
        debian = os.path.exists(root / "etc/debian_version") or not os.path.isdir(
            root / "var/spool/cron/tabs"
        )
        kind = "debian" if debian else "cronie"
    running, pid = _runs(root, proc) if kind else (False, None)
    options = _arguments(proc, pid) if pid is not None else None
    if options is None:
        options = _settings(root)
    return Daemon(kind, running, tuple(options), pid)


def _has_ended(proc: Path, pid: int) -> bool:
    """Tell whether a process that is in the table is only waited for by its parent."""
    try:
        return read_stat(proc, pid).has_ended
    except (OSError, ValueError):
        return False


def _arguments(proc: Path, pid: int) -> list[str] | None:
    """Give the arguments of a process, None where they cannot be read."""
    try:
        with open(proc / str(pid) / "cmdline", "rb") as file:
            words = file.read(4_096).rstrip(b"\0").split(b"\0")
    except OSError:
        return None
    return [word.decode("utf-8", "replace") for word in words[1:]]


def _settings(root: Path) -> list[str]:
    """Give the options that the settings file of the daemon holds."""
    options: list[str] = []
    for place in ("etc/default/cron", "etc/sysconfig/crond"):
        try:
            with open(root / place, "rb") as file:
                text = file.read(65_536).decode("utf-8", "replace")
        except OSError:
            continue
        for found in _OPTIONS.finditer(text):
            options = found[1].split()
    return options


def _runs(root: Path, proc: Path) -> tuple[bool | None, int | None]:
    """Tell whether the process that the daemon's pid file names is there, and its pid."""
    for place in _PID_FILES:
        try:
            with open(root / place, "rb") as file:
                pid = int(file.read(32))
        except (OSError, ValueError):
            continue
        try:
            with open(proc / str(pid) / "comm", "rb") as file:
                is_cron = file.read(64).strip() in _DAEMONS
        except FileNotFoundError:
            return False, None
        except OSError:
            return None, None
        if not is_cron or _has_ended(proc, pid):
            return False, None
        return True, pid
    return False, None
