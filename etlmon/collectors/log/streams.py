"""All files of a log: opened as many as may be, read in turn, told of. Blocks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from threading import Event, Lock
from typing import TYPE_CHECKING

from etlmon.collectors.log.members import MOST_LINES, Members
from etlmon.collectors.log.places import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, tzinfo

    from etlmon.collectors.log.members import File
    from etlmon.collectors.log.stream import Stream
    from etlmon.config.node import LogSection
    from etlmon.records.base import Record

_MOST_BYTES = 1 << 20
"""Bytes that one batch holds, of all files together, and the end of one entry."""
_LEAST_LINES = 100
"""Lines that each file has in its turn, at the least, if there are so many."""
_LOOK_AGAIN_SECONDS = 1.0


class AbandonedError(Exception):
    """All files have been closed while a step was going on, whose result nobody waits for."""


@dataclass(frozen=True)
class Step:
    """What a look at the files has given."""

    records: list[Record]
    """Lines, and how far each file has been read: for one transaction."""
    is_done: bool
    """Whether all that was there has been read."""
    is_held: bool
    """Whether the end of a last line, or entry, is waited for, of what is not followed."""
    directories: frozenset[bytes]
    """Where changes are to be heard of."""
    trouble: str | None
    """What cannot be read, if there is such a file."""


class Streams:
    """The files of one log. ``cursors`` are those that were saved, by ``log_path``.

    ``missed`` tells why there may have been others. Raises ValueError for a pattern of first lines,
    or a format of times, that is none.
    """

    def __init__(
        self,
        settings: LogSection,
        cursors: Mapping[str, str],
        zone: tzinfo | None,
        wall_clock: Callable[[], float],
        missed: str | None = None,
    ) -> None:
        self._settings = settings
        # A step whose run was cancelled goes on in its thread.
        self._lock = Lock()
        self._is_closed = Event()
        self._members = Members(settings, cursors, zone, wall_clock, missed, self._go_on)
        self._files = self._members.files
        self._turn = 0
        self._looked_at: float | None = None
        self._came: Counter[bytes] = Counter()
        self._names: Callable[[bytes], object] | None = None

    @property
    def fixed_path(self) -> bytes:
        """The path as far as no wildcard is in it."""
        return self._members.search.fixed_path

    @property
    def configured_path(self) -> str:
        """The path, or the pattern, as it is told."""
        return self._members.configured_path

    def heeds(self, name: bytes) -> bool:
        """Tell whether it may matter here that a file of this name is written to.

        May be asked in any thread. In a directory such as /var/log others are written to all the
        time. While a rotated file is read any name may be its name.
        """
        names = self._names
        return names is None or bool(names(name))

    def step(
        self,
        now: float,
        wall: datetime,
        modes: Mapping[bytes, str],
        came: Mapping[bytes, int],
        *,
        all_again: bool,
        reads: bool,
    ) -> Step:
        """Look, read, and tell; waits for another step that is still going on.

        ``modes`` says how changes are heard of in each directory; ``came`` which paths were given
        to files since the last step, and how often. With ``all_again`` the files are looked for
        anew, and those that sleep are looked at. Without ``reads`` nothing is read.
        Raises AbandonedError once all has been closed.
        """
        with self._lock:
            return self._step(now, wall, modes, came, all_again=all_again, reads=reads)

    def _step(
        self,
        now: float,
        wall: datetime,
        modes: Mapping[bytes, str],
        came: Mapping[bytes, int],
        *,
        all_again: bool,
        reads: bool,
    ) -> Step:
        records: list[Record] = []
        if all_again or self._members.search.may_find_more(now, came):
            records += self._members.find(now, wall, is_paused=not reads)
        if came:
            self._came.update(came)
        looks = all_again or self._looked_at is None or now - self._looked_at >= _LOOK_AGAIN_SECONDS
        if looks:  # first: one with something to read is not put to sleep
            self._look(now)
        self._wake(now, all_again=all_again, reads=reads)
        if looks:
            self._came.clear()
        has_read: set[Stream] = set()
        is_done, has_rotated = True, False
        if reads:
            is_done = self._read(now, wall, records, has_read) and not self._has_room
        for file in self._files.values():
            self._go_on()
            stream = file.stream
            if stream.is_asleep and stream not in has_read and not all_again:
                continue
            mode = modes.get(stream.directory, "poll")
            if stream.is_asleep and not stream.waits_asleep:
                mode = "poll (max_open_files)"
            records += stream.tell(
                now,
                wall,
                mode,
                is_paused=not reads,
                has_read=stream in has_read,
                waits=file.waits,
            )
            if not reads and stream.holds_too_much:
                self._put_to_sleep(file)
            has_rotated = has_rotated or (not stream.is_asleep and stream.has_rotated)
        self._names = None if has_rotated else self._members.search.is_own
        is_held = not self._settings.follow and any(
            file.stream.is_held for file in self._files.values()
        )
        directories = frozenset(self._members.search.directories)
        return Step(records, is_done, is_held, directories, self._trouble())

    def _trouble(self) -> str | None:
        """Name a file that cannot be read, the same one as long as that is so."""
        ill = [file.stream for file in self._files.values() if file.stream.error is not None]
        if not ill:
            return self._members.trouble
        others = " (and others)" if len(ill) > 1 else ""
        return f"{ill[0].log_path}: {ill[0].error}{others}"

    def look_at_once(self) -> None:
        """Let the next step look at all files that are open: something has changed."""
        self._looked_at = None

    def close(self) -> None:
        """Close all files; a step that is still going on is given up: nobody waits for its result.

        With ten thousand files it takes seconds, for which nothing should wait that ends.
        """
        self._is_closed.set()
        with self._lock:
            for file in self._files.values():
                file.stream.sleep()

    def _go_on(self) -> None:
        if self._is_closed.is_set():
            raise AbandonedError

    # --- which of them are open -------------------------------------------------------------------

    def _wake(self, now: float, *, all_again: bool, reads: bool) -> None:
        """Open the files that are new or have changed, as many as may be open at once."""
        for file in self._files.values():
            stream = file.stream
            if stream.is_asleep and not file.waits:
                has_changed = all_again and signature(stream.path) != file.seen
                has_more = stream.waits_asleep or (all_again and stream.has_rotated)
                file.waits = has_changed or (reads and has_more)
        waiting = [file for file in self._files.values() if file.waits]
        if not waiting:
            return
        open_files = [file for file in self._files.values() if not file.stream.is_asleep]
        for file in waiting:
            self._go_on()
            if len(open_files) >= self._settings.max_open_files:
                idle = next((one for one in open_files if one.stream.is_idle), None)
                if idle is None:
                    return  # when those have been read it is its turn
                open_files.remove(idle)
                self._put_to_sleep(idle)
            file.waits = False
            file.stream.look(now, self._came.pop(file.stream.path, 0))
            open_files.append(file)

    @property
    def _has_room(self) -> bool:
        """Whether a file that waits can be opened now, for one that is open has been read."""
        files = self._files.values()
        return any(file.waits for file in files) and any(
            not file.stream.is_asleep and file.stream.is_idle for file in files
        )

    def _put_to_sleep(self, file: File) -> None:
        # Before it sleeps: what changes meanwhile is seen at the next look.
        file.seen = file.stream.signature
        file.stream.sleep()

    def _look(self, now: float) -> None:
        self._looked_at = now
        for file in self._files.values():
            self._go_on()
            if not file.stream.is_asleep:
                file.stream.look(now, self._came.pop(file.stream.path, 0))

    # --- reading in turn --------------------------------------------------------------------------

    def _read(
        self, now: float, wall: datetime, records: list[Record], has_read: set[Stream]
    ) -> bool:
        """Read of each file in turn, until the batch is full or there is nothing more."""
        streams = [file.stream for file in self._files.values() if not file.stream.is_asleep]
        if not streams:
            return True
        start = self._turn % len(streams)
        waiting = streams[start:] + streams[:start]
        share = max(_LEAST_LINES, MOST_LINES // len(streams))
        most = min(self._settings.buffer_lines, share)
        left = dict.fromkeys(streams, self._settings.buffer_lines)
        lines_left, bytes_left = MOST_LINES, _MOST_BYTES
        while waiting and lines_left > 0 and bytes_left > 0:
            self._go_on()
            stream = waiting.pop(0)
            self._turn += 1
            block = stream.read(min(most, left[stream], lines_left), now, wall)
            if block is None:
                continue
            has_read.add(stream)
            lines_left -= len(block.lines)
            left[stream] -= len(block.lines)
            if block.lines:
                bytes_left -= stream.last_bytes
                records.append(block)
            else:  # much of one line, or of NULs: a sparse file may hold terabytes of them
                bytes_left = 0
            if stream.is_drained:
                continue
            if left[stream] <= 0:
                return False
            waiting.append(stream)
        return not waiting
