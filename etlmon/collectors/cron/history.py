"""How jobs went: what the log tells of each, put together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from etlmon.records.cron import CronHistory

if TYPE_CHECKING:
    from etlmon.collectors.cron.log import Event

KEPT_RUNTIMES = 20
"""How many runs the median is of."""
_GRACE = timedelta(minutes=2)
"""A run that has not begun so long after it was due is missed."""

Alive = Callable[[int, datetime], bool]
"""Tells whether a process with this pid that began about then still runs."""
Match = Callable[[bytes, bytes, datetime], str | None]
"""Gives the job of a user and a command that began then."""


@dataclass
class _Went:
    """What is known of one job."""

    last_start: datetime | None = None
    last_end: datetime | None = None
    last_exit: int | None = None
    overlap: bool | None = None
    missed_at: datetime | None = None
    running: dict[int, datetime] = field(default_factory=dict)
    runtimes: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_RUNTIMES))
    due: datetime | None = None
    """The coming run, as it was told last."""


class Histories:
    """How all jobs went. ``logs_failures``: whether an end without a failure was a success."""

    def __init__(self, known: Iterable[CronHistory]) -> None:
        self.logs_failures = False
        self._went: dict[str, _Went] = {}
        self._failures: dict[int, int] = {}
        for history in known:
            went = self._went[history.job_id] = _Went(
                history.last_start,
                history.last_end,
                history.last_exit,
                history.overlap,
                history.missed_at,
            )
            went.runtimes.extend(history.recent_runtimes_seconds)
            if history.last_start is not None:
                went.running = dict.fromkeys(history.running_pids or (), history.last_start)

    def take(self, event: Event, match: Match, alive: Alive) -> None:
        """Take in what the log tells."""
        if event.what == "start":
            self._start(event, match, alive)
        elif event.what == "failed":
            self._fail(event)
        else:
            self._end(event, match)

    def _start(self, event: Event, match: Match, alive: Alive) -> None:
        job = match(event.user, event.command, event.at)
        if job is None or event.pid is None:
            return
        went = self._went.setdefault(job, _Went())
        went.running = {pid: since for pid, since in went.running.items() if alive(pid, since)}
        went.overlap = bool(went.running)
        went.last_start, went.last_end, went.last_exit = event.at, None, None
        went.running[event.pid] = event.at
        if went.due is not None and event.at >= went.due - timedelta(seconds=1):
            went.due = None

    def _fail(self, event: Event) -> None:
        assert event.pid is not None
        for went in self._went.values():
            if event.pid in went.running:
                self._finish(went, event.pid, event.at, event.exit_status)
                self._failures[event.pid] = event.exit_status or 0
                return

    def _end(self, event: Event, match: Match) -> None:
        if event.pid is not None and self._failures.pop(event.pid, None) is not None:
            return  # its failure has told it already
        job = match(event.user, event.command, event.at)
        for went in self._went.values() if event.pid is not None else ():
            if event.pid in went.running:
                self._finish(went, event.pid, event.at, 0 if self.logs_failures else None)
                return
        went_of = self._went.get(job) if job is not None else None
        if went_of is not None and went_of.running and event.pid is None:
            oldest = min(went_of.running, key=lambda pid: went_of.running[pid])
            self._finish(went_of, oldest, event.at, None)

    def _finish(self, went: _Went, pid: int, at: datetime, status: int | None) -> None:
        began = went.running.pop(pid)
        went.runtimes.append(max(0.0, (at - began).total_seconds()))
        if began == went.last_start or not went.running:
            went.last_end, went.last_exit = at, status

    def expect(self, coming: Mapping[str, datetime], now: datetime) -> None:
        """Note what is due; find out what was due and did not begin."""
        for job, due in coming.items():
            went = self._went.setdefault(job, _Went())
            if went.due is not None and now > went.due + _GRACE:
                went.missed_at, went.due = went.due, None
            if went.due is None:
                went.due = due

    def tell(self, jobs: Sequence[str], alive: Alive, reason: str | None) -> list[CronHistory]:
        """Give how the jobs went, and forget all others."""
        for gone in self._went.keys() - set(jobs):
            del self._went[gone]
        return [self._tell(job, alive, reason) for job in jobs]

    def _tell(self, job: str, alive: Alive, reason: str | None) -> CronHistory:
        went = self._went.get(job) or _Went()
        went.running = {pid: since for pid, since in went.running.items() if alive(pid, since)}
        return CronHistory(
            job_id=job,
            last_start=went.last_start,
            last_end=went.last_end,
            last_exit=went.last_exit,
            running_pids=sorted(went.running),
            overlap=went.overlap,
            median_runtime_seconds=median(went.runtimes) if went.runtimes else None,
            missed_at=went.missed_at,
            history_reason=reason,
            recent_runtimes_seconds=list(went.runtimes),
        )
