"""Reads the crontabs when they change and on a timer; gives what is new."""

from __future__ import annotations

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
    from collections.abc import AsyncGenerator, Callable
    from datetime import datetime
    from pathlib import Path

    from twisted.internet.interfaces import IDelayedCall

    from etlmon.collectors.base import CollectorContext
    from etlmon.collectors.cron.assembly import Look
    from etlmon.config.node import CronSection
    from etlmon.host.inotify import Watch
    from etlmon.records.base import Record

_AFTER_A_RUN_SECONDS = 1.0
_NOT_LOGGED = "what run-parts and anacron start is not logged job by job"


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
    ) -> None:
        self.interval_seconds = settings.interval
        self.settings = settings
        self._context = context
        self._observer = observer
        self._watches: dict[bytes, Watch] = {}
        self._hint: Callable[[], None] | None = None
        self._entries: dict[str, CronEntry] = {}
        self._files: dict[str, CronFile] = {}
        self._histories: dict[str, CronHistory] = {}
        self._partial: frozenset[str] = frozenset()
        self._waiting: IDelayedCall | None = None
        self._root = root
        self._chronicle: Chronicle | None = None
        self._log: CronLogRead | None = None

    async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        """Give one batch: what has changed, and the listing.

        Raises CollectError, after the batch has been given, if nothing was heard of the timers.
        """
        await self._arm()
        now = self._context.wall_clock()
        look = await self._context.in_thread(lambda: self._observer.look(now))
        chronicle = self._chronicle or await self._open()
        monotonic = self._context.monotonic_clock()
        went, log = await self._context.in_thread(
            lambda: chronicle.follow(look, self._observer, monotonic, now)
        )
        self._tell_partial(look)
        checked_at = utc(now)
        entries = {entry.job_id: entry for entry in look.entries}
        files = {file.path: file for file in look.files}
        histories = {history.job_id: history for history in (*look.histories, *went)}
        for job in entries.keys() - histories.keys():
            histories[job] = CronHistory(job_id=job, history_reason=_NOT_LOGGED)
        changed: list[Record] = [
            entry
            for job, entry in entries.items()
            if job not in self._entries
            or replace(self._entries[job], last_checked=checked_at) != entry
        ]
        changed.extend(
            file
            for path, file in files.items()
            if path not in self._files
            or replace(self._files[path], last_checked=checked_at) != file
        )
        changed.append(
            CronListing(job_ids=tuple(entries), paths=tuple(files), last_checked=checked_at)
        )
        changed.extend(
            history for job, history in histories.items() if self._histories.get(job) != history
        )
        if log is not None and log != self._log:
            changed.append(log)
        # What is not committed is read again.
        self._chronicle = None
        yield Batch(changed)
        self._chronicle, self._log = chronicle, log
        self._entries, self._files, self._histories = entries, files, histories
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
        if self._context.watches is not None:
            for watch in self._watches.values():
                self._context.watches.end(watch)
        self._watches.clear()
        chronicle, self._chronicle, self._log = self._chronicle, None, None
        if chronicle is not None:
            await self._context.in_thread(chronicle.close)

    async def _open(self) -> Chronicle:
        """Begin with the log where the last committed look had stopped."""
        known = await self._context.saved(CronHistory, "")
        reads = await self._context.saved(CronLogRead, "")
        saved = reads[0] if reads else None
        return Chronicle(self._root, self._context.proc, saved, known)

    async def _arm(self) -> None:
        """Hear of changes in the directories that matter now."""
        watches, hint = self._context.watches, self._hint
        if watches is None or hint is None:
            return
        wanted = await self._context.in_thread(self._observer.directories)
        for directory in self._watches.keys() - set(wanted):
            watches.end(self._watches.pop(directory))
        for directory in wanted:
            if directory not in self._watches:
                self._watches[directory] = watches.watch(directory, hint)
            await watches.arm(self._watches[directory])

    def _look_again(self, now: float) -> None:
        """Look when the first of the coming runs has passed: it is not the next one then."""
        self._stop_waiting()
        hint, reactor = self._hint, self._context.reactor
        coming = [
            entry.next_run.timestamp()
            for entry in self._entries.values()
            if entry.next_run is not None and entry.next_run_kind == "exact"
        ]
        if hint is None or reactor is None or not coming:
            return
        wait_seconds = min(coming) + _AFTER_A_RUN_SECONDS - now
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
