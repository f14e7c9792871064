"""How jobs went: what the log tells of each, put together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from etlmon.records.cron import CronHistory

if TYPE_CHECKING:
    from etlmon.collectors.cron.log import Event
    from etlmon.collectors.cron.running import Running

KEPT_RUNTIMES = 20
"""How many runs the median is of."""
GRACE = timedelta(minutes=2)
"""A run that has not begun so long after it was due is late."""
_MADE_UP_WITHIN = timedelta(hours=3)
"""After a longer time cron makes up for no run: it is missed."""
_EARLY = timedelta(seconds=1)
_MOST_FAILURES = 10_000

Match = Callable[["Event"], str | None]
"""Gives the job that an event is of."""


class Due(NamedTuple):
    """A run that is to come."""

    at: datetime
    """When, or from when on."""
    until: datetime
    """The latest moment; the same as ``at`` where it is exact."""
    is_made_up: bool = False
    """Whether it comes as soon as it can, however late that is (anacron)."""


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
    parent: int | None = None
    """What started it, where its own pid was not told and it has not ended."""
    due: Due | None = None
    """The run that is waited for: the coming one as it was told last, or one that is late."""
    following: datetime | None = None
    """The run after the one that is late."""
    is_late: bool = False


class Histories:
    """How all jobs went. ``logs_failures``: whether an end without a failure was a success."""

    def __init__(self, known: Iterable[CronHistory]) -> None:
        self.logs_failures = False
        self._went: dict[str, _Went] = {}
        self._failures: set[int] = set()
        """The pids of runs that have failed, and whose end is still to be told."""
        self._job_of: dict[int, str] = {}
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
                self._job_of |= dict.fromkeys(went.running, history.job_id)

    @property
    def newest(self) -> datetime | None:
        """When the newest start or end was that is known of any job; None if there is none."""
        return max(
            (
                at
                for went in self._went.values()
                for at in (went.last_start, went.last_end)
                if at is not None
            ),
            default=None,
        )

    def await_again(self, due: Mapping[str, datetime]) -> None:
        """Wait for runs that an earlier node has waited for."""
        for job, at in due.items():
            self._went.setdefault(job, _Went()).due = Due(at, at)

    def settle(self, job: str, ended: datetime) -> None:
        """Wait no more for a run that has ended, though the log may not tell of it."""
        went = self._went.get(job)
        if went is not None and went.due is not None and ended >= went.due.at:
            went.due, went.following, went.is_late = None, None, False

    def take(self, event: Event, match: Match, running: Running) -> None:
        """Take in what the log tells."""
        if event.what == "start":
            self._start(event, match, running)
        elif event.pid is not None and self._goes_on(event.pid, running):
            pass  # cron tells of an end when it has waited for it: somebody else has told of this
        elif event.what == "failed":
            self._fail(event)
        else:
            self._end(event, match)

    def _start(self, event: Event, match: Match, running: Running) -> None:
        job = match(event)
        if job is None or (event.pid is None and event.parent is None):
            return
        went = self._went.setdefault(job, _Went())
        went.running = {
            pid: since for pid, since in went.running.items() if running.is_alive(pid, since)
        }
        went.overlap = bool(went.running) and event.parent is None
        went.last_start, went.last_end, went.last_exit = event.at, None, None
        went.parent = event.parent
        if event.pid is not None:
            went.running[event.pid] = event.at
            self._job_of[event.pid] = job
            self._failures.discard(event.pid)  # that was of another run, whose end was not told
        if went.due is not None and event.at >= went.due.at - _EARLY:
            if went.following is not None and event.at >= went.following - _EARLY:
                went.missed_at = went.due.at  # this is the run after it
            went.due, went.following, went.is_late = None, None, False

    def _fail(self, event: Event) -> None:
        assert event.pid is not None
        went = self._running(event.pid)
        if went is not None:
            self._finish(went, event.pid, event.at, event.exit_status)
            if len(self._failures) >= _MOST_FAILURES:  # cron is told not to log the ends
                self._failures.clear()
            self._failures.add(event.pid)

    def _goes_on(self, pid: int, running: Running) -> bool:
        """Tell whether a process that is known as a run of a job still runs."""
        went = self._went.get(self._job_of.get(pid, ""))
        since = None if went is None else went.running.get(pid)
        return since is not None and running.is_alive(pid, since)

    def _running(self, pid: int) -> _Went | None:
        """Give the job of which a process is a run that has not ended."""
        went = self._went.get(self._job_of.pop(pid, ""))
        return went if went is not None and pid in went.running else None

    def _end(self, event: Event, match: Match) -> None:
        if event.pid is not None:
            self._end_of_pid(event.pid, event.at)
            return
        job = match(event)
        went = self._went.get(job) if job is not None else None
        if went is None:
            return
        if event.parent is not None:
            if went.last_start is not None and went.last_end is None:
                went.running = {0: went.last_start}
                self._finish(went, 0, event.at, event.exit_status)
                went.parent = None
        elif went.running:
            oldest = min(went.running, key=went.running.__getitem__)
            self._finish(went, oldest, event.at, None)

    def _end_of_pid(self, pid: int, at: datetime) -> None:
        if pid in self._failures:
            self._failures.remove(pid)
            return  # its failure has told it already
        went = self._running(pid)
        if went is not None:
            self._finish(went, pid, at, 0 if self.logs_failures else None)

    def _finish(self, went: _Went, pid: int, at: datetime, status: int | None) -> None:
        began = went.running.pop(pid)
        went.runtimes.append(max(0.0, (at - began).total_seconds()))
        if began == went.last_start or not went.running:
            went.last_end, went.last_exit = at, status

    def expect(self, coming: Mapping[str, Due], now: datetime, began: datetime | None) -> None:
        """Note what is due; find out what was due and did not begin.

        ``began`` is when the daemon did: it makes up for nothing that was due before that.
        """
        for job, went in self._went.items():
            if job not in coming:
                went.due, went.following, went.is_late = None, None, False
        for job, due in coming.items():
            went = self._went.setdefault(job, _Went())
            if went.due is not None and now > went.due.until:
                self._wait(went, went.due, now, began)
            if went.due is None or now <= went.due.until:
                went.due, went.following, went.is_late = due, None, False
            elif went.following is None:
                went.following = due.at

    def _wait(self, went: _Went, due: Due, now: datetime, began: datetime | None) -> None:
        """Judge a run that has not begun, though its moment has passed."""
        went.is_late = now > due.until + GRACE
        if due.is_made_up or not went.is_late:
            return
        is_followed = went.following is not None and now >= went.following
        is_lost = began is not None and due.until < began
        if is_followed or is_lost or now > due.until + _MADE_UP_WITHIN:
            went.missed_at, went.is_late = due.at, False
            next_one = went.following
            went.due = Due(next_one, next_one) if is_followed and next_one is not None else None
            went.following = None

    def tell(self, reasons: Mapping[str, str | None], running: Running) -> list[CronHistory]:
        """Give how the jobs went, and forget all others.

        ``reasons`` say of each job what is not known of it, None where all is.
        """
        for gone in self._went.keys() - reasons.keys():
            del self._went[gone]
        self._job_of = {
            pid: job
            for pid, job in self._job_of.items()
            if job in self._went and pid in self._went[job].running
        }
        return [self._tell(job, running, reason) for job, reason in reasons.items()]

    def _tell(self, job: str, running: Running, reason: str | None) -> CronHistory:
        went = self._went.get(job) or _Went()
        if went.parent is not None and went.last_start is not None:
            child = running.child(went.parent, went.last_start)
            went.running = {} if child is None else {child: went.last_start}
        else:
            went.running = {
                pid: since for pid, since in went.running.items() if running.is_alive(pid, since)
            }
        return CronHistory(
            job_id=job,
            last_start=went.last_start,
            last_end=went.last_end,
            last_exit=went.last_exit,
            running_pids=sorted(went.running),
            overlap=went.overlap,
            median_runtime_seconds=median(went.runtimes) if went.runtimes else None,
            late_since=went.due.until if went.is_late and went.due is not None else None,
            missed_at=went.missed_at,
            history_reason=reason,
            recent_runtimes_seconds=list(went.runtimes),
        )
