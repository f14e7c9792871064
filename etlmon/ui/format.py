"""Values as people read them. The only place where bytes, times and percentages become text."""

from __future__ import annotations

import math
import re
import unicodedata
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from etlmon.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etlmon.records.log import LogLine
    from etlmon.records.xferlog import XferlogEntry

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_NOTHING = "-"
_INDENT = " " * 4
_MOST_CELL = 1_000
"""More of one value than so many characters is no help on a terminal: lines have up to 64 KiB."""
_NOISE = 1e-9
_CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "\u2421"}
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
# How wide these make a character, or are themselves, each terminal decides for itself: selectors of
# variants, fillers that are blank, and what colours the skin of the emoji before it.
_OF_NO_CERTAIN_WIDTH = frozenset(
    map(
        chr,
        [
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
            *range(0x180B, 0x1810),
            *(0x115F, 0x1160, 0x3164, 0xFFA0),
            *range(0x1F3FB, 0x1F400),
        ],
    )
)
# The one that makes an emoji of a sign; the sign alone says as much.
_AS_EMOJI = re.compile("(?<=[^\ufe0e\ufe0f])[\ufe0e\ufe0f]")


def visible(text: str) -> str:
    r"""Make control characters visible, so that no text from a host can drive a terminal.

    C0 controls become their pictures (ESC is U+241B); C1 controls, formatting characters such as
    the bidirectional overrides, and unassigned ones become ``\xNN`` or ``\uNNNN``, and so do those
    that are not as wide on every terminal: else a row would run into the next one.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in _AS_EMOJI.sub("", text))


def _visible(character: str) -> str:
    picture = _CONTROL_PICTURES.get(ord(character))
    if picture is not None:
        return picture
    if unicodedata.category(character) in _INVISIBLE or character in _OF_NO_CERTAIN_WIDTH:
        return character.encode("unicode_escape").decode("ascii")
    return character


def format_bytes(number: int) -> str:
    """Give a size with three digits and a binary unit: ``1.50 GiB``; bytes are exact."""
    size, unit = float(number), 0
    while abs(size) >= 1023.5 and unit < len(_BYTE_UNITS) - 1:
        size /= 1024
        unit += 1
    if unit == 0:
        return f"{number} B"
    digits = 2 if abs(size) < 9.995 else 1 if abs(size) < 99.95 else 0
    return f"{size:.{digits}f} {_BYTE_UNITS[unit]}"


def format_percent(percent: float) -> str:
    """Give a percentage rounded up, as df does: what is full must not look as if it were not.

    Less than ``_NOISE`` above a whole number is what floating point adds: 56 of 100 gives
    56.00000000000001.
    """
    return f"{math.ceil(percent - _NOISE)}%"


def format_seconds(seconds: float) -> str:
    """Give a stretch of time in its two largest units: ``2d 3h``, ``4m 5s``, ``5m``, ``1.25 s``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h".removesuffix(" 0h")
    if hours:
        return f"{hours}h {minutes}m".removesuffix(" 0m")
    return f"{minutes}m {left}s".removesuffix(" 0s")


def format_moment(moment: datetime) -> str:
    """Give a moment in the time zone of this terminal's host.

    At the ends of the calendar, where that zone may have none, as it stands: logs say anything.
    """
    with suppress(OverflowError, ValueError):
        moment = moment.astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def format_distance(seconds: float) -> str:
    """Give how far a moment is from now, in whole units: ``in 3 min``, ``now``, ``2 h ago``.

    ``seconds`` is negative for what is past.
    """
    away = abs(seconds)
    if away < 1:
        return "now"
    for unit, length, below in (("s", 1, 60), ("min", 60, 5_400), ("h", 3_600, 172_800)):
        if away < below:
            text = f"{int(away // length)} {unit}"
            break
    else:
        text = f"{int(away // 86_400):,} d"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def format_line(line: LogLine) -> str:
    """Give a line of a log: when it was read, its text, and what is special about it."""
    at = line.logged_at or line.created_at
    when = f"{format_moment(at)}.{at.microsecond // 1000:03}"
    if line.line is None:
        length = "" if line.length_bytes is None else f", {line.length_bytes:,} bytes"
        detail = "" if line.detail is None else f": {visible(line.detail)}"
        return f"{when}  -- {visible(', '.join(line.flags))}{length}{detail} --"
    mark = ""
    if line.flags:
        length = "" if line.length_bytes is None else f", of {line.length_bytes:,} bytes"
        mark = f"  -- {visible(', '.join(line.flags))}{length} --"
    return f"{when}  {visible(line.line)}{mark}"


def format_transfer(entry: XferlogEntry) -> str:
    """Give a transfer in a line: when, which way, how it ended, how much, who, which file."""
    when = format_moment(entry.log_time or entry.created_at)
    if entry.direction is None:
        said = [_cut(visible(text)) for text in (entry.reason, entry.line) if text is not None]
        return f"{when}  -- {': '.join([visible(entry.status), *said])} --"
    state = entry.status if entry.landing is None else f"{entry.status}, {entry.landing}"
    size = _NOTHING if entry.bytes is None else format_bytes(entry.bytes)
    who = f"{visible(entry.username or _NOTHING)}  {visible(entry.remote_host or _NOTHING)}"
    what = f"{visible(entry.direction)}  {visible(state)}  {size}"
    return f"{when}  {what}  {who}  {visible(entry.filename or _NOTHING)}"


def format_value(name: str, value: Any) -> str:
    """Give a record's field as text; the unit in its name decides how."""
    if value is None:
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return format_moment(value)
    if isinstance(value, (int, float)):
        return _format_number(name, value)
    if isinstance(value, str):
        return visible(value)
    return visible(msgspec.json.encode(value).decode())


def _format_number(name: str, value: float) -> str:
    if name in ("id", "pid") or name.endswith("_pid"):
        return str(value)  # a name, not a quantity
    if name.endswith("_bytes"):
        return format_bytes(int(value))
    if name.endswith("_percent"):
        return format_percent(value)
    if name.endswith(("_seconds", "_sec")):
        return format_seconds(value)
    if name.endswith("_ms"):
        return format_seconds(value / 1000)
    return f"{value:,}"


def text_table(
    items: Sequence[Record], columns: Sequence[str], most_width: int | None = None
) -> str:
    """Give records as a table with a heading: numbers to the right, words to the left.

    With ``most_width``, that of a terminal, columns without any value are left out; where the rest
    is still too wide each row takes several lines, all but the first indented. What is too wide
    even for a line of its own goes on below; only of the longest values the end is left out.
    """
    columns = list(columns)
    if most_width is not None:
        columns = [
            name for name in columns if any(getattr(item, name) is not None for item in items)
        ]
    rows = [[format_value(name, getattr(item, name)) for name in columns] for item in items]
    if most_width is not None:
        rows = [[_cut(cell) for cell in row] for row in rows]
    heads = [heading(name) for name in columns]
    widths = [max(text_width(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    to_right = [
        any(isinstance(getattr(item, name), (int, float)) for item in items) for name in columns
    ]
    folds = _folds(widths, most_width)
    lines = []
    for row in (heads, *rows):
        cells = []
        for cell, width, right in zip(row, widths, to_right, strict=True):
            space = " " * (width - text_width(cell))
            cells.append(space + cell if right else cell + space)
        for begin, end in folds:
            if begin == 0 or any(cell != _NOTHING for cell in row[begin:end]):
                indent = _INDENT if begin else ""
                lines += _wrapped((indent + "  ".join(cells[begin:end])).rstrip(), most_width)
    return "\n".join(lines)


def _cut(text: str) -> str:
    """Leave out the end of a very long text, and say so."""
    more = len(text) - _MOST_CELL
    return text if more <= 0 else f"{text[:_MOST_CELL]}\u2026 ({more:,} more)"


def _wrapped(text: str, width: int | None) -> list[str]:
    """Give a line as several, those after the first set in further than all others.

    They end behind a blank, where there is one in their second half.
    """
    indent = _INDENT * 2
    if width is None or width < 2 * len(indent) or text_width(text) <= width:
        return [text]
    from wcwidth import iter_graphemes

    lines, left = [""], width
    for character in text if text.isascii() else iter_graphemes(text):
        left -= text_width(character)
        if left < 0:
            full = lines[-1]
            end = full.rfind(" ", max(len(full) // 2, len(indent))) + 1 or len(full)
            lines[-1:] = [full[:end], indent + full[end:]]
            left = width - text_width(lines[-1]) - text_width(character)
        lines[-1] += character
    return lines


def _folds(widths: Sequence[int], most_width: int | None) -> list[tuple[int, int]]:
    """Give which columns stand together in a line, from the first to before the second number."""
    begins, taken = [0], 0
    for place, width in enumerate(widths):
        taken += width + 2
        if most_width is not None and taken - 2 > most_width and place > begins[-1]:
            begins.append(place)
            taken = len(_INDENT) + width + 2
    return list(pairwise([*begins, len(widths)]))


def heading(name: str) -> str:
    """Give the title of a column; units that its values carry themselves are left out."""
    for unit in ("_bytes", "_ms", "_seconds", "_sec"):
        name = name.removesuffix(unit)
    if name.endswith("_percent"):
        name = name.removesuffix("_percent") + "%"
    return name.replace("_", " ").upper()


def text_fields(record: Record) -> str:
    """Give one record, a field a line; records within it follow as tables."""
    plain: list[tuple[str, str]] = []
    tables: list[str] = []
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, Record):
            tables.append(f"\n{name.upper()}\n{text_fields(value)}")
        elif isinstance(value, list) and value and isinstance(value[0], Record):
            tables.append(f"\n{name.upper()}\n{text_table(value, _told(value))}")
        elif isinstance(value, list):
            plain.extend((name, visible(str(item))) for item in value or [_NOTHING])
        else:
            plain.append((name, format_value(name, value)))
    width = max((len(name) for name, _ in plain), default=0)
    return "\n".join([f"{name.ljust(width)}  {text}" for name, text in plain] + tables)


def _told(items: Sequence[Record]) -> list[str]:
    """Give the fields that at least one of the records fills."""
    return [
        name
        for name in items[0].__struct_fields__
        if any(getattr(item, name) not in (None, "", 0, []) for item in items)
    ]


def text_width(text: str) -> int:
    """Give how many columns of a terminal a ``visible`` text takes: wide characters take two."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    return wcswidth(text)
