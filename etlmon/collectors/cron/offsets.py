"""Stretches of time in which the offset of a zone from UTC does not change.

Crons think in minutes of the wall clock: seconds since the epoch plus the offset. Within a stretch
wall and real minutes differ by a constant; where two stretches meet, the wall clock jumps.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import tzinfo

_DAY = 1440
_STEP = 7 * _DAY
_SPAN = 366 * _DAY
"""How much is looked at in one go."""
FOREVER = 1 << 62


class Stretch(NamedTuple):
    """Real minutes (since the epoch) from ``begin`` up to ``end`` with one offset."""

    begin: int
    end: int
    """Where the offset changes next; FOREVER where it is not known to."""
    offset: int
    """Minutes to add for the wall clock."""
    before: int
    """The offset before ``begin``; the same one where nothing was looked at."""


class Offsets:
    """The stretches of one zone, found when they are asked for.

    Zones change at whole minutes; offsets with seconds, which only the years before 1972 had, are
    cut. Two changes within a week would be taken for none, and no zone plans that.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._stretches: list[Stretch] = []
        self._begins: list[int] = []
        self._looked_until = 0

    def at(self, minute: int) -> Stretch:
        """Give the stretch that holds a real minute."""
        if not self._stretches or minute < self._begins[0]:
            self._begin(minute)
        while self._looked_until <= minute + _SPAN:
            self._look_on()
        return self._stretches[bisect_right(self._begins, minute) - 1]

    def offset(self, minute: int) -> int:
        """Give the minutes to add to a real minute for the wall clock."""
        moment = datetime.fromtimestamp(minute * 60, UTC).astimezone(self._zone)
        delta = moment.utcoffset()
        assert delta is not None
        return (delta.days * 86_400 + delta.seconds) // 60

    def _begin(self, minute: int) -> None:
        # From a week before, so that a change that has just been is known as one.
        first = minute - _STEP
        offset = self.offset(first)
        self._stretches = [Stretch(first, FOREVER, offset, offset)]
        self._begins = [first]
        self._looked_until = first

    def _look_on(self) -> None:
        """Look at another year."""
        at, last = self._looked_until, self._looked_until + _SPAN
        while at < last:
            current = self._stretches[-1].offset
            following = at + _STEP
            found = self.offset(following)
            if found != current:
                change = self._change(at, following, current)
                self._stretches[-1] = self._stretches[-1]._replace(end=change)
                self._stretches.append(Stretch(change, FOREVER, self.offset(change), current))
                self._begins.append(change)
                at = change
            else:
                at = following
        self._looked_until = at

    def _change(self, low: int, high: int, offset: int) -> int:
        """Give the first minute after ``low`` with another offset; there is one up to ``high``."""
        while high - low > 1:
            middle = (low + high) // 2
            if self.offset(middle) == offset:
                low = middle
            else:
                high = middle
        return high
