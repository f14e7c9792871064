"""Bytes as text, and lines that belong together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.collectors.log.entries import Joiner
from etlmon.collectors.log.text import TextReader
from etlmon.config.watched import MultilineSection
from etlmon.host.lines import Mark, Reading
from etlmon.records.log import LineMark


def read(data: bytes, encoding: str = "utf-8", *, strip_cr: bool = False) -> list[str | None]:
    return TextReader(encoding, strip_cr=strip_cr).lines(Reading(1, 0, data))


@given(lines=st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b""))))
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp949", "shift_jis", "koi8-r", "utf-7"])
def test_any_bytes_are_taken_and_a_block_is_as_its_lines(encoding: str, lines: list[bytes]) -> None:
    if not lines:
        return
    found = read(b"".join(line + b"\n" for line in lines), encoding)
    expected = [
        line.decode(encoding, "replace").encode("utf-8", "replace").decode() for line in lines
    ]
    assert found == expected


def test_cr_is_kept_unless_it_is_unwanted() -> None:
    assert read(b"a\r\nb\rc\n") == ["a\r", "b\rc"]
    assert read(b"a\r\nb\rc\n\r\n", strip_cr=True) == ["a", "b\rc", ""]
    assert read(b"a\r\n", "cp949", strip_cr=True) == ["a"]


def test_line_that_is_cut_within_a_character() -> None:
    reading = Reading(1, 0, None, ["\u00e9\u00e9".encode()[:3], None], {0: Mark(("cut",), 4)})
    assert TextReader("utf-8", strip_cr=False).lines(reading) == ["\u00e9", None]


def test_line_that_is_cut_within_what_is_no_escape_sequence() -> None:
    reading = Reading(1, 0, None, [b"a\x1b$" + b"a" * 12], {0: Mark(("cut",), 20)})
    (line,) = TextReader("iso2022_jp_3", strip_cr=False).lines(reading)
    assert line is not None
    assert line.startswith("a")


class TestEntries:
    def test_indented_lines_and_blanks_belong_to_the_one_before(self) -> None:
        joiner = Joiner(MultilineSection(), 1000)
        lines: list[str | None] = ["Error", "  at x", "", "\tat y", "next"]
        assert joiner.join(lines, {})[0] == ["Error\n  at x\n\n\tat y", "next"]
        assert joiner.last_start(lines) == 4
        assert joiner.last_start(lines[:4]) == 0

    def test_pattern_of_first_lines(self) -> None:
        joiner = Joiner(MultilineSection(start=r"^\d{4}-", continues_on_blank=False), 1000)
        lines: list[str | None] = ["2026-01 a", "Caused by: b", "", "2026-01 c"]
        assert joiner.join(lines, {})[0] == ["2026-01 a\nCaused by: b", "", "2026-01 c"]

    def test_marks_stay_with_their_lines_and_end_entries(self) -> None:
        gap = LineMark(flags=("gap",))
        found = Joiner(MultilineSection(), 1000).join(["a", " b", None, " c"], {2: gap})
        assert found == (["a\n b", None, " c"], {1: gap})

    def test_long_entries_are_parted(self) -> None:
        found = Joiner(MultilineSection(), 10).join(["aaaa", " bbb", " ccc"], {})
        assert found[0] == ["aaaa\n bbb", " ccc"]

    def test_pattern_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="missing"):
            Joiner(MultilineSection(start="("), 10)
