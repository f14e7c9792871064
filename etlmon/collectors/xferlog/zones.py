"""Which time zone a log is in, to judge by when its lines are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from etlmon.host.zone import find_zone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MILLISECOND = timedelta(milliseconds=1)
_HOUR_MS = 3_600_000
_SLACK_MS = 60_000
"""How far the time in a line may be from the time when it was written: clocks have seconds, and
the line may have waited for its writer."""
_MOST_WINDOW_MS = 300_000
"""In a longer time hardly a difference would not look like that between two zones."""

# One for each offset from UTC that is in force somewhere, in summer and in winter: of several, one
# that many people know.
_KNOWN = """
UTC Europe/London Europe/Berlin Europe/Athens Europe/Istanbul Africa/Lagos Africa/Johannesburg
Asia/Tehran Asia/Dubai Asia/Kabul Asia/Karachi Asia/Kolkata Asia/Kathmandu Asia/Dhaka Asia/Yangon
Asia/Bangkok Asia/Shanghai Australia/Eucla Asia/Seoul Australia/Darwin Australia/Adelaide
Australia/Brisbane Australia/Sydney Australia/Lord_Howe Pacific/Noumea Pacific/Auckland Pacific/Fiji
Pacific/Chatham Pacific/Tongatapu Pacific/Kiritimati Atlantic/Cape_Verde America/Noronha
America/Sao_Paulo America/St_Johns America/New_York America/Chicago America/Denver
America/Los_Angeles America/Halifax America/Caracas America/Bogota America/Costa_Rica
America/Phoenix America/Anchorage Pacific/Pitcairn Pacific/Gambier Pacific/Marquesas
Pacific/Honolulu Pacific/Pago_Pago
""".split()


class Written(NamedTuple):
    """Between which moments, ms since the epoch, a line was written."""

    first_ms: int
    last_ms: int

    def holds(self, moment_ms: int, slack_ms: int = _SLACK_MS) -> bool:
        """Whether a line may bear this time if it was written then."""
        return self.first_ms - slack_ms <= moment_ms <= self.last_ms + slack_ms


class Fitting(NamedTuple):
    """A zone in which a line bears the time at which it was written."""

    name: str
    moment_ms: int
    """What the time in the line means there."""
    offset: timedelta


class OtherZones:
    """The zones that a log may be in: those that are ``likely``, then others."""

    def __init__(self, likely: Sequence[str] = ()) -> None:
        self._names = (*likely, *_KNOWN)
        self._hour: int | None = None
        self._offsets: Mapping[timedelta, str] = {}

    def find(self, local_ms: int, written: Written) -> Fitting | None:
        """Give the zone in which a local time, ms as if of UTC, is one when a line was written."""
        if written.last_ms - written.first_ms > _MOST_WINDOW_MS:
            return None
        hour = written.last_ms // _HOUR_MS
        if hour != self._hour:
            self._hour, self._offsets = hour, self._in_force(written.last_ms)
        for offset, name in self._offsets.items():
            moment_ms = local_ms - offset // _MILLISECOND
            if written.holds(moment_ms):
                return Fitting(name, moment_ms, offset)
        return None

    def _in_force(self, moment_ms: int) -> dict[timedelta, str]:
        """Give the offsets from UTC of a moment, each with the first zone that has it."""
        at = datetime.fromtimestamp(moment_ms / 1000, UTC)
        found: dict[timedelta, str] = {}
        for name in self._names:
            zone = find_zone(name)
            offset = None if zone is None else at.astimezone(zone).utcoffset()
            if offset is not None:
                found.setdefault(offset, name)
        return found


def offset_text(offset: timedelta) -> str:
    """Give an offset from UTC: ``UTC+09:00``."""
    minutes = offset // timedelta(minutes=1)
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def apart_text(by_ms: int) -> str:
    """Give how far a time is from the clock: ``9 h ahead``, ``30 min behind``."""
    minutes = round(abs(by_ms) / 60_000)
    days, rest = divmod(minutes, 1_440)
    hours, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (0 if days else rest, "min")]
    text = " ".join(f"{number:,} {unit}" for number, unit in parts if number)
    return f"{text} {'ahead of' if by_ms > 0 else 'behind'} the clock"
