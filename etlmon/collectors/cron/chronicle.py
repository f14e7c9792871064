"""Follows the log that cron writes to, and tells how the jobs went. Blocks; runs in a thread."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from etlmon.collectors.cron.history import Histories
from etlmon.collectors.cron.log import parse_line
from etlmon.host.follow import Follower
from etlmon.host.processes import TICKS_PER_SECOND, read_stat
from etlmon.records.cron import CronHistory, CronLogRead

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from etlmon.collectors.cron.assembly import Look
    from etlmon.collectors.cron.look import Observer
    from etlmon.host.crontabs import Daemon

LOGS = ("var/log/cron.log", "var/log/cron", "var/log/syslog", "var/log/messages")
"""Where syslog daemons put what cron says: the first one that is there is followed."""
LINES_A_READ = 2_000
READS_A_LOOK = 20
_READ_WHOLE_BYTES = 16 << 20
_MARKS = (b") CMD", b") END (", b") error (gr")
_SLACK_SECONDS = 10.0
_FROM_LOG = frozenset({"crontab", "cron.d", "user"})
_LEVEL = re.compile(r"-[a-zA-Z]*L([0-9]{0,2})")
_ENDS, _FAILURES = 2, 4


class Chronicle:
    """The log of cron, from where the last committed look had stopped."""

    def __init__(
        self, root: Path, proc: Path, saved: CronLogRead | None, known: Iterable[CronHistory]
    ) -> None:
        self._root = root
        self._proc = proc
        self._histories = Histories(known)
        self._saved = saved
        self._path: Path | None = None
        self._follower: Follower | None = None
        self.more = False
        """Whether there is more to read at once."""

    def follow(
        self, look: Look, observer: Observer, monotonic: float, now: float
    ) -> tuple[list[CronHistory], CronLogRead | None]:
        """Read on, and give how the jobs of the log went and how far it has been read."""
        at = datetime.fromtimestamp(now, UTC)
        reason = self._open(look.daemon)
        boot = _boot_seconds(self._proc)

        def alive(pid: int, since: datetime) -> bool:
            return _is_alive(self._proc, boot, pid, since)

        def match(user: bytes, command: bytes, began: datetime) -> str | None:
            candidates = look.commands.get((user, command), ())
            if len(candidates) == 1:
                return candidates[0][0]
            minute = int(began.timestamp() // 60)
            due = [job for job, entry in candidates if observer.is_due(entry, minute)]
            return due[0] if due else None

        self.more = False
        jobs = [entry.job_id for entry in look.entries if entry.source in _FROM_LOG]
        if self._follower is not None:
            self._histories.logs_failures = bool(_level(look.daemon) & _FAILURES)
            try:
                self._follower.look(monotonic)
                for _ in range(READS_A_LOOK):
                    reading = self._follower.read(LINES_A_READ, monotonic)
                    if reading is None:
                        break
                    for line in reading.lines:
                        if line is None or not any(mark in line for mark in _MARKS):
                            continue
                        event = parse_line(line, at, look.zone)
                        if event is not None:
                            self._histories.take(event, match, alive)
                else:
                    self.more = True
            except OSError as error:
                reason = self._in_words(error)
        if not self.more and self._follower is not None:
            coming = {
                entry.job_id: entry.next_run
                for entry in look.entries
                if entry.source in _FROM_LOG
                and entry.next_run_kind == "exact"
                and entry.next_run is not None
            }
            self._histories.expect(coming, at)
        told = self._histories.tell(jobs, alive, reason or _missing(look.daemon))
        if self._follower is None:
            told = [CronHistory(job_id=job, history_reason=reason) for job in jobs]
        return told, self._read()

    def close(self) -> None:
        """Close the log."""
        if self._follower is not None:
            self._follower.sleep()

    def _open(self, daemon: Daemon) -> str | None:
        """Begin to follow the log, if there is one; say why not."""
        if self._follower is not None:
            return None
        for place in LOGS:
            path = self._root / place
            try:
                size = path.stat().st_size
            except OSError:
                continue
            self._path = path
            is_resumed = self._saved is not None and self._saved.path == str(path)
            self._follower = Follower(
                bytes(path),
                self._saved.cursor if self._saved is not None and is_resumed else None,
                begin="beginning" if size <= _READ_WHOLE_BYTES else "end",
                proc=self._proc,
            )
            return None
        return (
            "what cron logs is in no file here (looked for /var/log/cron.log, /var/log/cron, "
            "/var/log/syslog, /var/log/messages); the journal is not read"
        )

    def _in_words(self, error: OSError) -> str:
        text = f"{self._path} cannot be read: {error.strerror or error}"
        if isinstance(error, PermissionError):
            text += "; give the node's user leave to read it, such as by the group adm"
        return text

    def _read(self) -> CronLogRead | None:
        if self._follower is None or self._path is None:
            return None
        cursor = self._follower.cursor()
        return None if cursor is None else CronLogRead(path=str(self._path), cursor=cursor)


def _level(daemon: Daemon) -> int:
    """Give what cron is told to log, a sum: 1 starts, 2 ends, 4 failures, 8 pids."""
    options = list(daemon.options)
    for place, option in enumerate(options):
        found = _LEVEL.fullmatch(option)
        if found is not None:
            text = found[1] or (options[place + 1] if place + 1 < len(options) else "")
            return int(text) if text.isdigit() else 1
    return 1


def _missing(daemon: Daemon) -> str | None:
    """Say what the log does not tell, and what to do about it."""
    if daemon.kind == "cronie":
        return "cronie logs no exit status"
    if _level(daemon) & (_ENDS | _FAILURES) != _ENDS | _FAILURES:
        return (
            "cron logs no ends, or no failures: start it with -L 15 (EXTRA_OPTS in "
            "/etc/default/cron)"
        )
    return None


def _boot_seconds(proc: Path) -> float | None:
    """Give when the host was booted, seconds since the epoch."""
    try:
        text = (proc / "stat").read_text("ascii", "replace")
    except OSError:
        return None
    found = re.search(r"^btime ([0-9]+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def _is_alive(proc: Path, boot: float | None, pid: int, since: datetime) -> bool:
    """Tell whether the process that began then still runs: a pid is given out again."""
    if boot is None:
        return False
    try:
        found = read_stat(proc, pid)
    except (OSError, ValueError):
        return False
    began = boot + found.start_ticks / TICKS_PER_SECOND
    return not found.has_ended and abs(began - since.timestamp()) <= _SLACK_SECONDS
