"""Turns of reading a transfer log: lines from the follower, entries out. All of it blocks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from etlmon.collectors.xferlog.entries import Gathered, LineReader
from etlmon.collectors.xferlog.parse import parse
from etlmon.collectors.xferlog.start import find_start
from etlmon.collectors.xferlog.times import LogTimes, Written
from etlmon.host.follow import Follower
from etlmon.records.xferlog import XferlogBlock, XferlogLine
from etlmon.units import to_millis

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, tzinfo
    from pathlib import Path

    from etlmon.host.follow import Standing
    from etlmon.host.lines import Mark
    from etlmon.records.xferlog import XferlogFlag, XferlogStatus

LINES_A_TURN = 5_000
_OUT_OF_ORDER_MS = 86_400_000
"""How much earlier than the lines around it a line may seem to be: sessions have other offsets."""
_NOTHING = XferlogLine(*[None] * len(XferlogLine._fields))._replace(  # type: ignore[arg-type]
    ts_quality="unknown", flags="[]"
)
_FLAGS: dict[str, XferlogFlag] = {"cut": "cut", "partial": "partial"}


@dataclass(frozen=True)
class Turn:
    """What one turn has found: it is stored together, or not at all."""

    block: XferlogBlock | None
    standing: Standing
    cursor: str | None
    gathered: Gathered
    gaps: int
    read: int
    """Entries, events and transfers left out."""
    more: bool
    """Whether there may be more at once."""


class LogReading:
    """Reads one log, turn by turn; belongs to one thread at a time."""

    def __init__(
        self,
        path: str,
        cursor: str | None,
        *,
        zone: tzinfo,
        parse_start: datetime | None,
        roots: Mapping[str, str],
        proc: Path,
    ) -> None:
        self._path = path
        self._zone = zone
        self._parse_start_ms = None if parse_start is None else to_millis(parse_start)
        self._follower = Follower(
            path.encode(),
            cursor,
            begin="beginning",
            find_begin=None if parse_start is None else self._find_start,
            proc=proc,
        )
        self._lines = LineReader(LogTimes(zone), parse_start_ms=self._parse_start_ms, roots=roots)
        self._now_ms = 0
        self._at_end_ms: int | None = None
        # A thread that nobody waits for any more may still be at it.
        self._lock = Lock()

    def look(self, now: float, at: datetime) -> None:
        """Find out what has become of the file; raises OSError where it cannot be read."""
        with self._lock:
            self._now_ms = to_millis(at)
            self._follower.look(now)

    def _find_start(self, fd: int, size_bytes: int) -> int:
        """Give where in a log that was never seen the lines since ``parse_start`` begin."""
        assert self._parse_start_ms is not None
        first_ms = self._parse_start_ms - _OUT_OF_ORDER_MS
        times = LogTimes(self._zone)

        def is_older(line: bytes) -> bool | None:
            for piece in parse(line):
                if piece.time_text is not None:
                    moment_ms, _ = times.read(piece.time_text, self._now_ms)
                    if moment_ms is not None:
                        return moment_ms < first_ms
            return None

        return find_start(lambda offset, most: os.pread(fd, most, offset), size_bytes, is_older)

    def read(self, now: float, at: datetime) -> Turn:
        """Read the next lines; ``now`` is the monotonic clock's, ``at`` the time of day.

        Raises OSError where the file cannot be read.
        """
        with self._lock:
            return self._read(now, at)

    def _read(self, now: float, at: datetime) -> Turn:
        at_ms = to_millis(at)
        reading = self._follower.read(LINES_A_TURN, now)
        gathered, gaps = Gathered(), 0
        if reading is not None:
            # What stood there at the end of the turn before was read then.
            written = None if self._at_end_ms is None else Written(self._at_end_ms, at_ms)
            if reading.block is not None:
                self._lines.read_block(reading.block, reading.offset, gathered, at_ms, written)
            for place, line in enumerate(reading.marked):
                mark, offset = reading.marks.get(place), reading.offsets[place]
                if line is None:
                    assert mark is not None
                    gaps += "gap" in mark.flags
                    gathered.add(_mark(mark, offset))
                else:
                    flags = tuple(_FLAGS[flag] for flag in mark.flags) if mark else ()
                    self._lines.read(line, offset, gathered, at_ms, written, flags)
        else:
            self._at_end_ms = at_ms
        block = None
        if gathered.entries and reading is not None:
            block = XferlogBlock(
                log_path=self._path,
                source_inode=reading.inode,
                created_at=at,
                lines=gathered.entries,
            )
        stored = 0 if block is None else block.count
        return Turn(
            block=block,
            standing=self._follower.standing(),
            cursor=self._follower.cursor(),
            gathered=gathered,
            gaps=gaps,
            read=stored + gathered.events + gathered.skipped,
            more=reading is not None,
        )

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._follower.sleep()


def _mark(mark: Mark, offset: int) -> XferlogLine:
    """Give the entry that stands where lines are missing."""
    status: XferlogStatus = (
        "gap" if "gap" in mark.flags else "truncated" if "truncated" in mark.flags else "nul_run"
    )
    reason = mark.detail
    if reason is None:
        what = "NUL bytes" if status == "nul_run" else "bytes"
        reason = what if mark.length_bytes is None else f"{mark.length_bytes:,} {what}"
    return _NOTHING._replace(status=status, reason=reason, offset=offset)
