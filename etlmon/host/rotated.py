"""Where the files of a log are that do not bear its name any more.

logrotate and its like rename ``app.log`` to ``app.log.1``, ``app.log-20260131`` or
``app-20260131.log``, beside it, and may compress it then or at the next turn.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOENT
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from etlmon.host.birth import birth_ns
from etlmon.host.generation import COMPRESSED, Generation, may_be_one, open_generation
from etlmon.host.names import names_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from etlmon.host.generation import Position

_MOST_TRIES = 6
_MOST_LISTINGS = 30
COPYING_SECONDS = 10
"""How long before it is cut off a file may be copied."""
_NUMBER = re.compile(rb"[0-9]{1,3}")
_IN_ORDER = re.compile(
    rb"(?:19|20)[0-9]{2}[^0-9]?(?:0[1-9]|1[0-2])(?:[^0-9].*|[0-9]{2}.*)?"
    rb"|[12][0-9]{9}(?:[0-9]{3})*",
    re.DOTALL,
)
"""Dates that sort by their letters: the year and the month first, or seconds since the epoch."""
_DIGITS = re.compile(rb"[0-9]+")
_MARK = rb"(?:\.[0-9]{1,4}|[.-][0-9]{4,}(?:[0-9TZ:._+-]*[0-9Z])?)"
_PACKED = rb"(?:%s)?" % b"|".join(re.escape(end) for end in COMPRESSED)
_AFTER = re.compile(rb"(?P<stem>.+?)%s%s(?P<ending>)" % (_MARK, _PACKED), re.DOTALL)
_WITHIN = re.compile(rb"(?P<stem>.+?)%s(?P<ending>\.[^.]+)%s" % (_MARK, _PACKED), re.DOTALL)


@dataclass(frozen=True)
class Rotated:
    """A file that bears a name as rotation gives it."""

    path: bytes
    identity: tuple[int, int]
    size: int
    modified_ns: int
    changed_ns: int
    """When it was written to last, or got another name."""
    mark: bytes
    """What rotation has put into the name: ``1``, ``20260131``."""
    born_ns: int = 0
    """When it was made; 0 where that is not known."""

    @property
    def is_packed(self) -> bool:
        """Whether it is compressed."""
        return self.path.endswith(COMPRESSED)

    def is_file_of(self, one: Generation | Position | Rotated) -> bool:
        """Whether it is this file, not one that had its inode number before, or has it since."""
        return may_be_one(self, one)


def rotated(path: bytes) -> list[Rotated]:
    """Give the rotated files of a log, those that were written last at the end.

    Beside its name, and beside the file that this leads to where it is a symbolic link. A
    compressed file whose original is still there is left out: it is being made.
    """
    found = _list(path)
    for _ in range(_MOST_LISTINGS):  # while files are renamed, a listing may miss some
        before, found = found, _list(path)
        if before.keys() == found.keys() and all(
            one.is_file_of(before[name]) for name, one in found.items()
        ):
            break
    files = [one for one in found.values() if not (one.is_packed and _original(one) in found)]
    return sorted(files, key=lambda one: (one.modified_ns, -_number(one.mark), one.mark))


def _list(path: bytes) -> dict[bytes, Rotated]:
    found: dict[bytes, Rotated] = {}
    for base in {os.path.abspath(path), os.path.realpath(path)}:
        directory, name = os.path.split(base)
        stem, ending = os.path.splitext(name)
        pattern = _pattern(ending)
        try:
            entries = names_from(directory, stem)
        except OSError:
            continue
        for entry in entries:
            match = pattern.fullmatch(entry, len(stem))
            if match is None:
                continue
            place = os.path.join(directory, entry)
            try:
                status = os.lstat(place)
            except OSError:  # gone meanwhile
                continue
            if stat.S_ISREG(status.st_mode):
                found[place] = Rotated(
                    place,
                    (status.st_dev, status.st_ino),
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                    (match["a"] or match["b"])[1:],
                    birth_ns(place),
                )
    return found


def bases(path: bytes) -> set[bytes]:
    """Give the names from which rotation could have made this one; none for most."""
    directory, name = os.path.split(path)
    found = set()
    for pattern in (_AFTER, _WITHIN):
        match = pattern.fullmatch(name)
        if match is not None:
            found.add(os.path.join(directory, match["stem"] + (match["ending"] or b"")))
    return found


def unseen_after(
    last_modified_ns: int, own: Rotated | None, files: Iterable[Rotated]
) -> list[Rotated]:
    """Give the files that came after one that has been read, in the order of their rotation.

    ``own`` is that one, if it is among ``files``, and ``last_modified_ns`` when it was written last
    as far as is known.
    """
    files = list(files)
    by_number = own is not None and _count_down(files)
    later = [
        one
        for one in files
        if one is not own and _is_later(one, own, last_modified_ns, by_number=by_number)
    ]
    if by_number and own is not None and all(_number(one.mark) >= 0 for one in (own, *later)):
        later.sort(key=lambda one: -_number(one.mark))
    return later


def _count_down(files: Iterable[Rotated]) -> bool:
    """Whether app.log.1 came after app.log.2, as logrotate has it; Log4j counts up.

    So do days of a month, which begin again. Times tell, by what most of them say.
    """
    numbered = sorted((one for one in files if _number(one.mark) >= 0), key=_number_of)
    pairs = list(pairwise(one.modified_ns for one in numbered))
    return sum(one >= next_one for one, next_one in pairs) >= sum(
        one < next_one for one, next_one in pairs
    )


def find(
    position: Position,
    path: bytes,
    files: Sequence[Rotated],
    allows: Callable[[Rotated], bool] = lambda _: True,
) -> Generation | None:
    """Open the rotated file that a position is in, and go there; None if there is none.

    By identity where possible. Otherwise by what is in it, for it may be a copy, or compressed: the
    oldest that holds it and was written no earlier than the file was when it was looked at last, or
    the newest of a little earlier: a file may be written to while it is copied, until it is cut.
    ``files`` are the rotated ones of ``path``; they are listed anew until they stay as they are.
    Only one that ``allows``, which is asked of those that hold it.
    """
    for _ in range(_MOST_TRIES):
        for one in _candidates(position, files):
            generation = open_at(one.path, position)
            if generation is not None and one.is_file_of(generation) and allows(one):
                return generation
            if generation is not None:
                generation.close()
        before, files = files, rotated(path)
        if files == before:
            break
    return None


def _candidates(position: Position, files: Sequence[Rotated]) -> list[Rotated]:
    """Give the files that a position may be in, the likeliest first."""
    oldest_ns = position.modified_ns
    others = [one for one in files if not one.is_file_of(position) and position.head_bytes]
    others.sort(key=lambda one: not (one.is_packed and has_time_of(one, position)))
    from_then_on = [one for one in others if one.modified_ns >= _rounded(oldest_ns, one)]
    before = [
        one
        for one in reversed(others)
        if 0 < _rounded(oldest_ns, one) - one.modified_ns <= COPYING_SECONDS * 10**9
    ]
    return [*(one for one in files if one.is_file_of(position)), *from_then_on, *before]


def _rounded(time_ns: int, one: Rotated | Generation) -> int:
    """Give a time as the one of a file that has been compressed, which may only tell the second."""
    return time_ns if one.modified_ns % 10**9 else time_ns // 10**9 * 10**9


def has_time_of(one: Rotated | Generation, position: Position) -> bool:
    """Whether a file was written when that of a position was, as what is made of it by compressing.

    That keeps the time, some programs only the second.
    """
    times_ns = (position.modified_ns, position.written_ns)
    return any(one.modified_ns == _rounded(time_ns, one) for time_ns in times_ns)


def keeps_time(one: Rotated | Generation) -> bool:
    """Whether a compressed file has the time of what it was made of: it is younger than that."""
    return one.modified_ns < (one.born_ns or one.changed_ns)


def open_listed(path: bytes, one: Rotated) -> Generation:
    """Open a file that was listed as one of ``path``, though it may have been renamed since.

    Raises OSError, FileNotFoundError if it is gone.
    """
    for _ in range(_MOST_TRIES):
        with suppress(FileNotFoundError):
            generation = open_generation(one.path)
            if one.is_file_of(generation):
                return generation
            generation.close()
        found = [other for other in rotated(path) if other.is_file_of(one)]
        if not found:
            break
        one = found[0]
    raise FileNotFoundError(ENOENT, "it is gone")


def open_at(path: bytes, position: Position) -> Generation | None:
    """Open a file at a position that it holds; None if it does not, or cannot be read."""
    try:
        generation = open_generation(path)
    except OSError:
        return None
    with suppress(OSError):
        if generation.go_to(position):
            return generation
    generation.close()
    return None


def open_same(path: bytes, position: Position) -> Generation | None:
    """Open the file of a position, there; None if it is another, or does not hold it any more."""
    generation = open_at(path, position)
    if generation is not None and generation.is_another(position):
        generation.close()
        return None
    return generation


def _is_later(one: Rotated, own: Rotated | None, last_modified_ns: int, *, by_number: bool) -> bool:
    if own is not None:
        mine, its = _number(own.mark), _number(one.mark)
        if mine >= 0 and its >= 0 and by_number:
            return its < mine
        if _digits(own.mark) == _digits(one.mark) and _are_dates(own.mark, one.mark):
            return one.mark > own.mark
    return one.modified_ns >= last_modified_ns


@lru_cache(maxsize=1024)
def _pattern(ending: bytes) -> re.Pattern[bytes]:
    """Give what matches the names that rotation makes of a name, beyond its stem."""
    after = rb"%s(?P<a>%s)%s" % (re.escape(ending), _MARK, _PACKED)
    within = rb"(?P<b>%s)%s%s" % (_MARK, re.escape(ending), _PACKED)
    return re.compile(b"%s|%s" % (after, within if ending else rb"(?P<b>(?!))"))


def _original(one: Rotated) -> bytes:
    return os.path.splitext(one.path)[0]


def _number(mark: bytes) -> int:
    """Give the number of ``app.log.1``; -1 if it is none."""
    return int(mark) if _NUMBER.fullmatch(mark) else -1


def _number_of(one: Rotated) -> int:
    return _number(one.mark)


def _are_dates(*marks: bytes) -> bool:
    """Whether these sort as dates; those with the day first, or without the year, begin again."""
    return all(_IN_ORDER.fullmatch(mark) for mark in marks)


def _digits(mark: bytes) -> bytes:
    """Give the shape of a date: two of one shape can be compared."""
    return _DIGITS.sub(lambda found: b"%d," % len(found[0]), mark)
