"""Turns of reading a transfer log: lines from the follower, entries out. All of it blocks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from etlmon.collectors.xferlog.entries import Gathered, LineReader
from etlmon.collectors.xferlog.parse import parse
from etlmon.collectors.xferlog.start import find_start
from etlmon.collectors.xferlog.times import LogTimes
from etlmon.collectors.xferlog.zones import Written
from etlmon.host.follow import Follower
from etlmon.records.xferlog import XferlogBlock, XferlogLine
from etlmon.units import to_millis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from etlmon.host.follow_standing import Standing
    from etlmon.host.lines import Mark, Reading
    from etlmon.host.zone import HostZone
    from etlmon.records.xferlog import XferlogFlag, XferlogStatus

LINES_A_TURN = 5_000
_OUT_OF_ORDER_MS = 86_400_000
"""How much earlier than the lines around it a line may seem to be: sessions have other offsets."""
_NOTHING = XferlogLine(*[None] * len(XferlogLine._fields))._replace(  # type: ignore[arg-type]
    ts_quality="unknown", flags="[]"
)
_FLAGS: dict[str, XferlogFlag] = {"cut": "cut", "partial": "partial"}
_MOST_ENDS = 64


@dataclass(frozen=True)
class Turn:
    """What one turn has found: it is stored together, or not at all."""

    block: XferlogBlock | None
    standing: Standing
    time_trouble: str | None
    """What is wrong with the zone of the log, or with its clock."""
    cursor: str | None
    gathered: Gathered
    gaps: int
    read: int
    """Entries, events and transfers left out."""
    more: bool
    """Whether there may be more at once."""
    trouble: OSError | None
    """What was found wrong with the file before it was read."""


class LogReading:
    """Reads one log, turn by turn; belongs to one thread at a time.

    ``read_zone`` gives the zone of its times, ``likely`` are those that it may be in otherwise.
    """

    def __init__(
        self,
        path: str,
        cursor: str | None,
        *,
        read_zone: Callable[[], HostZone],
        likely: Sequence[str] = (),
        parse_start: datetime | None,
        roots: Mapping[str, str],
        proc: Path,
        wall_clock: Callable[[], float],
    ) -> None:
        self._path = path
        self._read_zone = read_zone
        self._likely = likely
        self._zone = read_zone()
        self._parse_start_ms = None if parse_start is None else to_millis(parse_start)
        self._follower = Follower(
            path.encode(),
            cursor,
            begin="beginning",
            find_begin=None if parse_start is None else self._find_start,
            proc=proc,
            wall_clock=wall_clock,
        )
        self._lines = LineReader(
            LogTimes(self._zone.rules, likely), parse_start_ms=self._parse_start_ms, roots=roots
        )
        self._now_ms = 0
        self._at_end_ms: int | None = None
        # By inode, the offset of the last line that was read, and that of the last one there when
        # all had been read: what comes behind that has been written since.
        self._last_lines: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        # A thread that nobody waits for any more may still be at it.
        self._lock = Lock()

    def _look(self, now: float, at: datetime) -> None:
        """Find out what has become of the file; raises OSError where it cannot be read."""
        self._now_ms = to_millis(at)
        zone = self._read_zone()
        if zone != self._zone:
            self._zone = zone
            self._lines.times = LogTimes(zone.rules, self._likely)
        self._follower.look(now)

    def _find_start(self, fd: int, size_bytes: int) -> int:
        """Give where in a log that was never seen the lines since ``parse_start`` begin."""
        assert self._parse_start_ms is not None
        first_ms = self._parse_start_ms - _OUT_OF_ORDER_MS
        times = LogTimes(self._zone.rules)

        def is_older(line: bytes) -> bool | None:
            for piece in parse(line):
                if piece.time_text is not None:
                    moment_ms = times.read(piece.time_text, self._now_ms)[0]
                    if moment_ms is not None:
                        return moment_ms < first_ms
            return None

        return find_start(lambda offset, most: os.pread(fd, most, offset), size_bytes, is_older)

    def read(self, now: float, at: datetime, *, looks: bool) -> Turn:
        """Read the next lines; ``now`` is the monotonic clock's, ``at`` the time of day.

        With ``looks`` it finds out before what has become of the file. Raises OSError where the
        file cannot be read.
        """
        trouble = None
        with self._lock:
            if looks:
                try:
                    self._look(now, at)
                except OSError as error:
                    trouble = error
            return self._read(now, at, trouble)

    def _read(self, now: float, at: datetime, trouble: OSError | None) -> Turn:
        at_ms = to_millis(at)
        reading = self._follower.read(LINES_A_TURN, now)
        gathered, gaps = Gathered(), 0
        if reading is not None:
            written = self._written(reading, at_ms)
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
            self._note_ends(at_ms)
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
            time_trouble=self._lines.times.trouble,
            cursor=self._follower.cursor(),
            gathered=gathered,
            gaps=gaps,
            read=stored + gathered.events + gathered.skipped,
            more=reading is not None,
            trouble=trouble,
        )

    def _written(self, reading: Reading, at_ms: int) -> Written | None:
        """Give when lines were written, if that was since all had been read that was there.

        Of a file that was not there then nobody knows: it may have been written elsewhere.
        """
        inode, last = reading.inode, reading.offset
        if inode is None:
            return None
        end = self._ends.get(inode)
        if reading.block is not None:
            last += reading.block.rfind(b"\n", 0, -1) + 1
        elif reading.offsets:
            last = reading.offsets[-1]
        self._last_lines[inode] = last
        if end is None or self._at_end_ms is None or reading.offset <= end:
            return None
        # The clock may have been set meanwhile.
        return Written(min(self._at_end_ms, at_ms), max(self._at_end_ms, at_ms))

    def _note_ends(self, at_ms: int) -> None:
        """Note how far all files have been read: there is nothing more at the moment."""
        standing = self._follower.standing()
        self._at_end_ms = at_ms
        if standing.inode is not None and standing.offset is not None:
            # The next line begins there.
            self._last_lines.pop(standing.inode, None)
            self._last_lines[standing.inode] = standing.offset - 1
        while len(self._last_lines) > _MOST_ENDS:
            del self._last_lines[next(iter(self._last_lines))]
        self._ends = dict(self._last_lines)

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
