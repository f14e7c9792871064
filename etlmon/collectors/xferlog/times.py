"""Times of a transfer log as moments: it names no zone, and its writer may be in another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from etlmon.collectors.xferlog.parse import read_time
from etlmon.units import to_millis

if TYPE_CHECKING:
    from datetime import tzinfo

    from etlmon.records.xferlog import TimeQuality

_MOST_KNOWN = 8_192
_NO_YEAR = 1904
_SLACK_MS = 60_000
"""How far the time in a line may be from the time when it was written: clocks have seconds, and
the line may have waited for its writer."""
_BACKWARDS_MS = 1_800_000
"""Lines stand in their order: one that seems to be this much older is in the later hour."""


class Written(NamedTuple):
    """Between which moments, ms since the epoch, a line was written."""

    first_ms: int
    last_ms: int


class _Known(NamedTuple):
    candidates: tuple[int, ...]
    """One moment; in the hour that comes twice the earlier and the later one; none if the text is
    no time."""
    exists: bool
    """False in the hour that the clocks leave out."""


class LogTimes:
    """Turns the times of one log into moments, line by line in their order.

    A vsftpd session keeps the offset from UTC that was in force when it began. Where it is known
    when a line was written, a time that another offset of the zone brings there is corrected.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._known: dict[str, _Known] = {}
        self._hours: dict[str, int] = {}
        self._last_ms: int | None = None
        self._same: tuple[str, Written | None] | None = None
        self._same_read: tuple[int | None, TimeQuality] = (None, "unknown")

    def read(
        self, text: str, now_ms: int, written: Written | None = None
    ) -> tuple[int | None, TimeQuality]:
        """Give the moment, ms since the epoch, and how sure it is; None for what is no time.

        ``now_ms`` is when the line was read: it completes a time without a year. ``written`` is
        given for a line of which it is known when it was written.
        """
        # Of a busy server several transfers end in the same second.
        same = self._same
        if same is None or text != same[0] or written is not same[1]:
            self._same_read = self._read(text, now_ms, written)
            self._same = text, written
        return self._same_read

    def _read(
        self, text: str, now_ms: int, written: Written | None
    ) -> tuple[int | None, TimeQuality]:
        # Most times are in an hour that is known, 24 characters long: "Tue Nov 24 09:03:06 2026".
        hour_ms = self._hours.get(text[:13] + text[19:])
        if hour_ms is not None and len(text) == 24 and text[14] < "6" and text[17] < "6":
            moment = hour_ms + int(text[14:16]) * 60_000 + int(text[17:19]) * 1_000
            if written is None or _within(moment, written):
                self._last_ms = moment
                return moment, "exact"
        known = self._known.get(text)
        if known is None:
            known = self._find(text, now_ms)
        if not known.candidates:
            return None, "unknown"
        moment, quality = self._choose(known, written)
        self._last_ms = moment
        return moment, quality

    def _choose(self, known: _Known, written: Written | None) -> tuple[int, TimeQuality]:
        moment = known.candidates[0]
        if len(known.candidates) == 1:
            if written is not None and not _within(moment, written):
                for shift in self._shifts(moment):
                    if _within(moment + shift, written):
                        return moment + shift, "skewed"
            return moment, "exact" if known.exists else "skewed"
        later = known.candidates[1]
        if written is not None and _within(moment, written) != _within(later, written):
            return (moment if _within(moment, written) else later), "ambiguous"
        if self._last_ms is not None and self._last_ms - moment > _BACKWARDS_MS:
            return later, "ambiguous"
        return moment, "ambiguous"

    def _find(self, text: str, now_ms: int) -> _Known:
        moment = read_time(text)
        if moment is None:
            return _Known((), False)
        if moment.year == _NO_YEAR:
            return self._this_year(moment, now_ms)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
            self._hours.clear()
        known = self._known[text] = self._moments(moment)
        if moment.tzinfo is None and len(text) == 24:
            self._learn_hour(text, moment)
        return known

    def _learn_hour(self, text: str, moment: datetime) -> None:
        """Remember when an hour begins, if the clocks do not change within it."""
        first, last = (
            self._moments(moment.replace(minute=minute, second=minute)) for minute in (0, 59)
        )
        if (
            (first.exists and last.exists)
            and len(first.candidates) == len(last.candidates) == 1
            and last.candidates[0] - first.candidates[0] == 3_599_000
        ):
            self._hours[text[:13] + text[19:]] = first.candidates[0]

    def _this_year(self, moment: datetime, now_ms: int) -> _Known:
        """Give the newest such moment that is not in the future; a day's difference is allowed."""
        year = datetime.fromtimestamp(now_ms / 1000, UTC).year + 1
        for candidate in range(year, year - 9, -1):
            try:
                known = self._moments(moment.replace(year=candidate))
            except ValueError:  # the 29th of February
                continue
            if known.candidates and known.candidates[0] <= now_ms + 86_400_000:
                return known
        return _Known((), False)

    def _moments(self, moment: datetime) -> _Known:
        if moment.tzinfo is not None:
            return _Known((to_millis(moment),), True)
        try:
            one, other = (
                moment.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1)
            )
            exists = one.astimezone(self._zone).replace(tzinfo=None) == moment
        except (OverflowError, ValueError):  # the first and the last day of the calendar
            return _Known((to_millis(moment.replace(tzinfo=UTC)),), True)
        if one == other or not exists:
            # In the hour left out only a session speaks that began before it, with that offset.
            return _Known((to_millis(one),), exists)
        return _Known((to_millis(one), to_millis(other)), True)

    def _shifts(self, moment_ms: int) -> list[int]:
        """Give what to add to a moment, ms, if its writer had another offset of the zone."""
        try:
            here = datetime.fromtimestamp(moment_ms / 1000, self._zone)
            mine = here.utcoffset() or timedelta()
            others = {
                (here + timedelta(days=days)).utcoffset() or timedelta() for days in (-182, -91, 91)
            }
        except (OverflowError, ValueError):  # at either end of the calendar
            return []
        return [(mine - other) // timedelta(milliseconds=1) for other in others if other != mine]


def _within(moment_ms: int, written: Written) -> bool:
    return written.first_ms - _SLACK_MS <= moment_ms <= written.last_ms + _SLACK_MS
