"""Units as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.units import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_size,
    from_millis,
    mebibytes,
    parse_duration,
    parse_size,
    to_millis,
    utc,
)


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("15s", 15.0),
            ("500ms", 0.5),
            ("0.1s", 0.1),
            ("1m30s", 90.0),
            ("2h", 7200.0),
            ("7d", 604800.0),
            ("1w", 604800.0),
            ("0s", 0.0),
        ],
    )
    def test_each_unit_is_read(self, text, seconds):
        assert parse_duration(text) == seconds

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "15",
            "s",
            "-5s",
            "5 s",
            "5S",
            "5s\n",
            " 5s",
            "1.s",
            ".5s",
            "1e3s",
            "٣s",
            "5s5",
            "infs",
        ],
    )
    def test_anything_else_is_refused(self, text):
        with pytest.raises(ValueError, match="is not a duration; write 30s, 5m, 1h"):
            parse_duration(text)

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0s"),
            (15, "15s"),
            (90, "90s"),
            (300, "5m"),
            (86400, "1d"),
            (0.25, "250ms"),
            (1.5, "1.5s"),
            (1234567, "1234567s"),
            (0.0000001, "0.0001ms"),
            (100, "100s"),
        ],
    )
    def test_they_are_written_in_the_largest_unit_that_divides_them(self, seconds, text):
        assert format_duration(seconds) == text

    @given(st.floats(min_value=0, max_value=1e12) | st.integers(0, 10**9).map(float))
    def test_what_is_written_reads_as_the_very_same_seconds(self, seconds):
        text = format_duration(seconds)
        assert re.search(DURATION_PATTERN, text)
        assert parse_duration(text) == seconds


class TestSizes:
    @pytest.mark.parametrize(
        ("text", "size_bytes"),
        [
            ("4096", 4096),
            ("4096B", 4096),
            ("64KiB", 65536),
            ("10 MiB", 10 << 20),
            ("1.5GB", 1_500_000_000),
            ("1kB", 1000),
            ("1KB", 1000),
            ("2TiB", 2 << 40),
            ("9007199254740993", 2**53 + 1),
        ],
    )
    def test_each_unit_is_read(self, text, size_bytes):
        assert parse_size(text) == size_bytes

    @pytest.mark.parametrize(
        "text", ["", "MiB", "-1", "1 PiB", "1M", "5\n", "1\tB", "1e3", "٣", "inf"]
    )
    def test_anything_else_is_refused(self, text):
        with pytest.raises(ValueError, match="is not a size; write 500MiB, 2GiB, 4096"):
            parse_size(text)

    def test_a_number_beyond_all_floats_is_still_a_number(self):
        assert parse_size("9" * 400) > 10**399

    @pytest.mark.parametrize(
        ("size_bytes", "text"), [(0, "0"), (1000, "1000"), (65536, "64KiB"), (3 << 30, "3GiB")]
    )
    def test_they_are_written_in_the_largest_unit_that_divides_them(self, size_bytes, text):
        assert format_size(size_bytes) == text

    @pytest.mark.parametrize(
        ("size_bytes", "text"), [(0, "0.0 MiB"), (71_519_112, "68.2 MiB"), (64 << 20, "64.0 MiB")]
    )
    def test_for_people_they_are_mebibytes(self, size_bytes, text):
        assert mebibytes(size_bytes) == text

    @given(st.integers(0, 2**63 - 1) | st.integers(0, 2**22).map(lambda number: number << 20))
    def test_what_is_written_reads_as_the_very_same_bytes(self, size_bytes):
        text = format_size(size_bytes)
        assert re.search(SIZE_PATTERN, text)
        assert parse_size(text) == size_bytes


class TestMoments:
    @given(st.integers(-(10**13), 10**14))
    def test_a_stored_moment_comes_back(self, millis):
        assert to_millis(from_millis(millis)) == millis

    @pytest.mark.parametrize("millis", [-(1 << 63), -(10**14), 10**15, (1 << 63) - 1])
    def test_a_number_that_is_no_moment_is_shown_all_the_same(self, millis):
        """In every time zone, also where a screen shows it in its own."""
        moment = from_millis(millis)
        assert moment.year in (2, 9999)
        for hours in (-23, 23):
            moment.astimezone(timezone(timedelta(hours=hours)))

    def test_a_moment_may_have_any_zone(self):
        seoul = timezone(timedelta(hours=9))
        assert to_millis(datetime(1970, 1, 1, 9, 0, 1, tzinfo=seoul)) == 1000

    def test_microseconds_are_cut(self):
        assert to_millis(datetime(1970, 1, 1, microsecond=1999, tzinfo=UTC)) == 1
        assert utc(1.2345) == datetime(1970, 1, 1, 0, 0, 1, 234000, tzinfo=UTC)
