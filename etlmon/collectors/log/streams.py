"""All files of a log, which a pattern may name: found, read in turn, told of. Blocks."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from threading import Event, Lock
from typing import TYPE_CHECKING

from etlmon.collectors.log.entries import Joiner
from etlmon.collectors.log.places import signature, unseen
from etlmon.collectors.log.search import Search
from etlmon.collectors.log.stream import Stream
from etlmon.collectors.log.text import TextReader
from etlmon.host.follow_queue import Limits
from etlmon.records.log import LogFileGone, LogFileRead
from etlmon.text import host_path, path_bytes
from etlmon.times import TimeReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, tzinfo

    from etlmon.config.node import LogSection
    from etlmon.host.follow import Begin
    from etlmon.records.base import Record
    from etlmon.records.log import LogState

_MOST_LINES = 5_000
_MOST_BYTES = 1 << 20
"""Lines and bytes that one batch holds, of all files together, and the end of one entry."""
_LEAST_LINES = 100
"""Lines that each file has in its turn, at the least, if there are so many."""
_GONE_SECONDS = 60.0
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


@dataclass(eq=False)
class _File:
    """What is known of a file besides what is read from it."""

    stream: Stream
    waits: bool = True
    """Whether it is to be opened: it is new, or has changed since it was put to sleep."""
    seen: tuple[int, int, int] | None = None
    """Inode, size and time of it when it was put to sleep."""
    missing_since: float | None = None


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
        self._wall_clock = wall_clock
        self._search = Search(os.fsencode(settings.path))
        self.fixed_path = self._search.fixed_path
        self.is_pattern = self._search.is_pattern
        self._cursors = dict(cursors)
        self._missed = missed
        self._later: Begin = "saved" if settings.start == "saved" else "beginning"
        """Where files begin that come to be there later."""
        self._limits = Limits(
            max_line_bytes=settings.max_line_bytes,
            partial_seconds=settings.partial_timeout,
            rotated_hold_seconds=settings.rotated_hold,
            may_give_back=settings.multiline is not None,
        )
        self._text = TextReader(settings.encoding, strip_cr=settings.strip_cr)
        self._joiner = (
            Joiner(settings.multiline, settings.max_line_bytes) if settings.multiline else None
        )
        self._times = TimeReader(settings.time_format, zone) if settings.time_format else None
        self._files: dict[str, _File] = {}
        # A step whose run was cancelled goes on in its thread.
        self._lock = Lock()
        self._is_closed = Event()
        self._has_begun = False
        self._turn = 0
        self._looked_at: float | None = None
        self._came: Counter[bytes] = Counter()
        self._knowing: dict[tuple[int, int], list[Stream]] | None = None
        """Who may know a file, by its device and inode; None where that must be asked anew."""
        self._waits_for_match: LogFileRead | None = None
        self._closed: str | None = None
        """Why no file of the pattern can be seen."""
        self._names: Callable[[bytes], object] | None = None

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
        if all_again or self._search.may_find_more(now, came):
            records += self._find_files(now, wall, is_paused=not reads)
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
        self._names = None if has_rotated else self._search.is_own
        is_held = not self._settings.follow and any(
            file.stream.is_held for file in self._files.values()
        )
        return Step(records, is_done, is_held, frozenset(self._search.directories), self._trouble())

    def _trouble(self) -> str | None:
        """Name a file that cannot be read, the same one as long as that is so."""
        ill = [file.stream for file in self._files.values() if file.stream.error is not None]
        if not ill:
            return self._closed
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

    def tell_error(self, message: str, wall: datetime, *, is_paused: bool) -> list[Record]:
        """Tell that the files cannot be looked at; looks at none and never blocks."""
        return [
            told
            for file in [*self._files.values()]
            if (told := file.stream.told_error(message, wall, is_paused=is_paused)) is not None
        ]

    # --- which files there are --------------------------------------------------------------------

    def _find_files(self, now: float, wall: datetime, *, is_paused: bool) -> list[Record]:
        """Take up new files and give up those that are gone."""
        if self.is_pattern and not self._has_begun:  # one of those found may be new as a name only
            self._add_saved()
        known = {path_bytes(name) for name in (*self._files, *self._cursors)}
        self._knowing = None
        paths = self._search.find(now, known, self._belongs_to_another)
        records: list[Record] = []
        if not self._has_begun:
            self._has_begun = True
            records += self._begin(paths)
        else:
            for path in paths:
                self._add(path, self._later, is_seen=self.is_pattern)
        if self.is_pattern:
            records += self._forget(now)
            records += self._tell_of_no_match(wall, is_paused=is_paused)
        return records

    def _begin(self, paths: list[bytes]) -> list[Record]:
        """Take up the files that are there at first, and those of which a position is saved."""
        saved = [name for name in self._cursors if self._is_ours(name)]
        # A log that was followed before has not seen the file for it was not there.
        begin: Begin = self._later if saved and self.is_pattern else self._settings.start
        if begin == "saved" and self._missed is not None and not saved:
            begin = "end"  # with the mark that tells why: its position is lost
        for path in paths:
            self._add(path, begin, is_seen=self.is_pattern)
        return [
            LogFileGone(log_name=self._settings.name, log_path=name)
            for name in self._cursors
            if name not in self._files
        ]

    def _add_saved(self) -> None:
        """Take up the files of which a position is saved, be they there or not."""
        for name in self._cursors:
            if self._is_ours(name):
                self._add(path_bytes(name), self._later)

    def _is_ours(self, name: str) -> bool:
        if not self.is_pattern:
            return name == host_path(os.fsencode(self._settings.path))
        own = os.fsdecode(path_bytes(name))
        return fnmatchcase(own, self._settings.path.replace("**/", "*"))

    def _add(self, path: bytes, begin: Begin, *, is_seen: bool = False) -> None:
        self._go_on()
        name = host_path(path)
        if name in self._files:
            return
        stream = Stream(
            self._settings.name,
            path,
            self._cursors.get(name),
            begin=begin,
            missed=self._missed,
            is_seen=is_seen,
            limits=self._limits,
            text=self._text,
            joiner=self._joiner,
            times=self._times,
            entry_seconds=self._settings.partial_timeout,
            entry_lines=min(self._settings.buffer_lines, _MOST_LINES),
            wall_clock=self._wall_clock,
        )
        self._files[name] = _File(stream)

    def _belongs_to_another(self, path: bytes, status: os.stat_result) -> bool:
        """Whether a file that is new here is one that is read under another name.

        One that was, and is done with there, is a log of its own from there on.
        """
        name = host_path(path)
        if name in self._files:
            return False
        identity = (status.st_dev, status.st_ino)
        for stream in self._who_may_know(identity):
            if stream.follower.knows(path, identity):
                cursor = stream.follower.hand_over(path, identity)
                if cursor is None:
                    return True
                self._cursors[name] = cursor
        return False

    def _who_may_know(self, identity: tuple[int, int]) -> list[Stream]:
        """Give those to be asked of a file: each of thousands about all others takes minutes."""
        if self._knowing is None:
            self._knowing = {}
            for file in self._files.values():
                for one in file.stream.follower.known:
                    self._knowing.setdefault(one, []).append(file.stream)
        return self._knowing.get(identity, [])

    def _forget(self, now: float) -> list[Record]:
        """Give up the files that are gone for a while, and have been read to their ends."""
        gone: list[Record] = []
        for name, file in list(self._files.items()):
            stream = file.stream
            # While there are rotated files of it they would be taken for logs of their own.
            if stream.path in self._search.paths or stream.path in self._search.rotated_bases:
                file.missing_since = None
                continue
            if file.missing_since is None:
                file.missing_since = now
            # One that sleeps may be there: more match than are taken.
            may_be_there = stream.is_asleep and signature(stream.path) is not None
            is_over = stream.is_over and not file.waits and not may_be_there
            if is_over and now - file.missing_since >= _GONE_SECONDS:
                stream.sleep()
                del self._files[name]
                self._cursors.pop(name, None)
                gone.append(LogFileGone(log_name=self._settings.name, log_path=name))
        return gone

    def _tell_of_no_match(self, wall: datetime, *, is_paused: bool) -> list[Record]:
        """Tell that there is no file yet, and that this is over."""
        waits = self._waits_for_match
        self._closed = None if self._files else unseen(self.fixed_path)
        message = self._closed or "no file matches"
        state: LogState = "waiting" if self._closed is None else "error"
        if is_paused:
            state = "paused"
        told = waits and (waits.state, waits.error_message)
        if not self._files and told != (state, message):
            self._waits_for_match = LogFileRead(
                log_name=self._settings.name,
                log_path=self._settings.path,
                state=state,
                error_message=message,
                updated_at=wall,
                cursor=None,
            )
            return [self._waits_for_match]
        if self._files and waits is not None:
            self._waits_for_match = None
            return [LogFileGone(log_name=self._settings.name, log_path=self._settings.path)]
        return []

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

    def _put_to_sleep(self, file: _File) -> None:
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
        share = max(_LEAST_LINES, _MOST_LINES // len(streams))
        most = min(self._settings.buffer_lines, share)
        left = dict.fromkeys(streams, self._settings.buffer_lines)
        lines_left, bytes_left = _MOST_LINES, _MOST_BYTES
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
