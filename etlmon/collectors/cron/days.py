"""The days of a year that a schedule matches, as one number: bit n is set for the n-th, from 0.

There are 14 kinds of years, by the weekday that they begin with and by their length, so that a year
is looked up and not gone through: a date that comes once in 28 years costs as many look-ups.
"""

from __future__ import annotations

from calendar import isleap
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from etlmon.collectors.cron.schedule import Schedule

_EPOCH = date(1970, 1, 1).toordinal()
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""How many days each month has at the most."""
_EACH_WEEK = sum(1 << 7 * week for week in range(53))


class Year(NamedTuple):
    """A year: its first day, counted from the epoch, how many it has, and its first weekday."""

    begin: int
    length: int
    weekday: int
    """That of the first of January; 0 is Sunday."""


@lru_cache(maxsize=512)
def year_of(number: int) -> Year:
    """Give a year by its number."""
    ordinal = date(number, 1, 1).toordinal()
    return Year(ordinal - _EPOCH, 366 if isleap(number) else 365, ordinal % 7)


def number_of_year(day: int) -> int:
    """Give the number of the year that holds a day, counted from the epoch."""
    return date.fromordinal(_EPOCH + day).year


def day_of_month(day: int) -> int:
    """Give which day of its month a day is, counted from the epoch."""
    return date.fromordinal(_EPOCH + day).day


def days_of(schedule: Schedule, year: Year) -> int:
    """Give the days of a year that a schedule matches."""
    return _days(
        schedule.day,
        schedule.weekday,
        schedule.month,
        schedule.both_days,
        year.length == 366,
        year.weekday,
    )


def matches(schedule: Schedule, day: int) -> bool:
    """Tell whether a day, counted from the epoch, is one of a schedule's."""
    year = year_of(number_of_year(day))
    return bool(days_of(schedule, year) >> (day - year.begin) & 1)


@lru_cache(maxsize=16_384)
def _days(day: int, weekday: int, month: int, both: bool, leap: bool, first: int) -> int:
    by_week = _weekdays(weekday, first)
    if both:
        return _dates(day, month, leap) & by_week
    return (_dates(day, month, leap) | by_week) & _dates(-1, month, leap)


@lru_cache(maxsize=4096)
def _dates(day: int, month: int, leap: bool) -> int:
    """Give the days of a year that are given days of given months; -1 is all days."""
    mask = at = 0
    for number, longest in enumerate(LONGEST_MONTHS, 1):
        length = longest if leap or number != 2 else longest - 1
        if month >> number & 1:
            mask |= (day >> 1 & (1 << length) - 1) << at
        at += length
    return mask


@lru_cache(maxsize=1024)
def _weekdays(weekday: int, first: int) -> int:
    """Give the days that fall on given weekdays in a year that begins with ``first``."""
    week = sum(1 << day for day in range(7) if weekday >> (first + day) % 7 & 1)
    return week * _EACH_WEEK
