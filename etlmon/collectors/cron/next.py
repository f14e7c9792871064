"""When an entry runs next, by the rules of the daemon that runs it.

Cron counts the minutes of the wall clock. While that goes on steadily, an entry runs at each minute
that it matches. When the clock jumps, entries with ``*`` in the minute or the hour (wildcards)
follow the wall clock; the others (fixed) are made up for or held back, so that each runs once:

    jump seen by cron       wildcards                     fixed
    +2 to +5 minutes        each missed minute            each missed minute
    +6 to +180              the present minute only       all missed ones, at once
    -180 to 0               by the wall clock, again      not until time has caught up
    beyond                  the new time counts, nothing is made up or held back

Minutes are counted from the epoch: real ones are those of UTC, wall ones have the offset added.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import replace
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from etlmon.collectors.cron.schedule import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etlmon.collectors.cron.offsets import Offsets, Stretch
    from etlmon.collectors.cron.schedule import Dialect, Schedule

_DAY = 1440
_EPOCH = date(1970, 1, 1).toordinal()
_HORIZON = 50 * 366 * _DAY
_YEAR = 366 * _DAY
_LATE = 5
_JUMP = 180
_MOST_GUESSES = 60
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Window(NamedTuple):
    """The real minutes between which a run will begin; the last may not be known."""

    begin: int
    end: int | None


class Runs:
    """Finds the coming runs of entries in one zone, for one daemon."""

    def __init__(self, offsets: Offsets, dialect: Dialect, *, follows_jumps: bool = True) -> None:
        """``follows_jumps`` is false for times in a zone that is not the daemon's own (CRON_TZ)."""
        self._offsets = offsets
        self._follows = follows_jumps
        self._jumps_of: int | None = None
        self._known_jumps: list[tuple[int, int, int]] = []
        self._held_back = -_JUMP if dialect == "cronie" else -_JUMP + 1

    def after(self, schedule: Schedule, minute: int) -> Iterator[int]:
        """Give the real minutes after ``minute`` at which an entry runs, in their order.

        They end after 50 years. Several runs in one minute count as one.
        """
        at = minute + 1
        last = minute + _HORIZON
        if not possible(schedule):
            return
        while at < last:
            stretch = self._offsets.at(at)
            first = at + stretch.offset
            missed, resumes = self._jump(schedule, stretch)
            if missed is not None and at == stretch.begin:
                made_up = next(_walls(schedule, *missed), None)
                if made_up is not None:
                    yield at
                    first += 1
            end = min(stretch.end, last) + stretch.offset
            for wall in _walls(schedule, max(first, resumes), end):
                yield wall - stretch.offset
            at = stretch.end

    def _jump(self, schedule: Schedule, stretch: Stretch) -> tuple[tuple[int, int] | None, int]:
        """Give the wall minutes made up for at a stretch's begin, and when wall minutes count."""
        seen = 1 + stretch.offset - stretch.before
        missed = stretch.begin + stretch.before
        if not self._follows or seen == 1:
            return None, 0
        if 1 < seen <= _JUMP:
            made_up = seen <= _LATE or not schedule.wildcard
            return ((missed, missed + seen), 0) if made_up else (None, 0)
        if self._held_back <= seen <= 0 and not schedule.wildcard:
            return None, missed
        return None, 0

    def window(self, schedule: Schedule, minute: int, delay_minutes: int) -> Window | None:
        """Give when the run comes that cron itself has put somewhere at random; None for never.

        ``delay_minutes`` is the most that it adds to each time.
        """
        since = minute - delay_minutes
        begin = next(self.after(schedule, since), None)
        if begin is None:
            return None
        end = self._latest(schedule, since)
        return Window(max(begin, minute + 1), None if end is None else end + delay_minutes)

    def _latest(self, schedule: Schedule, minute: int) -> int | None:
        """Give the latest first run over all values that cron may have picked, if they are few."""
        guesses = [schedule]
        for pick in schedule.picks:
            values = range(pick.low, pick.high + 1)
            if len(guesses) * len(values) > _MOST_GUESSES:
                return None
            guesses = [
                _with_field(guess, pick.place, pick.sure | 1 << value)
                for guess in guesses
                for value in values
            ]
        latest = [next(self.after(guess, minute), None) for guess in guesses]
        return None if None in latest else max(at for at in latest if at is not None)

    def by_hour(self, schedule: Schedule, minute: int) -> tuple[int, ...]:
        """Give how many runs there are in each of 24 hours, from the one that holds ``minute``."""
        first = minute - (minute + self._offsets.offset(minute)) % 60
        stretch = self._offsets.at(first)
        if stretch.end < first + _DAY or stretch.begin > first - _JUMP:
            counts = [0] * 24
            for at in self.after(schedule, first - 1):
                if at >= first + _DAY:
                    break
                counts[(at - first) // 60] += 1
            return tuple(counts)
        day, begin = divmod(first + stretch.offset, _DAY)
        today, tomorrow = (
            schedule.minute.bit_count() if _matches(schedule, day + after) else 0
            for after in (0, 1)
        )
        return _day_by_hour(schedule.hour, begin // 60, today, tomorrow)

    def meets_jump(self, schedule: Schedule, minute: int) -> bool:
        """Tell whether a change of the clock within a year moves, drops or repeats a run."""
        if not self._follows:
            return True
        if schedule.wildcard and schedule.hour.bit_count() == 24:
            return False
        return any(
            schedule.hour & hours and next(_walls(schedule, first, end), None) is not None
            for first, end, hours in self._jumps(minute)
        )

    def _jumps(self, minute: int) -> list[tuple[int, int, int]]:
        """Give the wall minutes that are left out or come twice within a year.

        As the first, the one after the last, and a mask of the hours that they touch.
        """
        day = minute // _DAY
        if self._jumps_of != day:
            self._jumps_of, self._known_jumps = day, []
            stretch = self._offsets.at(minute)
            while stretch.end < minute + _YEAR:
                stretch = self._offsets.at(stretch.end)
                first, end = sorted(
                    (stretch.begin + stretch.before, stretch.begin + stretch.offset)
                )
                hours = {wall // 60 % 24 for wall in range(first, end)}
                self._known_jumps.append((first, end, sum(1 << hour for hour in hours)))
        return self._known_jumps


def possible(schedule: Schedule) -> bool:
    """Tell whether there is any minute at all that the schedule matches."""
    if not (schedule.minute and schedule.hour and schedule.month):
        return False
    if not schedule.both_days and schedule.weekday:
        return True
    return _has_date(schedule.day, schedule.month) and bool(
        schedule.weekday or not schedule.both_days
    )


@lru_cache(maxsize=4096)
def _has_date(day: int, month: int) -> bool:
    return any(
        month >> number & 1 and day & ((1 << length + 1) - 1)
        for number, length in enumerate(_LONGEST, 1)
    )


def why_never(schedule: Schedule) -> str:
    """Say why a schedule matches no minute."""
    for kind, mask in zip(
        FIELDS,
        (schedule.minute, schedule.hour, schedule.day, schedule.month, schedule.weekday),
        strict=True,
    ):
        if not mask:
            return f"the {kind.name} runs backwards (from the larger to the smaller) and meets none"
    return "none of the months has such a day"


def next_runs(runs: Runs, schedule: Schedule, minute: int, count: int) -> list[int]:
    """Give the first ``count`` runs after a real minute; fewer if there are no more."""
    return list(islice(runs.after(schedule, minute), count))


def _with_field(schedule: Schedule, place: int, mask: int) -> Schedule:
    if place == 4:  # both 0 and 7 are Sunday
        mask = mask & 0x7F | mask >> 7
    name = ("minute", "hour", "day", "month", "weekday")[place]
    changed: dict[str, Any] = {name: mask}
    return replace(schedule, **changed)


def _walls(schedule: Schedule, first: int, end: int) -> Iterator[int]:
    """Give the wall minutes from ``first`` up to ``end`` that a schedule matches."""
    if first >= end:
        return
    begin = date.fromordinal(_EPOCH + first // _DAY)
    year, month, of_month = begin.year, begin.month, begin.day
    minutes, hours = _bits(schedule.minute), _bits(schedule.hour)
    while True:
        month_begin, mask = _days(schedule.day, schedule.weekday, schedule.both_days, year, month)
        if month_begin * _DAY >= end:
            return
        if schedule.month >> month & 1:
            for number in _bits(mask >> of_month << of_month):
                base = (month_begin + number - 1) * _DAY
                if base >= end:
                    return
                for hour in hours:
                    if base + hour * 60 + 59 < first:
                        continue
                    for of_hour in minutes:
                        wall = base + hour * 60 + of_hour
                        if wall >= end:
                            return
                        if wall >= first:
                            yield wall
        of_month = 0
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


@lru_cache(maxsize=4096)
def _day_by_hour(hours: int, first: int, today: int, tomorrow: int) -> tuple[int, ...]:
    """Give the runs in each of 24 hours from an hour of today, by how many an hour of a day has."""
    return tuple(
        (today if hour < 24 else tomorrow) if hours >> hour % 24 & 1 else 0
        for hour in range(first, first + 24)
    )


def _matches(schedule: Schedule, day: int) -> bool:
    """Tell whether a day, counted from the epoch, is one of a schedule's."""
    of = date.fromordinal(_EPOCH + day)
    _, mask = _days(schedule.day, schedule.weekday, schedule.both_days, of.year, of.month)
    return bool(schedule.month >> of.month & mask >> of.day & 1)


@lru_cache(maxsize=8192)
def _days(day: int, weekday: int, both: bool, year: int, month: int) -> tuple[int, int]:
    """Give the first day of a month, from the epoch, and the mask of those that match."""
    first_weekday, length = monthrange(year, month)
    first = date(year, month, 1).toordinal() - _EPOCH
    by_week = _week(weekday, first_weekday)
    mask = day & by_week if both else day | by_week
    return first, mask & ((1 << length + 1) - 2)


@lru_cache(maxsize=1024)
def _week(weekday: int, first_weekday: int) -> int:
    """Give the days of a month that fall on given weekdays; Python's weeks begin on Monday."""
    return sum(1 << day for day in range(1, 32) if weekday >> (first_weekday + day) % 7 & 1)


@lru_cache(maxsize=4096)
def _bits(mask: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)
