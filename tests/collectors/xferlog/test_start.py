"""Where to begin in a log of which the older part is not wanted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.collectors.xferlog import start as module
from etlmon.collectors.xferlog.start import find_start

LINE_BYTES = 100


def is_older(than: int) -> Callable[[bytes], bool | None]:
    def tell(line: bytes) -> bool | None:
        number = line.strip()
        return int(number) < than if number.isdigit() else None

    return tell


class Log:
    """A log of lines of 100 bytes that exist only while they are read; it counts the reads."""

    def __init__(self, lines: int, time_of: Callable[[int], int] = lambda number: number) -> None:
        self.size_bytes = lines * LINE_BYTES
        self._time_of = time_of
        self.reads = 0

    def read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        first = offset // LINE_BYTES
        last = (min(offset + length, self.size_bytes) - 1) // LINE_BYTES
        lines = (b"%99d\n" % self._time_of(number) for number in range(first, last + 1))
        return b"".join(lines)[offset - first * LINE_BYTES :][:length]


@pytest.mark.parametrize("wanted", [0, 1, 700, 1_000_000, 31_234_567, 49_999_999, 60_000_000])
def test_of_five_gigabytes_little_is_read(wanted: int) -> None:
    log = Log(50_000_000)
    start = find_start(log.read, log.size_bytes, is_older(wanted))
    assert start % LINE_BYTES == 0
    place = min(wanted * LINE_BYTES, log.size_bytes)
    assert place - 3 * module._LEAST_STEP_BYTES < start <= max(0, place - LINE_BYTES)
    assert log.reads < 1_200


def test_a_clock_that_was_wrong_for_a_while_hides_nothing() -> None:
    """Neither before its time was put right nor afterwards."""
    past = Log(1_000_000, lambda number: 5 if 400_000 < number < 600_000 else number)
    assert find_start(past.read, past.size_bytes, is_older(300_000)) < 300_000 * LINE_BYTES
    future = Log(1_000_000, lambda number: 10**9 if 400_000 < number < 600_000 else number)
    assert find_start(future.read, future.size_bytes, is_older(700_000)) < 700_000 * LINE_BYTES


def test_where_no_line_tells_a_time_all_is_read() -> None:
    log = Log(1_000_000)
    assert find_start(log.read, log.size_bytes, lambda _line: None) == 0
    assert find_start(lambda _offset, length: b"\0" * length, 5 << 30, is_older(9)) == 0
    assert find_start(lambda _offset, _length: b"", 5 << 30, is_older(9)) == 0


def test_a_place_without_times_ends_the_search() -> None:
    def read(offset: int, length: int) -> bytes:
        return log.read(offset, length) if offset < 50_000_000 else b"\n" * length

    log = Log(1_000_000)
    start = find_start(read, log.size_bytes, is_older(900_000))
    assert 50_000_000 - 3 * module._LEAST_STEP_BYTES < start < 50_000_000


@given(
    st.lists(st.integers(0, 300) | st.sampled_from([b"", b"x" * 70, b"-"]), max_size=200),
    st.integers(0, 300),
    st.booleans(),
)
def test_all_that_is_left_out_is_older(
    lines: list[int | bytes], wanted: int, is_in_order: bool
) -> None:
    """In a log whose times rise; in any other it begins with a line all the same."""
    if is_in_order:
        numbers = iter(sorted(line for line in lines if isinstance(line, int)))
        lines = [next(numbers) if isinstance(line, int) else line for line in lines]
    text = b"".join(b"%d\n" % line if isinstance(line, int) else line + b"\n" for line in lines)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_LEAST_STEP_BYTES", 16)
        patched.setattr(module, "_WINDOW_BYTES", 32)
        patched.setattr(module, "_MOST_WINDOW_BYTES", 128)
        patched.setattr(module, "_PARTS", 8)
        patched.setattr(module, "_PARTS_OF_PART", 4)
        start = find_start(
            lambda offset, length: text[offset : offset + length], len(text), is_older(wanted)
        )
    assert start == 0 or text[start - 1 : start] == b"\n"
    if is_in_order:
        for line in text[:start].split(b"\n"):
            assert not line.isdigit() or int(line) < wanted
