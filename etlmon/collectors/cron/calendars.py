"""Calendar events of systemd, in the form that systemctl tells them, as schedules.

Of a timer systemd tells one coming run. The others within a day follow from its events, where these
are of the usual kind; what is written in another way, or has a random delay, is not reckoned.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from etlmon.collectors.cron.schedule import Schedule

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EVERY_DAY = 0x7F
_EVENT = re.compile(
    r"(?:(?P<weekdays>[A-Z][A-Za-z,.]*) )?"
    r"\*-(?P<month>[0-9*,./]+)-(?P<day>[0-9*,./]+)"
    r" (?P<hour>[0-9*,./]+):(?P<minute>[0-9*,./]+):(?P<second>[0-9*,./]+)"
)
_PART = re.compile(r"(?:\*|([0-9]{1,2})(?:\.\.([0-9]{1,2}))?)(?:/([0-9]{1,3}))?")
_LONGEST = 200


class Event(NamedTuple):
    """When a timer elapses."""

    schedule: Schedule
    times_a_minute: int


def read_event(text: str) -> Event | None:
    """Read a calendar event as systemd writes it itself; None for one of another kind.

    One of a single year, of days counted from a month's end, or in a zone of its own is so.
    """
    found = _EVENT.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    weekdays = _EVERY_DAY if found["weekdays"] is None else _weekdays(found["weekdays"])
    month = _values(found["month"], 1, 12)
    day = _values(found["day"], 1, 31)
    hour = _values(found["hour"], 0, 23)
    minute = _values(found["minute"], 0, 59)
    second = _values(found["second"], 0, 59)
    if not (weekdays and month and day and hour and minute and second):
        return None
    return Event(
        Schedule(minute, hour, day, month, weekdays, both_days=True, wildcard=True),
        second.bit_count(),
    )


def _values(text: str, low: int, high: int) -> int:
    """Give the mask of a field, 0 where it cannot be read."""
    mask = 0
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            return 0
        step = int(found[3] or 1)
        first = low if found[1] is None else int(found[1])
        # A step without an end goes on to the last value.
        last = int(found[2] or (high if found[3] or found[1] is None else first))
        if not (low <= first <= last <= high and step):
            return 0
        for value in range(first, last + 1, step):
            mask |= 1 << value
    return mask


def _weekdays(text: str) -> int:
    """Give the mask of days of the week, 0 being Sunday; 0 where they cannot be read."""
    mask = 0
    for part in text.split(","):
        first, dots, last = part.partition("..")
        ends = (first, last) if dots else (first, first)
        if any(end not in _WEEKDAYS for end in ends):
            return 0
        begin, end = map(_WEEKDAYS.index, ends)
        for day in range(begin, end + 1):
            mask |= 1 << (day + 1) % 7
    return mask
