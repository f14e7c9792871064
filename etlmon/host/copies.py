"""Copies that somebody has made of a log by hand, under names of his own.

Whoever types ``cp app.log kept; > app.log`` gives no name that rotation gives. What such a copy
holds, and when it came into being, is all that it can be known by. Blocks.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from etlmon.host.generation import (
    COMPRESSED,
    HEAD_BYTES,
    START_BYTES,
    TAIL_BYTES,
    RewrittenError,
    digest,
)
from etlmon.host.rotated import COPYING_SECONDS, open_at, open_listed
from etlmon.host.writers import find_writers

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.host.generation import Generation, Position
    from etlmon.host.rotated import Rotated

_MOST_NAMES = 10_000
"""Names of a directory that are looked at, for a file that is cut off all the time."""
_MOST_OPENED = 16
_TICK_NS = 20_000_000
"""The times of files are those of the kernel's last tick: they may be so much too early."""
_MARGIN_NS = 1_000_000_000


def find_copy(
    position: Position,
    path: bytes,
    since_ns: int | None,
    live: Generation,
    proc: bytes,
    has_seen: Callable[[Generation], bool],
) -> Generation | None:
    """Open the copy of a file that was cut off, beside it, and go to a position; None if none is.

    It has come into being ``since_ns``, nobody writes to it, and it holds what was read of the
    file, as far as that is known. Files of one program begin alike: where it is little that was
    read a file that was there before, or what the file itself begins with anew, is no copy, nor is
    any after a restart, when ``since_ns`` is not known and much may have been made since. Neither
    is what one ``has_seen``, which may raise OSError.
    """
    if not position.head_bytes or not position.offset:
        return None
    is_much = position.offset >= HEAD_BYTES + TAIL_BYTES
    if since_ns is None and not is_much:
        return None
    directory = os.path.dirname(os.path.realpath(path))
    since_ns = (position.modified_ns if since_ns is None else since_ns) - _TICK_NS
    for name in _changed_since(directory, since_ns, position.offset, live.identity):
        generation = open_at(name, position)
        if generation is None:
            continue
        length = min(len(generation.head), len(live.head))
        with suppress(OSError):
            if (
                (is_much or generation.born_ns >= since_ns)
                and not (length and generation.head[:length] == live.head[:length])
                and not has_seen(generation)
                and generation.go_to(position)
                and not find_writers(
                    proc, frozenset([generation.identity]), frozenset([directory])
                ).identities
            ):
                return generation
        generation.close()
    return None


def _changed_since(
    directory: bytes, since_ns: int, least_bytes: int, live: tuple[int, int]
) -> list[bytes]:
    """Give the files of a directory that may be such a copy, the last one first."""
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in islice(entries, _MOST_NAMES):
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:  # gone meanwhile
                    continue
                if (
                    stat.S_ISREG(status.st_mode)
                    and status.st_ctime_ns >= since_ns
                    and status.st_size >= least_bytes
                    and (status.st_dev, status.st_ino) != live
                    and not entry.name.endswith(COMPRESSED)
                ):
                    found.append((status.st_ctime_ns, entry.path))
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)[:_MOST_OPENED]]


def old_copy(one: Rotated, path: bytes, original: Generation, since_ns: int) -> Position | None:
    """Give the end of a rotated file if it copies ``original``, made while that bore the name.

    ``path`` is the name, and ``since_ns`` is when it was seen to bear it last. Whatever bore it
    later has changed later, be it by being made or by getting another name: that is no copy, but to
    be read.
    """
    if one.is_packed or not one.size or one.changed_ns >= since_ns - _MARGIN_NS:
        return None
    try:
        generation = open_listed(path, one)
    except OSError:
        return None
    try:
        generation.seek(one.size)
        for data, at in ((generation.head, 0), (generation.tail, one.size - len(generation.tail))):
            if os.pread(original.fd, len(data), at) != data:
                return None
        return generation.position() if generation.identity == one.identity else None
    except (OSError, RewrittenError):
        return None
    finally:
        generation.close()


def find_short_copy(
    position: Position,
    path: bytes,
    files: list[Rotated],
    began: bytes,
    is_known: Callable[[Generation], bool],
) -> Generation | None:
    """Open the copy of a file of whose beginning more had been seen than was copied; go there.

    ``files`` are the rotated ones of ``path``. None if none is such a copy: that which was written
    about when the last that had been seen of the file was, holds what was read, and begins as the
    file ``began``, as far as that is known: after a restart it is not, and where nothing had been
    read the time alone tells. Not one that ``is_known``, which may raise OSError. Raises
    FileNotFoundError if one of them is gone.
    """
    seen_ns = max(position.modified_ns, position.written_ns)
    near = [one for one in files if abs(one.modified_ns - seen_ns) <= COPYING_SECONDS * 10**9]
    for one in sorted(near, key=lambda one: abs(one.modified_ns - seen_ns)):
        if not is_early_copy(one, path, position):
            continue
        generation = open_listed(path, one)
        with suppress(OSError, RewrittenError):
            if not is_known(generation):
                generation.seek(position.offset)
                length = len(generation.head)
                is_short = length < position.head_bytes and began[:length] in (generation.head, b"")
                if is_short and digest(generation.tail) == position.tail_hash:
                    return generation
        generation.close()
    return None


def is_early_copy(one: Rotated, path: bytes, position: Position) -> bool:
    """Whether a rotated file of ``path`` is a copy made before all of a position's was written.

    Such a one lacks the end of what was read: what was written between the copy and the cut. It
    begins as that does, and came into being before that was written, not long, and what was copied
    since after it. Of one that has been compressed since, and where the file system keeps no note
    of when, what it begins with tells, or where programs begin their files alike when it was
    written. Raises FileNotFoundError if it is gone.
    """
    until_ns = max(position.modified_ns, position.written_ns)
    if one.modified_ns < until_ns - COPYING_SECONDS * 10**9:
        return False
    try:
        generation = open_listed(path, one)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    try:
        generation.restart()
        head = generation.head[: position.head_bytes]
        is_whole = len(head) == position.head_bytes
        if is_whole and digest(head) != position.head_hash:
            return False
        start = head[:START_BYTES]
        if len(start) == START_BYTES and position.start_hash not in ("", digest(start)):
            return False
        if generation.born_ns and not generation.is_packed:
            return generation.born_ns <= until_ns
        return is_whole or generation.modified_ns <= until_ns + _TICK_NS
    except OSError:
        return False
    finally:
        generation.close()


def is_of_now(copy: Generation, live: Generation) -> bool | None:
    """Whether a copy is being made, or has been made, of what is in the file now.

    Once the file is cut off, it is found by what is in it. Where it has not been since it was
    looked at, how the copy ends tells: files of one program begin alike, with NULs where it writes
    on at its offset. None where the copy cannot be read to its end.
    """
    now = os.pread(live.fd, HEAD_BYTES, 0)
    begins_alike = any(
        copy.head[:length] == head[:length]
        for head in (live.head, now)
        if (length := min(len(copy.head), len(head)))
    )
    if not begins_alike or not now.startswith(live.head):
        return begins_alike
    try:
        is_short = copy.ends_within(os.fstat(live.fd).st_size)
        at = copy.offset - len(copy.tail)
        is_of_now = is_short and os.pread(live.fd, len(copy.tail), at) == copy.tail
        copy.restart()
    except RewrittenError:  # it was written over: that is a copy that is being made
        return True
    except OSError:
        return None
    return is_of_now
