"""Follows one transfer log, and what becomes of its uploads."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from etlmon.collectors.base import Batch
from etlmon.collectors.xferlog.reading import LogReading, Turn
from etlmon.collectors.xferlog.uploads import Uploads
from etlmon.errors import CollectError
from etlmon.host.mounts import read_own_mounts
from etlmon.host.watches import are_armed
from etlmon.host.zone import read_zone
from etlmon.records.xferlog import XferlogFileRead, XferlogFileRow, XferlogPending
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from twisted.internet.interfaces import IDelayedCall

    from etlmon.collectors.base import CollectorContext
    from etlmon.config.node import XferlogSection
    from etlmon.host.mounts import Mount
    from etlmon.host.watches import Watch

_LOOK_EVERY_SECONDS = 5.0
"""How often the log is looked at though nothing was heard of it."""
_HINTS_APART_SECONDS = 0.2
"""Whatever is written in the directory of the log is heard of: most of it may be of other logs."""
_TURNS_A_RUN = 20
"""A log of gigabytes is read in many runs: each shows how far it is, and none looks late."""


class XferlogCollector:
    """One transfer log: a batch for each turn of reading, its position in the same transaction.

    The next turn is read while the one before is being committed. When a run ends in any other way
    than by itself, what was read and not committed is read again: the position is taken from the
    store.
    """

    name = "xferlog"

    def __init__(
        self, settings: XferlogSection, timezone: str | None, root: Path, context: CollectorContext
    ) -> None:
        self.instance = settings.path
        self.interval_seconds = _LOOK_EVERY_SECONDS
        self.settings = (settings, timezone)
        self._path = settings.path
        self._section = settings
        self._timezone = timezone
        self._root = root
        self._context = context
        self._uploads = Uploads(settings, context)
        self._reading: LogReading | None = None
        self._hint: Callable[[], None] | None = None
        self._watch: Watch | None = None
        self._is_armed = False
        """Whether the last look has found that the directory is the one that is watched."""
        self._soon: IDelayedCall | None = None
        self._looked_at = -math.inf
        self._told: XferlogFileRead | None = None

    def listen(self, hint: Callable[[], None]) -> None:
        """Begin to hear of changes in the directory of the log."""
        self._hint = hint
        if self._context.watches is not None:
            directory, name = os.path.split(os.fsencode(self._path))
            self._watch = self._context.watches.watch(
                directory,
                self._heard,
                # Its rotated files are named after it.
                lambda written: written.startswith(name),
            )

    def _heard(self) -> None:
        """Look at the log at once, or a little later if that has just been done."""
        if self._soon is None:
            last = self._looked_at + _HINTS_APART_SECONDS
            wait = max(0.0, last - self._context.monotonic_clock())
            self._soon = self._context.reactor.callLater(wait, self._look_again)

    def _look_again(self) -> None:
        self._soon = None
        if self._hint is not None:
            self._hint()

    async def deafen(self) -> None:
        """Hear of no more changes, and close the files."""
        self._hint = None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._watch is not None and self._context.watches is not None:
            self._context.watches.end(self._watch)
            self._watch, self._is_armed = None, False
        await self._close()

    async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        """Give what has been written to the log since the last run, or a good part of it.

        Raises CollectError if the log cannot be read; that is stored too.
        """
        is_whole = False
        following: Deferred[Turn] | None = None
        try:
            watches = self._context.watches
            if self._watch is not None and watches is not None and not self._is_armed:
                await watches.arm(self._watch)
            reading = self._reading or await self._open()
            self._looked_at = self._context.monotonic_clock()
            problem: str | None = None
            more = True
            following = self._next(reading, looks=True)
            for number in range(1, _TURNS_A_RUN + 1):
                try:
                    assert following is not None
                    turn = await following
                except OSError as error:
                    problem = self._in_words(error)
                    break
                if turn.trouble is not None:
                    problem = self._in_words(turn.trouble)
                more = turn.more
                if more and number < _TURNS_A_RUN:
                    following = self._next(reading)
                told = self._tell(turn, problem)
                if turn.read or told != self._told:
                    yield Batch([told] if turn.block is None else [turn.block, told])
                    self._told = _without_counts(told)
                    self._uploads.add(turn.gathered.uploads, turn.block)
                if not more:
                    break
            async for batch in self._uploads.look():
                yield batch
            is_whole = True
        finally:
            if not is_whole:
                if following is not None:
                    following.addErrback(lambda _: None)
                await self._close()
        if problem is not None:
            raise CollectError(problem)
        if (more or self._uploads.is_due) and self._hint is not None:
            self._hint()

    def _next(self, reading: LogReading, *, looks: bool = False) -> Deferred[Turn]:
        """Begin to read the next turn; the first of a run looks what has become of the file."""

        async def read() -> Turn:
            at = utc(self._context.wall_clock())
            now = self._context.monotonic_clock()
            return await self._context.in_thread(lambda: look(now, at))

        def look(now: float, at: datetime) -> Turn:
            if looks and self._watch is not None:  # here, and not in a call of its own
                self._is_armed = are_armed([self._watch], self._mounts())
            return reading.read(now, at, looks=looks)

        return Deferred.fromCoroutine(read())

    def _mounts(self) -> Sequence[Mount]:
        try:
            return read_own_mounts(self._context.proc)
        except OSError:
            return ()

    async def _open(self) -> LogReading:
        """Begin where the last turn that was committed has ended."""
        rows = await self._context.saved(XferlogFileRow, self._path)
        cursor = rows[0].cursor if rows else None
        self._uploads.resume(await self._context.saved(XferlogPending, self._path))

        def make() -> LogReading:
            own, node = self._section.timezone, self._timezone
            return LogReading(
                self._path,
                cursor,
                read_zone=lambda: read_zone(self._root, own or node),
                likely=(*([node] if node else []), read_zone(self._root).name),
                parse_start=self._section.parse_start,
                roots=self._section.roots,
                proc=self._context.proc,
                wall_clock=self._context.wall_clock,
            )

        self._reading = await self._context.in_thread(make)
        return self._reading

    async def _close(self) -> None:
        reading, self._reading, self._told = self._reading, None, None
        if reading is not None:
            await self._context.in_thread(reading.close)

    def _tell(self, turn: Turn, problem: str | None) -> XferlogFileRead:
        """Give how far the log has been read, with what the turn adds to the counts."""
        standing, gathered = turn.standing, turn.gathered
        at = utc(self._context.wall_clock())
        # While nothing changes it is the same record, and not stored again.
        is_news = turn.read > 0 or self._told is None
        told = XferlogFileRead(
            path=self._path,
            state="error" if problem else "following" if standing.is_there else "waiting",
            message=problem or _message(turn),
            watch_mode=self._watch.mode if self._watch else "poll",
            offset=standing.offset,
            size=standing.size,
            lag_bytes=standing.lag_bytes,
            lines=gathered.lines,
            transfers=gathered.transfers,
            unparsed=gathered.unparsed,
            events=gathered.events,
            skipped=gathered.skipped,
            gaps=turn.gaps,
            last_line_at=at if gathered.lines else None,
            updated_at=at if is_news or self._told is None else self._told.updated_at,
            cursor=turn.cursor,
        )
        if is_news or told == self._told:
            return told
        return replace(told, updated_at=at)

    def _in_words(self, error: OSError) -> str:
        text = f"{self._path} cannot be read: {error.strerror or error}"
        if isinstance(error, PermissionError):
            text += "; give the node's user leave to read it, by a group or by setfacl -m"
        return text


def _message(turn: Turn) -> str | None:
    said, standing = [], turn.standing
    if not standing.is_there and not standing.rotated_files:
        said.append("there is no such file yet")
    if turn.time_trouble is not None:
        said.append(turn.time_trouble)
    if standing.rotated_files:
        files = "file is" if standing.rotated_files == 1 else "files are"
        unseen = "" if standing.sees_all_writers else "; who writes to them cannot be seen"
        said.append(f"{standing.rotated_files} rotated {files} read on{unseen}")
    return "; ".join(said) or None


def _without_counts(told: XferlogFileRead) -> XferlogFileRead:
    """Give what a run without a new line would tell."""
    return replace(
        told,
        lines=0,
        transfers=0,
        unparsed=0,
        events=0,
        skipped=0,
        gaps=0,
        last_line_at=None,
    )
