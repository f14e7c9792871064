"""Turns of reading a transfer log: lines from the follower, entries out. All of it blocks."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from etlmon.collectors.xferlog.entries import Counted, LineReader
from etlmon.collectors.xferlog.times import LogTimes, Written
from etlmon.host.follow import Follower
from etlmon.records.xferlog import XferlogBlock, XferlogFileRead, XferlogLine
from etlmon.units import to_millis

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime, tzinfo
    from pathlib import Path

    from etlmon.host.follow import Standing
    from etlmon.host.lines import Mark, Reading
    from etlmon.records.base import Record
    from etlmon.records.xferlog import XferlogFlag, XferlogStatus

LINES_A_TURN = 5_000
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
    counted: Counted
    gaps: int
    read: int
    """Entries, events and transfers left out."""
    more: bool
    """Whether there may be more at once."""

    def records(self, state: XferlogFileRead) -> list[Record]:
        """Give the records of the turn, the position last."""
        return [state] if self.block is None else [self.block, state]


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
        self._follower = Follower(path.encode(), cursor, begin="beginning", proc=proc)
        self._lines = LineReader(
            LogTimes(zone),
            parse_start_ms=None if parse_start is None else to_millis(parse_start),
            roots=roots,
        )
        self._at_end_ms: int | None = None
        # A thread that nobody waits for any more may still be at it.
        self._lock = Lock()

    def look(self, now: float) -> None:
        """Find out what has become of the file; raises OSError where it cannot be read."""
        with self._lock:
            self._follower.look(now)

    def read(self, now: float, at: datetime) -> Turn:
        """Read the next lines; ``now`` is the monotonic clock's, ``at`` the time of day.

        Raises OSError where the file cannot be read.
        """
        with self._lock:
            return self._read(now, at)

    def _read(self, now: float, at: datetime) -> Turn:
        at_ms = to_millis(at)
        reading = self._follower.read(LINES_A_TURN, now)
        counted, gaps = Counted(), 0
        entries: list[XferlogLine] = []
        if reading is not None:
            # What stood there at the end of the turn before was read then.
            written = None if self._at_end_ms is None else Written(self._at_end_ms, at_ms)
            for line, offset, mark in _lines(reading):
                if line is None:
                    assert mark is not None
                    gaps += "gap" in mark.flags
                    entries.append(_mark(mark, offset))
                else:
                    flags = tuple(_FLAGS[flag] for flag in mark.flags) if mark else ()
                    self._lines.read(line, offset, entries, counted, at_ms, written, flags)
        else:
            self._at_end_ms = at_ms
        block = None
        if entries and reading is not None:
            block = XferlogBlock(
                log_path=self._path, source_inode=reading.inode, created_at=at, lines=entries
            )
        return Turn(
            block=block,
            standing=self._follower.standing(),
            cursor=self._follower.cursor(),
            counted=counted,
            gaps=gaps,
            read=0 if reading is None else len(entries) + counted.events + counted.skipped,
            more=reading is not None,
        )

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._follower.sleep()


def _lines(reading: Reading) -> Iterator[tuple[bytes | None, int, Mark | None]]:
    """Give the lines, where each begins, and what is special about it."""
    if reading.block is None:
        for place, line in enumerate(reading.marked):
            yield line, reading.offsets[place], reading.marks.get(place)
        return
    offset = reading.offset
    for line in reading.block[:-1].split(b"\n"):
        yield line, offset, None
        offset += len(line) + 1


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
