"""Follows a file by its name, through all that happens to log files, without losing a byte.

A ``Follower`` blocks and belongs to one thread at a time; it knows no clock and no reactor. It is
asked to ``look`` (every few seconds, and when something may have changed), then to ``read`` until
there is nothing more. What it gives and the ``cursor`` of that moment are meant to be stored in one
transaction: a Follower that begins with that cursor goes on exactly there.

- A file that is renamed or deleted is read to its end before the next one, and read on as long as
  another process may still write to it, though at most ``rotated_hold_seconds``.
- A file that is cut off (copytruncate, ``>``) is marked so; what had not been read of it is looked
  for in the copy that rotation has made.
- After a time in which nobody looked, the file is found by what it is: under its name, under the
  name that rotation gave it, or compressed; and so are those that came and went meanwhile.
- What cannot be had is a mark, ``gap``.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from etlmon.host.cursor import Cursor, Owed, decode, encode
from etlmon.host.generation import BROKEN, Generation, Position, RewrittenError, open_generation
from etlmon.host.lines import LineReader, Mark, Reading
from etlmon.host.rotated import (
    Rotated,
    find,
    is_packed_form,
    open_at,
    open_listed,
    rotated,
    unseen_after,
)
from etlmon.host.writers import find_writers

Begin = Literal["end", "beginning", "saved"]

_MOST_WAITING = 64  # rotated files that wait to be read; a gap tells of more
_MOST_HELD = 16  # rotated files that are kept open for what may still be written to them
_MOST_PAST = 8
# How long a rotated file must be quiet where it cannot be known who has it open.
_QUIET_SECONDS = 30.0
_WRITERS_EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Limits:
    """How a file is read."""

    max_line_bytes: int = 64 << 10
    partial_seconds: float = 5.0
    rotated_hold_seconds: float = 86400.0
    may_give_back: bool = False
    """Whether ``give_back`` will be used; it costs memory for the last block of each file."""


@dataclass(frozen=True)
class Standing:
    """How the following of a file stands."""

    is_there: bool
    """Whether there is a file of the name."""
    offset: int | None
    size: int | None
    inode: int | None
    lag_bytes: int
    """Bytes that wait to be read, those of rotated files too."""
    rotated_files: int
    """Files that lost the name and are still read."""
    sees_all_writers: bool
    """Whether it is known who has them open; without privileges their being quiet decides."""


@dataclass(eq=False)
class _Source:
    """A file that is being read."""

    lines: LineReader
    rotated_at: float | None
    """When it lost its name, by the monotonic clock."""
    grew_at: float
    is_copy: bool = False
    """Whether nobody writes to it, for it is a copy or compressed."""
    has_writer: bool = True
    """False once nobody can write to it any more: it is read to its end, and that is all."""

    @property
    def generation(self) -> Generation:
        return self.lines.generation


class Follower:
    """The lines of whatever file bears a name, from one generation to the next.

    ``cursor`` is what another one gave. Without it, a file that is there at the first look is read
    from its ``begin``: its "end", its "beginning", or not at all ("saved"); one that appears later
    is read from its beginning. Raises ValueError for a cursor that is none.
    """

    def __init__(
        self,
        path: bytes,
        cursor: str | None = None,
        *,
        begin: Begin = "end",
        limits: Limits | None = None,
        proc: Path = Path("/proc"),
    ) -> None:
        self.path = path
        self._saved: Cursor | None = decode(cursor)
        self._begin = begin
        self._limits = limits or Limits()
        self._proc = os.fsencode(proc)
        self._has_begun = False
        self._waiting: list[_Source | Mark] = []
        self._named: _Source | None = None
        """What bears the name: always the last of those that wait."""
        self._held: list[_Source] = []
        self._past: list[Position] = []
        self._past_until: dict[tuple[int, int], float] = {}
        self._last: Position | None = None
        self._turn = 0
        self._last_read: _Source | None = None
        self._looked_at_writers: float | None = None
        self._sees_all_writers = True

    # --- looking ----------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Find out what has become of the file; ``now`` is the monotonic clock's.

        Raises OSError, after all else has been done, where there is a file that cannot be read.
        """
        for source in self._sources():
            self._refresh(source, now)
        self._look_at_past(now)
        self._look_for_writers(now)
        status = self._status()
        if not self._has_begun:
            if self._saved is not None:
                self._restore(self._saved, now)
            elif not self._begin_anew(status, now):
                return
            self._has_begun, self._saved = True, None
            status = self._status()
        if status is None:
            self._lose_name(now)
            self._wait_for_unseen(None, now)
        elif self._named is None or self._named.generation.identity != _identity(status):
            self._take(now)

    def _status(self) -> os.stat_result | None:
        try:
            status = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        return status

    def _begin_anew(self, status: os.stat_result | None, now: float) -> bool:
        """Begin with no position known; False if the file is to be left alone."""
        if self._begin == "saved":
            return False
        if self._begin == "end" and status is not None:
            generation = open_generation(os.path.realpath(self.path))
            try:
                generation.seek(generation.size)
            except RewrittenError:  # cut off this very moment
                generation.restart()
            self._name(self._source(generation, now))
        else:
            # Rotated files that are there already are none that came and went meanwhile.
            newest_ns = max((one.modified_ns for one in rotated(self.path)), default=0)
            self._last = Position(0, 0, 0, 0, "", "", 0, newest_ns + 1, "")
            self._past.append(self._last)
        return True

    def _refresh(self, source: _Source, now: float) -> None:
        generation = source.generation
        size, modified_ns = generation.size, generation.modified_ns
        generation.refresh()
        if (generation.size, generation.modified_ns) == (size, modified_ns):
            return
        source.grew_at = now
        if source.is_copy:
            return
        was = msgspec.structs.replace(source.lines.position, size=size, modified_ns=modified_ns)
        try:
            generation.check()
        except RewrittenError:
            self._cut_off(source, was)
        else:
            if source is self._named:
                self._wait_for_copies(source, was)

    def _wait_for_copies(self, source: _Source, was: Position) -> None:
        """Line up the copies of a file that was empty, and may have been full and cut off since."""
        if was.offset == was.head_bytes == 0:
            files = unseen_after(was.modified_ns + 1, None, rotated(self.path))
            until_ns = source.generation.modified_ns
            copies = [one for one in files if one.size and one.modified_ns < until_ns]
            self._line_up(copies, 0.0, _CUT_OFF, source.generation)

    def _lose_name(self, now: float) -> None:
        """Note that the file that bore the name, if one did, bears it no more."""
        source, self._named = self._named, None
        if source is not None:
            source.rotated_at = source.grew_at = now
            self._last = source.lines.position

    def _take(self, now: float) -> None:
        """Take up the file that bears the name now, after those that came and went meanwhile."""
        try:
            generation = open_generation(os.path.realpath(self.path))
        except FileNotFoundError:
            self._lose_name(now)
            return
        if self._named is not None and self._named.generation.identity == generation.identity:
            generation.close()
            return
        self._lose_name(now)
        for source in self._sources():
            if source.generation.identity == generation.identity:  # it has its name again
                generation.close()
                self._remove(source)
                self._name(source)
                return
        if not self._take_past(generation):
            self._wait_for_unseen(generation.identity, now)
            generation.restart()
        self._name(self._source(generation, now))

    def _take_past(self, generation: Generation) -> bool:
        """Go on in a file that was done with, if this is one."""
        for position in self._past:
            is_same = position.identity == generation.identity and position.head_bytes > 0
            if is_same and generation.go_to(position):
                self._past.remove(position)
                return True
        return False

    def _wait_for_unseen(self, named: tuple[int, int] | None, now: float) -> None:
        """Line up the rotated files that came after the one that is known to have borne the name.

        ``named`` bears it now.
        """
        last = self._last
        if last is None:
            return
        files = rotated(self.path)
        own = next((one for one in files if _is_at(one.path, last)), None)
        if own is None:
            packed = find(last, self.path, files, lambda one: one.is_packed)
            if packed is not None:
                packed.close()
                own = next((one for one in files if one.identity == packed.identity), None)
        unseen = unseen_after(last.modified_ns, own, files)
        self._line_up([one for one in unseen if one.identity != named], now)

    def _is_known(self, one: Rotated) -> bool:
        """Whether a file is being read, or was: under this name, another one, or unpacked."""
        sources = self._sources()
        if any(one.identity == source.generation.identity for source in sources):
            return True
        if any(_is_at(one.path, position) for position in self._past):
            return True
        return one.is_packed and any(
            is_packed_form(one, position)
            for position in (*self._past, *(source.lines.position for source in sources))
        )

    def _line_up(
        self,
        files: list[Rotated],
        now: float,
        after_each: Mark | None = None,
        live: Generation | None = None,
    ) -> None:
        """Let rotated files wait to be read from their beginning, unless they are known.

        Those that are copies of ``live``, which was cut off after each, are followed by a mark.
        """
        files = [one for one in files if not self._is_known(one)]
        for place, one in enumerate(files):
            if len(files) - place > _MOST_WAITING:
                self._wait(_gap(one, "too many rotated files at once; left out"))
                continue
            try:
                generation = open_listed(self.path, one)
            except OSError as error:
                self._wait(_gap(one, f"cannot be read ({error.strerror})"))
                continue
            try:
                generation.restart()
            except BROKEN as error:
                generation.close()
                self._wait(_gap(one, f"cannot be read ({error})"))
                continue
            if _begins_like(generation, live):
                generation.close()  # it is being copied, and not cut off yet
                continue
            is_copy = one.is_packed or after_each is not None
            source = self._source(generation, now, is_copy=is_copy)
            self._wait(source)
            if after_each is None:
                self._last = source.lines.position
            else:
                self._wait(after_each)

    def _cut_off(self, source: _Source, position: Position, *, is_named: bool = False) -> None:
        """Begin again in a file that does not hold what was read; read the rest from its copy."""
        is_named = is_named or source is self._named
        self._remove(source)
        source.lines.restart()
        source.generation.refresh()
        files = rotated(self.path)
        copy = find(
            position, self.path, files, lambda one: one.identity != source.generation.identity
        )
        if copy is not None:
            own = next((one for one in files if one.identity == copy.identity), None)
            self._wait(self._source(copy, 0.0, is_copy=True))
            self._wait(_CUT_OFF)
            if own is None:  # they were renamed meanwhile
                files = rotated(self.path)
                own = next((one for one in files if one.identity == copy.identity), None)
            later = unseen_after(position.modified_ns, own, files)
            # What was written after this file is no copy of it, nor is this file, compressed.
            copies = [one for one in later if one.modified_ns < source.generation.modified_ns]
            self._line_up(copies, 0.0, _CUT_OFF, source.generation)
        elif position.size > position.offset:
            lost = position.size - position.offset
            detail = f"cut off, or replaced, before its last {lost} bytes were read"
            self._wait(Mark(("gap", "truncated"), lost, detail))
        else:
            self._wait(_CUT_OFF)
        if is_named:
            self._name(source)
        else:
            self._wait(source)

    def _look_at_past(self, now: float) -> None:
        """Read on a file that was done with, if it has grown where it was last."""
        for position in list(self._past):
            until = self._past_until.get(position.identity)
            if until is None or not position.head_bytes:
                continue
            path = position.path.encode("latin-1")
            try:
                status = os.stat(path)
            except OSError:
                status = None
            if status is None or now > until or _identity(status) != position.identity:
                del self._past_until[position.identity]
            elif status.st_size > position.offset:
                generation = open_at(path, position)
                if generation is not None:
                    self._past.remove(position)
                    self._held.append(self._source(generation, now))

    def _look_for_writers(self, now: float) -> None:
        """Find out which of the rotated files may still be written to."""
        sources = [one for one in self._sources() if one.rotated_at is not None and one.has_writer]
        if not sources or not _is_due(self._looked_at_writers, now, _WRITERS_EVERY_SECONDS):
            return
        self._looked_at_writers = now
        identities = frozenset(source.generation.identity for source in sources)
        places = frozenset(os.path.dirname(self._path_of(one.generation)) for one in sources)
        writers = find_writers(self._proc, identities, places)
        self._sees_all_writers = writers.is_complete
        for source in sources:
            assert source.rotated_at is not None
            # One that is empty cannot be found again: it stays open.
            is_quiet = bool(source.generation.head) and now - source.grew_at >= _QUIET_SECONDS
            is_held = source.generation.identity in writers.identities
            source.has_writer = (is_held or not (writers.is_complete or is_quiet)) and (
                now - source.rotated_at < self._limits.rotated_hold_seconds
            )

    def _path_of(self, generation: Generation) -> bytes:
        """Give where an open file is now; a deleted one, where it was and more."""
        try:
            return os.readlink(b"%s/self/fd/%d" % (self._proc, generation.fd))
        except OSError:
            return generation.name

    # --- going on after a restart -----------------------------------------------------------------

    def _restore(self, cursor: Cursor, now: float) -> None:
        """Find again what was being read, wherever it is now."""
        self._past = list(cursor.past)
        self._past_until = dict.fromkeys(
            (one.identity for one in self._past), now + self._limits.rotated_hold_seconds
        )
        self._last = cursor.last
        files = rotated(self.path)
        for position in cursor.held:
            self._resume(position, files, now)
        for place, item in enumerate(cursor.waiting, start=1):
            if isinstance(item, Owed):
                self._wait(item.mark)
            else:
                was_named = cursor.is_named and place == len(cursor.waiting)
                self._resume(item, files, now, was_named=was_named)

    def _resume(
        self, position: Position, files: list[Rotated], now: float, *, was_named: bool = False
    ) -> None:
        """Go on in a file, wherever it is now; without it, or without the rest of it, a mark."""
        name = os.path.realpath(self.path)
        rewritten: Generation | None = None
        for path in (name, position.path.encode("latin-1"), *_same(position, files)):
            if not _is_same(path, position):
                continue
            generation = open_at(path, position)
            if generation is not None:
                self._go_on(generation, position, now, is_named=was_named and path == name)
                return
            if rewritten is None:
                rewritten = _open_rewritten(path, position)
        if rewritten is not None:
            is_named = was_named and rewritten.name == name
            self._cut_off(self._source(rewritten, now), position, is_named=is_named)
            return
        generation = find(position, self.path, files)
        if generation is not None:
            self._wait(self._source(generation, now, is_copy=True))
        elif position.size > position.offset or was_named:
            left = max(0, position.size - position.offset)
            known = f"at least {left} bytes" if left else "maybe nothing"
            detail = f"gone before it had been read to its end; {known} of it are missing"
            self._wait(Mark(("gap",), left or None, detail))

    def _go_on(
        self, generation: Generation, position: Position, now: float, *, is_named: bool
    ) -> None:
        source = self._source(generation, now, is_copy=generation.is_packed)
        if is_named:
            self._name(source)
            self._wait_for_copies(source, position)
        else:
            self._wait(source)

    # --- reading ----------------------------------------------------------------------------------

    def read(self, most_lines: int, now: float) -> Reading | None:
        """Give the next lines, of one file; None if there is none at the moment.

        An empty reading tells that there is more to come. What is given counts as read: ``cursor``
        stands behind it. Raises OSError where the file cannot be read; the next look tries again.
        """
        turns = [*self._held, None]
        for step in range(len(turns)):
            place = (self._turn + step) % len(turns)
            held = turns[place]
            if held is None:
                reading = self._read_waiting(most_lines, now)
            else:
                reading = self._read_held(held, most_lines, now)
            if reading is not None:
                self._turn = place + 1
                return reading
        return None

    def give_back(self, length: int) -> None:
        """Count the last bytes of the last reading, which had a ``block``, as not read."""
        assert self._last_read is not None
        self._last_read.lines.give_back(length)

    @property
    def is_at_end(self) -> bool:
        """Whether the file of the last reading has nothing more, as of the last look."""
        return self._last_read is None or self._last_read.lines.left_bytes == 0

    def _read_waiting(self, most_lines: int, now: float) -> Reading | None:
        while self._waiting:
            first = self._waiting[0]
            if isinstance(first, Mark):
                del self._waiting[0]
                return _of_mark(first)
            reading = self._read(first, most_lines, now)
            if reading is not None:
                return reading
            if self._waiting[0] is not first:  # it was cut off
                continue
            if first is self._named:
                break
            del self._waiting[0]
            if first.is_copy or not first.has_writer:
                self._finish(first, now)
            else:
                self._held.append(first)
        return None

    def _read_held(self, source: _Source, most_lines: int, now: float) -> Reading | None:
        reading = self._read(source, most_lines, now)
        if reading is None and source in self._held:
            is_one_too_many = len(self._held) > _MOST_HELD and source is self._held[0]
            if is_one_too_many or not source.has_writer:
                self._held.remove(source)
                self._finish(source, now)
        return reading

    def _read(self, source: _Source, most_lines: int, now: float) -> Reading | None:
        is_last = source.is_copy or not source.has_writer
        try:
            reading = source.lines.read(most_lines, now, is_last=is_last)
            if reading is not None:
                reading.is_named = source is self._named
                self._last_read = source
            return reading
        except RewrittenError:
            self._cut_off(source, source.lines.position)
            return None
        except BROKEN as error:
            position = source.lines.position
            self._remove(source)
            source.generation.close()
            if source.rotated_at is None:
                self._past.append(position)  # the next look takes it up there
                raise
            return _of_mark(Mark(("gap",), None, f"a rotated file cannot be read on ({error})"))

    def _finish(self, source: _Source, now: float) -> None:
        """Be done with a file: it has been read to its end."""
        generation = source.generation
        path = self._path_of(generation).decode("latin-1")
        if not source.is_copy and not generation.is_deleted:
            self._past_until[generation.identity] = now + self._limits.rotated_hold_seconds
        self._past.append(msgspec.structs.replace(_lasting(source), path=path))
        for position in self._past[:-_MOST_PAST]:
            self._past_until.pop(position.identity, None)
        del self._past[:-_MOST_PAST]
        generation.close()

    # --- what is read -----------------------------------------------------------------------------

    def _source(self, generation: Generation, now: float, *, is_copy: bool = False) -> _Source:
        lines = LineReader(
            generation,
            max_line_bytes=self._limits.max_line_bytes,
            partial_seconds=self._limits.partial_seconds,
            may_give_back=self._limits.may_give_back,
        )
        return _Source(lines, rotated_at=now, grew_at=now, is_copy=is_copy)

    def _sources(self) -> list[_Source]:
        return [*self._held, *(one for one in self._waiting if isinstance(one, _Source))]

    def _wait(self, item: _Source | Mark) -> None:
        """Put something in line, before what bears the name."""
        self._waiting.insert(len(self._waiting) - (self._named is not None), item)

    def _name(self, source: _Source) -> None:
        """Put what bears the name at the end of the line."""
        source.rotated_at, source.has_writer = None, True
        self._waiting.append(source)
        self._named = source

    def _remove(self, source: _Source) -> None:
        if source is self._named:
            self._named = None
        for line in (self._waiting, self._held):
            if source in line:
                line.remove(source)

    # --- telling ----------------------------------------------------------------------------------

    def cursor(self) -> str | None:
        """Give where to go on after what ``read`` has given; None while nothing is fixed yet."""
        if not self._has_begun:
            return None if self._saved is None else encode(self._saved)
        waiting = tuple(
            Owed(one.flags, one.length_bytes, one.detail)
            if isinstance(one, Mark)
            else _lasting(one)
            for one in self._waiting
        )
        held = tuple(_lasting(source) for source in self._held)
        return encode(Cursor(waiting, self._named is not None, held, tuple(self._past)))

    def standing(self) -> Standing:
        """Tell how it stands, as of the last look and what has been read since."""
        named = self._named
        sources = self._sources()
        return Standing(
            is_there=named is not None,
            offset=named.lines.position.offset if named else None,
            size=max(named.generation.size, named.generation.offset) if named else None,
            inode=named.generation.inode if named else None,
            lag_bytes=sum(source.lines.left_bytes for source in sources),
            rotated_files=len(sources) - (named is not None),
            sees_all_writers=self._sees_all_writers,
        )

    def knows(self, path: bytes, identity: tuple[int, int]) -> bool:
        """Whether a file, by its name and its device and inode, is read here, or was lately."""
        positions = self._past
        if self._saved is not None:
            waiting = [one for one in self._saved.waiting if isinstance(one, Position)]
            positions = [*waiting, *self._saved.held, *self._saved.past]
        return any(source.generation.identity == identity for source in self._sources()) or any(
            position.identity == identity and _is_at(path, position) for position in positions
        )

    @property
    def signature(self) -> tuple[int, int, int] | None:
        """Inode, size and time of what bears the name, as of the last look."""
        if self._named is None:
            return None
        generation = self._named.generation
        return generation.inode, generation.size, generation.modified_ns

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be read: ``sleep`` would lose nothing."""
        return all(source.lines.left_bytes == 0 for source in self._sources())

    def sleep(self) -> None:
        """Close all files; the next look finds them again, as after a restart."""
        self._saved = decode(self.cursor())
        for source in self._sources():
            source.generation.close()
        self._waiting, self._held, self._named = [], [], None
        self._has_begun = False


_CUT_OFF = Mark(("truncated",), None, "cut off, or replaced; read again from the beginning")


def _lasting(source: _Source) -> Position:
    """Give the position of a file; without inode where it is deleted: another may get that."""
    position = source.lines.position
    if source.generation.is_deleted:
        return msgspec.structs.replace(position, device=0, inode=0)
    return position


def _of_mark(mark: Mark) -> Reading:
    return Reading(None, 0, None, [None], {0: mark}, [0])


def _gap(one: Rotated, why: str) -> Mark:
    size = None if one.is_packed else one.size
    return Mark(("gap",), size, f"{why}: {one.path.decode('utf-8', 'backslashreplace')}")


def _begins_like(generation: Generation, live: Generation | None) -> bool:
    length = 0 if live is None else min(len(generation.head), len(live.head))
    return live is not None and length > 0 and generation.head[:length] == live.head[:length]


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _same(position: Position, files: list[Rotated]) -> list[bytes]:
    return [one.path for one in files if one.identity == position.identity]


def _is_same(path: bytes, position: Position) -> bool:
    """Whether a name leads to the file of a position, by device and inode."""
    try:
        return _identity(os.stat(path)) == position.identity
    except OSError:
        return False


def _open_rewritten(path: bytes, position: Position) -> Generation | None:
    """Open the file of a position, with something else in it; None if it is another file."""
    generation = open_generation(path)
    if generation.is_another(position):
        generation.close()
        return None
    return generation


def _is_at(path: bytes, position: Position) -> bool:
    """Whether a name leads to the file of a position, by what is in it, too.

    One that was empty is not known again: another may have its inode number now.
    """
    if not position.head_bytes or not _is_same(path, position):
        return False
    generation = open_at(path, position)
    if generation is None:
        return False
    generation.close()
    return True


def _is_due(last: float | None, now: float, every_seconds: float) -> bool:
    return last is None or now - last >= every_seconds
