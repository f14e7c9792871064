"""Patterns of files: which are found, opened and read in turn, and told of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from etlmon.collectors.log import search
from etlmon.collectors.log.stream import Stream
from etlmon.collectors.log.streams import AbandonedError, Streams
from etlmon.config.node import LogSection
from etlmon.errors import CollectedInPart
from etlmon.host.follow import Follower
from etlmon.host.lines import LineReader
from etlmon.units import utc
from tests.collectors.log.conftest import Follow, Harness, open_files, write
from tests.waiting import PATIENCE_SECONDS


class TestWhichFiles:
    def test_new_ones_are_read_from_their_beginning(self, follow: Follow, logs: Path) -> None:
        """Those that were there already, from their end."""
        write(logs / "a.log", "old")
        one = follow("*.log")
        assert one.run() == []
        write(logs / "a.log", "a")
        write(logs / "b.log", "b")
        one.run()
        assert one.lines == {"a.log": ["a"], "b.log": ["b"]}

    def test_a_new_one_is_found_at_a_hint(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log")
        one.run()
        write(logs / "b.log", "b")
        assert one.run(0.01) == ["b"]

    def test_in_directories_that_come(self, follow: Follow, logs: Path) -> None:
        one = follow("*/x.log")
        one.run()
        (logs / "day").mkdir()
        write(logs / "day" / "x.log", "a")
        assert one.run() == ["a"]

    def test_in_all_directories_below_but_through_no_links(
        self, follow: Follow, logs: Path
    ) -> None:
        """Two that lead upwards make more paths than there is time for."""
        for name in ("a.log", "one/b.log", "one/[two]/c.log", "one/.hidden/no.log"):
            (logs / name).parent.mkdir(exist_ok=True)
            write(logs / name, name)
        elsewhere = logs.parent / "elsewhere"
        elsewhere.mkdir()
        write(elsewhere / "d.log", "d.log")
        (logs / "link").symlink_to(elsewhere)
        (logs / "link.log").symlink_to(elsewhere / "d.log")
        one = follow("**/*.log", start="beginning")
        one.run()
        assert set(one.lines) == {"a.log", "b.log", "c.log", "link.log"}

    def test_those_that_came_while_nobody_looked_are_new(self, follow: Follow, logs: Path) -> None:
        write(logs / "a.log", "old")
        one = follow("*.log")
        one.run()
        one.end()
        write(logs / "b.log", "b")
        one.begin_anew()
        assert one.run() == ["b"]

    def test_rotated_files_are_no_logs_of_their_own(self, follow: Follow, logs: Path) -> None:
        for name in ("app.log", "app.log.1", "app-20260101.log", "app.log.2.gz"):
            write(logs / name, name)
        write(logs / "app-2.log", "another log: no rotation makes this name")
        one = follow("app*", start="beginning")
        one.run()
        assert set(one.lines) == {"app.log", "app-2.log"}

    def test_one_that_gets_another_name_is_not_read_again(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", start="beginning")
        write(logs / "a.log", "a")
        one.run()
        (logs / "a.log").rename(logs / "b.log")
        assert one.run() == []

    @pytest.mark.parametrize("name", ["b.log", "a-20260101.log"])
    def test_nor_when_the_old_name_is_forgotten(
        self, follow: Follow, logs: Path, name: str
    ) -> None:
        """Whether rotation gives such names or not."""
        one = follow("*.log", start="beginning")
        write(logs / "a.log", "a")
        one.run()
        (logs / "a.log").rename(logs / name)
        for _ in range(20):
            assert one.run() == []

    @pytest.mark.parametrize("name", ["b.log", "a-20260101.log"])
    @pytest.mark.parametrize("seen", [True, False], ids=["seen", "meanwhile"])
    def test_nor_after_a_restart(self, follow: Follow, logs: Path, name: str, seen: bool) -> None:
        one = follow("*.log", start="beginning")
        write(logs / "a.log", "a")
        one.run()
        (logs / "a.log").rename(logs / name)
        if seen:
            one.run()
        one.end()
        write(logs / name, "more")
        one.begin_anew()
        found = [line for _ in range(20) for line in one.run()]
        assert (found, one.flags) == (["more"], [])

    def test_one_that_got_another_name_is_a_log_from_there_on(
        self, follow: Follow, logs: Path
    ) -> None:
        one = follow("*.log", start="beginning")
        for number in range(20):
            write(logs / "a.log", number)
            one.run()
            (logs / "a.log").rename(logs / f"b{number}.log")
            assert one.run() == []
        write(logs / "b0.log", "more")
        one.run()
        assert one.lines["b0.log"] == ["more"]
        assert one.lines["a.log"] == [str(number) for number in range(20)]

    def test_a_second_name_is_not_read_when_the_first_is_gone(
        self, follow: Follow, logs: Path
    ) -> None:
        one = follow("*.log", start="beginning")
        write(logs / "a.log", "a")
        one.run()
        (logs / "b.log").hardlink_to(logs / "a.log")
        one.run()
        (logs / "a.log").unlink()
        write(logs / "b.log", "b")
        for _ in range(20):
            one.run()
        write(logs / "b.log", "c")
        one.run()
        assert [*one.lines["a.log"], *one.lines["b.log"]] == ["a", "b", "c"]

    @pytest.mark.parametrize("is_hard", [False, True], ids=["symbolic", "hard"])
    @pytest.mark.parametrize("when", ["before", "after", "restart"])
    def test_a_file_of_two_names_is_read_once(
        self, follow: Follow, logs: Path, when: str, is_hard: bool
    ) -> None:
        """By its own name, or the first."""
        one = follow("*.log", start="beginning")
        write(logs / "app-1.log", "1")
        if when != "before":
            one.run()
        if when == "restart":
            one.end()
            one.begin_anew()
        link = logs / "current.log"
        link.hardlink_to(logs / "app-1.log") if is_hard else link.symlink_to("app-1.log")
        one.run()
        write(logs / "app-1.log", "2")
        one.run()
        one.end()
        one.begin_anew()
        write(logs / "app-1.log", "3")
        one.run()
        assert one.lines == {"app-1.log": ["1", "2", "3"]}
        assert set(one.told) == {"app-1.log"}

    def test_a_link_to_the_newest_of_the_files_is_no_log_of_its_own(
        self, follow: Follow, logs: Path
    ) -> None:
        one = follow("*.log", start="beginning")
        for number in range(5):
            write(logs / f"app-{number}.log", number)
            (logs / "next").symlink_to(f"app-{number}.log")
            (logs / "next").rename(logs / "current.log")
            one.run()
            write(logs / f"app-{number}.log", "more")
            one.run()
        assert one.lines == {f"app-{number}.log": [str(number), "more"] for number in range(5)}

    def test_a_link_from_elsewhere_into_the_pattern_goes_on(
        self, follow: Follow, logs: Path
    ) -> None:
        """What it leads to now is the next file of the log that has its name."""
        one = follow("*.log", start="beginning")
        write(logs / "elsewhere", "1")
        (logs / "current.log").symlink_to("elsewhere")
        one.run()
        write(logs / "elsewhere", "2")
        write(logs / "b.log", "3")
        (logs / "current.log").unlink()
        (logs / "current.log").symlink_to("b.log")
        for _ in range(3):
            one.run()
        write(logs / "b.log", "4")
        one.run()
        assert one.lines == {"current.log": ["1", "2", "3", "4"]}

    def test_no_more_than_there_may_be(
        self, follow: Follow, logs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those that were written last."""
        monkeypatch.setattr(search, "MOST_FILES", 2)
        for number in range(4):
            write(logs / f"{number}.log", number)
            os.utime(logs / f"{number}.log", (number, number))
        one = follow("*.log", start="beginning")
        one.run()
        assert one.lines == {"2.log": ["2"], "3.log": ["3"]}

    def test_one_too_many_is_not_read_again_when_it_is_one_no_more(
        self, follow: Follow, logs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search, "MOST_FILES", 1)
        one = follow("*.log", start="beginning", max_open_files=1)
        for number in range(2):
            write(logs / f"{number}.log", number)
            os.utime(logs / f"{number}.log", (number, number))
            one.run()
        for _ in range(20):
            one.run()
        write(logs / "0.log", "more")
        for _ in range(2):
            one.run()
        assert one.lines == {"0.log": ["0", "more"], "1.log": ["1"]}

    def test_only_where_an_earlier_node_stopped(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", start="saved")
        write(logs / "a.log", "a")
        assert one.run() == []
        write(logs / "a.log", "b")
        write(logs / "b.log", "b")
        assert one.run() == []


class TestCopyMadeByHandThatThePatternNames:
    """It is a copy of the one, which has its rest read from there, and a log of its own."""

    @pytest.mark.parametrize("is_seen", [False, True], ids=["at-once", "before-the-cut"])
    @pytest.mark.parametrize("restart", [False, True])
    def test_all_lines_of_each_come_once(
        self, follow: Follow, logs: Path, is_seen: bool, restart: bool
    ) -> None:
        one = follow("*.log", start="beginning")
        write(logs / "app.log", *range(2_000))
        one.run()
        if restart:
            one.end()
            one.begin_anew()
        write(logs / "app.log", "rest")
        shutil.copyfile(logs / "app.log", logs / "kept.log")
        if is_seen:
            one.run()
        (logs / "app.log").write_text("next\n")
        for _ in range(3):
            one.run()
        whole = [*map(str, range(2_000)), "rest"]
        assert [line for line in one.lines["app.log"] if line is not None] == [*whole, "next"]
        assert one.lines.get("kept.log", whole) == whole
        assert one.flags == [("truncated",)]


class TestFilesThatGo:
    def test_are_told_of_for_a_minute(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", start="beginning")
        write(logs / "a.log", "a")
        one.run()
        (logs / "a.log").unlink()
        one.run()
        assert one.told["a.log"].state == "waiting"
        for _ in range(11):
            one.run(5)
            assert "a.log" in one.told
        one.run(6)
        assert set(one.told) == {"*.log"}
        assert one.cursors == {}
        assert one.told["*.log"].error_message == "no file matches"

    @pytest.mark.parametrize("restart", [False, True])
    def test_that_there_was_none_is_forgotten_once_there_is_one(
        self, follow: Follow, logs: Path, restart: bool
    ) -> None:
        one = follow("*.log")
        one.run()
        assert set(one.told) == {"*.log"}
        if restart:
            one.end()
            one.begin_anew()
        write(logs / "a.log", "a")
        one.run()
        assert set(one.told) == {"a.log"}

    def test_are_forgotten_though_more_than_may_be_open(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", start="beginning", max_open_files=1)
        for name in ("a.log", "b.log", "c.log"):
            write(logs / name, name)
        one.run()
        for name in ("a.log", "b.log", "c.log"):
            (logs / name).unlink()
        one.run()
        one.run()
        assert {told.state for told in one.told.values()} == {"waiting"}
        one.run(61)
        assert set(one.told) == {"*.log"}
        assert one.cursors == {}

    def test_not_before_they_have_been_read(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", start="beginning")
        write(logs / "a.log", "a")
        one.run()
        one.collector.pause()
        write(logs / "a.log", "b")
        (logs / "a.log").unlink()
        one.run()
        one.run(100)
        one.collector.resume()
        assert one.run() == ["b"]

    def test_no_file_at_all_is_told_until_there_is_one(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log")
        one.run()
        assert {name: told.state for name, told in one.told.items()} == {"*.log": "waiting"}
        write(logs / "a.log", "a")
        one.run()
        assert {name: told.state for name, told in one.told.items()} == {"a.log": "following"}


class TestNames:
    """A name may hold any byte; two that are shown alike would be one."""

    NAMES = (b"\xff.log", rb"\xff.log", rb"\x5cxff.log")

    def test_that_look_alike_are_two_files(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", start="beginning")
        for number, name in enumerate(self.NAMES):
            write(Path(os.fsdecode(bytes(logs) + b"/" + name)), number)
        one.run()
        assert one.lines == {r"\xff.log": ["0"], r"\x5cxff.log": ["1"], r"\x5cx5cxff.log": ["2"]}

    def test_are_known_again_after_a_restart(self, follow: Follow, logs: Path) -> None:
        """Also where the file has moved on meanwhile, and the name alone is left."""
        one = follow("?.log", start="beginning")
        path = Path(os.fsdecode(bytes(logs) + b"/\xff.log"))
        write(path, 1)
        one.run()
        one.end()
        write(path, 2)
        path.rename(path.with_name(f"{path.name}.1"))
        one.begin_anew()
        assert one.run() == ["2"]
        assert list(one.lines) == [r"\xff.log"]


class TestManyFiles:
    def test_no_more_are_open_than_may_be(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", start="beginning", max_open_files=2)
        for turn in range(3):
            for number in range(6):
                write(logs / f"{number}.log", f"{number} {turn}")
            while one.run():
                assert open_files(logs) <= 2
        assert one.lines == {f"{n}.log": [f"{n} {turn}" for turn in range(3)] for n in range(6)}
        modes = [told.watch_mode for told in one.told.values()]
        assert modes.count("poll (max_open_files)") == 4
        one.run()
        assert {(told.offset, told.size) for told in one.told.values()} == {(12, 12)}

    def test_all_that_have_changed_are_read_in_one_run(self, follow: Follow, logs: Path) -> None:
        """A few at a time, or what is written to thousands would wait for minutes."""
        one = follow("*.log", start="beginning", max_open_files=2)
        for turn in range(2):
            for number in range(7):
                write(logs / f"{number}.log", f"{number} {turn}")
            assert sorted(map(str, one.run())) == [f"{number} {turn}" for number in range(7)]
        assert open_files(logs) <= 2

    def test_new_ones_are_not_compared_with_all_others(
        self, follow: Follow, logs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = follow("*.log", start="beginning")
        write(logs / "0.log", 0)
        one.run()
        asked: list[bytes] = []
        knows = Follower.knows

        def noted(self: Follower, path: bytes, identity: tuple[int, int]) -> bool:
            asked.append(path)
            return knows(self, path, identity)

        monkeypatch.setattr(Follower, "knows", noted)
        for number in range(1, 9):
            write(logs / f"{number}.log", number)
        (logs / "0.log").rename(logs / "moved.log")
        one.run()
        assert set(asked) == {bytes(logs / "moved.log")}

    def test_one_that_sleeps_is_read_to_its_end_when_it_rotates(
        self, follow: Follow, logs: Path
    ) -> None:
        one = follow("*.log", start="beginning", max_open_files=1)
        for name in ("a.log", "b.log"):
            write(logs / name, "1")
        while one.run():
            pass
        for name in ("a.log", "b.log"):
            write(logs / name, "2")
            (logs / name).rename(logs / f"{name}.1")
            write(logs / name, "3")
        while one.run():
            pass
        assert one.lines == {"a.log": ["1", "2", "3"], "b.log": ["1", "2", "3"]}

    def test_what_is_written_late_to_a_rotated_one_is_read_though_its_log_sleeps(
        self, follow: Follow, logs: Path
    ) -> None:
        one = follow("*.log", start="beginning", max_open_files=1)
        write(logs / "a.log", "1")
        one.run()
        with (logs / "a.log").open("a") as writer:
            (logs / "a.log").rename(logs / "a.log.1")
            write(logs / "a.log", "2")
            one.run()
            write(logs / "b.log", "b")
            one.run()
            writer.write("late\n")
        one.run()
        assert one.lines == {"a.log": ["1", "2", "late"], "b.log": ["b"]}

    def test_a_long_one_does_not_keep_others_waiting(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", start="beginning")
        write(logs / "long.log", *range(30_000))
        os.utime(logs / "long.log", (1, 1))
        write(logs / "short.log", "a")
        one.run(most=1)
        assert one.lines["short.log"] == ["a"]
        assert len(one.lines["long.log"]) < 30_000

    def test_one_without_lines_holds_up_no_step(self, follow: Follow, logs: Path) -> None:
        """A sparse file costs its writer nothing; between steps a run can be ended."""
        one = follow("app.log", start="beginning")
        with (logs / "app.log").open("wb") as file:
            file.truncate(64 << 20)
            file.seek(64 << 20)
            file.write(b"a\n")
        assert one.run() == [None, "a"]
        assert one.flags == [("nul_run",)]
        assert len(one.batches) >= 64 // 8

    def test_each_has_its_share_of_a_batch(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", start="beginning")
        for name in ("a.log", "b.log", "c.log"):
            write(logs / name, *range(10_000))
        one.run(most=1)
        counts = sorted(len(lines) for lines in one.lines.values())
        assert len(counts) == 3
        assert counts[0] >= counts[-1] / 2
        assert sum(counts) <= 5_000
        one.run()
        assert {name: len(lines) for name, lines in one.lines.items()} == dict.fromkeys(
            ("a.log", "b.log", "c.log"), 10_000
        )

    def test_a_batch_holds_no_more_lines_than_are_read_ahead(
        self, follow: Follow, logs: Path
    ) -> None:
        one = follow("*.log", start="beginning", buffer_lines=3)
        write(logs / "a.log", *range(10))
        one.run()
        blocks = [sum(len(getattr(r, "lines", ())) for r in batch) for batch in one.batches]
        assert blocks[:4] == [3, 3, 3, 1]


def test_what_cannot_be_read_is_told_and_over_when_it_can(follow: Follow, logs: Path) -> None:
    one = follow("*", start="beginning")
    write(logs / "a.log", "a")
    one.run()
    (logs / "a.log").unlink()
    (logs / "a.log").mkdir()
    with pytest.raises(CollectedInPart):
        one.run()
    assert one.told["a.log"].state == "error"
    assert one.told["a.log"].error_message == "not a regular file"
    (logs / "a.log").rmdir()
    write(logs / "a.log", "b")
    assert one.run() == ["b"]
    assert one.told["a.log"].state == "following"


class TestNoMoreReadingsThanNeeded:
    def test_what_was_read_to_its_end_is_not_asked_again(
        self, follow: Follow, logs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody who listens has it read forty times a second."""
        write(logs / "a.log", "old")
        one = follow("a.log")
        one.run()
        asked: list[int] = []
        read = LineReader.read

        def noted(self: LineReader, *args: Any, **more: Any) -> Any:
            asked.append(1)
            return read(self, *args, **more)

        monkeypatch.setattr(LineReader, "read", noted)
        write(logs / "a.log", "a", "b")
        assert one.run() == ["a", "b"]
        assert len(asked) == 1

    def test_a_file_that_has_been_read_holds_up_no_rotated_one(
        self, follow: Follow, logs: Path
    ) -> None:
        """What is still written to it comes in the same run, however much that is."""
        one = follow("a.log", start="beginning", buffer_lines=100)
        write(logs / "a.log", "a")
        with (logs / "a.log").open("a") as late:
            one.run()
            (logs / "a.log").rename(logs / "a.log.1")
            write(logs / "a.log", "b")
            assert one.run() == ["b"]
            write(logs / "a.log", "c")
            assert one.run() == ["c"]
            late.writelines(f"{number}\n" for number in range(1_000))
            late.flush()
            assert one.run() == [str(number) for number in range(1_000)]


def test_a_step_is_given_up_where_all_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ten thousand files it takes seconds, for which the end of the node would wait."""
    for number in range(20):
        write(tmp_path / f"{number}.log", "a")
    settings = LogSection(name="x", path=str(tmp_path / "*.log"))
    streams = Streams(settings, {}, None, lambda: 0.0)
    closing = Thread(target=streams.close)
    looked: list[Stream] = []

    def look(stream: Stream, *_: object) -> None:
        looked.append(stream)
        if len(looked) == 3:
            closing.start()
            assert streams._is_closed.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(Stream, "look", look)
    with pytest.raises(AbandonedError):
        streams.step(0.0, utc(0), {}, {}, all_again=True, reads=True)
    closing.join(PATIENCE_SECONDS)
    assert len(looked) == 3
    with pytest.raises(AbandonedError):
        streams.step(0.0, utc(0), {}, {}, all_again=True, reads=True)


class TestGoneBeforeItIsOpened:
    """A pattern has found it; what it held is told to be missing."""

    @pytest.fixture
    def lost(self, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
        """What is done to files between finding and opening them."""
        find, deeds = search.Search.find, list[Callable[[], object]]()

        def found(self: search.Search, *args: Any) -> list[bytes]:
            paths = find(self, *args)
            while deeds:
                deeds.pop()()
            return paths

        monkeypatch.setattr(search.Search, "find", found)
        return deeds

    def test_a_gap_tells(
        self, follow: Follow, logs: Path, lost: list[Callable[[], object]]
    ) -> None:
        one = follow("*.log")
        one.run()
        write(logs / "b.log", "b")
        lost.append((logs / "b.log").unlink)
        assert one.run() == [None]
        assert (one.flags, [*one.lines]) == ([("gap",)], ["b.log"])
        write(logs / "b.log", "c")
        assert one.run() == ["c"]
        assert one.flags == [("gap",)]

    def test_one_that_has_another_name_by_then_is_read(
        self, follow: Follow, logs: Path, lost: list[Callable[[], object]]
    ) -> None:
        one = follow("*.log")
        one.run()
        write(logs / "b.log", "b")
        lost.append(lambda: (logs / "b.log").replace(logs / "c.log"))
        assert one.run() == [None]
        assert one.run() == ["b"]
        assert one.lines == {"b.log": [None], "c.log": ["b"]}

    def test_none_where_nothing_was_found(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log")
        one.run()
        write(logs / "b.log", "b")
        (logs / "b.log").unlink()
        assert one.run() == []


class TestLagOfClosedFiles:
    def lags(self, one: Harness) -> dict[str, int]:
        return {name: told.lag_bytes for name, told in one.told.items()}

    @pytest.mark.parametrize("restart", [False, True])
    def test_of_a_paused_pattern_all_that_waits_is_told(
        self, follow: Follow, logs: Path, restart: bool
    ) -> None:
        one = follow("*.log", start="beginning", max_open_files=1)
        for name in "abc":
            write(logs / f"{name}.log", "old")
        one.run()
        one.run()
        assert self.lags(one) == {"a.log": 0, "b.log": 0, "c.log": 0}
        one.collector.pause()
        for name in "abcd":
            write(logs / f"{name}.log", *name * 3)
        if restart:
            one.end()
            one.begin_anew()
            one.collector.pause()
        one.run()
        assert self.lags(one) == {"a.log": 6, "b.log": 6, "c.log": 6, "d.log": 6}
        (logs / "b.log").unlink()
        write(logs / "b.log", "other")
        one.run()
        assert self.lags(one) | {"b.log": 6} == dict.fromkeys(self.lags(one), 6)
        one.collector.resume()
        one.run()
        one.run()
        assert set(self.lags(one).values()) == {0}

    def test_from_the_end_nothing_waits(self, follow: Follow, logs: Path) -> None:
        one = follow("*.log", max_open_files=1)
        for name in "abc":
            write(logs / f"{name}.log", "old")
        one.collector.pause()
        one.run()
        assert set(self.lags(one).values()) == {0}
