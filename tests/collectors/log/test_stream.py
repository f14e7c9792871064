"""One file: entries of several lines, times, and what is told of it."""

from __future__ import annotations

from pathlib import Path

from etlmon.records.log import LogBlock, LogFileRead
from tests.collectors.log.conftest import Follow, Harness, write

TRACE = ("Error", "  at a", "  at b")


class TestEntries:
    """The last entry goes back to the file until it is known to be whole."""

    def test_waits_for_the_next_one(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", multiline={}, partial_timeout=60.0)
        write(logs / "app.log", *TRACE)
        assert one.run() == []
        assert one.told["app.log"].lag_bytes == 20
        write(logs / "app.log", "  at c", "next")
        assert one.run() == ["Error\n  at a\n  at b\n  at c"]
        assert (one.told["app.log"].offset, one.told["app.log"].lag_bytes) == (27, 5)

    def test_or_until_none_has_come_for_long(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", multiline={}, partial_timeout=60.0)
        write(logs / "app.log", *TRACE)
        one.run()
        assert one.run(30) == []
        write(logs / "app.log", "  at c")
        assert one.run(31) == [], "it has grown: it waits anew"
        assert one.run(61) == ["Error\n  at a\n  at b\n  at c"]
        assert one.run() == []

    def test_is_read_again_after_a_restart(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", multiline={}, partial_timeout=60.0)
        write(logs / "app.log", "first", *TRACE)
        assert one.run() == ["first"]
        one.end()
        one.begin_anew()
        write(logs / "app.log", "  at c", "next")
        assert one.run() == ["Error\n  at a\n  at b\n  at c"]

    def test_is_whole_when_the_file_is(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", multiline={}, partial_timeout=3600.0)
        write(logs / "app.log", *TRACE)
        one.run()
        (logs / "app.log").rename(logs / "app.log.1")
        write(logs / "app.log", "new")
        assert one.run() == ["Error\n  at a\n  at b"]
        write(logs / "app.log", "newer")
        assert one.run() == ["new"]

    def test_that_is_longer_than_what_is_read_at_once(self, follow: Follow, logs: Path) -> None:
        """It is parted and not waited for without end."""
        one = follow(start="beginning", multiline={}, buffer_lines=3)
        write(logs / "app.log", "Error", *(f" {number}" for number in range(7)), "next")
        found = one.run() + one.run()
        assert "\n".join(str(line) for line in found).split("\n") == [
            "Error",
            *(f" {number}" for number in range(7)),
            "next",
        ]

    def test_is_not_parted_where_a_batch_is_full(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", multiline={}, partial_timeout=60.0, buffer_lines=20)
        write(logs / "app.log", *TRACE * 200, "next")
        found = [line for _ in range(100) for line in one.run(0.1)]
        assert found == ["Error\n  at a\n  at b"] * 200

    def test_is_not_parted_where_many_files_share_a_batch(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", start="beginning", multiline={}, max_open_files=60)
        entry = ("Error", *(f"  at {number}" for number in range(300)))
        for number in range(60):
            write(logs / f"{number}.log", *entry * 2, "next")
        assert one.run() == ["\n".join(entry)] * 120

    def test_waits_while_a_line_is_being_written(self, follow: Follow, logs: Path) -> None:
        """Programs write blocks of so many bytes, wherever a line may be in them."""
        one = follow(start="beginning", multiline={}, partial_timeout=60.0)
        write(logs / "app.log", "Error")
        with (logs / "app.log").open("ab") as file:
            file.write(b"  at")
        assert one.run() == []
        write(logs / "app.log", " a", "  at b", "next")
        assert one.run() == ["Error\n  at a\n  at b"]

    def test_though_its_last_line_is_never_ended(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", multiline={}, partial_timeout=60.0)
        write(logs / "app.log", "Error")
        with (logs / "app.log").open("ab") as file:
            file.write(b"  at")
        one.run()
        assert one.run(61) + one.run() + one.run(61) == ["Error", "  at"]
        assert one.flags == [("partial",)]

    def test_waits_behind_lines_that_are_marked(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", multiline={}, partial_timeout=60.0, max_line_bytes=30)
        write(logs / "app.log", "x" * 40, "first", *TRACE)
        assert one.run() == ["x" * 30, "first"]
        write(logs / "app.log", "  at c", "next")
        assert one.run() == ["Error\n  at a\n  at b\n  at c"]

    def test_after_what_is_read_in_several_turns(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", multiline={})
        with (logs / "app.log").open("wb") as file:
            file.truncate(40 << 20)
        write(logs / "app.log", *TRACE, "next")
        assert one.run() == [None, "Error\n  at a\n  at b"]

    def test_is_as_long_as_a_line_may_be(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", multiline={}, max_line_bytes=30)
        write(logs / "app.log", "오류", *("  한글" for _ in range(6)), "next")
        assert max(len(str(line).encode()) for line in one.run()) <= 30

    def test_by_a_pattern_of_first_lines(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", multiline={"start": "^[0-9]"}, partial_timeout=60.0)
        write(logs / "app.log", "1 a", "Caused by", "2 b")
        assert one.run() == ["1 a\nCaused by"]
        assert one.run(61) == ["2 b"]


def test_times_of_the_lines(follow: Follow, logs: Path) -> None:
    one = follow(start="beginning", time_format="%Y-%m-%d %H:%M:%S %z")
    write(logs / "app.log", "2026-01-01 00:00:01 +0000 a", "no time")
    one.run()
    blocks = [r for batch in one.batches for r in batch if isinstance(r, LogBlock)]
    assert [block.logged_at_ms for block in blocks] == [[1_767_225_601_000, None]]


class TestTelling:
    def told(self, one: Harness) -> int:
        before = len(one.batches)
        one.run()
        return sum(isinstance(r, LogFileRead) for batch in one.batches[before:] for r in batch)

    def test_only_of_what_is_news(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning")
        write(logs / "app.log", "a")
        assert [self.told(one) for _ in range(3)] == [1, 0, 0]
        write(logs / "app.log", "b")
        assert [self.told(one) for _ in range(2)] == [1, 0]

    def test_once_a_minute_all_the_same(self, follow: Follow, logs: Path) -> None:
        one = follow()
        write(logs / "app.log", "a")
        assert sum(self.told(one) for _ in range(25)) == 3

    def test_that_there_is_no_such_file(self, follow: Follow, logs: Path) -> None:
        one = follow()
        one.run()
        told = one.told["app.log"]
        assert (told.state, told.error_message) == ("waiting", "there is no such file")
        write(logs / "app.log", "a")
        assert one.run() == ["a"]
        assert one.told["app.log"].error_message is None

    def test_that_a_log_which_only_goes_on_has_nothing_to_go_on_with(
        self, follow: Follow, logs: Path
    ) -> None:
        """Its file may well be there."""
        one = follow(start="saved")
        write(logs / "app.log", "a")
        assert one.run() == []
        told = one.told["app.log"]
        words = "no position is saved, and with start: saved no file is begun"
        assert (told.state, told.error_message) == ("waiting", words)
