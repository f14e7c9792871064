"""Reads the crontabs when they change and on a timer; gives what is new."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace
from twisted.logger import Logger

from etlmon.collectors.base import Batch
from etlmon.collectors.cron.chronicle import Chronicle
from etlmon.collectors.cron.look import Observer
from etlmon.errors import CollectError
from etlmon.records.cron import CronEntry, CronFile, CronHistory, CronListing, CronLogRead
from etlmon.text import one_line
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from twisted.internet.interfaces import IDelayedCall

    from etlmon.collectors.base import CollectorContext
    from etlmon.collectors.cron.found import Look
    from etlmon.config.node import CronSection, RedactSection
    from etlmon.host.watches import Watch
    from etlmon.records.base import Record

_AFTER_A_RUN_SECONDS = 1.0
_APART_SECONDS = 1.0
_REST = 10
"""For so many times as long as a look took no change begins another one: a user may change his
crontab as often as he likes."""


@dataclass(frozen=True)
class _Seen:
    """What one look has found, by what names it."""

    entries: dict[str, CronEntry] = field(default_factory=dict)
    files: dict[str, CronFile] = field(default_factory=dict)
    histories: dict[str, CronHistory] = field(default_factory=dict)
    log: CronLogRead | None = None
    first_at: float | None = None
    """When the first of the coming runs begins, seconds since the epoch."""

    def since(self, before: _Seen, checked_at: datetime) -> list[Record]:
        """Give what is new, and the listing."""
        new: list[Record] = [
            entry
            for job, entry in self.entries.items()
            if job not in before.entries
            or replace(before.entries[job], last_checked=checked_at) != entry
        ]
        new.extend(
            file
            for path, file in self.files.items()
            if path not in before.files
            or replace(before.files[path], last_checked=checked_at) != file
        )
        new.append(
            CronListing(
                job_ids=tuple(self.entries), paths=tuple(self.files), last_checked=checked_at
            )
        )
        new.extend(
            history
            for job, history in self.histories.items()
            if before.histories.get(job) != history
        )
        if self.log is not None and self.log != before.log:
            new.append(self.log)
        return new


class CronCollector:
    """The jobs of cron, of anacron and of systemd's timers, and the files they stand in.

    Each run looks at everything and gives only the records that have changed since the one
    before, with a listing of all that is there.
    """

    name = "cron"
    instance = ""
    log = Logger()

    def __init__(
        self,
        settings: CronSection,
        context: CollectorContext,
        observer: Observer,
        root: Path,
        *,
        redact: RedactSection | None = None,
        journalctl: Sequence[str] = ("journalctl",),
    ) -> None:
        self.interval_seconds = settings.interval
        self.settings = (settings, redact)
        self._context = context
        self._observer = observer
        self._watches: dict[bytes, Watch] = {}
        self._hint: Callable[[], None] | None = None
        self._seen = _Seen()
        self._partial: frozenset[str] = frozenset()
        self._waiting: IDelayedCall | None = None
        self._stirred: IDelayedCall | None = None
        self._rests_until = 0.0
        self._root = root
        self._journalctl = journalctl
        self._log = settings.log
        self._chronicle: Chronicle | None = None

    async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        """Give one batch: what has changed, and the listing.

        Raises CollectError, after the batch has been given, if nothing was heard of the timers.
        """
        await self._arm()
        now = self._context.wall_clock()
        chronicle = self._chronicle or await self._open()
        monotonic = self._context.monotonic_clock()
        before = self._seen

        def work() -> tuple[Look, _Seen, list[Record]]:
            look = self._observer.look(now)
            went, log = chronicle.follow(look, self._observer, monotonic, now)
            seen = _seen(look, went, log)
            return look, seen, seen.since(before, utc(now))

        look, seen, news = await self._context.in_thread(work)
        self._tell_partial(look)
        # What is not committed is read again.
        self._chronicle = None
        yield Batch(news)
        self._chronicle, self._seen = chronicle, seen
        ended = self._context.monotonic_clock()
        self._rests_until = ended + max(_APART_SECONDS, _REST * (ended - monotonic))
        self._look_again(now)
        if chronicle.more and self._hint is not None:
            self._hint()
        if look.trouble is not None:
            raise CollectError(look.trouble)

    def listen(self, hint: Callable[[], None]) -> None:
        """Call ``hint`` when something changes in a directory of cron's."""
        self._hint = hint

    async def deafen(self) -> None:
        """Hear of no more changes."""
        self._hint = None
        self._stop_waiting()
        if self._stirred is not None and self._stirred.active():
            self._stirred.cancel()
        if self._context.watches is not None:
            for watch in self._watches.values():
                self._context.watches.end(watch)
        self._watches.clear()
        chronicle, self._chronicle = self._chronicle, None
        if chronicle is not None:
            await self._context.in_thread(chronicle.close)

    async def _open(self) -> Chronicle:
        """Begin with the log where the last committed look had stopped."""
        known = await self._context.saved(CronHistory, "")
        reads = await self._context.saved(CronLogRead, "")
        entries = await self._context.saved(CronEntry, "")
        saved = reads[0] if reads else None
        return Chronicle(
            self._root,
            self._context.proc,
            saved,
            known,
            entries,
            journalctl=self._journalctl,
            log=self._log,
        )

    async def _arm(self) -> None:
        """Hear of changes in the directories that matter now."""
        watches = self._context.watches
        if watches is None or self._hint is None:
            return
        wanted = await self._context.in_thread(self._observer.directories)
        for directory in self._watches.keys() - set(wanted):
            watches.end(self._watches.pop(directory))
        for directory in wanted:
            if directory not in self._watches:
                self._watches[directory] = watches.watch(directory, self._stir)
        await watches.arm(*self._watches.values())

    def _stir(self) -> None:
        """Look since something has changed: at once, or when the last look is long enough ago."""
        hint, reactor = self._hint, self._context.reactor
        if hint is None:
            return
        wait_seconds = self._rests_until - self._context.monotonic_clock()
        if wait_seconds <= 0 or reactor is None:
            hint()
        elif self._stirred is None or not self._stirred.active():
            self._stirred = reactor.callLater(wait_seconds, self._stir)

    def _look_again(self, now: float) -> None:
        """Look when the first of the coming runs has passed: it is not the next one then."""
        self._stop_waiting()
        hint, reactor = self._hint, self._context.reactor
        if hint is None or reactor is None or self._seen.first_at is None:
            return
        wait_seconds = self._seen.first_at + _AFTER_A_RUN_SECONDS - now
        if wait_seconds < self.interval_seconds:
            self._waiting = reactor.callLater(max(wait_seconds, _AFTER_A_RUN_SECONDS), hint)

    def _stop_waiting(self) -> None:
        if self._waiting is not None and self._waiting.active():
            self._waiting.cancel()
        self._waiting = None

    def _tell_partial(self, look: Look) -> None:
        """Log, when it begins, what this node may not read."""
        partial = frozenset(file.path for file in look.partial)
        if partial and partial != self._partial:
            first = look.partial[0]
            self.log.warn(
                "cron: {count} not to be read, so that their jobs are not known; {path}: {why}",
                count=f"{len(partial)} file{'' if len(partial) == 1 else 's'} or directories",
                path=one_line(first.path),
                why=one_line(first.reason or ""),
            )
        self._partial = partial


def _seen(look: Look, went: Iterable[CronHistory], log: CronLogRead | None) -> _Seen:
    entries = {entry.job_id: entry for entry in look.entries}
    histories = {history.job_id: history for history in (*look.histories, *went)}
    coming = (entry.next_run for entry in look.entries if entry.next_run_kind == "exact")
    first = min((at for at in coming if at is not None), default=None)
    return _Seen(
        entries,
        {file.path: file for file in look.files},
        histories,
        log,
        None if first is None else first.timestamp(),
    )
