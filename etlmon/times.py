"""The time at the beginning of a line, by a format of strptime(3)."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from etlmon.units import to_millis

if TYPE_CHECKING:
    from datetime import tzinfo

_NAME = r"[^\W\d_]+\.?"
_NUMBER = r" ?\d{1,2}"
_DIRECTIVES = {
    **dict.fromkeys("aAbBp", _NAME),
    **dict.fromkeys("dHImMS", _NUMBER),
    "f": r"\d{1,6}",
    "j": r"\d{1,3}",
    "y": r"\d{2}",
    "Y": r"\d{4}",
    "z": r"(?:Z|[+-]\d{2}:?\d{2}(?::?\d{2})?)",
    "Z": r"[A-Za-z]{1,5}",
    "%": "%",
}
_YEARS = frozenset("Yy")
_MONTHS = frozenset("bBm")
_TOKEN = re.compile(r"%(.?)|\s+|[^%\s]+")
_AHEAD = timedelta(days=2)
"""A time without a year that would be later than this is of the year before."""


class TimeReader:
    """Reads the time that a line begins with.

    Where the format has no zone the time is of ``zone``, where it has no year of the last twelve
    months. Raises ValueError, in words for whoever wrote the format, if that is none.
    """

    def __init__(self, time_format: str, zone: tzinfo | None) -> None:
        self._format = time_format
        self._zone = zone
        self._pattern = re.compile(_pattern(time_format))
        self._has_year = not _YEARS.isdisjoint(_directives(time_format))
        # Many lines in a row bear the same second.
        self._parsed = lru_cache(maxsize=512)(self._parse)

    def millis(self, line: str, now: datetime) -> int | None:
        """Give the time in ms since the epoch; None if the line begins with none.

        ``now`` tells the year where the line does not.
        """
        match = self._pattern.match(line)
        return None if match is None else self._parsed(match[0], now.date().toordinal())

    def _parse(self, text: str, today: int) -> int | None:
        with suppress(ValueError, OverflowError):
            if self._has_year:
                return self._moment(datetime.strptime(text, self._format))  # noqa: DTZ007
            day = datetime.fromordinal(today)
            for year in (day.year + 1, day.year, day.year - 1):
                found = self._in_year(text, year)
                if found is not None and found.replace(tzinfo=None) <= day + _AHEAD:
                    return self._moment(found)
        return None

    def _in_year(self, text: str, year: int) -> datetime | None:
        try:
            return datetime.strptime(f"{year} {text}", f"%Y {self._format}")  # noqa: DTZ007
        except ValueError:  # 29 February, or no time at all
            return None

    def _moment(self, found: datetime) -> int:
        if found.tzinfo is None and self._zone is not None:
            found = found.replace(tzinfo=self._zone)
        return to_millis(found.astimezone(UTC))  # without a zone it is the host's


def _pattern(time_format: str) -> str:
    """Give a regular expression for what strptime reads by a format; none that backtracks far."""
    parts = []
    for token in _TOKEN.finditer(time_format):
        text = token[0]
        if text.startswith("%"):
            known = _DIRECTIVES.get(token[1])
            if known is None:
                allowed = " ".join(f"%{letter}" for letter in _DIRECTIVES)
                raise ValueError(f"has {text}; write only {allowed}")
            parts.append(known)
        else:
            parts.append(r"\s{1,8}" if text.isspace() else re.escape(text))
    found = _directives(time_format)
    if len(found) != len(set(found)):
        raise ValueError("tells something twice; write each of its parts once")
    if "j" not in found and ("d" not in found or _MONTHS.isdisjoint(found)):
        raise ValueError("tells no day; write %d with %m or %b, or write %j")
    return "".join(parts)


def _directives(time_format: str) -> list[str]:
    """Give the letters of what stands behind a percent sign, but for that sign itself."""
    return [token[1] for token in _TOKEN.finditer(time_format) if token[1] not in (None, "%")]
