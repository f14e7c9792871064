"""What cron and anacron say of their jobs in the system log: when one began, and how it ended.

Debian's cron logs the starts, and with ``-L 15`` the ends, the failures and the pids; cronie logs
starts and ends, and never how a job ended; anacron logs all three, by its names for jobs. Of the
scripts of a directory only Red Hat's run-parts tells. Pure: a line goes in, an event comes out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import tzinfo

PROGRAMS = (
    "CRON",
    "CROND",
    "cron",
    "crond",
    "anacron",
    "run-parts",
    *(f"run-parts(/etc/cron.{period})" for period in ("hourly", "daily", "weekly", "monthly")),
)
"""What those call themselves that tell something of jobs."""

_LINE = re.compile(
    rb"(?:<[0-9]{1,3}>)?"
    rb"(?P<at>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}"
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]{5}))"
    rb" (?:[^ ]+ )?(?P<program>CROND?|crond?|anacron|run-parts(?:\(/etc/cron\.[a-z]+\))?)"
    rb"\[(?P<pid>[0-9]{1,10})\]: (?P<text>.*)",
    re.DOTALL,
)
_MARKS = (b") CMD", b") END (", b") error (gr", b"anacron[", b"run-parts")
_OF_CRON = re.compile(
    rb"\((?P<user>[^)]*)\) (?P<what>CMD|CMDEND|END|error) \((?P<text>.*)\)", re.DOTALL
)
_JOB_PID = re.compile(rb"\[([0-9]{1,10})\] (.*)", re.DOTALL)
_FAILED = re.compile(
    rb"grandchild #([0-9]{1,10}) (?:failed with exit status ([0-9]{1,3})"
    rb"|terminated by signal ([0-9]{1,3}).*)"
)
_OF_ANACRON = re.compile(
    rb"Job `(?P<job>.*)' (?:(?P<started>started)|terminated"
    rb"(?: \(exit status: (?P<status>[0-9]{1,3})\)| due to signal (?P<signal>[0-9]{1,3}))?"
    rb"(?: \([a-z ]*\))?)",
    re.DOTALL,
)
_OF_RUN_PARTS = re.compile(
    rb"(?:\((?P<directory>/etc/cron\.[a-z]+)\) )?(?P<what>starting|finished) (?P<script>[^/]+)",
    re.DOTALL,
)
_RUN_PARTS = re.compile(rb"run-parts(?:\((?P<directory>[^)]*)\))?")
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_AHEAD = timedelta(days=2)
_SLACK_SECONDS = 60.0
"""A line may be written while a look is under way."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is told of a job."""

    what: Literal["start", "end", "failed"]
    at: datetime
    user: bytes
    """Empty for ``failed``, which names the pid alone, and where cron does not speak itself."""
    command: bytes
    """As it is logged, without what is its input, and without blanks at its ends; of ``anacron``
    its name for the job; of ``run-parts`` the path of the script."""
    pid: int | None
    """The job's own; None where only its parent is named."""
    exit_status: int | None = None
    """128 and more where a signal ended it."""
    teller: Literal["cron", "anacron", "run-parts"] = "cron"
    parent: int | None = None
    """The pid of what started it, where its own is not told."""


def may_tell(line: bytes) -> bool:
    """Tell quickly whether it is worth while to take a line apart."""
    return any(mark in line for mark in _MARKS)


def parse_line(line: bytes, now: datetime, zone: tzinfo) -> Event | None:
    """Give what a line of the system log tells of a job; None for any other line.

    ``now`` decides the year where the line has none, and ``zone`` is that of such lines.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    at = _moment(found["at"], now, zone)
    return None if at is None else event_of(at, found["program"], int(found["pid"]), found["text"])


def event_of(at: datetime, program: bytes, pid: int | None, text: bytes) -> Event | None:
    """Give what a program's message tells of a job; None for any other message."""
    if program in (b"CRON", b"CROND", b"cron", b"crond"):
        return _of_cron(at, pid, text)
    if program == b"anacron":
        return _of_anacron(at, pid, text)
    found = _RUN_PARTS.fullmatch(program)
    return _of_run_parts(at, found["directory"], pid, text) if found else None


def _of_cron(at: datetime, logger: int | None, message: bytes) -> Event | None:
    found = _OF_CRON.fullmatch(message)
    if found is None:
        return None
    if found["what"] == b"error":
        failed = _FAILED.fullmatch(found["text"])
        if failed is None:
            return None
        status = int(failed[2]) if failed[2] is not None else 128 + int(failed[3])
        return Event("failed", at, b"", b"", int(failed[1]), status)
    pid: int | None = None
    text = found["text"]
    named = _JOB_PID.fullmatch(text)
    if named is not None:
        pid, text = int(named[1]), named[2]
    elif found["what"] == b"CMD":
        pid = logger  # the line is written by what becomes the job
    what: Literal["start", "end"] = "start" if found["what"] == b"CMD" else "end"
    return Event(what, at, found["user"], text.strip(b" \t"), pid)


def _of_anacron(at: datetime, pid: int | None, text: bytes) -> Event | None:
    found = _OF_ANACRON.fullmatch(text)
    if found is None:
        return None
    if found["started"]:
        return Event("start", at, b"", found["job"], None, None, "anacron", pid)
    status = int(found["status"] or 0)
    if found["signal"]:
        status = 128 + int(found["signal"])
    return Event("end", at, b"", found["job"], None, status, "anacron", pid)


def _of_run_parts(
    at: datetime, directory: bytes | None, pid: int | None, text: bytes
) -> Event | None:
    found = _OF_RUN_PARTS.fullmatch(text)
    directory = directory or (found["directory"] if found else None)
    if found is None or directory is None:
        return None
    what: Literal["start", "end"] = "start" if found["what"] == b"starting" else "end"
    path = directory + b"/" + found["script"]
    return Event(what, at, b"", path, None, None, "run-parts", pid)


def _moment(text: bytes, now: datetime, zone: tzinfo) -> datetime | None:
    try:
        if text[:4].isdigit():
            return datetime.fromisoformat(text.decode("ascii"))
        hour, minute, second = (int(part) for part in text[7:].split(b":"))
        month, day = _MONTHS.index(text[:3]) + 1, int(text[4:6])
        local = now.astimezone(zone)
        for year in (local.year, local.year - 1):
            at = datetime(year, month, day, hour, minute, second, tzinfo=zone)
            if at <= local + _AHEAD:  # December is read in January, never the other way round
                return _told_at(at, now)
    except ValueError:
        return None
    return None


def _told_at(at: datetime, now: datetime) -> datetime:
    """Give the moment of a local time; of two that look alike the later, if it has come."""
    first, second = (at.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    has_come = first < second and second.timestamp() <= now.timestamp() + _SLACK_SECONDS
    return second if has_come else first
