"""Moments as people write them: ``14:02``, ``yesterday 8:00``, ``-15m``, ``2026-11-24 14:02``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"-?\s*((?:[0-9]+\s*[dhms]\s*)+)(?:ago)?", re.IGNORECASE)
_PART = re.compile(r"([0-9]+)\s*([dhms])", re.IGNORECASE)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_CLOCK = re.compile(
    r"(?:(?P<year>[0-9]{4})-)?(?:(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2}))?(?P<yesterday>yesterday)?"
    r"(?:[ T]+|(?=[0-9]))?(?:(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?)?"
    r"(?P<utc>\s*(?:Z|UTC))?",
    re.IGNORECASE,
)
EXAMPLES = "14:02, 11-24 14:02:33, yesterday 8:00, -15m, or 14:02Z for UTC"


def read_moment(text: str, now: datetime) -> datetime:
    """Give the moment that is meant; raise ValueError, in words, for what is none.

    A time without a date is the last one that was: today's, or yesterday's if that is still to
    come. Without a zone it is the time of this terminal's host.
    """
    words = text.strip()
    ago = _AGO.fullmatch(words)
    try:
        if ago is not None:
            parts = _PART.findall(ago[1])
            return now - timedelta(
                seconds=sum(int(n) * _SECONDS[unit.lower()] for n, unit in parts)
            )
        moment = _read_clock(words, now)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise ValueError(f"that is no time; write {EXAMPLES}")
    return moment


def _read_clock(words: str, now: datetime) -> datetime | None:
    found = _CLOCK.fullmatch(words)
    if not words or found is None or (found["year"] and not found["month"]):
        return None
    here = now.astimezone(UTC) if found["utc"] else now.astimezone()
    day = here.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if found["month"]:
        year = int(found["year"] or day.year)
        day = day.replace(year=year, month=int(found["month"]), day=int(found["day"]))
    elif found["yesterday"]:
        day -= timedelta(days=1)
    elif not found["hour"]:
        return None
    moment = day.replace(
        hour=int(found["hour"] or 0),
        minute=int(found["minute"] or 0),
        second=int(found["second"] or 0),
    )
    told = moment.replace(tzinfo=UTC) if found["utc"] else moment.astimezone()
    if told > now and not found["month"] and not found["yesterday"]:
        earlier = moment - timedelta(days=1)
        told = earlier.replace(tzinfo=UTC) if found["utc"] else earlier.astimezone()
    return told
