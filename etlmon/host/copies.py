"""Copies that somebody has made of a log by hand, under names of his own.

Whoever types ``cp app.log kept; > app.log`` gives no name that rotation gives. What such a copy
holds, and when it came into being, is all that it can be known by. Blocks.
"""

from __future__ import annotations

import os
import stat
from itertools import islice
from typing import TYPE_CHECKING

from etlmon.host.generation import (
    COMPRESSED,
    HEAD_BYTES,
    TAIL_BYTES,
    RewrittenError,
    open_generation,
)
from etlmon.host.rotated import open_at
from etlmon.host.writers import find_writers

if TYPE_CHECKING:
    from etlmon.host.generation import Generation, Position
    from etlmon.host.rotated import Rotated

_MOST_NAMES = 10_000
"""Names of a directory that are looked at, for a file that is cut off all the time."""
_MOST_OPENED = 16
_TICK_NS = 20_000_000
"""The times of files are those of the kernel's last tick: they may be so much too early."""
_MARGIN_NS = 1_000_000_000


def find_copy(
    position: Position, path: bytes, since_ns: int, live: Generation, proc: bytes
) -> Generation | None:
    """Open the copy of a file that was cut off, beside it, and go to a position; None if none is.

    It has come into being ``since_ns``, nobody writes to it, and it holds what was read of the
    file, as far as that is known. Files of one program begin alike: where it is little that was
    read a file that was there before, or what the file itself begins with anew, is no copy.
    """
    if not position.head_bytes or not position.offset:
        return None
    directory = os.path.dirname(os.path.realpath(path))
    since_ns -= _TICK_NS
    is_much = position.offset >= HEAD_BYTES + TAIL_BYTES
    for name in _changed_since(directory, since_ns, position.offset, live.identity):
        generation = open_at(name, position)
        if generation is None:
            continue
        length = min(len(generation.head), len(live.head))
        if (
            (is_much or generation.born_ns >= since_ns)
            and not (length and generation.head[:length] == live.head[:length])
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


def old_copy(one: Rotated, original: Generation, since_ns: int) -> Position | None:
    """Give the end of a file if it is a copy of ``original``, made while that bore the name.

    ``since_ns`` is when it was seen to bear the name last. Whatever bore it later has changed
    later, be it by being made or by getting another name: that is no copy, but to be read.
    """
    if one.is_packed or not one.size or one.changed_ns >= since_ns - _MARGIN_NS:
        return None
    try:
        generation = open_generation(one.path)
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
