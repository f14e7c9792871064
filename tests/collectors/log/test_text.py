"""Bytes as text, lines that belong together, and times at their beginning."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.collectors.log.entries import Joiner
from etlmon.collectors.log.text import TextReader
from etlmon.collectors.log.times import TimeReader
from etlmon.config.watched import MultilineSection
from etlmon.host.lines import Mark, Reading
from etlmon.records.log import LineMark

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


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


class TestTimes:
    @pytest.mark.parametrize(
        ("time_format", "line", "expected"),
        [
            ("%Y-%m-%d %H:%M:%S", "2026-02-03 04:05:06 x", "2026-02-03T03:05:06+00:00"),
            (
                "%Y-%m-%dT%H:%M:%S.%f%z",
                "2026-02-03T04:05:06.789Z x",
                "2026-02-03T04:05:06.789+00:00",
            ),
            ("[%d/%b/%Y:%H:%M:%S %z]", "[03/Feb/2026:04:05:06 -0500]", "2026-02-03T09:05:06+00:00"),
            ("%b %d %H:%M:%S", "Feb  3 04:05:06 host x", "2026-02-03T03:05:06+00:00"),
            ("%b %d %H:%M:%S", "Dec 31 23:59:59 host x", "2025-12-31T22:59:59+00:00"),
            ("%b %d %H:%M:%S", "Mar  2 00:00:00 host x", "2026-03-01T23:00:00+00:00"),
            ("%Y", "no time", None),
            ("%Y-%m-%d", "2026-99-99", None),
            ("%d %H", "", None),
        ],
    )
    def test_at_the_beginning_of_a_line(
        self, time_format: str, line: str, expected: str | None
    ) -> None:
        found = TimeReader(time_format, ZoneInfo("Europe/Berlin")).millis(line, NOW)
        wanted = None if expected is None else datetime.fromisoformat(expected).timestamp() * 1000
        assert found == wanted

    def test_format_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="has %Q; write only"):
            TimeReader("%Q", None)

    @given(line=st.text(max_size=40))
    def test_any_line_is_taken(self, line: str) -> None:
        TimeReader("%b %d %H:%M:%S", None).millis(line, NOW)
