"""One file of a log: what is read from it as the records that are stored. Blocks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from etlmon.collectors.log.places import signature
from etlmon.collectors.log.text import marks
from etlmon.host.follow import Follower
from etlmon.records.log import LogBlock, LogFileRead
from etlmon.text import host_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from etlmon.collectors.log.entries import Joiner
    from etlmon.collectors.log.text import TextReader
    from etlmon.host.follow import Begin
    from etlmon.host.follow_queue import Limits
    from etlmon.host.follow_standing import Standing
    from etlmon.host.lines import Reading
    from etlmon.records.log import LogState
    from etlmon.times import TimeReader

_MOST_ROTATED = 16
_MOST_DELETED_BYTES = 256 << 20
"""Files that have lost the name, and bytes of deleted ones, that a log holds open while paused."""
_TELL_SECONDS = 60.0
"""After so long a file that has not changed is told of again, to say that it was looked at."""
_NOT_BEGUN = "no position is saved, and with start: saved no file is begun"


class Stream:
    """Follows one file, and keeps what was told of it last."""

    def __init__(
        self,
        log_name: str,
        path: bytes,
        cursor: str | None,
        *,
        begin: Begin,
        missed: str | None,
        is_seen: bool,
        limits: Limits,
        text: TextReader,
        joiner: Joiner | None,
        times: TimeReader | None,
        entry_seconds: float,
        entry_lines: int,
        wall_clock: Callable[[], float],
    ) -> None:
        self.path = path
        self.directory = os.path.dirname(path)
        self.log_path = host_path(path)
        self.follower = Follower(
            path,
            cursor,
            begin=begin,
            missed=missed,
            is_seen=is_seen and cursor is None and begin == "beginning",
            limits=limits,
            wall_clock=wall_clock,
        )
        self.error: str | None = None
        self.is_asleep = True
        self.last_bytes = 0
        """How much the last block took from the file."""
        self._log_name = log_name
        self._text = text
        self._joiner = joiner
        self._times = times
        self._entry_seconds = entry_seconds
        self._entry_lines = entry_lines
        self._entry: tuple[int, int, float] | None = None  # offset, length, since when it is so
        self._asleep: Standing | None = None
        self._told: LogFileRead | None = None
        self._told_at = 0.0

    def look(self, now: float, came: int = 0) -> None:
        """Find out what has become of the file; what hinders is kept as ``error``.

        ``came`` is how often the name was given to a file since the last look, as far as is known.
        """
        self.is_asleep = False
        try:
            self.follower.look(now, came)
            self.error = None
        except OSError as error:
            self.error = error.strerror or str(error)

    def read(self, most_lines: int, now: float, created_at: datetime) -> LogBlock | None:
        """Give the next lines of the file; None if there are none at the moment.

        A block without lines tells that there is more to come. One entry may have more lines.
        """
        try:
            reading = self.follower.read(most_lines, now)
            lines = [] if reading is None else self._text.lines(reading)
            if reading is not None and self._is_begun_only(reading, lines, most_lines):
                assert reading.block is not None
                most_lines = self._entry_lines
                self.follower.give_back(len(reading.block))
                reading = self.follower.read_again(most_lines, now)
                lines = [] if reading is None else self._text.lines(reading)
        except OSError as error:
            self.error = error.strerror or str(error)
            return None
        return None if reading is None else self._block(reading, lines, most_lines, now, created_at)

    def _is_begun_only(self, reading: Reading, lines: list[str | None], most_lines: int) -> bool:
        """Whether these are the beginning of one entry, and more lines may be read for it."""
        return (
            self._joiner is not None
            and reading.block is not None
            and most_lines < self._entry_lines
            and len(lines) >= most_lines
            and self._joiner.last_start(lines) == 0
        )

    def _block(
        self,
        reading: Reading,
        lines: list[str | None],
        most_lines: int,
        now: float,
        created_at: datetime,
    ) -> LogBlock | None:
        self.last_bytes = len(reading.block or b"") or sum(len(one or b"") for one in reading.lines)
        found = marks(reading)
        if self._joiner is not None:
            whole = self._whole_entries(reading, lines, most_lines, now)
            if whole == 0 and lines:
                return None
            lines, found = self._joiner.join(lines[:whole], found)
        times = None
        if self._times is not None:
            reader = self._times
            times = [None if line is None else reader.millis(line, created_at) for line in lines]
        return LogBlock(
            log_name=self._log_name,
            log_path=self.log_path,
            source_inode=reading.inode,
            created_at=created_at,
            lines=lines,
            marks=found,
            logged_at_ms=times,
        )

    def _whole_entries(
        self, reading: Reading, lines: list[str | None], most_lines: int, now: float
    ) -> int:
        """Give how many lines make up whole entries; the others are given back to the file.

        The last entry of a file is whole when another one follows, or none has followed for long.
        """
        assert self._joiner is not None
        if self.follower.is_at_end and not reading.is_named:
            return len(lines)
        start = self._joiner.last_start(lines)
        # A line may have been begun, but not ended: it may belong to the entry before it.
        is_last = self.follower.is_at_end or (reading.is_named and reading.has_all)
        if start == 0 and (len(lines) >= most_lines or not is_last):
            return len(lines)  # an entry of more lines than are read at once
        begin = reading.line_offsets()[start]
        if begin not in reading.returnable:
            return len(lines)  # it holds a line that is marked
        length = reading.returnable.stop - begin
        if is_last:
            if self._entry is None or self._entry[:2] != (begin, length):
                self._entry = (begin, length, now)
            if now - self._entry[2] >= self._entry_seconds:
                self._entry = None
                return len(lines)
        self.follower.give_back(length)
        return start

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be read, or nothing can be: it may sleep."""
        return self.error is not None or self.follower.is_idle

    @property
    def has_rotated(self) -> bool:
        """Whether files that have lost the name are still read, or are to be read on."""
        if self.is_asleep:
            return self._asleep is not None and self._asleep.rotated_files > 0
        return self.follower.rotated_files > 0

    @property
    def is_over(self) -> bool:
        """Whether the last look showed no such file, and none that has lost the name is read."""
        standing = self._standing
        return standing is not None and not standing.is_there and not self.has_rotated

    @property
    def is_drained(self) -> bool:
        """Whether the last block took all that there was: another reading would find nothing."""
        return self.follower.is_drained

    @property
    def is_held(self) -> bool:
        """Whether something is left to be read, once its end has come or been waited for."""
        standing = self._standing
        return self.error is None and standing is not None and standing.lag_bytes > 0

    @property
    def holds_too_much(self) -> bool:
        """Whether more is open here than is to be, as long as nothing is read."""
        if self.is_asleep:
            return False
        standing = self.follower.standing()
        return (
            standing.rotated_files > _MOST_ROTATED or standing.deleted_bytes > _MOST_DELETED_BYTES
        )

    @property
    def waits_asleep(self) -> bool:
        """Whether it sleeps though there was more to be read."""
        asleep = self._asleep if self.is_asleep and self.error is None else None
        return asleep is not None and asleep.lag_bytes > 0

    @property
    def _standing(self) -> Standing | None:
        """How it stood at the last look; None before the first."""
        return self._asleep if self.is_asleep else self.follower.standing()

    @property
    def signature(self) -> tuple[int, int, int] | None:
        """Inode, size and time of the file, as of the last look; None if there is none."""
        return self.follower.signature

    def sleep(self) -> None:
        """Close the files; the next look goes on where this ended."""
        self._asleep = self.follower.standing()
        self.follower.sleep()
        self.is_asleep = True

    def _lag_bytes(self, standing: Standing, waits: bool) -> int:
        """Give what is to be read, also of a file that has changed while it is closed."""
        found = signature(self.path) if waits and self.is_asleep else None
        if found is None:
            return standing.lag_bytes
        named = max(0, (standing.size or 0) - (standing.offset or 0))
        return max(0, standing.lag_bytes - named) + self.follower.unread_bytes(*found[:2])

    def tell(
        self,
        now: float,
        wall: datetime,
        watch_mode: str,
        *,
        is_paused: bool,
        has_read: bool,
        waits: bool = False,
    ) -> Iterator[LogFileRead]:
        """Give how far the file has been read, if that is news.

        It ``waits`` if it is closed, and has changed since or was never open.
        """
        standing = self._standing or self.follower.standing()
        state: LogState
        if is_paused:  # also where it cannot be read: whoever sees it is to know what to resume
            state = "paused"
        elif self.error is not None:
            state = "error"
        elif standing.is_there or self._standing is None:
            state = "following"
        else:
            state = "waiting"
        message = self.error
        cursor = self.follower.cursor()
        if message is None and state == "waiting":
            message = "there is no such file" if cursor is not None else _NOT_BEGUN
        told = LogFileRead(
            log_name=self._log_name,
            log_path=self.log_path,
            state=state,
            error_message=message,
            watch_mode=watch_mode,
            offset=standing.offset,
            size=standing.size,
            lag_bytes=self._lag_bytes(standing, waits),
            source_inode=standing.inode,
            updated_at=wall,
            cursor=cursor,
        )
        if has_read or self._is_news(told) or now - self._told_at >= _TELL_SECONDS:
            self._told, self._told_at = told, now
            yield told

    def _is_news(self, told: LogFileRead) -> bool:
        before = self._told
        return before is None or _facts(before) != _facts(told)


def _facts(told: LogFileRead) -> tuple[object, ...]:
    return tuple(getattr(told, name) for name in told.__struct_fields__ if name != "updated_at")
