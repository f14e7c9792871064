"""The scalars of the configuration: how each is written, read and shown.

A scalar is read from its text by the kind that is *wanted*, never by what YAML 1.1 takes it for:
``no`` is a name where a name is wanted, ``010`` is ten and ``10:30`` a time of day.
"""

from __future__ import annotations

import codecs
import os
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from msgspec import Meta

from etlmon.patterns import Pattern
from etlmon.times import TimeReader
from etlmon.units import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

LONGEST_SECONDS = 36500 * 86400.0
LARGEST_INTEGER = 2**63 - 1  # what SQLite and JSON readers hold
LONGEST_LINE_BYTES = 1 << 20
"""In JSON each byte of a line may take six (a control character does), and clients take no event of
more than 8 MiB."""

_DIGITS = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_CLOCK_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Misfit(ValueError):
    """A value that is wrong in a way worth naming: ``has no unit; write 15s, 5m, 1h``."""


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Kind:
    """One kind of scalar.

    ``read`` takes the text and raises ``Misfit`` with its own words, or any ValueError, which
    becomes "is not NOUN; write EXAMPLES". ``show`` gives a value as one would write it in YAML,
    ``schema`` is its JSON Schema.
    """

    noun: str
    examples: str
    read: Callable[[str], Any]
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    show: Callable[[Any], Any] = _as_it_is


def of_kind(kind: Kind, **constraints: Any) -> Meta:
    """Give the ``Meta`` of a scalar that is read by ``kind``, within constraints as ``ge=0``."""
    return Meta(extra={"kind": kind}, **constraints)


# -- plain values: what msgspec's own types are read by ------------------------------------------


def _read_text(text: str) -> str:
    if not text.strip():
        raise Misfit("is empty; write some text, or remove the key")
    return text


def _read_truth(text: str) -> bool:
    try:
        return _TRUTHS[text.lower()]
    except KeyError:
        raise ValueError from None


def _read_whole(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise ValueError
    if len(text) > 20 or abs(int(text)) > LARGEST_INTEGER:
        raise Misfit(f"is too large; write at most {LARGEST_INTEGER}")
    return int(text)


def _read_number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return float(text)


TEXT = Kind("text", "some text", _read_text)
TRUTH = Kind("a yes or no", "true or false", _read_truth, {"type": "boolean"})
WHOLE = Kind("a whole number", "1, 10, 500", _read_whole, {"type": "integer"})
NUMBER = Kind("a number", "1, 2.5, 80", _read_number, {"type": "number"})


# -- times ---------------------------------------------------------------------------------------


def _read_duration(text: str) -> float:
    if _NUMBER.fullmatch(text):
        raise Misfit("has no unit; write 15s, 5m, 1h")
    seconds = parse_duration(text)
    if seconds > LONGEST_SECONDS:
        raise Misfit(f"is too long; write at most {format_duration(LONGEST_SECONDS)}")
    return seconds


def _read_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise Misfit("has no time zone; write 2026-01-01T00:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError from None


def _read_time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, OSError):  # unknown; or a directory of zones, such as "Europe"
        raise ValueError from None
    return text


def _read_clock_time(text: str) -> str:
    found = _CLOCK_TIME.fullmatch(text)
    if found is None:
        raise ValueError
    hour, minute = found.groups()
    return f"{int(hour):02}:{minute}"


_DURATION = Kind(
    "a duration",
    "30s, 5m, 1h",
    _read_duration,
    {"type": "string", "pattern": DURATION_PATTERN},
    format_duration,
)
_MOMENT = Kind(
    "a moment",
    "2026-01-01T00:00:00Z",
    _read_moment,
    {"type": "string", "format": "date-time"},
    datetime.isoformat,
)
_TIME_ZONE = Kind("a known time zone", "UTC, Europe/Berlin, Asia/Seoul", _read_time_zone)
_CLOCK = Kind(
    "a time of day",
    "06:30",
    _read_clock_time,
    {"type": "string", "pattern": f"^({_CLOCK_TIME.pattern})$"},
)

Duration = Annotated[float, of_kind(_DURATION, gt=0)]
"""Seconds, more than 0, written with a unit: ``15s``."""
Interval = Annotated[float, of_kind(_DURATION, ge=1)]
"""Seconds from one run to the next, at least 1."""
ScreenInterval = Annotated[float, of_kind(_DURATION, ge=0.5)]
"""Seconds from one question of the screen to the next, at least 0.5."""
Moment = Annotated[datetime, of_kind(_MOMENT)]
"""An aware datetime, in UTC however it was written."""
TimeZoneName = Annotated[str, of_kind(_TIME_ZONE)]
"""A zone that ``zoneinfo`` knows on this host."""
ClockTime = Annotated[str, of_kind(_CLOCK)]
"""A time of day, always with two digits each: ``06:30``."""


# -- sizes, paths, names -------------------------------------------------------------------------


def _read_size(text: str) -> int:
    size_bytes = parse_size(text)
    if size_bytes > LARGEST_INTEGER:
        raise Misfit(f"is too large; write at most {LARGEST_INTEGER}")
    return size_bytes


def read_absolute_path(text: str) -> str:
    """Give the path as it is; raise ValueError if it does not begin at ``/``."""
    if not text.startswith("/"):
        raise ValueError
    return text


def _read_home_path(text: str) -> str:
    if not text.startswith(("/", "~/")):
        raise ValueError
    return os.path.expanduser(text)


def _read_name(text: str) -> str:
    if "/" in text or not text.isprintable() or text in {"", ".", ".."} or text != text.strip():
        raise ValueError
    return text


def _read_signal(text: str) -> str:
    if text not in signal.Signals.__members__:
        raise ValueError
    return text


def _read_time_format(text: str) -> str:
    try:
        TimeReader(text, None)
    except ValueError as error:
        raise Misfit(str(error)) from None
    return text


def _read_pattern(text: str) -> str:
    try:
        Pattern(text)
    except ValueError as error:
        raise Misfit(
            f"is no regular expression that RE2 takes ({error}); "
            "write one without look-around and back-references"
        ) from None
    return text


def _read_encoding(text: str) -> str:
    try:
        one_byte_newline = "\n".encode(codecs.lookup(text).name) == b"\n"
        b"\xff".decode(text, "replace")  # of some nothing can be replaced
    except (LookupError, UnicodeError):
        raise ValueError from None
    if not one_byte_newline:
        raise Misfit("does not end lines with the single byte LF; convert the log to utf-8")
    return text


_SIZE = Kind(
    "a size",
    "64KiB, 500MiB, 2GiB",
    _read_size,
    {"type": ["string", "integer"], "pattern": SIZE_PATTERN},
    format_size,
)
_ABSOLUTE = Kind(
    "an absolute path", "/data/logs", read_absolute_path, {"type": "string", "pattern": "^/"}
)
_HOME = Kind(
    "an absolute path",
    "/etc/etlmon/token or ~/.config/etlmon/token",
    _read_home_path,
    {"type": "string", "pattern": "^~?/"},
)
_NAME = Kind("a name that fits into a URL", "app or app-errors, without /", _read_name)
_SIGNAL = Kind("a signal", "SIGTERM, SIGKILL, SIGHUP", _read_signal)
_PATTERN = Kind("a regular expression", "etl_(load|dump)", _read_pattern)
_TIME_FORMAT = Kind("a format of times", "%Y-%m-%d %H:%M:%S", _read_time_format)
_ENCODING = Kind("a known encoding", "utf-8, latin-1, cp949", _read_encoding)

Size = Annotated[int, of_kind(_SIZE, ge=1)]
"""Bytes, written alone or with a unit: ``64KiB``."""
LineSize = Annotated[int, of_kind(_SIZE, ge=1, le=LONGEST_LINE_BYTES)]
"""Bytes of a line that is kept: no more than clients take as one event."""
AbsolutePath = Annotated[str, of_kind(_ABSOLUTE)]
"""A path from ``/``, kept as written; a glob where the field says so."""
HomePath = Annotated[str, of_kind(_HOME)]
"""A path written from ``/`` or from ``~/``, which stands for the home directory; absolute."""
UrlName = Annotated[str, of_kind(_NAME)]
"""A name that stands as one segment in a URL."""
SignalName = Annotated[str, of_kind(_SIGNAL)]
"""The name of a signal of this host."""
PatternText = Annotated[str, of_kind(_PATTERN)]
"""A regular expression as RE2 takes it: its time is linear, whatever it looks through."""
TimeFormat = Annotated[str, of_kind(_TIME_FORMAT)]
"""How a time is written, as strptime(3) has it; it tells the day."""
EncodingName = Annotated[str, of_kind(_ENCODING)]
"""A text encoding that Python knows and in which a line ends with the byte LF."""
