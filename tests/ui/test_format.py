"""Values as people read them, and text from hosts that must not drive a terminal."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from etlmon.records.disk import Filesystem
from etlmon.records.path import ScanAnswer, ScanSkipped
from etlmon.records.xferlog import XferlogEntry
from etlmon.ui.format import (
    format_bytes,
    format_distance,
    format_percent,
    format_seconds,
    format_transfer,
    format_value,
    heading,
    text_fields,
    text_table,
    text_width,
    visible,
)

# What hosts may send: anything, and often what a terminal obeys.
HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x07\x9b\x9d\x7f\r\n\t\u202e\u2066\u200b\u200d\ufeff\ufe0f\u0301日👍"),
    )
)


def harmless(text: str) -> bool:
    return not any(
        ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F or 0xD800 <= ord(c) < 0xE000 for c in text
    )


@given(HOSTILE)
def test_nothing_visible_drives_a_terminal(text: str) -> None:
    shown = visible(text)
    assert harmless(shown)
    assert text_width(shown) == wcswidth(shown) >= 0
    assert visible(shown) == shown


@given(
    st.text(
        st.characters(
            categories=("L", "N", "P", "S"),
            exclude_characters="\u115f\u1160\u3164\uffa0\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff",
        ),
        min_size=1,
    )
)
def test_what_can_be_printed_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("한국어 日本語 é 👍", "한국어 日本語 é 👍"),
        ("\x1b[2J", "␛[2J"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("a\nb\tc\rd\x00", "a␊b␉c␍d␀"),
        ("\x7f", "␡"),
        ("\x9b2J\x85", r"\x9b2J\x85"),
        ("abc\u202etxt.exe", r"abc\u202etxt.exe"),
        ("a\u200bb\ufeff\u00ad", r"a\u200bb\ufeff\xad"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
        ("e\u0301", "e\u0301"),
        ("\u26a0\ufe0f late", "\u26a0 late"),
        ("\ufe0f1\ufe0f\ufe0f\u20e3", "\\ufe0f1\\ufe0f\u20e3"),
        ("a\ufe01\U000e0101", r"a\ufe01\U000e0101"),
        ("👍\U0001f3fd", r"👍\U0001f3fd"),
        ("a\u3164\u115f\u1160\uffa0", r"a\u3164\u115f\u1160\uffa0"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("abc", 3),
        ("日本", 4),
        ("한국어", 6),
        ("e\u0301", 1),
        ("👍", 2),
        ("👍🏽", 2),
        ("❤\ufe0f", 2),
        ("🇩🇪", 2),
        ("␛", 1),
    ],
)
def test_widths(text: str, columns: int) -> None:
    assert text_width(text) == columns


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (10 << 10, "10.0 KiB"),
        (100 << 10, "100 KiB"),
        ((1 << 20) - 1, "1.00 MiB"),
        (1 << 30, "1.00 GiB"),
        (5 << 60, "5.00 EiB"),
        (-2048, "-2.00 KiB"),
    ],
)
def test_bytes(number: int, text: str) -> None:
    assert format_bytes(number) == text


@given(st.integers(min_value=0, max_value=1 << 63))
def test_bytes_are_short_and_near(number: int) -> None:
    digits, unit = format_bytes(number).split(" ")
    size = float(digits) * 1024 ** ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB").index(unit)
    assert len(digits) <= 4
    assert size == pytest.approx(number, rel=0.006)


@pytest.mark.parametrize(
    ("percent", "text"),
    [
        (0.0, "0%"),
        (0.001, "1%"),
        (79.2, "80%"),
        (99.999, "100%"),
        (100.0, "100%"),
        (100 * 0.56, "56%"),  # 56.00000000000001
    ],
)
def test_percentages_are_rounded_up(percent: float, text: str) -> None:
    assert format_percent(percent) == text


@given(st.integers(1, 1 << 50), st.integers(0, 1 << 50))
def test_percentages_are_those_of_df(total: int, used: int) -> None:
    """A full 56 % must not become 57 by the noise of floating point."""
    used %= total + 1
    blocks = min(total, 1_000_000)
    exact = used * blocks // total  # as many blocks as a float can tell apart
    assert format_percent(100 * exact / blocks) == f"{-(-100 * exact // blocks)}%"
    assert format_percent(exact / blocks * 100) == f"{-(-100 * exact // blocks)}%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.25, "1.25 s"),
        (59.94, "59.9 s"),
        (59.96, "1m"),
        (245, "4m 5s"),
        (3599.6, "1h"),
        (3_661, "1h 1m"),
        (86_399.6, "1d"),
        (183_600, "2d 3h"),
    ],
)
def test_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@given(st.floats(min_value=0, max_value=1e10))
def test_seconds_never_carry_over(seconds: float) -> None:
    text = format_seconds(seconds)
    assert "1000 ms" not in text
    assert text != "60 s"
    assert text[-4:] not in (" 60s", " 60m", " 24h")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("x", None, "-"),
        ("x", True, "yes"),
        ("x", 1234567, "1,234,567"),
        ("used_bytes", 2048, "2.00 KiB"),
        ("used_percent", 79.1, "80%"),
        ("scan_duration_ms", 1500, "1.5 s"),
        ("interval_seconds", 300.0, "5m"),
        ("runtime_sec", 7380.0, "2h 3m"),
        ("parent_pid", 4711, "4711"),
        ("x", "a\x1bb", "a␛b"),
        ("x", ["a\x1b"], r'["a\u001b"]'),
        ("x", ["a\x9b"], '["a\\x9b"]'),
    ],
)
def test_a_name_decides_how_a_value_is_shown(name: str, value: object, text: str) -> None:
    assert format_value(name, value) == text


def test_moments_are_in_the_zone_of_the_terminal(monkeypatch) -> None:
    moment = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    assert format_value("x", moment) == moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("zone", "text"),
    [("Asia/Seoul", "9999-12-31 23:59:59"), ("America/New_York", "0001-01-01 00:00:00")],
)
def test_a_moment_that_the_zone_has_not_is_shown_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, zone: str, text: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        shown = format_value("x", datetime.fromisoformat(f"{text}+00:00"))
    time.tzset()
    # strftime fills up no year on Linux.
    assert shown.rjust(19, "0") == text


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("mount_point", "MOUNT POINT"),
        ("used_bytes", "USED"),
        ("used_percent", "USED%"),
        ("scan_duration_ms", "SCAN DURATION"),
        ("lag_seconds", "LAG"),
    ],
)
def test_titles(name: str, title: str) -> None:
    assert heading(name) == title


def filesystem(mount_point: str, used_bytes: int | None = None) -> Filesystem:
    return Filesystem(
        mount_point=mount_point,
        device="d",
        fs_type="ext4",
        used_bytes=used_bytes,
        collected_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_table_has_numbers_to_the_right_and_words_to_the_left() -> None:
    items = [filesystem("/", 5), filesystem("/日本"), filesystem("/a\x1b\nb", 2048)]
    assert text_table(items, ["mount_point", "used_bytes", "level"]) == (
        "MOUNT POINT      USED  LEVEL\n"
        "/                 5 B  ok\n"
        "/日本               -  ok\n"
        "/a␛␊b        2.00 KiB  ok"
    )


def test_a_table_for_a_terminal_leaves_out_what_nobody_tells() -> None:
    items = [filesystem("/", 0), filesystem("/a")]
    columns = ["mount_point", "total_bytes", "used_bytes", "reason"]
    assert (
        text_table(items, columns, 80) == "MOUNT POINT  USED\n/             0 B\n/a              -"
    )


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (30, ["MOUNT POINT  LEVEL      USED", "/데이터      ok     2.00 KiB"]),
        (27, ["MOUNT POINT  LEVEL", "        USED", "/데이터      ok", "    2.00 KiB"]),
        (5, ["MOUNT POINT", "    LEVEL", "        USED"]),
    ],
)
def test_a_table_too_wide_for_a_terminal_is_folded(width: int, lines: list[str]) -> None:
    items = [filesystem("/데이터", 2048)]
    text = text_table(items, ["mount_point", "level", "used_bytes"], width)
    assert text.split("\n")[: len(lines)] == lines


@given(st.lists(HOSTILE, min_size=1, max_size=3), st.integers(1, 60))
def test_folded_tables_show_all_that_others_do(names: list[str], width: int) -> None:
    items = [filesystem(name, 1) for name in names]
    columns = ["mount_point", "device", "fs_type", "used_bytes", "level", "state"]

    def letters(text: str) -> str:
        return "".join(text.replace("-", " ").split())

    assert letters(text_table(items, columns, width)) == letters(text_table(items, columns))


def test_what_is_too_wide_for_a_line_goes_on_below_and_is_cut_at_some_length() -> None:
    text = text_table([filesystem("한" * 20), filesystem("/b")], ["mount_point"], 20)
    assert text == f"MOUNT POINT\n{'한' * 10}\n{' ' * 8}{'한' * 6}\n{' ' * 8}{'한' * 4}\n/b"
    text = text_table([filesystem("one two three four five")], ["mount_point"], 20)
    assert text == f"MOUNT POINT\none two three four \n{' ' * 8}five"
    text = text_table([filesystem("x" * 1_234)], ["mount_point"], 2_000)
    assert text == f"MOUNT POINT\n{'x' * 1_000}\u2026 (234 more)"
    assert "x" * 1_234 in text_table([filesystem("x" * 1_234)], ["mount_point"])


def test_a_line_of_a_folded_row_that_tells_nothing_is_left_out() -> None:
    items = [filesystem("/a" * 10), filesystem("/b", 1)]
    text = text_table(items, ["mount_point", "used_bytes"], 20)
    assert text == f"MOUNT POINT\n    USED\n{'/a' * 10}\n/b\n     1 B"


@given(st.lists(HOSTILE, min_size=1, max_size=5))
def test_tables_are_aligned_whatever_the_names(names: list[str]) -> None:
    items = [filesystem(name, 1) for name in names]
    lines = text_table(items, ["mount_point", "used_bytes", "level"]).split("\n")
    assert len(lines) == len(names) + 1
    assert all(harmless(line) for line in lines)
    assert {text_width(line) for line in lines[1:]} == {text_width(lines[1])}


def test_a_record_is_a_line_for_each_field_and_its_records_are_tables() -> None:
    answer = ScanAnswer(started=["/a", "/b\x1b"], skipped=[ScanSkipped(path="/c", reason="busy")])
    assert text_fields(answer) == ("started  /a\nstarted  /b␛\n\nSKIPPED\nPATH  REASON\n/c    busy")
    assert text_fields(msgspec.structs.replace(answer, started=[], skipped=[])) == (
        "started  -\nskipped  -"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (-0.9, "now"),
        (1, "in 1 s"),
        (59.9, "in 59 s"),
        (60, "in 1 min"),
        (239, "in 3 min"),
        (5_399, "in 89 min"),
        (5_400, "in 1 h"),
        (172_799, "in 47 h"),
        (172_800, "in 2 d"),
        (400 * 86_400, "in 400 d"),
        (-200, "3 min ago"),
    ],
)
def test_distances(seconds: float, text: str) -> None:
    assert format_distance(seconds) == text


def test_a_transfer_is_a_line() -> None:
    at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    entry = XferlogEntry(
        id=1, log_path="/l", created_at=at, status="complete", landing="landed", log_time=at,
        direction="upload", bytes=1536, username="etl", remote_host="10.0.0.7",
        filename="/in/\x1b[2J.csv",
    )  # fmt: skip
    assert format_transfer(entry) == (
        "2026-11-24 12:00:00  upload  complete, landed  1.50 KiB  etl  10.0.0.7  /in/\u241b[2J.csv"
    )
    none = XferlogEntry(id=2, log_path="/l", created_at=at, status="unparsed", line="\x07?")
    assert format_transfer(none) == "2026-11-24 12:00:00  -- unparsed: \u2407? --"
    none = msgspec.structs.replace(none, reason="no date", line="x" * 1_001)
    assert format_transfer(none) == (
        f"2026-11-24 12:00:00  -- unparsed: no date: {'x' * 1_000}\u2026 (1 more) --"
    )
