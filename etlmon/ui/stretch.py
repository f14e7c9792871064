"""Lines of a log that follow each other, no more than memory should hold. No widgets here."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from etlmon.records.log import LogLine

MOST_LINES = 10_000
MOST_CHARACTERS = 16 << 20
_AT_ONCE = 500
"""Lines are taken away so many at a time: that costs as much as taking away one."""


class Stretch:
    """Lines in the order of their ids. What is too much goes away at the end that is not added to.

    ``lines`` is for reading only.
    """

    def __init__(self, lines: Iterable[LogLine] = ()) -> None:
        self.lines = list(lines)
        self._characters = sum(map(_length, self.lines))

    @property
    def first_id(self) -> int | None:
        """The id of the oldest line; None if there is none."""
        return self.lines[0].id if self.lines else None

    @property
    def last_id(self) -> int | None:
        """The id of the newest line; None if there is none."""
        return self.lines[-1].id if self.lines else None

    @property
    def is_full(self) -> bool:
        """Whether what is added now takes away lines at the other end."""
        return len(self.lines) >= MOST_LINES or self._characters > MOST_CHARACTERS

    def copy(self) -> Stretch:
        """Give the same lines in a stretch of their own."""
        return Stretch(self.lines)

    def place(self, line_id: int) -> int:
        """Give the place of a line, or of the first one after it."""
        return bisect_left(self.lines, line_id, key=lambda line: line.id)

    def holds(self, line_id: int) -> bool:
        """Whether a line is in it."""
        place = self.place(line_id)
        return place < len(self.lines) and self.lines[place].id == line_id

    def add(self, line: LogLine) -> None:
        """Add the line that comes after the last one."""
        self.lines.append(line)
        self._characters += _length(line)
        if len(self.lines) > MOST_LINES + _AT_ONCE or self._characters > MOST_CHARACTERS:
            self._drop_first()

    def add_after(self, lines: Iterable[LogLine]) -> None:
        """Add lines after the last one; those that are not after it are there already."""
        last = self.last_id or 0
        for line in lines:
            if line.id > last:
                self.add(line)

    def add_before(self, lines: list[LogLine]) -> None:
        """Add lines before the first one."""
        self.lines[:0] = lines
        self._characters += sum(map(_length, lines))
        while len(self.lines) > 1 and (
            len(self.lines) > MOST_LINES or self._characters > MOST_CHARACTERS
        ):
            self._characters -= _length(self.lines.pop())

    def _drop_first(self) -> None:
        """Take away the oldest lines, but for the last one."""
        count = max(0, len(self.lines) - MOST_LINES)
        left = self._characters - sum(map(_length, self.lines[:count]))
        while left > MOST_CHARACTERS and count < len(self.lines) - 1:
            left -= _length(self.lines[count])
            count += 1
        del self.lines[:count]
        self._characters = left


def _length(line: LogLine) -> int:
    return len(line.line or "")
