"""Which files a log has: found, taken up, and given up once they are gone. Blocks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
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

MOST_LINES = 5_000
"""Lines that one batch holds, of all files together; the most of one entry."""
_GONE_SECONDS = 60.0


@dataclass(eq=False)
class File:
    """A file of the log, and what is known of it besides what is read from it."""

    stream: Stream
    waits: bool = True
    """Whether it is to be opened: it is new, or has changed since it was put to sleep."""
    seen: tuple[int, int, int] | None = None
    """Inode, size and time of it when it was put to sleep."""
    missing_since: float | None = None


class Members:
    """The files of one log, by their ``log_path``; a pattern may name many.

    Arguments and errors are those of ``Streams``; ``go_on`` is called before each file that is
    taken up, and raises where the rest is to be left.
    """

    def __init__(
        self,
        settings: LogSection,
        cursors: Mapping[str, str],
        zone: tzinfo | None,
        wall_clock: Callable[[], float],
        missed: str | None,
        go_on: Callable[[], None],
    ) -> None:
        self.files: dict[str, File] = {}
        self.search = Search(os.fsencode(settings.path))
        self.trouble: str | None = None
        """Why no file of the pattern can be seen."""
        self._settings = settings
        self._wall_clock = wall_clock
        self._is_pattern = self.search.is_pattern
        self.configured_path = (
            settings.path if self._is_pattern else host_path(os.fsencode(settings.path))
        )
        """The path, or the pattern, as it is told."""
        self._cursors = dict(cursors)
        self._missed = missed
        self._go_on = go_on
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
        self._has_begun = False
        self._knowing: dict[tuple[int, int], list[Stream]] | None = None
        """Who may know a file, by its device and inode; None where that must be asked anew."""
        self._waits_for_match: LogFileRead | None = None
        self._may_wait_for_match = True
        """Whether it may be stored that there is no file: a node before may have told it."""

    def find(self, now: float, wall: datetime, *, is_paused: bool) -> list[Record]:
        """Take up new files and give up those that are gone."""
        if self._is_pattern and not self._has_begun:  # one of those found may be new as a name only
            self._add_saved()
        known = {path_bytes(name) for name in (*self.files, *self._cursors)}
        self._knowing = None
        paths = self.search.find(now, known, self._belongs_to_another)
        records: list[Record] = []
        if not self._has_begun:
            self._has_begun = True
            records += self._begin(paths)
        else:
            for path in paths:
                self._add(path, self._later, is_seen=self._is_pattern)
        if self._is_pattern:
            records += self._forget(now)
            records += self._tell_of_no_match(wall, is_paused=is_paused)
        return records

    def _begin(self, paths: list[bytes]) -> list[Record]:
        """Take up the files that are there at first, and those of which a position is saved."""
        saved = [name for name in self._cursors if self._is_ours(name)]
        # A log that was followed before has not seen the file for it was not there.
        begin: Begin = self._later if saved and self._is_pattern else self._settings.start
        if begin == "saved" and self._missed is not None and not saved:
            begin = "end"  # with the mark that tells why: its position is lost
        for path in paths:
            self._add(path, begin, is_seen=self._is_pattern)
        return [
            LogFileGone(log_name=self._settings.name, log_path=name)
            for name in self._cursors
            if name not in self.files
        ]

    def _add_saved(self) -> None:
        """Take up the files of which a position is saved, be they there or not."""
        for name in self._cursors:
            if self._is_ours(name):
                self._add(path_bytes(name), self._later)

    def _is_ours(self, name: str) -> bool:
        if not self._is_pattern:
            return name == self.configured_path
        own = os.fsdecode(path_bytes(name))
        return fnmatchcase(own, self._settings.path.replace("**/", "*"))

    def _add(self, path: bytes, begin: Begin, *, is_seen: bool = False) -> None:
        self._go_on()
        name = host_path(path)
        if name in self.files:
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
            entry_lines=min(self._settings.buffer_lines, MOST_LINES),
            wall_clock=self._wall_clock,
        )
        self.files[name] = File(stream)

    def _belongs_to_another(self, path: bytes, status: os.stat_result) -> bool:
        """Whether a file that is new here is one that is read under another name.

        One that was, and is done with there, is a log of its own from there on.
        """
        name = host_path(path)
        if name in self.files:
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
            for file in self.files.values():
                for one in file.stream.follower.known:
                    self._knowing.setdefault(one, []).append(file.stream)
        return self._knowing.get(identity, [])

    def _forget(self, now: float) -> list[Record]:
        """Give up the files that are gone for a while, and have been read to their ends."""
        gone: list[Record] = []
        for name, file in list(self.files.items()):
            stream = file.stream
            # While there are rotated files of it they would be taken for logs of their own.
            if stream.path in self.search.paths or stream.path in self.search.rotated_bases:
                file.missing_since = None
                continue
            if file.missing_since is None:
                file.missing_since = now
            # One that sleeps may be there: more match than are taken.
            may_be_there = stream.is_asleep and signature(stream.path) is not None
            is_over = stream.is_over and not file.waits and not may_be_there
            if is_over and now - file.missing_since >= _GONE_SECONDS:
                stream.sleep()
                del self.files[name]
                self._cursors.pop(name, None)
                gone.append(LogFileGone(log_name=self._settings.name, log_path=name))
        return gone

    def _tell_of_no_match(self, wall: datetime, *, is_paused: bool) -> list[Record]:
        """Tell that there is no file yet, and that this is over."""
        waits = self._waits_for_match
        self.trouble = None if self.files else unseen(self.search.fixed_path)
        message = self.trouble or "no file matches"
        state: LogState = "waiting" if self.trouble is None else "error"
        if is_paused:
            state = "paused"
        told = waits and (waits.state, waits.error_message)
        if not self.files and told != (state, message):
            self._waits_for_match = LogFileRead(
                log_name=self._settings.name,
                log_path=self.configured_path,
                state=state,
                error_message=message,
                updated_at=wall,
                cursor=None,
            )
            self._may_wait_for_match = True
            return [self._waits_for_match]
        if self.files and self._may_wait_for_match:
            self._waits_for_match, self._may_wait_for_match = None, False
            if self.configured_path not in self.files:
                return [LogFileGone(log_name=self._settings.name, log_path=self.configured_path)]
        return []
