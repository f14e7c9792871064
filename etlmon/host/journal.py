"""Reads the systemd journal by its own program, journalctl, as far as it has grown.

Each reading is a process of its own that goes on behind the last entry of the one before, gives at
most so many entries and is ended then: nothing is left running between readings. Calls block, until
a deadline at the latest.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from etlmon.errors import CollectError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}
_FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID"
_DEADLINE_SECONDS = 20.0
_MOST_LINE_BYTES = 1 << 20
_MOST_BYTES = 32 << 20
_MOST_SAID_BYTES = 4_096
_READ_BYTES = 1 << 18
_END_SECONDS = 1.0
_DENIED = ("not seeing messages from", "insufficient permissions", "Permission denied")


class JournalEntry(NamedTuple):
    """One message, as far as it is of interest."""

    at_seconds: float
    """When the journal got it, since the epoch."""
    identifier: bytes
    """What the program calls itself."""
    pid: int | None
    text: bytes


class _Row(msgspec.Struct):
    cursor: str = msgspec.field(name="__CURSOR")
    at: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    text: Any = msgspec.field(name="MESSAGE", default=None)
    identifier: Any = msgspec.field(name="SYSLOG_IDENTIFIER", default=None)
    said_pid: Any = msgspec.field(name="SYSLOG_PID", default=None)
    pid: Any = msgspec.field(name="_PID", default=None)


_decoder = msgspec.json.Decoder(_Row)


class Journal:
    """The entries of the system's journal that match, from where an earlier one had stopped."""

    def __init__(
        self,
        matches: Sequence[str],
        cursor: str | None,
        *,
        since_seconds: float,
        command: Sequence[str] = ("journalctl",),
    ) -> None:
        """``matches`` are those of journalctl(1). Without ``cursor`` it begins at a moment."""
        self.cursor = cursor
        """Where to go on: the last entry that was given, None while there was none."""
        self.is_at_end = False
        """Whether the last reading gave all that there was."""
        self._matches = matches
        self._since_seconds = since_seconds
        self._command = command

    def read(self, most_entries: int) -> list[JournalEntry]:
        """Give the next entries, as they were written.

        Raises CollectError if journalctl fails, is too slow, or may not read the journal.
        """
        arguments = ["--system", "--no-pager", "--output=json", "--all"]
        arguments.append(f"--output-fields={_FIELDS}")
        if self.cursor is None:
            arguments.append(f"--since=@{max(0.0, self._since_seconds):.6f}")
        else:
            arguments.append(f"--after-cursor={self.cursor}")
        lines, is_denied = self._run([*self._command, *arguments, *self._matches], most_entries)
        entries = [entry for entry in map(self._entry, lines) if entry is not None]
        if not entries and is_denied:
            raise CollectError(
                "the journal cannot be read: give the node's user leave, such as by the group "
                "systemd-journal"
            )
        return entries

    def _run(self, command: Sequence[str], most_lines: int) -> tuple[list[bytes], bool]:
        """Give what a command prints, and whether it says that it may not see all."""
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT,
                bufsize=0,
            )
        except OSError as error:
            raise CollectError(f"journalctl cannot be run: {error.strerror}") from error
        reader = _Reader(process, most_lines)
        try:
            reader.read(time.monotonic() + _DEADLINE_SECONDS)
            status = 0 if reader.is_full else process.wait(_DEADLINE_SECONDS)
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            raise CollectError(
                f"journalctl did not answer within {_DEADLINE_SECONDS:g} s"
            ) from error
        finally:
            process.kill()
            reader.close()
            with suppress(subprocess.TimeoutExpired):  # one that cannot die is left to itself
                process.wait(_END_SECONDS)
        said = reader.said.decode("utf-8", "replace").strip()
        is_denied = any(words in said for words in _DENIED)
        if status != 0 and not is_denied:
            self._forget_bad_cursor(said)
            raise CollectError(f"journalctl failed: {said.partition(chr(10))[0] or status}")
        self.is_at_end = not reader.is_full
        return reader.lines, is_denied

    def _forget_bad_cursor(self, said: str) -> None:
        """Begin at the moment again where a cursor is none of this journal's."""
        if "cursor" in said.lower():
            self.cursor = None

    def _entry(self, line: bytes) -> JournalEntry | None:
        if not line.startswith(b"{"):
            return None  # "-- No entries --"
        try:
            row = _decoder.decode(line)
            at_seconds = int(row.at) / 1_000_000
        except (msgspec.MsgspecError, ValueError) as error:
            raise CollectError(f"journalctl: not what was expected: {error}") from error
        # Should the cursor be lost, the reading goes on behind this moment.
        self.cursor, self._since_seconds = row.cursor, at_seconds + 0.000_001
        said_pid = _bytes(row.said_pid) or _bytes(row.pid)
        pid = int(said_pid) if said_pid.isdigit() and len(said_pid) <= 10 else None
        return JournalEntry(at_seconds, _bytes(row.identifier), pid, _bytes(row.text))


class _Reader:
    """Takes what a process prints, line by line, up to a number of lines and of bytes."""

    def __init__(self, process: subprocess.Popen[bytes], most_lines: int) -> None:
        self.lines: list[bytes] = []
        self.said = b""
        self.is_full = False
        """Whether it was left before its end."""
        self._most_lines = most_lines
        self._rest = b""
        self._is_too_long = False
        self._left_bytes = _MOST_BYTES
        self._selector = selectors.DefaultSelector()
        assert process.stdout is not None
        assert process.stderr is not None
        self._pipes = (process.stdout, process.stderr)
        self._output = process.stdout.fileno()
        for pipe in self._pipes:
            self._selector.register(pipe.fileno(), selectors.EVENT_READ)

    def read(self, until: float) -> None:
        """Read to the end; raise TimeoutError where that does not come until then (monotonic)."""
        selector = self._selector
        while selector.get_map() and not self.is_full:
            ready = selector.select(max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _events in ready:
                part = os.read(key.fd, _READ_BYTES)
                if not part:
                    selector.unregister(key.fd)
                elif key.fd == self._output:
                    self._take(part)
                else:
                    self.said = (self.said + part)[:_MOST_SAID_BYTES]

    def close(self) -> None:
        """Close both pipes."""
        self._selector.close()
        for pipe in self._pipes:
            pipe.close()

    def _take(self, part: bytes) -> None:
        *whole, self._rest = (self._rest + part).split(b"\n")
        for line in whole:
            if self._is_too_long:  # the end of a line whose beginning was dropped
                self._is_too_long = False
            elif len(self.lines) < self._most_lines and self._left_bytes > 0:
                self.lines.append(line)
                self._left_bytes -= len(line)
            else:
                self.is_full = True
        if len(self._rest) > _MOST_LINE_BYTES:
            self._rest, self._is_too_long = b"", True


def _bytes(value: Any) -> bytes:
    """Give the value of a field: text, a list of bytes where it is no UTF-8, or several values."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, list) and value:
        if all(isinstance(one, int) and 0 <= one <= 255 for one in value):
            return bytes(value)
        return _bytes(value[0])
    return b""
