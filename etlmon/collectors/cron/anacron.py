"""anacrontab: jobs that run once in some days, whenever the host is up.

A run has a day and a window in it, not a minute: anacron is started each hour, takes what is due,
and waits for each job's delay. Debian's anacron and cronie's share this format.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple

from etlmon.collectors.cron.parse import MOST_LINES, Mistake
from etlmon.text import host_text

if TYPE_CHECKING:
    from datetime import tzinfo

_ASSIGNMENT = re.compile(rb"[ \t]*([^ \t=]+)[ \t]*=(.*)", re.DOTALL)
_JOB = re.compile(
    rb"[ \t]*([0-9]+|@[^ \t]+)[ \t]+([0-9]+)[ \t]+([^ \t/]+)[ \t]+([^ \t].*)", re.DOTALL
)
_RANGE = re.compile(rb"([0-9]{1,9})-([0-9]{1,9})")
# In the order, and by the beginnings, that anacron compares.
_NAMES = (
    (b"@monthly", "month"),
    (b"@yearly", "year"),
    (b"@annually", "year"),
    (b"@annualy", "year"),
    (b"@daily", "day"),
    (b"@weekly", "week"),
)
_MOST_DAYS = 36_500
_LONGEST_NUMBER = 9
_MOST_WINDOWS_A_DAY = 3
"""Parts of so many days lie within 24 hours, and one more where the clock is changed."""


class Hours(NamedTuple):
    """The hours of a day in which jobs may begin, the last one not among them."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class AnacronJob:
    """A line that runs something."""

    line: int
    text: str
    """Period and delay as they are written."""
    identifier: bytes
    command: str
    raw_command: bytes
    period_days: int | None
    """None where the period has a name, or cannot be read."""
    period_name: str | None = None
    hours: Hours | None = None
    error: str | None = None


@dataclass
class Anacrontab:
    """The file taken apart: a line that cannot be read is passed over, whatever the daemon."""

    jobs: list[AnacronJob] = field(default_factory=list)
    lint: list[Mistake] = field(default_factory=list)


def parse_anacrontab(content: bytes) -> Anacrontab:
    """Take an anacrontab apart. START_HOURS_RANGE counts for the whole file; the last one wins."""
    tab = Anacrontab()
    hours: Hours | None = None
    for number, line in _joined(content):
        if not line.strip(b" \t") or line.lstrip(b" \t").startswith(b"#"):
            continue
        if len(tab.jobs) >= MOST_LINES:
            tab.lint.append(Mistake(number, f"only {MOST_LINES:,} jobs are shown"))
            break
        assignment = _ASSIGNMENT.fullmatch(line)
        if assignment is not None:
            if assignment[1].startswith(b"START_HOURS_RANGE"):
                found = _RANGE.fullmatch(assignment[2])
                if found is None or int(found[1]) > int(found[2]):
                    tab.lint.append(
                        Mistake(number, "START_HOURS_RANGE: write FIRST-LAST, such as 3-22")
                    )
                else:
                    hours = Hours(int(found[1]), int(found[2]))
            continue
        tab.jobs.append(_job(number, line))
    tab.jobs = [_with_hours(job, hours) for job in tab.jobs]
    return tab


def window(
    job: AnacronJob, stamp: str | None, now: datetime, zone: tzinfo
) -> tuple[datetime, datetime] | None:
    """Give between when a job will begin; None if that is not within a hundred years.

    ``stamp`` is the day of its last run, YYYYMMDD; ``now`` is aware.
    """
    local = now.astimezone(zone)
    last = _day(stamp)
    day = local.date()
    for _ in range(_MOST_DAYS):
        if last is None or _is_due(job, last, day):
            begin, end = _hours_of(day, job.hours, zone)
            if begin >= end:
                return None
            if end > local:
                return max(begin, local), end
            day += timedelta(days=1)
        elif job.period_days is not None:
            day = max(day + timedelta(days=1), last + timedelta(days=min(job.period_days, 99_999)))
        else:
            day += timedelta(days=1)
    return None


def may_by_hour(job: AnacronJob, stamp: str | None, now: datetime, zone: tzinfo) -> list[int]:
    """Give 1 for each of 24 hours in which a job may begin, from the one that holds ``now``.

    Each of its runs is taken to begin within its window, and the next one to count from its day.
    """
    first = now.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    hours = [first.astimezone(UTC) + timedelta(hours=after) for after in range(25)]
    marks = [0] * 24
    at = now
    for _ in range(_MOST_WINDOWS_A_DAY):
        found = window(job, stamp, at, zone)
        if found is None or found[0] >= hours[24]:
            break
        begin, end = found
        for hour in range(24):
            if begin < hours[hour + 1] and end > hours[hour]:
                marks[hour] = 1
        stamp = f"{begin.astimezone(zone):%Y%m%d}"
        at = end
    return marks


def _joined(content: bytes) -> list[tuple[int, bytes]]:
    r"""Give the lines with the number of each first one; a ``\`` at the end joins the next."""
    lines: list[tuple[int, bytes]] = []
    begun: tuple[int, bytes] | None = None
    for number, line in enumerate(content.split(b"\n"), 1):
        first, text = (number, line) if begun is None else (begun[0], begun[1] + b" " + line)
        if text.endswith(b"\\"):
            begun = (first, text[:-1])
        else:
            lines.append((first, text))
            begun = None
    if begun is not None:
        lines.append(begun)
    return lines


def _job(number: int, line: bytes) -> AnacronJob:
    found = _JOB.fullmatch(line)
    if found is None:
        return AnacronJob(
            number, "", b"", host_text(line.strip()), b"", None, error="invalid syntax"
        )
    period, delay, identifier, command = found.groups()
    text = f"{host_text(period)} {host_text(delay)}"
    days, name, error = None, None, None
    if period.startswith(b"@"):
        name = next((name for word, name in _NAMES if period.startswith(word)), None)
        if name is None:
            error = f"{host_text(period[:40])} is no period; write days, @daily, @weekly, @monthly"
    elif len(period) > _LONGEST_NUMBER:
        error = "the period is out of range"
    else:
        days = int(period)
    if len(delay) > _LONGEST_NUMBER:
        error = "the delay is out of range"
    return AnacronJob(
        number, text, identifier, host_text(command), command, days, name, error=error
    )


def _with_hours(job: AnacronJob, hours: Hours | None) -> AnacronJob:
    return replace(job, hours=hours)


def _day(stamp: str | None) -> date | None:
    try:
        return datetime.strptime(stamp or "", "%Y%m%d").date()  # noqa: DTZ007 - a day, no moment
    except ValueError:
        return None


def _is_due(job: AnacronJob, last: date, day: date) -> bool:
    """Tell whether anacron, started on ``day``, takes a job that ran last on ``last``."""
    passed = (day - last).days
    if passed < 0:
        return True  # the clock was wrong; anacron runs it anew
    if job.period_days is not None:
        return passed >= job.period_days
    this, before = {
        "month": lambda: (_month_days(day), _month_days(day.replace(day=1) - timedelta(days=1))),
        "year": lambda: (_year_days(day.year), _year_days(day.year - 1)),
        "week": lambda: (7, 7),
        "day": lambda: (1, 1),
    }[job.period_name or "day"]()
    return passed >= before or passed == this


def _month_days(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _year_days(year: int) -> int:
    return 366 if isleap(year) else 365


def _hours_of(day: date, hours: Hours | None, zone: tzinfo) -> tuple[datetime, datetime]:
    """Give the part of a day in which jobs may begin."""
    first, last = hours or Hours(0, 24)
    midnight = datetime.combine(day, time(), zone)
    return (
        midnight + timedelta(hours=min(first, 24)),
        midnight + timedelta(hours=min(last, 24)),
    )
