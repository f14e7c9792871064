"""Lines that belong together, such as a stack trace, joined into one entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.patterns import Pattern
from etlmon.records.log import LineMark

if TYPE_CHECKING:
    from etlmon.config.watched import MultilineSection

_INDENT = (" ", "\t")


class Joiner:
    """Joins the lines of one reading; an entry is at most ``max_entry_bytes`` long.

    Raises ValueError, in words for whoever wrote it, if the pattern of first lines is none.
    """

    def __init__(self, settings: MultilineSection, max_entry_bytes: int) -> None:
        self._start = None if settings.start is None else Pattern(settings.start)
        self._continues_on_blank = settings.continues_on_blank
        self._max_entry_bytes = max_entry_bytes

    def last_start(self, lines: list[str | None]) -> int:
        """Give the place of the line that the last entry begins with."""
        for place in range(len(lines) - 1, 0, -1):
            line = lines[place]
            if line is None or not self._continues(line):
                return place
        return 0

    def join(
        self, lines: list[str | None], marks: dict[int, LineMark]
    ) -> tuple[list[str | None], dict[int, LineMark]]:
        """Give the entries that the lines make up, and their marks by place among them.

        What stands where there is no line is an entry of its own and ends the one before it.
        """
        entries: list[str | None] = []
        joined_marks: dict[int, LineMark] = {}
        parts: list[str] = []
        length = 0
        for place, line in enumerate(lines):
            mark = marks.get(place)
            size = 0 if line is None else _length_bytes(line) + 1
            is_first = line is None or not parts or not self._continues(line)
            if is_first or length + size > self._max_entry_bytes:
                if parts:
                    entries.append("\n".join(parts))
                parts, length = [], 0
            if mark is not None:
                joined_marks[len(entries)] = mark
            if line is None:
                entries.append(None)
            else:
                parts.append(line)
                length += size
        if parts:
            entries.append("\n".join(parts))
        return entries, joined_marks

    def _continues(self, line: str) -> bool:
        """Whether a line belongs to the entry before it."""
        if not line or line.isspace():
            return self._continues_on_blank
        if self._start is None:
            return line.startswith(_INDENT)
        return not self._start.finds(line.encode())


def _length_bytes(line: str) -> int:
    return len(line) if line.isascii() else len(line.encode())
