"""Follows a file by its name, through all that happens to log files, without losing a byte.

A ``Follower`` blocks and belongs to one thread at a time; it knows no clock and no reactor. It is
asked to ``look`` (every few seconds, and when something may have changed), then to ``read`` until
there is nothing more. What it gives and the ``cursor`` of that moment are meant to be stored in one
transaction: a Follower that begins with that cursor goes on exactly there.

- A file that is renamed or deleted is read to its end before the next one, and read on as long as
  another process may still write to it, though at most ``rotated_hold_seconds``.
- A file that is cut off (copytruncate, ``>``) is marked so; what had not been read of it is looked
  for in the copy that rotation, or somebody by hand, has made.
- After a time in which nobody looked, the file is found by what it is: under its name, under the
  name that rotation gave it, or compressed; and so are those that came and went meanwhile.
- What cannot be had is a mark, ``gap``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from etlmon.host.cursor import Cursor, decode, encode, without
from etlmon.host.follow_aside import Aside
from etlmon.host.follow_cut import cut_off, refresh
from etlmon.host.follow_known import known, known_elsewhere, knows
from etlmon.host.follow_lineup import leave_out, line_up_unseen
from etlmon.host.follow_queue import (
    Limits,
    Queue,
    Source,
    identity_of,
)
from etlmon.host.follow_restore import restore
from etlmon.host.follow_standing import Standing, rotated_files, standing, unread_bytes
from etlmon.host.generation import Generation, Position, RewrittenError, open_generation
from etlmon.host.lines import Mark, Reading
from etlmon.host.rotated import rotated

Begin = Literal["end", "beginning", "saved"]
FindBegin = Callable[[int, int], int]
"""Gives the offset to begin at in a file, from its descriptor and its size; may raise OSError."""

_MOST_TRIES = 6
_MOST_HELD = 16  # rotated files that are kept open for what may still be written to them


class Follower:
    """The lines of whatever file bears a name, from one generation to the next.

    ``cursor`` is what another one gave. Without it, a file that is there at the first look is read
    from its ``begin``: its "end", its "beginning", or not at all ("saved"); one that appears later
    is read from its beginning. ``find_begin`` may find a later place than the beginning of the one
    that is there. ``missed`` tells why lines before the end at which it begins may be missing: it
    becomes a mark; and so it does if it ``is_seen`` and the first look finds none. Copies that were
    made by hand are found by ``wall_clock`` (seconds since the epoch), and without it only where
    much was read of what they hold. Raises ValueError for a cursor that is none.
    """

    def __init__(
        self,
        path: bytes,
        cursor: str | None = None,
        *,
        begin: Begin = "end",
        find_begin: FindBegin | None = None,
        missed: str | None = None,
        is_seen: bool = False,
        limits: Limits | None = None,
        proc: Path = Path("/proc"),
        wall_clock: Callable[[], float] | None = None,
    ) -> None:
        self.path = path
        self._saved: Cursor | None = decode(cursor)
        self._begin = begin
        self._find_begin = find_begin
        self._missed = missed
        self._is_seen = is_seen
        self._has_begun = False
        self._queue = Queue(path, limits or Limits(), os.fsencode(proc))
        self._wall_clock = wall_clock
        self._turn = 0
        self._last_read: Source | None = None
        self._aside = Aside(self._queue)

    # --- looking ----------------------------------------------------------------------------------

    def look(self, now: float, came: int = 0) -> None:
        """Find out what has become of the file; ``now`` is the monotonic clock's.

        ``came`` is how often the name was given to a file, or a link, since the last look, as far
        as somebody has heard of it: of those that cannot be found any more a mark tells.
        Raises OSError, after all else has been done, where there is a file that cannot be read.
        """
        self._queue.note_look(None if self._wall_clock is None else self._wall_clock())
        for source in self._queue.sources():
            refresh(self._queue, source, now)
        self._aside.look(now)
        if not self._has_begun:
            if self._saved is not None:
                restore(self._queue, self._saved, now)
            elif self._begin_anew(self._status(), now):
                self._queue.link.moved(0, self.path)
                came = 0  # of what was heard before nothing is known
            else:
                return
            self._has_begun, self._saved = True, None
        status = self._status()
        if status is None:
            self._queue.lose_name(now)
            line_up_unseen(self._queue, None, now)
        elif not self._is_named(identity_of(status)):
            self._take(now, came)
        else:
            self._tell_of_missed(self._queue.link.stayed(came))
        if self._is_seen and not self._queue.waiting:
            self._queue.wait(Mark(("gap",), None, "it was gone before it could be opened"))
        self._is_seen = False

    def _is_named(self, identity: tuple[int, int]) -> bool:
        """Whether this is the file that bears the name, as far as is known."""
        named = self._queue.named
        return named is not None and named.generation.identity == identity

    def _status(self) -> os.stat_result | None:
        try:
            status = self._queue.link.status(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        return status

    def _begin_anew(self, status: os.stat_result | None, now: float) -> bool:
        """Begin with no position known; False if the file is to be left alone."""
        if self._begin == "saved":
            return False
        if status is not None and (self._begin == "end" or self._find_begin is not None):
            generation = open_generation(os.path.realpath(self.path))
            try:
                generation.seek(self._first_offset(generation))
            except RewrittenError:  # cut off this very moment
                generation.restart()
            except BaseException:
                generation.close()
                raise
            self._queue.name(self._queue.source(generation, now))
        else:
            # Rotated files that are there already are none that came and went meanwhile.
            newest_ns = max((one.modified_ns for one in rotated(self.path)), default=0)
            self._queue.last = Position(0, 0, 0, 0, "", "", 0, newest_ns + 1, "")
            self._queue.past.append(self._queue.last)
        if status is not None and not status.st_size:
            leave_out(self._queue, status.st_mtime_ns)
        if self._missed is not None and self._begin == "end":
            self._queue.wait(Mark(("gap",), None, self._missed))
        return True

    def _first_offset(self, generation: Generation) -> int:
        if self._begin == "end":
            return generation.size
        if self._find_begin is None or generation.is_packed:
            return 0
        return self._find_begin(generation.fd, generation.size)

    def _take(self, now: float, came: int) -> None:
        """Take up the file that bears the name now, after those that came and went meanwhile."""
        for _ in range(_MOST_TRIES):
            try:
                generation = open_generation(os.path.realpath(self.path))
            except FileNotFoundError:
                self._queue.lose_name(now)
                return
            if self._is_named(generation.identity):
                generation.close()
                return
            self._queue.lose_name(now)
            if self._take_up(generation, now, came):
                return
            generation.close()

    def _take_up(self, generation: Generation, now: float, came: int) -> bool:
        """Take up a file that bears the name; False, and nothing is done, if it loses it just now.

        Others may have borne it since, and it would come after them.
        """
        queue = self._queue
        for source in queue.sources():
            if source.generation.identity == generation.identity:  # it has its name again
                generation.close()
                queue.link.moved(came, self.path)
                queue.remove(source)
                self._tell_of_missed(came - 1)
                queue.name(source)
                return True
        found = -len(queue.waiting)
        generation.restart()
        if not line_up_unseen(queue, generation, now):
            return False
        if not queue.take_past(generation) and generation.offset:
            generation.restart()
        queue.link.moved(came, self.path)
        self._tell_of_missed(came - 1 - (found + len(queue.waiting)))
        queue.name(queue.source(generation, now))
        return True

    def _tell_of_missed(self, files: Mark | int) -> None:
        """Put a mark in line for files that bore the name and cannot be found."""
        if isinstance(files, Mark):
            self._queue.wait(files)
        elif files > 0:
            detail = f"{files} more had the name meanwhile; lines may be missing"
            self._queue.wait(Mark(("gap",), None, detail))

    # --- reading ----------------------------------------------------------------------------------

    def read(self, most_lines: int, now: float) -> Reading | None:
        """Give the next lines, of one file; None if there is none at the moment.

        An empty reading tells that there is more to come. What is given counts as read: ``cursor``
        stands behind it. Raises OSError where the file cannot be read; the next look tries again.
        """
        turns = [*self._queue.held, None]
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
        """Count the last bytes of the last reading as not read: of ``returnable`` at most."""
        assert self._last_read is not None
        self._last_read.lines.give_back(length)

    def read_again(self, most_lines: int, now: float) -> Reading | None:
        """Give the next lines of the file of the last reading, as ``read`` does."""
        assert self._last_read is not None
        return self._read(self._last_read, most_lines, now)

    @property
    def is_at_end(self) -> bool:
        """Whether the file of the last reading has nothing more, as of the last look."""
        return self._last_read is None or self._last_read.lines.left_bytes == 0

    @property
    def is_drained(self) -> bool:
        """Whether the last reading went to the end of the one file that is open."""
        named = self._queue.named
        if named is None or named is not self._last_read or len(self._queue.sources()) > 1:
            return False
        return named.lines.is_drained and named.lines.left_bytes == 0

    def _read_waiting(self, most_lines: int, now: float) -> Reading | None:
        while self._queue.waiting:
            first = self._queue.waiting[0]
            if isinstance(first, Mark):
                del self._queue.waiting[0]
                return _of_mark(first)
            reading = self._read(first, most_lines, now)
            if reading is not None:
                return reading
            if self._queue.waiting[0] is not first:  # it was cut off
                continue
            if first is self._queue.named:
                break
            del self._queue.waiting[0]
            if first.is_copy or not first.has_writer:
                self._aside.finish(first, now)
            else:
                self._queue.held.append(first)
        return None

    def _read_held(self, source: Source, most_lines: int, now: float) -> Reading | None:
        reading = self._read(source, most_lines, now)
        if reading is None and source in self._queue.held:
            is_one_too_many = len(self._queue.held) > _MOST_HELD and source is self._queue.held[0]
            if is_one_too_many or not source.has_writer:
                self._queue.held.remove(source)
                self._aside.finish(source, now)
        return reading

    def _read(self, source: Source, most_lines: int, now: float) -> Reading | None:
        if source is self._queue.named and not source.generation.head:
            refresh(
                self._queue, source, now
            )  # nothing in it would tell that it has been cut off since
            if self._queue.waiting[0] is not source or not source.generation.head:
                return None
        is_last = source.is_copy or not source.has_writer
        try:
            reading = source.lines.read(most_lines, now, is_last=is_last)
            if reading is not None:
                reading.is_named = source is self._queue.named
                self._last_read = source
            return reading
        except RewrittenError:
            if source.is_copy:  # what is in it now is to be read in its own time
                self._queue.remove(source)
                source.generation.close()
                return _of_mark(Mark(("gap",), None, "a copy was written over before it was read"))
            cut_off(self._queue, source, source.lines.position)
            return None
        except OSError as error:
            position = source.lines.position
            self._queue.remove(source)
            source.generation.close()
            if source.rotated_at is None:
                self._queue.past.append(position)  # the next look takes it up there
                raise
            detail = f"a rotated file cannot be read on ({error.strerror or error})"
            return _of_mark(Mark(("gap",), None, detail))

    # --- telling ----------------------------------------------------------------------------------

    def cursor(self) -> str | None:
        """Give where to go on after what ``read`` has given; None while nothing is fixed yet."""
        if not self._has_begun:
            return None if self._saved is None else encode(self._saved)
        return encode(self._queue.cursor())

    def standing(self) -> Standing:
        """Tell how it stands, as of the last look and what has been read since."""
        return standing(self._queue, sees_all_writers=self._aside.sees_all_writers)

    @property
    def rotated_files(self) -> int:
        """How many files that lost the name are still read."""
        return rotated_files(self._queue)

    def unread_bytes(self, inode: int, size: int) -> int:
        """Reckon, while all is closed, how much of the file that bears the name is not read yet."""
        if self._saved is None:
            return 0 if self._begin == "end" else size
        return unread_bytes(self._saved, inode, size)

    def knows(self, path: bytes, identity: tuple[int, int]) -> bool:
        """Whether a file, by its name and its device and inode, is read here, or was lately."""
        return knows(self._queue, self._saved, path, identity)

    @property
    def known(self) -> set[tuple[int, int]]:
        """Device and inode of all files that ``knows`` may tell of."""
        return known(self._queue, self._saved)

    def hand_over(self, path: bytes, identity: tuple[int, int]) -> str | None:
        """Give up a file that is known here, and give the cursor to go on in it by another name.

        None where it is open here, or still bears the name.
        """
        position = known_elsewhere(self._queue, self._saved, path, identity)
        if position is None:
            return None
        if self._saved is None:
            self._queue.past.remove(position)
            self._queue.past_until.pop(identity, None)
        else:
            self._saved = without(self._saved, position)
        return encode(Cursor(past=(position,)))

    @property
    def signature(self) -> tuple[int, int, int] | None:
        """Inode, size and time of what bears the name, as of the last look."""
        if self._queue.named is None:
            return None
        generation = self._queue.named.generation
        return generation.inode, generation.size, generation.modified_ns

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be read: ``sleep`` would lose nothing."""
        return all(source.lines.left_bytes == 0 for source in self._queue.sources())

    def sleep(self) -> None:
        """Close all files; the next look finds them again, as after a restart."""
        self._saved = decode(self.cursor())
        self._queue.close()
        self._has_begun = False


def _of_mark(mark: Mark) -> Reading:
    return Reading(None, 0, None, [None], {0: mark}, [0])
