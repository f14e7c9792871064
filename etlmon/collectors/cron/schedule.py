"""The five fields of an entry, read as Debian's cron or cronie reads them.

Both are descendants of Vixie cron and differ in what they make of the unusual: text after a
number, steps without a range, Sunday at the end of a range, ``~``. A field is handed over as the
text between blanks, since neither daemon ever looks beyond it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

Dialect = Literal["debian", "cronie"]

_MOST_LINT = 10
"""So much is told of one field, which may hold thousands of ranges."""
_MONTHS = tuple(b"jan feb mar apr may jun jul aug sep oct nov dec".split())
_DAYS = tuple(b"sun mon tue wed thu fri sat".split())


class FieldKind(NamedTuple):
    """One of the five fields: its name, and the numbers and names that it may hold."""

    name: str
    low: int
    high: int
    names: tuple[bytes, ...]


FIELDS = (
    FieldKind("minute", 0, 59, ()),
    FieldKind("hour", 0, 23, ()),
    FieldKind("day-of-month", 1, 31, ()),
    FieldKind("month", 1, 12, _MONTHS),
    FieldKind("day-of-week", 0, 7, _DAYS),
)


class BadEntryError(Exception):
    """An entry that the daemon refuses; the text is the daemon's own word for why."""


class Values(NamedTuple):
    """What one field means: bit n is set for the value n."""

    mask: int
    star: bool
    """Whether it begins with ``*``, which decides how days and clock changes are handled."""
    picked: tuple[tuple[int, int], ...]
    """Ranges of each of which cronie picks one value when it loads the file (``~``)."""
    sure: int
    """The mask without those ranges."""
    lint: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """When an entry runs: bit n of a mask is set for the value n."""

    minute: int
    hour: int
    day: int
    month: int
    weekday: int
    """0 is Sunday."""
    both_days: bool
    """Whether the day of the month and that of the week must both match; else either does."""
    wildcard: bool
    """Whether it follows the wall clock alone when that is changed (``*`` in minute or hour)."""
    on_boot: bool = False
    picks: tuple[Pick, ...] = ()
    """Ranges out of which cron picks a value itself; the masks hold all of them."""


class Pick(NamedTuple):
    """A range out of which cron picks one value when it loads the file."""

    place: int
    """Which of the five fields."""
    low: int
    high: int
    sure: int
    """The mask of the field without such ranges."""


_ALL = tuple(
    ((1 << (kind.high + 1)) - 1) & ~((1 << kind.low) - 1) & (0x7F if kind.high == 7 else -1)
    for kind in FIELDS
)
_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = _ALL

# As the daemons make them: only @hourly counts as a wildcard.
ALIASES = {
    b"reboot": Schedule(0, 0, 0, 0, 0, False, False, on_boot=True),
    b"yearly": Schedule(1, 1, 2, 2, _WEEKDAY, True, False),
    b"annually": Schedule(1, 1, 2, 2, _WEEKDAY, True, False),
    b"monthly": Schedule(1, 1, 2, _MONTH, _WEEKDAY, True, False),
    b"weekly": Schedule(1, 1, _DAY, _MONTH, 1, True, False),
    b"daily": Schedule(1, 1, _DAY, _MONTH, _WEEKDAY, False, False),
    b"midnight": Schedule(1, 1, _DAY, _MONTH, _WEEKDAY, False, False),
    b"hourly": Schedule(1, _HOUR, _DAY, _MONTH, _WEEKDAY, False, True),
}


@lru_cache(maxsize=4096)
def schedule(fields: tuple[bytes, ...], dialect: Dialect) -> tuple[Schedule, tuple[str, ...]]:
    """Give the schedule of five fields, and what is odd about them.

    Raises BadEntryError in the daemon's words.
    """
    read = [field_values(field, place, dialect) for place, field in enumerate(fields)]
    minute, hour, day, month, weekday = read
    both = day.star or weekday.star
    lint = [*minute.lint, *hour.lint, *day.lint, *month.lint, *weekday.lint]
    if not both and day.mask != _DAY and weekday.mask not in (0, _WEEKDAY):
        lint.append(
            "runs on each day that either day field names; cron joins them by OR unless one "
            "begins with *"
        )
    picks = tuple(
        Pick(place, low, high, values.sure)
        for place, values in enumerate(read)
        for low, high in values.picked
    )
    made = Schedule(
        minute.mask,
        hour.mask,
        day.mask,
        month.mask,
        weekday.mask,
        both,
        minute.star or hour.star,
        picks=picks,
    )
    return made, tuple(lint)


@lru_cache(maxsize=4096)
def field_values(text: bytes, place: int, dialect: Dialect) -> Values:
    """Read the field at ``place`` (0 is the minute). Raises BadEntryError."""
    kind = FIELDS[place]
    reader = _DebianField(text, kind) if dialect == "debian" else _CronieField(text, kind)
    reader.read()
    mask, sure = reader.mask | reader.picked_mask, reader.mask
    if kind.high == 7:  # both 0 and 7 are Sunday
        mask, sure = mask & 0x7F | mask >> 7, sure & 0x7F | sure >> 7
    star = text.startswith(b"*")
    return Values(mask, star, tuple(dict.fromkeys(reader.picked)), sure, tuple(reader.lint))


class _Field(ABC):
    """A field as it is read, from the left."""

    _WORD = re.compile(rb"[0-9A-Za-z]*")

    def __init__(self, text: bytes, kind: FieldKind) -> None:
        self.text = text
        self.kind = kind
        self.at = 0
        self.mask = 0
        self.picked: list[tuple[int, int]] = []
        self.picked_mask = 0
        self.lint: list[str] = []

    def read(self) -> None:
        """Read all ranges of the list; raise BadEntryError."""
        self._range()
        while self._next() == b",":
            self.at += 1
            self._range()

    @abstractmethod
    def _range(self) -> None:
        """Read one range of the list, or a value alone; raise BadEntryError."""

    def _next(self) -> bytes:
        """Give the character that comes next; nothing at the end."""
        return self.text[self.at : self.at + 1]

    def _bad(self) -> BadEntryError:
        return BadEntryError(f"bad {self.kind.name}")

    def _number(self, names: tuple[bytes, ...]) -> int:
        found = self._WORD.match(self.text, self.at)
        word = found[0] if found else b""
        self.at += len(word)
        if word.lower() in names:
            return names.index(word.lower()) + self.kind.low
        if not word.isdigit():
            raise self._bad()
        # As atoi of the C library does it: a number of 64 bits, of which 32 are taken.
        number = min(int(word.lstrip(b"0")[:20] or b"0"), (1 << 63) - 1)
        return (number + (1 << 31)) % (1 << 32) - (1 << 31)

    def _note(self, text: str) -> None:
        """Note what is odd: once, however often it stands in a list."""
        if len(self.lint) < _MOST_LINT and text not in self.lint:
            self.lint.append(text)

    def _set(self, first: int, last: int, step: int) -> None:
        """Set every ``step``-th value from first to last; raise if one is out of bounds."""
        low, high = self.kind.low, self.kind.high
        values = range(first, last + 1, step)
        if values and not (low <= values[0] and values[-1] <= high):
            raise self._bad()
        for value in values:
            self.mask |= 1 << value
        if first > last:
            self._note(
                f"{self.kind.name}: {first}-{last} runs backwards; cron does not wrap, it meets "
                "nothing"
            )
        elif step > 1:
            self._lint_step(first, last, step)

    def _lint_step(self, first: int, last: int, step: int) -> None:
        whole = (first, last) == (self.kind.low, self.kind.high)
        if step > last - first:
            self._note(
                f"{self.kind.name}: the step {step} is larger than the range; only {first} is met"
            )
        elif whole and self.kind.name in {"minute", "hour"} and (last + 1 - first) % step:
            self._note(
                f"{self.kind.name}: */{step} does not divide {last + 1 - first} and begins anew "
                f"at {first} each time"
            )


class _DebianField(_Field):
    def read(self) -> None:
        super().read()
        if self.at < len(self.text):
            used, rest = _shown(self.text[: self.at]), _shown(self.text[self.at :])
            self.lint.append(f'{self.kind.name}: cron reads "{used}" and ignores "{rest}"')

    def _range(self) -> None:
        low, high, names = self.kind.low, self.kind.high, self.kind.names
        if self._next() == b"*":
            self.at += 1
            first, last = low, high
        else:
            first = self._number(names)
            if self._next() != b"-":
                if self._next() == b"/":
                    raise self._bad()
                self._set(first, first, 1)
                return
            self.at += 1
            last = self._number(names)
        step = 1
        if self._next() == b"/":
            self.at += 1
            step = self._number(())
            if step <= 0:
                raise self._bad()
        if not (low <= first <= high and low <= last <= high):
            raise self._bad()
        self._set(first, last, step)


class _CronieField(_Field):
    def _range(self) -> None:
        kind = self.kind
        first = last = kind.low
        step = 1
        if self._next() == b"*":
            self.at += 1
            last = kind.high
            step = self._step()
        elif self._next() == b"~":
            self._pick(kind.low)
            return
        else:
            first = last = self._number(kind.names)
            if self._next() == b"-":
                self.at += 1
                last = self._number(kind.names)
                if self._next() == b"/":
                    step = self._step()
                elif first > last == 0:
                    last = 7  # meant for Sunday, and done in every field
            elif self._next() == b"~":
                self._pick(first)
                return
        self._end()
        self._set(first, last, step)

    def _end(self) -> None:
        if self._next() not in (b"", b","):
            raise self._bad()

    def _step(self) -> int:
        if self._next() != b"/":
            return 1
        self.at += 1
        step = self._number(())
        if step <= 0:
            raise self._bad()
        return step

    def _pick(self, low: int) -> None:
        """Read ``~`` and what follows: cron picks a value when it loads the file."""
        self.at += 1
        high = self.kind.high
        if self._next() not in (b"", b","):
            high = self._number(self.kind.names)
        if not self.kind.low <= low <= high <= self.kind.high:
            raise self._bad()
        self._end()
        self.picked.append((low, high))
        for value in range(low, high + 1):
            self.picked_mask |= 1 << value


def _shown(text: bytes) -> str:
    return text[:40].decode("utf-8", "backslashreplace")
