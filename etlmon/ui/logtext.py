"""A line of a log as it stands on the screen: its time, how grave it is, what matches in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from wcwidth import iter_graphemes

from etlmon.patterns import Pattern
from etlmon.records.log import LogLine
from etlmon.ui.format import format_moment, format_seconds, text_width, visible
from etlmon.ui.widgets.line import Piece

Severity = Literal["error", "warning", "debug"]
TimeFormat = Literal["local", "UTC", "ago", "own", "none"]
TIME_FORMATS: tuple[TimeFormat, ...] = ("local", "UTC", "ago", "own", "none")
TIME_WORDS: dict[TimeFormat, str] = {
    "local": "when it was read, this host's clock",
    "UTC": "when it was read, UTC",
    "ago": "how long ago it was read",
    "own": "what the line itself tells",
    "none": "not shown",
}

_LOOKED_AT = 240
"""Characters of a line in which its severity is looked for: further on it is about something."""
_MARKED = 4_096
"""Characters of a line in which matches are marked, for drawing must not take long."""
_WRAPPED = 8_192
"""Characters of a line that are wrapped; the rest is reached by scrolling to the right."""
_WORDS: tuple[tuple[Severity, str], ...] = (
    ("error", "EMERG(?:ENCY)?|ALERT|CRIT(?:ICAL)?|FATAL|PANIC|SEVERE|ERR(?:OR)?"),
    ("warning", "WARN(?:ING)?"),
    ("debug", "DEBUG|TRACE|FINE(?:R|ST)?"),
)
_OTHER = "INFO(?:RMATION)?|NOTICE"
_ANY = "|".join(words for _, words in _WORDS)
# Capitals anywhere, small letters only where they are meant as a level: [error], level=error.
_LEVEL = re.compile(
    rf"(?<![A-Za-z0-9_])(?P<capital>{_ANY}|{_OTHER})(?![A-Za-z0-9_])"
    rf"|(?i:\b(?:level|lvl|severity|loglevel|levelname)[\"']?\s?[=:]\s?[\"']?"
    rf"(?P<named>{_ANY}|{_OTHER})\b)"
    rf"|(?i:[\[(<](?P<within>{_ANY}|{_OTHER})[\])>])"
    rf"|(?i:\b(?P<before>{_ANY}):(?:\s|$))"
    r"|^<(?P<number>[0-9]{1,3})>"
    r"|(?P<raised>\b[A-Za-z.]*(?:Error|Exception)\b:|^Traceback \(most recent call last\))"
)
_KINDS = [(severity, re.compile(words, re.IGNORECASE)) for severity, words in _WORDS]
_GLYPHS: dict[Severity | None, tuple[str, str, str]] = {
    # severity: glyph, its style, the line's style
    "error": ("\u2717", "critical", "line error"),
    "warning": ("!", "warning", "line warning"),
    "debug": ("\u00b7", "dim", "dim"),
    None: (" ", "text", "text"),
}


def severity_of(text: str) -> Severity | None:
    """Say how grave a line calls itself; None if it does not, or if it is just information.

    The first word that names a level counts. A syslog priority, ``<11>``, has it in its last bits.
    """
    found = _LEVEL.search(text[:_LOOKED_AT])
    if found is None:
        return None
    kind, word = found.lastgroup, found[found.lastgroup or 0]
    if kind == "raised":
        return "error"
    if kind == "number":
        level = int(word) % 8
        return (
            "error" if level <= 3 else "warning" if level == 4 else "debug" if level == 7 else None
        )
    return next((severity for severity, words in _KINDS if words.fullmatch(word)), None)


def time_text(line: LogLine, how: TimeFormat, now: datetime) -> str:
    """Give the time before a line, always as wide; empty for ``none``."""
    if how == "none":
        return ""
    if how == "ago":
        seconds = max(0.0, (now - line.created_at).total_seconds())
        return f"{format_seconds(seconds if seconds < 60 else round(seconds)):>8}"
    if how == "own":
        return _own_time_text(line.logged_at, now)
    moment = line.created_at
    if how == "UTC":
        text = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        is_today = text[:10] == now.astimezone(UTC).strftime("%Y-%m-%d")
    else:
        text = format_moment(moment)
        is_today = text[:10] == format_moment(now)[:10]
    shown = f"{text[11:]}.{moment.microsecond // 1000:03}" if is_today else text[5:]
    return f"{shown + 'Z':<15}" if how == "UTC" else f"{shown:<14}"


def _own_time_text(moment: datetime | None, now: datetime) -> str:
    """Give what a line tells, be it of any year: what was read is no older than what is kept."""
    if moment is None:
        return " " * 18 + "-"
    text, today = format_moment(moment), format_moment(now)
    if text[:10] == today[:10]:
        text = f"{text[11:]}.{moment.microsecond // 1000:03}"
    elif text[:4] == today[:4]:
        text = text[5:]
    return f"{text:<19}"


class LineStyle:
    """How lines are shown now: what comes before their text, and what is marked in it."""

    def __init__(self) -> None:
        self.time: TimeFormat = "local"
        self.pattern: Pattern | None = None
        self.wraps = False
        self.shift = 0
        """How many columns of the text are left out at its left."""
        self.current_id: int | None = None
        """The match that was gone to."""
        self.now = datetime(1970, 1, 1, tzinfo=UTC)
        self.names: Mapping[str, str] = {}
        """What stands for a file before its lines, by ``log_path``, all equally wide."""

    def rows(self, line: LogLine, width: int) -> list[list[Piece]]:
        """Give the rows of a line, each at most ``width`` columns wide."""
        severity = None if line.line is None else severity_of(line.line)
        glyph, glyph_style, style = _GLYPHS[severity]
        pointer = "\u203a" if line.id == self.current_id else " "
        before: list[Piece] = [("key", pointer), (glyph_style, glyph), ("text", " ")]
        time = time_text(line, self.time, self.now)
        if time:
            before.append(("dim", f"{time} "))
        room = width - 3 - len(time) - bool(time)
        name = self.names.get(line.log_path)
        if name is not None:
            before.append(("key", f"{name} "))
            room -= text_width(name) + 1
        room = max(1, room)
        if line.line is None:
            return [[*before, ("warning", what_happened(line))]]
        text = self._marked(line.line, style)
        if self.wraps:
            return _wrapped(before, [*text, *_flags(line)], width, room, len(line.line))
        if self.shift:
            return [[*before, *_shifted([*text, *_flags(line)], self.shift, room)]]
        return [[*before, *_begun(text, room), *_flags(line)]]

    def matches(self, line: LogLine) -> bool:
        """Say whether what is searched for is seen in a line."""
        text = line.line
        return bool(text and self.pattern is not None and self.pattern.spans(text[:_MARKED]))

    def _marked(self, text: str, style: str) -> list[Piece]:
        """Give a text, not yet made visible, with the matches in it as pieces of their own."""
        if self.pattern is None:
            return [(style, text)]
        pieces: list[Piece] = []
        begin = 0
        for first, end in self.pattern.spans(text[:_MARKED]):
            if first < end:
                pieces += [(style, text[begin:first]), ("match", text[first:end])]
                begin = end
        return [piece for piece in [*pieces, (style, text[begin:])] if piece[1]]


def what_happened(line: LogLine) -> str:
    """Put a row without a line into words: a gap, a truncation, a run of NULs."""
    length = "" if line.length_bytes is None else f", {line.length_bytes:,} bytes"
    detail = "" if line.detail is None else f": {line.detail}"
    return visible(
        f"\u2500\u2500 {', '.join(line.flags).replace('_', ' ')}{length}{detail} \u2500\u2500"
    )


def _flags(line: LogLine) -> list[Piece]:
    if not line.flags:
        return []
    length = "" if line.length_bytes is None else f" of {line.length_bytes:,} bytes"
    return [("warning", visible(f" \u2500\u2500 {', '.join(line.flags)}{length}"))]


def _begun(pieces: Sequence[Piece], room: int) -> list[Piece]:
    """Give no more of a text than can be seen: the rest of a long one costs no work."""
    kept: list[Piece] = []
    left = 4 * room + 64  # some characters take no room
    for style, text in pieces:
        kept.append((style, visible(text[:left])))
        left -= len(text)
        if left <= 0:
            break
    return kept


def _shifted(pieces: Sequence[Piece], shift: int, room: int) -> list[Piece]:
    """Leave out columns at the left; a mark says that there is something."""
    kept: list[Piece] = [("dim", "\u2026")]
    left = shift + 1
    most = 4 * (shift + room) + 64  # as in _begun
    for style, given in pieces:
        text = given[:most]
        if left > 0 and text.isascii() and text.isprintable():
            text, left = text[left:], left - len(text)
        elif left > 0:
            text, left = _after(visible(text), left)
        if text:
            kept.append((style, visible(text)))
    return kept


def _after(text: str, columns: int) -> tuple[str, int]:
    """Leave out so many columns of a text; give the rest, and how many are still to be left out."""
    place, left = 0, columns
    for seen in iter_graphemes(text):
        if left <= 0:
            break
        left -= text_width(seen)
        place += len(seen)
    return text[place:], left


def _wrapped(
    before: list[Piece], pieces: Sequence[Piece], width: int, room: int, length: int
) -> list[list[Piece]]:
    """Give a text as rows; those after the first begin below it."""
    rows: list[list[Piece]] = [before]
    left, characters = room, _WRAPPED
    indent: Piece = ("text", " " * (width - room))
    for style, given in pieces:
        text = visible(given[:characters])
        characters -= len(given)
        while text:
            if left <= 0:
                rows.append([indent])
                left = room
            part, text = _split(text, left, whole=left < room)
            if part:
                rows[-1].append((style, part))
            left = 0 if text else left - text_width(part)
        if characters <= 0:
            more = f"\u2026 {length:,} characters in all: end the wrapping to see them"
            rows.append([indent, ("dim", more)])
            break
    return rows


def _split(text: str, room: int, *, whole: bool) -> tuple[str, str]:
    """Give what of a text has room, and the rest; at least one character unless ``whole``."""
    if text.isascii():
        return text[:room], text[room:]
    place = 0
    for seen in iter_graphemes(text):
        room -= text_width(seen)
        if room < 0 and (place or whole):
            break
        place += len(seen)
    return text[:place], text[place:]
