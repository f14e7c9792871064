"""Follows what cron says in the log, and tells how the jobs went. Blocks; runs in a thread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from etlmon.collectors.cron.history import GRACE, Due, Histories
from etlmon.collectors.cron.running import Running
from etlmon.collectors.cron.scripts import complete
from etlmon.collectors.cron.sources import JOURNAL, LOGS, find_source, open_source
from etlmon.errors import CollectError
from etlmon.host.crond import LOGS_ENDS, LOGS_FAILURES, LOGS_STARTS
from etlmon.records.cron import CronEntry, CronHistory, CronLogRead

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from etlmon.collectors.cron.found import Look
    from etlmon.collectors.cron.log import Event
    from etlmon.collectors.cron.look import Observer
    from etlmon.collectors.cron.parse import Entry
    from etlmon.collectors.cron.sources import Source, Wanted
    from etlmon.host.crond import Daemon

_OF_CRON = frozenset({"crontab", "cron.d", "user"})
_AHEAD = timedelta(minutes=1)
"""What cron has said lies no further ahead: a look takes its time."""
_SILENT = "the line begins with -: cron does not log it"
_NO_JOURNAL = "cron.log is journal, and there is none here: systemd does not run"
_NO_LOG = (
    "what cron logs is nowhere to be read here: there is neither a journal nor one of "
    f"{', '.join(f'/{place}' for place in LOGS)}"
)


class Chronicle:
    """What cron and anacron have said, from where the last committed look had stopped."""

    def __init__(
        self,
        root: Path,
        proc: Path,
        saved: CronLogRead | None,
        known: Iterable[CronHistory],
        entries: Iterable[CronEntry] = (),
        *,
        journalctl: Sequence[str] = ("journalctl",),
        log: Wanted = "auto",
    ) -> None:
        """``saved``, ``known`` and ``entries`` are what an earlier one has left behind."""
        known = list(known)
        self._root = root
        self._proc = proc
        self._journalctl = journalctl
        self._log = log
        self._histories = Histories(known)
        self._saved = saved
        self._entries: list[CronEntry] | None = list(entries)
        self._known = {one.job_id: one for one in known}
        self._source: Source | None = None
        self._after: datetime | None = None
        self._begun: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        """Of jobs with one text, the minute of the newest start, and how many there were in it."""
        self.more = False
        """Whether there is more to read at once."""

    def follow(
        self, look: Look, observer: Observer, monotonic: float, now: float
    ) -> tuple[list[CronHistory], CronLogRead | None]:
        """Read on, and give how all jobs but timers went and how far the log has been read."""
        at = datetime.fromtimestamp(now, UTC)
        running = Running(self._proc)
        self._await_again(look, observer)
        self._open(now)
        trouble = self._take_in(look, observer, running, monotonic, at)
        if trouble is None and not self.more:
            for job, stamp in look.stamps.items():
                self._histories.settle(job, datetime.fromtimestamp(stamp.written_at, UTC))
            self._histories.expect(self._due(look), at, self._began(look.daemon, running))
        if trouble is None and self._source is not None and self._histories.newest is None:
            trouble = f"nothing that cron says has been found in {_place(self._source.name)} yet"
        reasons = {
            entry.job_id: trouble or _untold(entry, look)
            for entry in look.entries
            if entry.source != "timer"
        }
        told = self._histories.tell(reasons, running)
        return complete(told, look, running), self._read()

    def close(self) -> None:
        """Close the log."""
        if self._source is not None:
            self._source.close()

    def _await_again(self, look: Look, observer: Observer) -> None:
        """Wait for the runs that were to come when an earlier node looked last, or were late."""
        if self._entries is None:
            return
        lines = {job: line for found in look.commands.values() for job, line in found}
        now = {entry.job_id: entry for entry in look.entries}
        due = {}
        for before in self._entries:
            entry, line = now.get(before.job_id), lines.get(before.job_id)
            if (
                entry is not None
                and line is not None
                and before.next_run is not None
                and before.next_run_kind == entry.next_run_kind == "exact"
                and (before.schedule, before.timezone) == (entry.schedule, entry.timezone)
            ):
                known = self._known.get(before.job_id)
                due[before.job_id] = _awaited(before, known, line, observer) or before.next_run
        self._histories.await_again(due)
        self._entries, self._known = None, {}

    def _open(self, now: float) -> None:
        """Begin to read where what cron says is to be found now."""
        name = find_source(self._root, now, self._log)
        if self._source is not None and self._source.name == name:
            return
        self.close()
        self._source = None
        if name is None:
            return
        cursor = None
        if self._saved is not None and self._saved.path == name:
            cursor, self._saved = self._saved.cursor, None
        # Of another log, only what is new: it may tell the same again.
        self._after = self._histories.newest if cursor is None else None
        self._source = open_source(
            name,
            cursor,
            after=None if self._after is None else self._after.timestamp(),
            now=now,
            proc=self._proc,
            journalctl=self._journalctl,
        )

    def _take_in(
        self, look: Look, observer: Observer, running: Running, monotonic: float, at: datetime
    ) -> str | None:
        """Take in what has been said since; say why not, if it cannot be read."""
        self.more = False
        source = self._source
        if source is None:
            return _NO_LOG if self._log == "auto" else _NO_JOURNAL

        def match(event: Event) -> str | None:
            return self._job_of(event, look, observer)

        self._histories.logs_failures = bool(look.daemon.log_level & LOGS_FAILURES)
        try:
            for event in source.events(monotonic, at, look.zone):
                is_known = self._after is not None and event.at <= self._after
                if not is_known and (source.is_trusted or _may_be(event, at, running)):
                    self._histories.take(event, match, running)
        except CollectError as error:
            return str(error)
        except OSError as error:
            text = f"{source.name} cannot be read: {error.strerror or error}"
            if isinstance(error, PermissionError):
                text += "; give the node's user leave to read it, such as by the group adm"
            return text
        self.more = source.more
        if not self.more:
            self._after = None  # what comes from now on is new, whatever the clock is set to
        return None

    def _job_of(self, event: Event, look: Look, observer: Observer) -> str | None:
        """Give the job that an event is of; of several with one text, the one that was due then."""
        if event.teller == "anacron":
            return look.anacron.get(event.command)
        if event.teller == "run-parts":
            script = look.scripts.get(event.command)
            return None if script is None else script.job_id
        named = (event.user, event.command)
        candidates = look.commands.get(named, ())
        if len(candidates) == 1:
            return candidates[0][0]
        minute = int(event.at.timestamp() // 60)
        due = [job for job, entry in candidates if observer.next_after(entry, minute - 1) == minute]
        if event.what != "start" or not due:
            return due[0] if due else None
        # Those that are due in one minute begin one after the other.
        before, begun = self._begun.get(named, (minute, 0))
        begun = begun if before == minute else 0
        self._begun[named] = (minute, begun + 1)
        return due[begun % len(due)]

    def _due(self, look: Look) -> Mapping[str, Due]:
        """Give the runs that the log will tell of when they begin."""
        if self._histories.newest is None:
            return {}  # cron has never been heard: its silence tells nothing
        are_told = bool(look.daemon.log_level & LOGS_STARTS)
        due = {}
        for entry in look.entries:
            by_cron = entry.source in _OF_CRON and are_told and entry.job_id not in look.silent
            if entry.next_run is None or not (by_cron or entry.source == "anacron"):
                continue
            is_exact = entry.next_run_kind == "exact"
            until = entry.next_run if is_exact else entry.window_end
            if until is not None:
                due[entry.job_id] = Due(entry.next_run, until, entry.source == "anacron")
        return due

    def _began(self, daemon: Daemon, running: Running) -> datetime | None:
        began = None if daemon.pid is None else running.began_at(daemon.pid)
        return None if began is None else datetime.fromtimestamp(began, UTC)

    def _read(self) -> CronLogRead | None:
        if self._source is None:
            return None
        cursor = self._source.cursor()
        return None if cursor is None else CronLogRead(path=self._source.name, cursor=cursor)


def _awaited(
    before: CronEntry, known: CronHistory | None, line: Entry, observer: Observer
) -> datetime | None:
    """Give the run of a job that was due at the last look and had not begun, if there was one."""
    if known is None or known.late_since is not None or known.last_start is None:
        return None if known is None else known.late_since
    # It may have been due for so short a time that it was not called late.
    since = int((before.last_checked - GRACE).timestamp() // 60)
    minute = observer.next_after(line, since)
    first = None if minute is None else datetime.fromtimestamp(minute * 60, UTC)
    return first if first is not None and known.last_start < first else None


def _may_be(event: Event, now: datetime, running: Running) -> bool:
    """Tell whether what a file says may be true, as far as that can be seen."""
    return event.at <= now + _AHEAD and not running.denies(event)


def _place(name: str) -> str:
    return "the journal" if name == JOURNAL else name


def _untold(entry: CronEntry, look: Look) -> str | None:
    """Say what the log does not tell of a job, and what to do about it."""
    if entry.source not in _OF_CRON:
        return None
    if entry.job_id in look.silent:
        return _SILENT
    if look.daemon.kind == "cronie":
        return "cronie logs no exit status"
    level = look.daemon.log_level
    missing = [
        word
        for bit, word in ((LOGS_STARTS, "starts"), (LOGS_ENDS, "ends"), (LOGS_FAILURES, "failures"))
        if not level & bit
    ]
    if missing:
        return (
            f"cron does not log {' and '.join(missing)} of jobs: start it with -L 15 (EXTRA_OPTS "
            "in /etc/default/cron)"
        )
    return None
