"""Lines out of bytes: every byte string is taken, whatever the pieces in which it comes."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etlmon.host.generation import Generation, open_generation
from etlmon.host.lines import LineReader, Mark, Reading

MAX_LINE = 100


def reader_of(path: Path, *, max_line_bytes: int = MAX_LINE) -> LineReader:
    generation = open_generation(bytes(path))
    generation.restart()
    return LineReader(generation, max_line_bytes=max_line_bytes, partial_seconds=5.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    one = tmp_path / "app.log"
    one.touch()
    return one


@pytest.fixture
def lines(path: Path) -> Iterator[LineReader]:
    one = reader_of(path)
    yield one
    one.generation.close()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def taken(
    lines: LineReader, now: float = 0.0, **options: bool
) -> list[tuple[bytes | None, Mark | None]]:
    """Read to the end; give each line with its mark."""
    found: list[tuple[bytes | None, Mark | None]] = []
    while (reading := lines.read(1000, now, **options)) is not None:
        found += [(line, reading.marks.get(place)) for place, line in enumerate(reading.lines)]
    return found


def test_only_lf_ends_a_line(path: Path, lines: LineReader) -> None:
    append(path, b"a\rb\r\n\x0b\x0c\x1c\x85\n\n\xe2\x80\xa8\n")
    assert taken(lines) == [
        (b"a\rb\r", None),
        (b"\x0b\x0c\x1c\x85", None),
        (b"", None),
        (b"\xe2\x80\xa8", None),
    ]


def test_no_more_lines_than_wanted(path: Path, lines: LineReader) -> None:
    append(path, b"".join(b"%d\n" % number for number in range(5000)))
    numbers = []
    while (reading := lines.read(7, 0.0)) is not None:
        assert len(reading.lines) <= 7
        assert reading.block is not None
        numbers += reading.lines
    assert numbers == [b"%d" % number for number in range(5000)]


class TestPartial:
    def test_held_until_its_end_comes(self, path: Path, lines: LineReader) -> None:
        append(path, b"one\ntw")
        assert taken(lines, 0.0) == [(b"one", None)]
        assert lines.position.offset == 4, "it is read again after a restart"
        append(path, b"o\n")
        assert taken(lines, 4.9) == [(b"two", None)]

    def test_given_when_it_has_waited(self, path: Path, lines: LineReader) -> None:
        append(path, b"tw")
        assert taken(lines, 1.0) == []
        append(path, b"o")
        assert taken(lines, 5.9) == []
        assert taken(lines, 6.0) == [(b"two", Mark(("partial",)))]
        append(path, b"three\n")
        assert taken(lines, 6.0) == [(b"three", None)]

    def test_given_at_once_where_nothing_more_comes(self, path: Path, lines: LineReader) -> None:
        append(path, b"tw")
        assert taken(lines, is_last=True) == [(b"tw", Mark(("partial",)))]


class TestLong:
    @pytest.mark.parametrize("length", [MAX_LINE, MAX_LINE + 1, 1 << 16, (1 << 20) + 3, 3 << 20])
    def test_cut_and_marked_and_the_next_is_whole(
        self, path: Path, lines: LineReader, length: int
    ) -> None:
        append(path, b"a\n" + b"x" * length + b"\nb\n")
        mark = Mark(("cut",), length) if length > MAX_LINE else None
        assert taken(lines) == [(b"a", None), (b"x" * min(length, MAX_LINE), mark), (b"b", None)]

    def test_whose_end_does_not_come(self, path: Path, lines: LineReader) -> None:
        append(path, b"a\n" + b"x" * 500)
        assert taken(lines, 0.0) == [(b"a", None)]
        assert lines.position.offset == 2
        assert taken(lines, 5.0) == [(b"x" * 100, Mark(("cut", "partial"), 500))]
        append(path, b"yy\n")
        assert taken(lines, 5.0) == [(b"yy", None)]

    def test_longer_than_a_turn(self, path: Path, lines: LineReader) -> None:
        """Others have their turn meanwhile: empty readings tell that it goes on."""
        append(path, b"x" * (20 << 20) + b"\n")
        readings = []
        while (reading := lines.read(10, 0.0)) is not None:
            readings.append(reading)
        assert [len(reading.lines) for reading in readings] == [0, 0, 1]


class TestNuls:
    def test_a_run_is_one_row(self, path: Path, lines: LineReader) -> None:
        append(path, bytes(5000) + b"a\nb" + bytes(64) + b"c\nd\0e\n" + bytes(63) + b"f\n")
        assert taken(lines) == [
            (None, Mark(("nul_run",), 5000)),
            (b"a", None),
            (b"b", Mark(("partial",))),
            (None, Mark(("nul_run",), 64)),
            (b"c", None),
            (b"d\0e", None),
            (bytes(63) + b"f", None),
        ]

    def test_whose_end_does_not_come(self, path: Path, lines: LineReader) -> None:
        append(path, b"a\n" + bytes(3 << 20))
        assert taken(lines, 0.0) == [(b"a", None)]
        assert lines.position.offset == 2
        assert taken(lines, 5.0) == [(None, Mark(("nul_run",), 3 << 20))]

    def test_200_mb_cost_no_memory(self, path: Path) -> None:
        """As copytruncate leaves them for a writer without O_APPEND."""
        os.truncate(path, 200 << 20)
        append(path, b"a\n")
        lines = reader_of(path)
        lines.read(1, 0.0)
        tracemalloc.start()
        try:
            found = taken(lines)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert found == [(None, Mark(("nul_run",), 200 << 20)), (b"a", None)]
        assert peak < 4 << 20, "a block or two, and nothing that grows"
        lines.generation.close()


def reference(data: bytes) -> list[bytes]:
    return data.split(b"\n")[:-1]


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"\n", b"\r\n", b"\n\n", b"x" * 99, b"y" * 100, b"z" * 101]),
        st.integers(0, 200).map(bytes),
        st.integers(101, 70_000).map(lambda length: b"w" * length),
    ),
    max_size=8,
)


@given(pieces=PIECES, most_lines=st.integers(1, 5))
@example(pieces=[bytes(64)], most_lines=1)
@example(pieces=[b"x" * 101, bytes(63), bytes(2), b"\n"], most_lines=1)
def test_nothing_is_lost_and_nothing_comes_twice(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], most_lines: int
) -> None:
    """Whatever the pieces: offsets join, and each line is what stands at its offset."""
    path = tmp_path_factory.mktemp("lines") / "x"
    path.touch()
    lines = reader_of(path)
    readings: list[Reading] = []
    data = b""
    for now, piece in enumerate(pieces):
        append(path, piece)
        data += piece
        while (reading := lines.read(most_lines, now / 100)) is not None:
            readings.append(reading)
    while (reading := lines.read(most_lines, 0.0, is_last=True)) is not None:
        readings.append(reading)
    lines.generation.close()
    at = 0
    for reading in readings:
        assert len(reading.lines) <= most_lines
        for place, (line, offset) in enumerate(
            zip(reading.lines, reading.line_offsets(), strict=True)
        ):
            mark = reading.marks.get(place, Mark(()))
            assert offset == at
            if line is None:
                assert mark.flags == ("nul_run",)
                assert data[at : at + (mark.length_bytes or 0)].strip(b"\0") == b""
                at += mark.length_bytes or 0
                continue
            length = mark.length_bytes if "cut" in mark.flags else len(line)
            assert length is not None
            assert (length > MAX_LINE) == ("cut" in mark.flags)
            assert data[at : at + len(line)] == line
            assert b"\n" not in data[at : at + length]
            at += length
            if "partial" not in mark.flags:
                assert data[at : at + 1] == b"\n"
                at += 1
    assert at == len(data)


def test_bytes_read_lately_are_known_again(path: Path) -> None:
    append(path, b"".join(b"%d\n" % number for number in range(9000)))
    first = reader_of(path)
    first.read(5000, 0.0)
    second = open_generation(bytes(path))
    assert second.go_to(first.position)
    assert second.offset == first.generation.offset
    other = path.with_name("other")
    other.write_bytes(path.read_bytes().replace(b"4999\n", b"????\n"))
    third = open_generation(bytes(other))
    assert not third.go_to(first.position)
    for one in (first.generation, second, third):
        assert isinstance(one, Generation)
        one.close()


def test_a_position_is_made_anew_where_what_it_tells_has_changed(path: Path) -> None:
    append(path, b"".join(b"%05d\n" % number for number in range(2000)))
    times = path.stat().st_mtime_ns
    one = reader_of(path)
    assert one.read(1000, 0.0) is not None
    before = one.position
    assert one.position is before
    with path.open("r+b") as file:
        file.seek(before.offset - 6)
        file.write(b"?????")
    os.utime(path, ns=(times, times))
    one.generation.refresh()
    one.generation.seek(before.offset)
    assert one.position.tail_hash != before.tail_hash
    assert (one.position.head_hash, one.position.offset) == (before.head_hash, before.offset)
    append(path, b"more\n")
    one.generation.refresh()
    assert (one.position.size, one.offset) == (12_005, before.offset)
    one.generation.close()


class TestDrained:
    """Whether another reading would find nothing, as far as could be seen."""

    def test_when_all_was_taken(self, path: Path, lines: LineReader) -> None:
        assert not lines.is_drained
        append(path, b"a\nb\n")
        assert lines.read(10, 0.0) is not None
        assert lines.is_drained

    def test_not_while_there_are_more_lines(self, path: Path, lines: LineReader) -> None:
        append(path, b"a\nb\n")
        assert lines.read(1, 0.0) is not None
        assert not lines.is_drained

    def test_not_while_one_has_no_end(self, path: Path, lines: LineReader) -> None:
        append(path, b"a\nb")
        assert lines.read(10, 0.0) is not None
        assert not lines.is_drained

    def test_not_where_more_than_a_block_was_there(self, path: Path) -> None:
        lines = reader_of(path, max_line_bytes=1 << 16)
        append(path, b"a" * (1 << 16) + b"\n" + b"b\n")  # the first fills a block to its end
        assert lines.read(10, 0.0) is not None
        assert not lines.is_drained
        lines.generation.close()

    def test_not_when_lines_were_given_back(self, path: Path) -> None:
        generation = open_generation(bytes(path))
        generation.restart()
        lines = LineReader(generation, max_line_bytes=99, partial_seconds=5.0, may_give_back=True)
        append(path, b"a\nb\n")
        assert lines.read(10, 0.0) is not None
        lines.give_back(2)
        assert not lines.is_drained
        generation.close()


@pytest.mark.parametrize("restarts", [False, True])
def test_the_end_of_a_partial_line_is_no_line(
    lines: LineReader, path: Path, restarts: bool
) -> None:
    append(path, b"begun")
    lines.generation.refresh()
    assert taken(lines, is_last=True) == [(b"begun", Mark(("partial",)))]
    if restarts:
        position = lines.position
        lines = reader_of(path)
        assert lines.generation.go_to(position)
    append(path, b"\n")
    lines.generation.refresh()
    assert taken(lines) == []
    assert (lines.position.offset, lines.left_bytes) == (6, 0)
    append(path, b"\nnext\n")
    lines.generation.refresh()
    assert taken(lines) == [(b"", None), (b"next", None)]
    if restarts:
        lines.generation.close()
