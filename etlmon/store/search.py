"""Looks through stored lines for those that hold a text or match a regular expression.

RE2 is quick, a call of it from Python is not: lines are handed over many at a time, joined by
SQLite itself, and only where something is found are they looked at one by one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from etlmon.patterns import Pattern
from etlmon.store.tables import log_lines

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    from etlmon.records.log import LogLine
    from etlmon.store.tables.log_lines import Part

_FEWEST, _FIRST, _MOST = 16, 250, 4_000
"""Lines that are handed over at once."""
_BYTES_AT_ONCE = 512 << 10
"""How much text that should be: with a bad pattern RE2 takes about a second for ten times this."""
_ONE_BY_ONE = 8
_ESCAPE = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.", re.DOTALL)
_LOOSENED = {r"\A": "^", r"\z": "$"}
"""What holds at an end of the text, and what holds at an end of any line in it."""
_SWITCHED_OFF = re.compile(r"\(\?[A-Za-z]*-[A-Za-z]*m")


@dataclass(frozen=True)
class Wanted:
    """What a line must hold: a text as it stands, a match of a regular expression, or both."""

    text: str | None = None
    regex: str | None = None

    @cached_property
    def _pattern(self) -> Pattern | None:
        return None if self.regex is None else _compiled(self.regex)

    @cached_property
    def _over_lines(self) -> Pattern | None:
        return None if self.regex is None else _compiled_over_lines(self.regex)

    def check(self) -> None:
        """Raise ValueError, in words, if that is no regular expression."""
        _ = self._pattern

    def is_in(self, line: bytes) -> bool:
        """Whether a line is wanted."""
        return (self.text is None or self.text.encode() in line) and (
            self._pattern is None or self._pattern.finds(line)
        )

    @property
    def tells_by_many(self) -> bool:
        """Whether several lines at once can be told to hold nothing."""
        return self.text is not None or self._over_lines is not None

    def may_be_in(self, lines: bytes) -> bool:
        """Whether any of several lines, joined by line ends, may be wanted: no means none is."""
        return (self.text is None or self.text.encode() in lines) and (
            self._over_lines is None or self._over_lines.finds(lines)
        )


@lru_cache(maxsize=64)
def _compiled(text: str) -> Pattern:
    return Pattern(text)


@lru_cache(maxsize=64)
def _compiled_over_lines(text: str) -> Pattern | None:
    """Give the pattern that finds something in joined lines if the other does in one of them.

    It may find more. None where that cannot be had, and each line must be looked at.
    """
    if _SWITCHED_OFF.search(text):
        return None
    loosened = _ESCAPE.sub(lambda found: _LOOSENED.get(found[0], found[0]), text)
    try:
        return Pattern(f"(?m){loosened}")
    except ValueError:  # it may just be too large now
        return None


@dataclass(frozen=True)
class Found:
    """What a search has found so far."""

    lines: list[LogLine]
    """In the order of their numbers."""
    rest: Part | None
    """Where to go on; None where all has been looked through."""


def search(
    cursor: sqlite3.Cursor,
    part: Part,
    wanted: Wanted,
    most: int,
    *,
    newest: bool,
    give_up: Callable[[], bool],
    most_characters: int = log_lines.MOST_CHARACTERS,
) -> Found:
    """Look for at most so many lines, from the newest on backwards or from the oldest on.

    Ends early, after a piece, when ``give_up`` says so.
    """
    ids: list[int] = []
    size, at_once = 0, _FIRST
    rest: Part | None = part
    while rest is not None and len(ids) < most and size < most_characters:
        if rest is not part and give_up():
            break
        piece, rest = _next_piece(cursor, rest, at_once, newest=newest)
        if piece is None:
            continue
        joined = _joined(cursor, piece)
        if joined is None:
            continue
        if len(joined) > _BYTES_AT_ONCE:
            at_once = max(_FEWEST, at_once * _BYTES_AT_ONCE // len(joined))
        elif 2 * len(joined) < _BYTES_AT_ONCE:
            at_once = min(_MOST, 2 * at_once)
        if not wanted.may_be_in(joined):
            continue
        order = "DESC" if newest else "ASC"
        numbered = cursor.execute(
            f"SELECT l.id, CAST(l.line AS BLOB) {piece.source} AND l.line IS NOT NULL"
            f" ORDER BY b.first_id {order}, l.id {order}",
            piece.values,
        ).fetchall()
        for one, line in _matches(numbered, wanted):
            ids.append(one)
            size += len(line)
            if len(ids) == most or size >= most_characters:
                rest = replace(part, before=one) if newest else replace(part, after=one)
                break
    return Found(log_lines.with_ids(cursor, ids), rest)


def _next_piece(
    cursor: sqlite3.Cursor, part: Part, most: int, *, newest: bool
) -> tuple[Part | None, Part | None]:
    """Give the next so many lines of a part, None if it is empty, and the rest of it."""
    blocks = cursor.execute(
        f"SELECT max(b.first_id, :after + 1), min(b.last_id, :before - 1) {part.blocks}"
        f" ORDER BY b.first_id {'DESC' if newest else 'ASC'} LIMIT :most",
        {**part.values, "most": most},
    ).fetchall()
    left, low, high = most, None, None
    for first, last in blocks:
        taken = min(left, last - first + 1)
        if taken <= 0:  # it lies before the part
            continue
        left -= taken
        if newest:
            low, high = last - taken + 1, high or last
        else:
            low, high = low or first, first + taken - 1
        if not left:
            break
    if low is None or high is None:
        return None, None
    piece = replace(part, after=low - 1, before=high + 1)
    if left and len(blocks) < most:
        return piece, None
    return piece, replace(part, before=low) if newest else replace(part, after=high)


def _joined(cursor: sqlite3.Cursor, piece: Part) -> bytes | None:
    """Give the lines of a piece, one after the other, each but the last with a line end.

    None if there is none.
    """
    joined: bytes | None
    (joined,) = cursor.execute(
        f"SELECT CAST(group_concat(l.line, char(10)) AS BLOB) {piece.source}", piece.values
    ).fetchone()
    return joined


def _matches(lines: Sequence[tuple[int, bytes]], wanted: Wanted) -> Iterator[tuple[int, bytes]]:
    """Give the lines that are wanted, halving what may hold some until they are few."""
    if len(lines) <= _ONE_BY_ONE or not wanted.tells_by_many:
        yield from (one for one in lines if wanted.is_in(one[1]))
        return
    half = len(lines) // 2
    for part in (lines[:half], lines[half:]):
        if wanted.may_be_in(b"\n".join(line for _, line in part)):
            yield from _matches(part, wanted)
