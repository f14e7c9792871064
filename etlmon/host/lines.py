"""Lines out of the bytes of a file: nothing is dropped, and nothing is held that is not needed.

A line ends with the byte LF and nothing else. What is no line is marked: a line whose end does not
come, one that is too long, a run of NUL bytes that a writer or a crash has left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etlmon.host.generation import Generation, Position

LEAST_BLOCK_BYTES = 1 << 16
MOST_BLOCK_BYTES = 1 << 20
_AT_A_TIME_BYTES = 8 << 20
"""After so many bytes of one long line, or of NULs, others have their turn."""
_NULS = bytes(64)
"""Fewer NULs than these in a row stay in the line."""
_RUN = re.compile(rb"\0+")


@dataclass(frozen=True)
class Mark:
    """What is special about a line, or what stands where there is no line."""

    flags: tuple[str, ...]
    """``partial``: its end has not come; ``cut``: it is longer; ``nul_run``, ``gap`` and
    ``truncated`` stand where there is no line."""
    length_bytes: int | None = None
    """How long the whole line is; how many bytes are meant; None where that is unknown."""
    detail: str | None = None


@dataclass
class Reading:
    """Lines that were read together, in the order of the file."""

    inode: int | None
    """Of the file that they stand in; None for a mark of a file that is gone."""
    offset: int
    """Where the first of them begins in it, bytes."""
    block: bytes | None
    """All of them with their ends, where none is marked; the fast way to read many."""
    marked: list[bytes | None] = field(default_factory=list)
    """The lines without their ends where there is no ``block``; None for a mark alone."""
    marks: dict[int, Mark] = field(default_factory=dict)
    """By place in ``lines``."""
    offsets: list[int] = field(default_factory=list)
    """Where each of ``marked`` begins."""
    is_named: bool = False
    """Whether the file bears the name that is followed: lines will be added to it."""
    has_all: bool = False
    """Whether it reaches to the end of the file, but for the beginning of a line."""
    returnable: range = range(0)
    """Which bytes of the file, at its end, can be given back: lines of which none is marked."""

    @property
    def lines(self) -> list[bytes | None]:
        """The lines without their ends, None for a mark alone."""
        if self.block is None:
            return self.marked
        return [*self.block[:-1].split(b"\n")]

    def line_offsets(self) -> list[int]:
        """Give where each of ``lines`` begins in the file, bytes."""
        if self.block is None:
            return self.offsets
        found, at = [], self.offset
        for line in self.block[:-1].split(b"\n"):
            found.append(at)
            at += len(line) + 1
        return found

    def _add(self, line: bytes | None, offset: int, mark: Mark | None = None) -> None:
        if mark is not None:
            self.marks[len(self.marked)] = mark
        self.marked.append(line)
        self.offsets.append(offset)


@dataclass
class _Stretch:
    """A long line, or a run of NULs, that is only measured until its end comes."""

    start: Position
    head: bytes | None
    """The beginning of the line; None for NULs."""
    length: int = 0


class LineReader:
    """Reads the lines of one file; blocks, so it runs in a thread.

    What has been read and not been given yet (the beginning of a line) is read again after a
    restart: ``position`` is where the last line given ends.
    """

    def __init__(
        self,
        generation: Generation,
        *,
        max_line_bytes: int,
        partial_seconds: float,
        may_give_back: bool = False,
    ) -> None:
        self.generation = generation
        self._may_give_back = may_give_back
        self._max_line_bytes = max_line_bytes
        self._partial_seconds = partial_seconds
        self._stretch: _Stretch | None = None
        self._partial: tuple[int, float] | None = None  # where it begins, since when it waits
        self.is_drained = False
        """Whether the last reading took all that there was at that moment."""
        self._line_bytes = 128.0  # of a typical line: how much to read for so many lines

    @property
    def position(self) -> Position:
        """Where the last line that was given ends."""
        return self._stretch.start if self._stretch else self.generation.position()

    @property
    def offset(self) -> int:
        """The same, as a place in the file."""
        return self._stretch.start.offset if self._stretch else self.generation.offset

    def restart(self) -> None:
        """Begin again at the beginning of the file."""
        self._stretch = self._partial = None
        self.generation.restart()

    @property
    def left_bytes(self) -> int:
        """Bytes that have not been given yet, as far as is known without reading."""
        return self.generation.offset - self.offset + self.generation.left_bytes

    def read(self, most_lines: int, now: float, *, is_last: bool = False) -> Reading | None:
        """Give the next lines; None if there is none at the moment.

        An empty reading tells that there is more, all of it one line so far. ``now`` is the
        monotonic clock's. With ``is_last`` nothing more will be written: a last line without an
        end is given at once. Raises RewrittenError, or OSError.
        """
        generation = self.generation
        for _ in range(_AT_A_TIME_BYTES // MOST_BLOCK_BYTES):
            lines_bytes = int(most_lines * self._line_bytes * 1.1)
            want = MOST_BLOCK_BYTES if self._stretch else min(lines_bytes, MOST_BLOCK_BYTES)
            # So much that only the end of the file can hide the end of a line that is not cut.
            most_bytes = max(want, LEAST_BLOCK_BYTES, self._max_line_bytes + 1)
            data = generation.peek(most_bytes)
            self.is_drained = False
            if not data:
                return self._at_end(now, is_last)
            if data.startswith(b"\n") and self._stretch is None and self._is_within_line:
                generation.advance(data[:1])  # the end of what was given is no line of its own
                continue
            if self._stretch is None and _NULS not in data:
                found = self._whole_lines(data, most_lines)
                if found is not None:
                    self.is_drained = found.block is data and len(data) < most_bytes
                    found.has_all &= len(data) < most_bytes
                    return found
            reading = self._marked_lines(data, most_lines)
            if reading.marked:
                reading.has_all &= len(data) < most_bytes
                return reading
            if self._stretch is None:  # the beginning of a line
                return self._at_end(now, is_last, data)
        return Reading(generation.inode, generation.offset, None)

    @property
    def _is_within_line(self) -> bool:
        """Whether the line that goes on here has been given so far, or begins before the start."""
        return self.generation.offset > 0 and not self.generation.tail.endswith((b"\n", b"\0"))

    def give_back(self, length: int) -> None:
        """Count the last bytes of the last reading as not read: of ``returnable`` at most."""
        self.is_drained = False
        self.generation.go_back(length)

    def _whole_lines(self, data: bytes, most_lines: int) -> Reading | None:
        """Give what lines ``data`` begins with, if there are any and none is special."""
        end = data.rfind(b"\n") + 1
        if end == 0:
            return None
        count = data.count(b"\n")
        if count > most_lines:
            end = len(data) - len(data.split(b"\n", most_lines)[-1])
            count = most_lines
        at = 0
        while end - at > self._max_line_bytes + 1:
            at = data.rfind(b"\n", at, at + self._max_line_bytes + 1) + 1
            if at == 0:
                return None
        block = data if end == len(data) else data[:end]
        reading = Reading(self.generation.inode, self.generation.offset, block)
        self.generation.advance(block, may_return=self._may_give_back)
        reading.has_all = data.find(b"\n", end) == -1
        if self._may_give_back:
            reading.returnable = range(reading.offset, self.generation.offset)
        self._line_bytes += (end / count - self._line_bytes) / 4
        self._partial = None
        return reading

    def _marked_lines(self, data: bytes, most_lines: int) -> Reading:
        """Give lines one by one, with marks; begin or go on with what is only measured."""
        generation = self.generation
        base = generation.offset
        reading = Reading(generation.inode, base, None)
        at = self._go_on(data, reading) if self._stretch else 0
        nuls = -2  # not looked for
        while at < len(data) and len(reading.marked) < most_lines and self._stretch is None:
            if nuls != -1 and nuls < at:
                nuls = data.find(_NULS, at)
            end = data.find(b"\n", at)
            if nuls != -1 and (end == -1 or nuls < end):
                if nuls > at:
                    self._add_line(reading, data[at:nuls], base + at, "partial")
                    at = nuls
                    continue
                run = _RUN.match(data, at)
                assert run is not None
                if run.end() == len(data):
                    at = self._begin(data, at, None)
                else:
                    reading._add(None, base + at, Mark(("nul_run",), run.end() - at))
                    at = run.end()
            elif end != -1:
                self._add_line(reading, data[at:end], base + at)
                at = end + 1
            elif len(data) - at > self._max_line_bytes:
                at = self._begin(data, at, data[at : at + self._max_line_bytes])
            else:
                break
        generation.advance(data[generation.offset - base : at], may_return=self._may_give_back)
        if reading.marked:
            self._partial = None
        if self._stretch is None:
            reading.has_all = data.find(b"\n", at) == -1
            plain = reading.offsets[max(reading.marks, default=-1) + 1 :]
            if self._may_give_back and plain:
                reading.returnable = range(plain[0], generation.offset)
        return reading

    def _begin(self, data: bytes, at: int, head: bytes | None) -> int:
        """Begin to measure what reaches from ``at`` to the end of ``data``, and maybe beyond."""
        # What comes before it has been given: the position that is saved meanwhile.
        generation = self.generation
        generation.advance(data[:at])
        self._stretch = _Stretch(generation.position(), head, len(data) - at)
        generation.advance(data[at:])
        return len(data)

    def _go_on(self, data: bytes, reading: Reading) -> int:
        """Measure on; give the place in ``data`` where it ends."""
        stretch = self._stretch
        assert stretch is not None
        if stretch.head is None:
            end = len(data) - len(data.lstrip(b"\0"))
            after = end
        else:
            ends = [place for place in (data.find(b"\n"), data.find(_NULS)) if place != -1]
            end = min(ends, default=len(data))
            after = end + 1 if data[end : end + 1] == b"\n" else end
        stretch.length += end
        if end < len(data):
            self._end_stretch(reading, () if after > end else ("partial",))
        return after

    def _end_stretch(self, reading: Reading, more: tuple[str, ...]) -> None:
        stretch, self._stretch = self._stretch, None
        assert stretch is not None
        if stretch.head is None:
            flags: tuple[str, ...] = ("nul_run",)
        else:
            flags = ("cut", *more)
        reading._add(stretch.head, stretch.start.offset, Mark(flags, stretch.length))

    def _add_line(self, reading: Reading, line: bytes, offset: int, *flags: str) -> None:
        if len(line) > self._max_line_bytes:
            mark = Mark(("cut", *flags), len(line))
            reading._add(line[: self._max_line_bytes], offset, mark)
        else:
            reading._add(line, offset, Mark(flags) if flags else None)

    def _at_end(self, now: float, is_last: bool, rest: bytes = b"") -> Reading | None:
        """Give what has no end, once it has waited long enough for it."""
        generation = self.generation
        if not rest and self._stretch is None:
            self._partial = None
            return None
        begins = self._stretch.start.offset if self._stretch else generation.offset
        if self._partial is None or self._partial[0] != begins:
            self._partial = (begins, now)
        if not is_last and now - self._partial[1] < self._partial_seconds:
            return None
        self._partial = None
        reading = Reading(generation.inode, begins, None)
        if self._stretch:
            self._end_stretch(reading, ("partial",))
        else:
            self._add_line(reading, rest, begins, "partial")
            generation.advance(rest)
        return reading
