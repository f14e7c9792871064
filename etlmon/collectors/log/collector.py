"""Follows the files of one log and gives what is written to them."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from etlmon.collectors.base import Batch
from etlmon.collectors.log.streams import Streams
from etlmon.errors import CollectedInPart, CollectError, EtlmonError
from etlmon.host.mounts import covering, read_own_mounts, resolve, waits_for
from etlmon.host.watches import are_armed
from etlmon.records.log import LogSaved, LogUnseen
from etlmon.text import host_path
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from datetime import datetime, tzinfo

    from etlmon.collectors.base import CollectorContext
    from etlmon.collectors.log.streams import Step
    from etlmon.config.node import LogSection
    from etlmon.host.mounts import Mount
    from etlmon.host.watches import Watch

    _Taken = tuple[Step, Batch]

_INTERVAL_SECONDS = 5.0
"""How often the files are looked at though nothing was heard of them."""
_ANSWER_SECONDS = 5.0
"""How long a file system that may hang has to answer before its files are looked at."""
_MOST_WATCHES = 256
"""Directories of one pattern that are watched; files in others are looked at in their turn."""

_MOST_CAME = 10_000
"""Names of files that came between two steps; of more nothing is known."""


class LogCollector:
    """One configured log. A run reads all that is there, batch by batch; hints begin runs.

    Lines and the position behind them are in one batch, so whatever ends a run, the next one goes
    on where the last commit was.
    """

    name = "log"
    interval_seconds = _INTERVAL_SECONDS

    def __init__(
        self, settings: LogSection, context: CollectorContext, zone: tzinfo | None
    ) -> None:
        self.instance = settings.name
        self.settings = settings
        self._context = context
        self._zone = zone
        self._streams: Streams | None = None
        self._is_uncommitted = False
        self._is_paused = False
        self._held_since: float | None = None
        """Since when a log that is not followed waits for the end of a last line."""
        self._hint: Callable[[], None] | None = None
        self._watches: dict[bytes, Watch] = {}
        self._looked_at: float | None = None
        """When all files were looked at last; None where that is to be done anew."""
        self._came: dict[bytes, int] = {}
        """How often each path has been given to a file since the last step."""
        self._trouble: str | None = None
        """What could not be read when all files were looked at last."""
        self._told_unseen: tuple[str, str] | None = None
        """What is told of the log because its files cannot be looked at; None when they can."""

    # --- hints ------------------------------------------------------------------------------------

    def listen(self, hint: Callable[[], None]) -> None:
        """Begin to hint when something has changed beside the files."""
        self._hint = hint

    async def deafen(self) -> None:
        """Hint no more; close the files."""
        self._hint = None
        self._watch(frozenset())
        await self._close()

    def _heard(self) -> None:
        if self._streams is not None:
            self._streams.look_at_once()
        if self._hint is not None:
            self._hint()

    def _file_came(self, directory: bytes, name: bytes) -> None:
        if self._heeds(name) and len(self._came) < _MOST_CAME:
            path = os.path.join(directory, name)
            self._came[path] = self._came.get(path, 0) + 1

    def _heeds(self, name: bytes) -> bool:
        return self._streams is None or self._streams.heeds(name)

    def _watch(self, directories: frozenset[bytes]) -> list[Watch]:
        """Watch these directories and no others; give those that are new."""
        watches = self._context.watches
        if watches is None or (self._hint is None and directories):
            return []
        if directories == self._watches.keys():
            return []
        for directory in self._watches.keys() - directories:
            watches.end(self._watches.pop(directory))
        new = sorted(directories - self._watches.keys())[: _MOST_WATCHES - len(self._watches)]
        for directory in new:
            came = partial(self._file_came, directory)
            self._watches[directory] = watches.watch(directory, self._heard, self._heeds, came)
        return [self._watches[directory] for directory in new]

    # --- pause ------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Read nothing from now on; runs tell what waits."""
        self._is_paused = True
        self._looked_at = None

    def resume(self) -> None:
        """Read again; with ``follow: false`` once to the end."""
        self._is_paused = False
        self._looked_at = None
        self._held_since = None

    def _may_wait(self) -> bool:
        """Whether to wait for the end of a last line; one that is added to has none for ever."""
        now = self._context.monotonic_clock()
        if self._held_since is None:
            self._held_since = now
        # Once for the line, and once for the entry before it.
        return now - self._held_since < 2 * (self.settings.partial_timeout + _INTERVAL_SECONDS)

    # --- runs -------------------------------------------------------------------------------------

    async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        """Give all that waits to be read.

        Raises CollectError where the file system does not answer, or the settings do not fit;
        CollectedInPart, after all else has been read, where a file may not be read.
        """
        now = self._context.monotonic_clock()
        all_again = self._looked_at is None or now - self._looked_at >= _INTERVAL_SECONDS - 0.5
        if self._streams is None or self._is_uncommitted:
            await self._begin()
            all_again = True
        # Also when this is cancelled: what the thread reads then may be committed, or not.
        self._is_uncommitted = True
        taken = None
        if all_again:
            self._looked_at = now
            taken = await self._step_if_steady()
            if taken is None:
                try:
                    await self._probe()
                except EtlmonError as error:
                    unseen = self._unseen(str(error))
                    if self._told_unseen != (unseen.state, unseen.error_message):
                        yield Batch([unseen])
                        self._told_unseen = unseen.state, unseen.error_message
                    raise
                await self._arm(list(self._watches.values()))
            self._told_unseen = None
        while True:
            reads = not self._is_paused
            self._is_uncommitted = True
            if taken is None:
                taken = await self._context.in_thread(self._next_step(all_again, reads))
            step, batch = taken
            if batch.records:
                yield batch
            if all_again:  # not at each hint: whoever changes files could fill the node's log
                self._trouble = step.trouble
            self._is_uncommitted = all_again = False
            new = self._watch(step.directories)
            if new:
                await self._arm(new)
                self._begun.look_at_once()  # what has changed before was not heard of
            elif not reads:
                break
            elif step.is_done:
                if self.settings.follow or (step.is_held and self._may_wait()):
                    break
                self._is_paused = True  # and tell that it is
            taken = None
        if self._trouble is not None:
            raise CollectedInPart(f"cannot be read: {self._trouble}")

    async def _begin(self) -> None:
        """Go on where the last commit was."""
        await self._close()
        saved = await self._context.saved(LogSaved, self.instance)
        cursors = saved[0].cursors if saved else {}
        missed = saved[0].missed if saved else None
        if self._looked_at is None and saved and saved[0].paused is not None:
            self._is_paused = saved[0].paused
        try:
            self._streams = Streams(
                self.settings, cursors, self._zone, self._context.wall_clock, missed
            )
        except ValueError as error:
            raise CollectError(str(error)) from error

    async def _close(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            await self._context.in_thread(streams.close)

    async def _step_if_steady(self) -> _Taken | None:
        """Look at all again, in one go: as most often, nothing can hang and no directory is new.

        None where that is not so.
        """
        watches, came = list(self._watches.values()), self._came
        step = self._next_step(all_again=True, reads=not self._is_paused)

        def look() -> _Taken | None:
            mounts = self._mounts()
            return step() if self._hangs_on(mounts) is None and are_armed(watches, mounts) else None

        found = await self._context.in_thread(look)
        if found is None:
            self._came = dict(Counter(came) + Counter(self._came))
        return found

    def _next_step(self, all_again: bool, reads: bool) -> Callable[[], _Taken]:
        """Give what takes the next step, in a thread; it stores there what it reads, if it may."""
        streams, now, wall = self._begun, self._context.monotonic_clock(), self._wall()
        modes = {directory: watch.mode for directory, watch in self._watches.items()}
        came, self._came = self._came, {}
        loan = self._context.lend()

        def take() -> _Taken:
            step = streams.step(now, wall, modes, came, all_again=all_again, reads=reads)
            stored = None if loan is None else loan.store(step.records)
            return step, Batch(step.records, stored)

        return take

    async def _arm(self, watches: list[Watch]) -> None:
        """Hear of changes in directories."""
        if watches:
            assert self._context.watches is not None
            await self._context.watches.arm(*watches)

    async def _probe(self) -> None:
        """Find out whether the file system answers, if it is one that may not."""
        hangs_on = await self._context.in_thread(lambda: self._hangs_on(self._mounts()))
        if hangs_on is not None:
            path, mount_point = hangs_on
            await self._context.workers.statvfs(
                path, mount_point=mount_point, deadline_seconds=_ANSWER_SECONDS
            )

    def _unseen(self, message: str) -> LogUnseen:
        return LogUnseen(
            log_name=self.instance,
            log_path=self._begun.configured_path,
            state="paused" if self._is_paused else "error",
            error_message=message,
            updated_at=self._wall(),
        )

    def _mounts(self) -> Sequence[Mount]:
        try:
            return read_own_mounts(self._context.proc)
        except OSError:
            return ()

    def _hangs_on(self, mounts: Sequence[Mount]) -> tuple[bytes, str] | None:
        """Give the directory and the mount that a look at the files may hang on.

        The file of the path may itself be a link to where that is so.
        """
        path = resolve(mounts, self._begun.fixed_path)
        own = covering(mounts, path)
        mount = waits_for(mounts).get(own.mount_id) if own else None
        if mount is None:
            return None
        directory = path if self._begun.fixed_path.endswith(b"/") else os.path.dirname(path)
        return directory, host_path(mount.mount_point)

    @property
    def _begun(self) -> Streams:
        assert self._streams is not None
        return self._streams

    def _wall(self) -> datetime:
        return utc(self._context.wall_clock())
