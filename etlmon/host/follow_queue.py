"""The files of one log that are read, in their order, and those that have been."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from etlmon.host.cursor import Cursor, Owed
from etlmon.host.follow_link import Link
from etlmon.host.generation import HEAD_BYTES, TAIL_BYTES
from etlmon.host.lines import LineReader, Mark
from etlmon.host.rotated import COPYING_SECONDS, has_time_of, keeps_time, open_same

if TYPE_CHECKING:
    from etlmon.host.generation import Generation, Position
    from etlmon.host.rotated import Rotated

CUT_OFF = Mark(("truncated",), None, "cut off, or replaced; read again from the beginning")
CUT_OFF_UNSEEN = Mark(
    ("truncated",),
    None,
    "cut off, or replaced, while nobody looked, and a copy was found; if it was cut off more than "
    "once, what was written in between is missing; read again from the beginning",
)
NO_COPY = Mark(
    ("truncated",),
    None,
    "cut off, or replaced, and no copy found: what was written to it since it had been looked at "
    "is missing, if anything was; read again from the beginning",
)

_MOST_TRIES = 6
_MUCH_BYTES = HEAD_BYTES + TAIL_BYTES
MOST_ALIKE_BYTES = 1 << 16
"""As long as the beginnings may be that files of one program have in common."""
_MOST_MARKS = 100
_MORE_MARKS = "this and more of the kind, one after the other; too many to tell of each"


@dataclass(frozen=True)
class Limits:
    """How a file is read."""

    max_line_bytes: int = 64 << 10
    partial_seconds: float = 5.0
    rotated_hold_seconds: float = 86400.0
    may_give_back: bool = False
    """Whether ``give_back`` will be used; it costs memory for the last block of each file."""


@dataclass(eq=False)
class Source:
    """A file that is being read."""

    lines: LineReader
    rotated_at: float | None
    """When it lost its name, by the monotonic clock."""
    grew_at: float
    is_copy: bool = False
    """Whether nobody writes to it, for it is a copy or compressed."""
    has_writer: bool = True
    """False once nobody can write to it any more: it is read to its end, and that is all."""
    generation: Generation = field(init=False)
    """The file itself."""

    def __post_init__(self) -> None:
        self.generation = self.lines.generation

    def begin_again(self) -> None:
        """Begin again in the file, at a moment at which it is not written to: it may be cut off.

        What is known of its beginning and what of its size and times then belong together.
        """
        generation = self.generation
        for _ in range(_MOST_TRIES):
            generation.refresh()
            before = generation.size, generation.modified_ns
            self.lines.restart()
            generation.refresh()
            if (generation.size, generation.modified_ns) == before:
                break


class Queue:
    """What is to be read of the files that bear a name, or bore it, one after the other."""

    def __init__(self, path: bytes, limits: Limits, proc: bytes) -> None:
        self.path = path
        self.limits = limits
        self.proc = proc
        self.link = Link()
        self.read_to_ns: int | None = None
        """When what bears the name was looked at last, ns since the epoch, of those looks whose
        findings have all been read; None where there was none."""
        self._looked_at_ns: int | None = None
        self.waiting: list[Source | Mark] = []
        """To be read one after the other."""
        self.named: Source | None = None
        """What bears the name: always the last of those that wait."""
        self.held: list[Source] = []
        """Rotated, read to the end, and maybe still written to."""
        self.past: list[Position] = []
        """Read and done with: known again if they come back."""
        self.past_until: dict[tuple[int, int], float] = {}
        """Until when those of the past are looked at where they were last."""
        self.last: Position | None = None
        """The one that bore the name last."""
        self.unreadable: set[str | None] = set()
        """What the marks say of copies that could not be read when they were looked for last."""
        self.lined_up: tuple[Position, tuple[int, int] | None, list[Rotated]] | None = None
        """After which file, with which one bearing the name, and of which rotated ones those that
        nobody has seen come were lined up last."""

    def note_look(self, wall: float | None) -> None:
        """Note that a look begins now, seconds since the epoch, if that is known."""
        if self.named is None or self.named.lines.left_bytes == 0:
            self.read_to_ns = self._looked_at_ns
        self._looked_at_ns = None if wall is None else int(wall * 1e9)

    def source(self, generation: Generation, now: float, *, is_copy: bool = False) -> Source:
        """Give an open file as one to be read; it is nowhere in line yet.

        If one that was done with had its inode number, that is gone: it has none any more.
        """
        for one in [one for one in self.past if one.identity == generation.identity]:
            self._let_go(one)
        lines = LineReader(
            generation,
            max_line_bytes=self.limits.max_line_bytes,
            partial_seconds=self.limits.partial_seconds,
            may_give_back=self.limits.may_give_back,
        )
        return Source(lines, rotated_at=now, grew_at=now, is_copy=is_copy)

    def let_go_of_packed(self, files: list[Rotated]) -> None:
        """Let go of the numbers of files that were done with and have been compressed since.

        Where nothing tells when files were made, another may have got such a number. It was written
        at another time, and a compressed file has the very time of the one that was done with.
        """
        for one in [one for one in self.past if not one.born_ns and not one.is_packed]:
            own = next((other for other in files if other.is_file_of(one)), None)
            if own is None or has_time_of(own, one):
                continue
            if any(other.is_packed and has_time_of(other, one) for other in files):
                self._let_go(one)

    def _let_go(self, position: Position) -> None:
        self.past_until.pop(position.identity, None)
        place = self.past.index(position)
        self.past[place] = msgspec.structs.replace(position, device=0, inode=0)

    def sources(self) -> list[Source]:
        """Give all files that are open."""
        if self.named is not None and len(self.waiting) == 1 and not self.held:
            return [self.named]  # as it is nearly always
        return [*self.held, *(one for one in self.waiting if isinstance(one, Source))]

    def wait(self, item: Source | Mark) -> None:
        """Put something in line, before what bears the name.

        Of marks that nobody reads, for the log is paused, there are not more and more.
        """
        place = len(self.waiting) - (self.named is not None)
        before = self.waiting[max(0, place - _MOST_MARKS) : place]
        marks = [one for one in before if isinstance(one, Mark)]
        if isinstance(item, Mark) and len(marks) == _MOST_MARKS:
            flags = tuple(dict.fromkeys((*marks[-1].flags, *item.flags)))
            self.waiting[place - 1] = Mark(flags, None, _MORE_MARKS)
        else:
            self.waiting.insert(place, item)

    def tell_of_unreadable(self, marks: list[Mark]) -> None:
        """Put marks of files that cannot be read in line, each once as long as that is so."""
        for mark in marks:
            if mark.detail not in self.unreadable:
                self.wait(mark)
        self.unreadable = {mark.detail for mark in marks}

    def name(self, source: Source) -> None:
        """Put what bears the name at the end of the line."""
        source.rotated_at, source.has_writer = None, True
        self.waiting.append(source)
        self.named = source

    def remove(self, source: Source) -> None:
        """Take a file out of the line; it stays open."""
        if source is self.named:
            self.named = None
        for line in (self.waiting, self.held):
            if source in line:
                line.remove(source)

    def is_known(self, generation: Generation) -> bool:
        """Whether an open file is being read, or was: under any name, or before it was compressed.

        Leaves it at any place. Raises OSError where it cannot be read.
        """
        if any(generation.identity == source.generation.identity for source in self.sources()):
            return True
        return self.has_seen(generation)

    def has_seen(self, generation: Generation) -> bool:
        """Whether what is in an open file is known; one being read may be written over meanwhile.

        Leaves it at any place. Raises OSError where it cannot be read.
        """
        return self.reads(generation) or any(
            is_form_of(generation, position) for position in self.past
        )

    def reads(self, generation: Generation) -> bool:
        """Whether what is in an open file is being read; as ``has_seen``."""
        return any(_is_open_form_of(generation, source) for source in self.sources())

    def lose_name(self, now: float) -> None:
        """Note that the file that bore the name, if one did, bears it no more."""
        source, self.named = self.named, None
        if source is not None:
            source.rotated_at = source.grew_at = now
            self.last = source.lines.position

    def take_past(self, generation: Generation) -> bool:
        """Go on in a file that was done with, if this is one."""
        for position in self.past:
            is_same = position.head_bytes > 0 and not generation.is_another(position)
            if is_same and generation.go_to(position):
                self.past.remove(position)
                return True
        return False

    def cursor(self) -> Cursor:
        """Give where to go on after what has been read."""
        waiting = tuple(
            Owed(one.flags, one.length_bytes, one.detail) if isinstance(one, Mark) else lasting(one)
            for one in self.waiting
        )
        held = tuple(lasting(source) for source in self.held)
        is_named = self.named is not None
        return Cursor(waiting, is_named, held, tuple(self.past), self.link.signature)

    def close(self) -> None:
        """Close all files, and forget what waits."""
        for source in self.sources():
            source.generation.close()
        self.waiting, self.held, self.named = [], [], None
        self.read_to_ns = self._looked_at_ns = self.lined_up = None
        self.link = Link()


def is_form_of(generation: Generation, position: Position) -> bool:
    """Whether a file is that of a position, or what compressing has made of it."""
    if not position.head_bytes:
        return False
    if generation.is_another(position):
        if not generation.is_packed:
            return False
        if position.is_packed:  # it may have been moved to another file system
            return has_time_of(generation, position) and generation.go_to(position)
        # Files of one program begin alike: what was read to its end is all of it.
        was_read = position.offset >= position.size
        # Whoever types ``gzip -c app.log.1 > app.log.1.gz`` gives it another time.
        is_much = was_read and position.offset >= (
            MOST_ALIKE_BYTES if keeps_time(generation) else _MUCH_BYTES
        )
        if not (is_much or _may_be_of_time(generation, position)):
            return False
        return generation.go_to(position) and not (was_read and generation.peek(1))
    return generation.go_to(position)


def _is_open_form_of(generation: Generation, source: Source) -> bool:
    """Whether a file is one that is open, or what compressing has made of it.

    Files of one program begin alike, but the other one is there to be compared with. It has the
    time that compressing has kept; or a later one and more in it, for it was written to since, as a
    copy is not.
    """
    position, other = source.lines.position, source.generation
    if other.is_packed or not generation.is_packed or not generation.is_another(position):
        return is_form_of(generation, position)
    if not _is_near(generation, position):
        return False
    generation.restart()
    length = min(len(generation.head), len(other.head))
    if not generation.head or generation.head[:length] != other.head[:length]:
        return False
    status = os.fstat(other.fd)
    if not generation.ends_within(status.st_size):
        return False
    at = generation.offset - len(generation.tail)
    if os.pread(other.fd, len(generation.tail), at) != generation.tail:
        return False
    status = os.fstat(other.fd)
    if status.st_size != generation.offset:
        is_later = keeps_time(generation) and generation.modified_ns > status.st_mtime_ns
        return not (source.is_copy or is_later)
    if not keeps_time(generation):
        return True
    now = msgspec.structs.replace(position, modified_ns=status.st_mtime_ns)
    return has_time_of(generation, now)


def _may_be_of_time(generation: Generation, position: Position) -> bool:
    """Whether a compressed file may be made of that of a position, by when it was written."""
    if keeps_time(generation):
        return has_time_of(generation, position)
    return _is_near(generation, position)


def _is_near(generation: Generation, position: Position) -> bool:
    last_ns = max(position.modified_ns, position.written_ns)
    return abs(generation.modified_ns - last_ns) <= COPYING_SECONDS * 10**9


def lasting(source: Source) -> Position:
    """Give the position of a file; without inode where it is deleted: another may get that."""
    position = source.lines.position
    if source.generation.is_deleted:
        return msgspec.structs.replace(position, device=0, inode=0)
    return position


def is_same(path: bytes, position: Position) -> bool:
    """Whether a name leads to the file of a position, by device and inode."""
    try:
        return identity_of(os.stat(path)) == position.identity
    except OSError:
        return False


def is_at(path: bytes, position: Position) -> bool:
    """Whether a name leads to the file of a position, by what is in it, too.

    One that was empty is not known again: another may have its inode number now.
    """
    if not position.head_bytes or not is_same(path, position):
        return False
    generation = open_same(path, position)
    if generation is None:
        return False
    generation.close()
    return True


def identity_of(status: os.stat_result) -> tuple[int, int]:
    """Give device and inode."""
    return status.st_dev, status.st_ino
