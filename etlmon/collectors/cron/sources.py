"""Where what cron says is read: a file of the system log, or the journal of systemd.

Both are read on from where they were left, and give what they tell of jobs as events. Blocks.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from etlmon.collectors.cron.log import PROGRAMS, event_of, may_tell, parse_line
from etlmon.host.follow import Follower
from etlmon.host.journal import Journal
from etlmon.host.systemctl import runs_systemd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from etlmon.collectors.cron.log import Event
    from etlmon.host.follow import Begin

Wanted = Literal["auto", "journal"]
LOGS = ("var/log/cron.log", "var/log/cron", "var/log/syslog", "var/log/messages")
"""Where syslog daemons put what cron says: the first one that is there is followed."""
JOURNAL = "journal"
"""How the journal is called where others have a path."""

_LEFT_OVER_SECONDS = 86_400.0
_READ_WHOLE_BYTES = 16 << 20
_LINES_A_READ, _READS_A_LOOK = 2_000, 20
_ENTRIES_A_READ, _JOURNAL_READS_A_LOOK = 10_000, 4
_BACK_SECONDS = 8 * 86_400.0
"""What of the journal is read at first: a weekly job has run within that."""
# What cron and anacron say they say as root. Others may call themselves so, and are not heard. By
# _COMM nobody can be told: when the journal looks, who told of a start has become the job.
_MATCHES = ("_UID=0", *(f"SYSLOG_IDENTIFIER={program}" for program in PROGRAMS))


class Source(Protocol):
    """What is read on."""

    @property
    def name(self) -> str:
        """What it is: a path, or ``journal``."""

    @property
    def is_trusted(self) -> bool:
        """Whether nobody but root can have written what it tells."""

    @property
    def more(self) -> bool:
        """Whether there is more to read at once."""

    def events(self, monotonic: float, now: datetime, zone: tzinfo) -> Iterator[Event]:
        """Give what has been told since; raise OSError or CollectError if it cannot be read."""

    def cursor(self) -> str | None:
        """Give where to go on; None while nothing is fixed yet."""

    def close(self) -> None:
        """Close what is open."""


def find_source(root: Path, now: float, wanted: Wanted = "auto") -> str | None:
    """Give the name of the place where what cron says can be read, None where there is none.

    A file that nobody has written to for a day was left behind by a syslog daemon that is gone, or
    writes elsewhere now. Where systemd has a journal, what cron says is there then, and so it is if
    only that is open.
    """
    has_journal = runs_systemd(root)
    if wanted == "journal":
        return JOURNAL if has_journal else None
    left_over = None
    for place in LOGS:
        path = root / place
        try:
            written_at = path.stat().st_mtime
            if has_journal:
                path.open("rb").close()
        except OSError:
            continue
        if now - written_at < _LEFT_OVER_SECONDS:
            return str(path)
        left_over = left_over or str(path)
    return JOURNAL if has_journal else left_over


def open_source(
    name: str,
    cursor: str | None,
    *,
    after: float | None,
    now: float,
    proc: Path,
    journalctl: Sequence[str],
) -> Source:
    """Open what ``find_source`` has named.

    Without ``cursor`` the journal begins behind the moment ``after`` (seconds since the epoch),
    else some days ago; a file at its beginning, or at its end if it is huge.
    """
    if name == JOURNAL:
        since = now - _BACK_SECONDS if after is None else after
        return _JournalSource(Journal(_MATCHES, cursor, since_seconds=since, command=journalctl))
    return _FileSource(name, cursor, proc)


class _FileSource:
    is_trusted = False  # logger(1) writes for anybody, under any name and pid

    def __init__(self, name: str, cursor: str | None, proc: Path) -> None:
        self.name = name
        self.more = False
        self._cursor = cursor
        self._proc = proc
        self._follower: Follower | None = None

    def events(self, monotonic: float, now: datetime, zone: tzinfo) -> Iterator[Event]:
        self.more = False
        follower = self._follower = self._follower or self._open()
        follower.look(monotonic)
        for _ in range(_READS_A_LOOK):
            reading = follower.read(_LINES_A_READ, monotonic)
            if reading is None:
                return
            for line in reading.lines:
                if line is None or not may_tell(line):
                    continue
                event = parse_line(line, now, zone)
                if event is not None:
                    yield event
        self.more = True

    def _open(self) -> Follower:
        path = Path(self.name)
        begin: Begin = "beginning" if path.stat().st_size <= _READ_WHOLE_BYTES else "end"
        return Follower(bytes(path), self._cursor, begin=begin, proc=self._proc)

    def cursor(self) -> str | None:
        return self._cursor if self._follower is None else self._follower.cursor()

    def close(self) -> None:
        if self._follower is not None:
            self._follower.sleep()


class _JournalSource:
    name = JOURNAL
    is_trusted = True  # _UID is what the kernel says of who has written

    def __init__(self, journal: Journal) -> None:
        self.more = False
        self._journal = journal

    def events(self, _monotonic: float, _now: datetime, _zone: tzinfo) -> Iterator[Event]:
        self.more = False
        for _ in range(_JOURNAL_READS_A_LOOK):
            for entry in self._journal.read(_ENTRIES_A_READ):
                at = datetime.fromtimestamp(entry.at_seconds, UTC)
                event = event_of(at, entry.identifier, entry.pid, entry.text)
                if event is not None:
                    yield event
            if self._journal.is_at_end:
                return
        self.more = True

    def cursor(self) -> str | None:
        return self._journal.cursor

    def close(self) -> None:
        """Nothing is open between readings."""
