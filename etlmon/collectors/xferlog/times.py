"""Times of a transfer log as moments: it names no zone, and its writer may be in another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from etlmon.collectors.xferlog.parse import read_time
from etlmon.collectors.xferlog.zones import OtherZones, apart_text, offset_text
from etlmon.units import to_millis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from etlmon.collectors.xferlog.zones import Written
    from etlmon.records.xferlog import TimeQuality

_MOST_KNOWN = 8_192
_NO_YEAR = 1904
_APART_MS = 300_000
"""From here on two clocks are not set alike."""
_BACKWARDS_MS = 1_800_000
"""Lines stand in their order: one that seems to be this much older is in the later hour."""
_SESSION_DAYS = (1, 7, 14, 30)
"""A session is believed to be no older: with an offset of long ago the log is in another zone."""
_REMEMBERED_MS = 3_600_000
"""A log that was found to be in another zone is believed to be in its own again when its lines have
fitted for so long: two servers may write it."""


class _Known(NamedTuple):
    candidates: tuple[int, ...]
    """One moment; in the hour that comes twice the earlier and the later one; none if the text is
    no time."""
    exists: bool
    """False in the hour that the clocks leave out."""
    names_zone: bool = False


MomentRead: TypeAlias = "tuple[int | None, TimeQuality, str | None]"
"""What a time in a line means: the moment, ms since the epoch, None for what is no time; how sure
that is; and what is wrong with it, in words. A plain tuple is made soonest."""
NO_TIME: MomentRead = (None, "unknown", None)
"""What a line without a time says of it."""


class LogTimes:
    """Turns the times of one log into moments, line by line in their order.

    Of a line that was written while the log was followed it is known when that was. A vsftpd
    session keeps the offset from UTC that was in force when it began: a time that such an offset
    brings there is corrected. So is one that another time zone brings there; and what nothing
    brings there is ``unknown``.

    ``likely`` are zones that the log is in rather than in others, if it is not in its own.
    """

    def __init__(self, zone: tzinfo, likely: Sequence[str] = ()) -> None:
        self._zone = zone
        self._others = OtherZones(likely)
        self._trouble: tuple[str, int] | None = None
        self._known: dict[str, _Known] = {}
        self._hours: dict[str, int] = {}
        self._last_ms: int | None = None
        self._same: tuple[str, Written | None] | None = None
        self._same_read: MomentRead = NO_TIME

    @property
    def trouble(self) -> str | None:
        """What is wrong with the clock or the zone of the log, with the remedy."""
        return None if self._trouble is None else self._trouble[0]

    def read(self, text: str, now_ms: int, written: Written | None = None) -> MomentRead:
        """Give the moment of a time, and how sure it is.

        ``now_ms`` is when the line was read: it completes a time without a year. ``written`` is
        given for a line of which it is known when it was written.
        """
        # Of a busy server several transfers end in the same second.
        same = self._same
        if same is None or text != same[0] or written is not same[1]:
            self._same_read = self._read(text, now_ms, written)
            self._same = text, written
        return self._same_read

    def _read(self, text: str, now_ms: int, written: Written | None) -> MomentRead:
        # Most times are in an hour that is known, 24 characters long: "Tue Nov 24 09:03:06 2026".
        hour_ms = self._hours.get(text[:13] + text[19:])
        if hour_ms is not None and len(text) == 24 and text[14] < "6" and text[17] < "6":
            moment = hour_ms + int(text[14:16]) * 60_000 + int(text[17:19]) * 1_000
            if written is None or self._fits(moment, written):
                self._last_ms = moment
                return moment, "exact", None
        known = self._known.get(text)
        if known is None:
            known = self._find(text, now_ms)
        if not known.candidates:
            return NO_TIME
        read = self._choose(known, written)
        self._last_ms = read[0]
        return read

    def _choose(self, known: _Known, written: Written | None) -> MomentRead:
        if written is not None and not known.names_zone:
            fitting = [one for one in known.candidates if self._fits(one, written)]
            if not fitting:
                return self._correct(known, written)
            if len(known.candidates) > len(fitting):
                return fitting[0], "ambiguous", None
        moment = known.candidates[0]
        if len(known.candidates) == 1:
            return moment, "exact" if known.exists else "skewed", None
        if self._last_ms is not None and self._last_ms - moment > _BACKWARDS_MS:
            moment = known.candidates[1]
        return moment, "ambiguous", None

    def _fits(self, moment_ms: int, written: Written) -> bool:
        """Whether a line with this time may have been written then."""
        if not written.holds(moment_ms):
            return False
        trouble = self._trouble
        if trouble is not None and written.last_ms - trouble[1] > _REMEMBERED_MS:
            self._trouble = None
        return True

    def _correct(self, known: _Known, written: Written) -> MomentRead:
        """Give what a time means that is not the one at which its line was written."""
        moment = known.candidates[0]
        for shift in self._shifts(moment):
            if self._fits(moment + shift, written):
                reason = f"written {apart_text(-shift)}: its session has an older offset; corrected"
                return moment + shift, "skewed", reason
        if written.holds(moment, _APART_MS):
            return moment, "exact" if known.exists else "skewed", None
        by_ms = moment - min(max(moment, written.first_ms), written.last_ms)
        apart = apart_text(by_ms)
        local = self._local(moment)
        found = None if local is None else self._others.find(to_millis(local), written)
        if found is None:
            self._tell(
                written,
                f"times in it are {apart}, and no time zone explains that: are its lines written "
                "late, or is the clock of the FTP server wrong?",
            )
            return moment, "unknown", f"its time is {apart}"
        self._tell(
            written,
            f"times in it are {apart}: they are of {offset_text(found.offset)}, not of "
            f"{self._zone}; set timezone: {found.name} for it, or another zone of that offset",
        )
        reason = f"its time is {apart}, as of {offset_text(found.offset)}; corrected"
        return found.moment_ms, "skewed", reason

    def _tell(self, written: Written, text: str) -> None:
        self._trouble = text, written.last_ms

    def _local(self, moment_ms: int) -> datetime | None:
        """Give a moment as the clocks show it, as if of UTC; None at the ends of the calendar."""
        try:
            here = datetime.fromtimestamp(moment_ms / 1000, self._zone)
        except (OverflowError, ValueError):
            return None
        return here.replace(tzinfo=UTC)

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
            return _Known((to_millis(moment),), True, names_zone=True)
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
        """Give what to add to a moment, ms, if its session began with another offset."""
        try:
            here = datetime.fromtimestamp(moment_ms / 1000, self._zone)
            mine = here.utcoffset() or timedelta()
            others = {
                (here - timedelta(days=days)).utcoffset() or timedelta() for days in _SESSION_DAYS
            }
        except (OverflowError, ValueError):  # at either end of the calendar
            return []
        return [(mine - other) // timedelta(milliseconds=1) for other in others if other != mine]
