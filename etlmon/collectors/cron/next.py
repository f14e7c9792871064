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

from collections import Counter
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from etlmon.collectors.cron.days import (
    LONGEST_MONTHS,
    day_of_month,
    days_of,
    matches,
    number_of_year,
    year_of,
)
from etlmon.collectors.cron.schedule import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from etlmon.collectors.cron.offsets import Offsets, Stretch
    from etlmon.collectors.cron.schedule import Dialect, Pick, Schedule

_DAY = 1440
_HORIZON = 50 * 366 * _DAY
_YEAR = 366 * _DAY
_LATE = 5
_JUMP = 180
_MOST_GUESSES = 16
_EVERY_WEEKDAY = 0x7F


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

    def after(self, schedule: Schedule, minute: int, *, within: int = _HORIZON) -> Iterator[int]:
        """Give the real minutes after ``minute`` at which an entry runs, in their order.

        They end ``within`` so many minutes, 50 years. Several runs in one minute count as one.
        """
        at = minute + 1
        last = minute + within
        if not possible(schedule):
            return
        while at < last:
            stretch = self._offsets.at(at)
            first = at + stretch.offset
            missed, resumes = self._jump(schedule, stretch)
            is_empty = True
            if missed is not None and at == stretch.begin:
                made_up = next(_walls(schedule, *missed), None)
                if made_up is not None:
                    yield at
                    first += 1
            end = min(stretch.end, last) + stretch.offset
            for wall in _walls(schedule, max(first, resumes), end):
                is_empty = False
                yield wall - stretch.offset
            at = self._skip(schedule, stretch.end, last) if is_empty else stretch.end

    def _skip(self, schedule: Schedule, at: int, last: int) -> int:
        """Give the begin of the first stretch from ``at`` on in which an entry may run."""
        # No wall clock is further than a day from the real one.
        wall = next(_walls(schedule, at - _DAY, last + _DAY), None)
        if wall is None:
            return last
        return max(at, self._offsets.at(max(at, wall - _DAY)).begin)

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
        """Give the latest first run over all values that cron may have picked.

        None where they are many, or where one lies more than two years ahead.
        """
        guesses = [schedule]
        wall = minute + self._offsets.offset(minute)
        for pick in schedule.picks:
            values = list(_latest_values(schedule, pick, wall))
            if len(guesses) * len(values) > _MOST_GUESSES:
                return None
            guesses = [
                _with_field(guess, pick.place, pick.sure | 1 << value)
                for guess in guesses
                for value in values
            ]
        latest = minute
        for guess in guesses:
            at = next(self.after(guess, minute, within=2 * _YEAR), None)
            if at is None:
                return None
            latest = max(latest, at)
        return latest

    def hour_of(self, minute: int) -> int:
        """Give the real minute at which the hour of the wall clock began that holds one."""
        return minute - (minute + self._offsets.offset(minute)) % 60

    def by_hour(self, schedule: Schedule, minute: int) -> tuple[int, ...]:
        """Give how many runs there are in each of 24 hours, from the one that holds ``minute``."""
        first = self.hour_of(minute)
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
            schedule.minute.bit_count() if matches(schedule, day + after) else 0 for after in (0, 1)
        )
        return _day_by_hour(schedule.hour, begin // 60, today, tomorrow)

    def may_by_hour(self, schedule: Schedule, minute: int, delay_minutes: int) -> tuple[int, ...]:
        """Give how many runs may begin in each of 24 hours, as ``by_hour``, of ``window``'s.

        One that may begin in several hours counts in each of them.
        """
        own = [pick for pick in schedule.picks if pick.place == 0]
        most = (own[0].sure.bit_count() if own else 60) + len(own)
        runs = self.by_hour(schedule, minute)
        if not delay_minutes:
            return tuple(min(count, most) for count in runs)
        runs = (*self.by_hour(schedule, minute - _DAY), *runs)
        # How many of the runs of an hour may begin so many hours after it.
        later = Counter((of_hour + delay_minutes) // 60 for of_hour in _bits(schedule.minute))
        reach = [
            sum(count for hours, count in later.items() if hours >= away)
            for away in range(max(later, default=0) + 1)
        ]
        return tuple(
            sum(min(count, most) for away, count in enumerate(reach) if runs[hour - away])
            for hour in range(24, 48)
        )

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
        for number, length in enumerate(LONGEST_MONTHS, 1)
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


def _latest_values(schedule: Schedule, pick: Pick, wall: int) -> Iterable[int]:
    """Give those values of a pick of which one gives the latest first run after a wall minute.

    That is the last of those that have passed, or the last of all, or a day that some months have
    not. Where the day of the week counts besides, each may be it.
    """
    if pick.place == 0:
        now, ends = wall % 60, {pick.high}
    elif pick.place == 1:
        now, ends = wall // 60 % 24, {pick.high}
    elif pick.place == 2 and schedule.both_days and schedule.weekday == _EVERY_WEEKDAY:
        now, ends = day_of_month(wall // _DAY), {28, 29, 30, 31}
    else:
        return range(pick.low, pick.high + 1)
    return {max(pick.low, min(pick.high, value)) for value in (now - 1, now, *ends)}


def _walls(schedule: Schedule, first: int, end: int) -> Iterator[int]:
    """Give the wall minutes from ``first`` up to ``end`` that a schedule matches."""
    if first >= end:
        return
    day = first // _DAY
    number = number_of_year(day)
    year = year_of(number)
    passed = day - year.begin
    days = days_of(schedule, year) >> passed << passed
    minutes, hours = _bits(schedule.minute), _bits(schedule.hour)
    while year.begin * _DAY < end:
        while days:
            next_day = days & -days
            base = (year.begin + next_day.bit_length() - 1) * _DAY
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
            days ^= next_day
        number += 1
        year = year_of(number)
        days = days_of(schedule, year)


@lru_cache(maxsize=4096)
def _day_by_hour(hours: int, first: int, today: int, tomorrow: int) -> tuple[int, ...]:
    """Give the runs in each of 24 hours from an hour of today, by how many an hour of a day has."""
    return tuple(
        (today if hour < 24 else tomorrow) if hours >> hour % 24 & 1 else 0
        for hour in range(first, first + 24)
    )


@lru_cache(maxsize=4096)
def _bits(mask: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)
