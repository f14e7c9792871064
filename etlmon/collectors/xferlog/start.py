"""Where to begin in a large log of which only what ended since some moment is wanted.

No plain bisection: clocks are set, sessions have other offsets, and lines do not parse, so that one
line in the wrong place would send it to the wrong half. Lines are looked at from the beginning on,
a thousand of them evenly spread, as far as they are older, and then between the last of these and
the next. What is passed over has an older line before it and one behind it, at most a thousandth of
the log apart.
"""

from __future__ import annotations

from collections.abc import Callable

Read = Callable[[int, int], bytes]
"""Gives so many bytes (the second) of the log from an offset (the first) on, fewer at its end."""

_PARTS, _PARTS_OF_PART = 1024, 64
_LEAST_STEP_BYTES = 64 << 10
"""So much is rather read than looked into."""
_WINDOW_BYTES = 4 << 10
_MOST_WINDOW_BYTES = 64 << 10
"""Within so much a line must tell a time; what is behind it is read if none does."""


def find_start(read: Read, size_bytes: int, is_older: Callable[[bytes], bool | None]) -> int:
    """Give the offset of a line before which all that was looked at is older; 0 if there is none.

    ``is_older`` tells it of a line, None if the line does not say.
    """
    start, end, parts = 0, size_bytes, _PARTS
    while end - start > _LEAST_STEP_BYTES:
        step = max(_LEAST_STEP_BYTES, (end - start) // parts)
        place = start + step
        while place < end:
            older = _older_line(read, place, is_older)
            if older is None:
                break
            start = older
            place += step
        end, parts = min(place, end), _PARTS_OF_PART
        if step == _LEAST_STEP_BYTES:
            break
    return start


def _older_line(read: Read, place: int, is_older: Callable[[bytes], bool | None]) -> int | None:
    """Give where the first line after a place begins that tells a time, if it is older."""
    window = _WINDOW_BYTES
    while window <= _MOST_WINDOW_BYTES:
        data = read(place, window)
        # What the place is within, and what the window ends in, are no whole lines.
        begin, last = data.find(b"\n") + 1, data.rfind(b"\n")
        while 0 < begin <= last:
            end = data.index(b"\n", begin)
            older = is_older(data[begin:end])
            if older is not None:
                return place + begin if older else None
            begin = end + 1
        window *= 4
    return None
