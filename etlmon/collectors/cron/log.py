"""What cron says of its jobs in the system log: when one began, when it ended, and how.

Debian's cron logs the starts, and with ``-L 15`` the ends, the failures and the pids; cronie logs
starts and ends, and never how a job ended. Pure: a line goes in, an event comes out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import tzinfo

_LINE = re.compile(
    rb"(?:<[0-9]{1,3}>)?"
    rb"(?P<at>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}"
    rb"|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]{5}))"
    rb" (?:[^ ]+ )?(?:CRON|CROND|cron|crond)\[(?P<pid>[0-9]{1,10})\]: "
    rb"\((?P<user>[^)]*)\) (?P<what>CMD|CMDEND|END|error) \((?P<text>.*)\)",
    re.DOTALL,
)
_JOB_PID = re.compile(rb"\[([0-9]{1,10})\] (.*)", re.DOTALL)
_FAILED = re.compile(
    rb"grandchild #([0-9]{1,10}) (?:failed with exit status ([0-9]{1,3})"
    rb"|terminated by signal ([0-9]{1,3}).*)"
)
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_AHEAD = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that cron tells of a job."""

    what: Literal["start", "end", "failed"]
    at: datetime
    user: bytes
    """Empty for ``failed``, which names the pid alone."""
    command: bytes
    """Without what is its input, and without blanks at its ends."""
    pid: int | None
    """The job's own; None where only its parent is named."""
    exit_status: int | None = None
    """Of ``failed``: 128 and more where a signal ended it."""


def parse_line(line: bytes, now: datetime, zone: tzinfo) -> Event | None:
    """Give what a line of the system log tells of a job of cron's; None for any other line.

    ``now`` decides the year where the line has none, and ``zone`` is that of such lines.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    at = _moment(found["at"], now, zone)
    if at is None:
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
        pid = int(found["pid"])  # the line is written by what becomes the job
    what: Literal["start", "end"] = "start" if found["what"] == b"CMD" else "end"
    return Event(what, at, found["user"], text.strip(b" \t"), pid)


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
                return at
    except ValueError:
        return None
    return None
