"""What rotation has put aside: copies of what was cut off, and files that came and went."""

from __future__ import annotations

import gzip
import os
import shutil

import pytest

from etlmon.host.generation import PackedGeneration
from tests.host.conftest import Log
from tests.waiting import wait_for_tick

pytestmark = pytest.mark.usefixtures("numbers_are_kept")


@pytest.mark.parametrize("restart", [False, True])
def test_several_rotations_between_two_looks(log: Log, restart: bool) -> None:
    log.write("0")
    log.follow()
    log.write("1")
    if restart:
        log.stop()
    for number in range(2, 6):
        for old in range(5, 0, -1):
            if log.named(f".{old}").exists():
                log.named(f".{old}").rename(log.named(f".{old + 1}"))
        log.path.rename(log.named(".1"))
        log.write(str(number))
    if restart:
        log.follow()
    log.read()
    assert (log.lines, log.marks) == (["1", "2", "3", "4", "5"], [])


def test_file_that_is_broken_while_nothing_has_the_name(log: Log) -> None:
    log.write("0")
    log.follow()
    log.path.rename(log.named(".2"))
    log.named(".1.gz").write_bytes(b"no such thing")
    for _ in range(3):
        log.read()
    assert log.flags == [("gap",)], "it is told once"


def test_compressed_file_is_not_unpacked_at_each_look(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing has the name, which may be for a day."""
    log.write("0")
    log.follow()
    log.write("1")
    log.read()
    modified_ns = log.path.stat().st_mtime_ns
    log.path.unlink()
    packed = log.named(".1.gz")
    packed.write_bytes(gzip.compress(b"0\n1\n"))
    os.utime(packed, ns=(modified_ns, modified_ns))
    log.read()
    log.read()
    unpacked = []
    monkeypatch.setattr(PackedGeneration, "seek", lambda *_: unpacked.append(1))
    log.read()
    assert (log.lines, log.marks, unpacked) == (["1"], [], [])
    monkeypatch.undo()
    log.write("2")
    assert log.read() == ["2"]


class TestTruncation:
    @pytest.fixture(autouse=True)
    def begun(self, log: Log) -> None:
        log.follow()
        log.write(*(f"first {number}" for number in range(100)))
        log.read()

    def copytruncate(self, log: Log) -> None:
        shutil.copyfile(log.path, log.named(".1"))
        os.truncate(log.path, 0)

    @pytest.mark.parametrize("restart", [False, True])
    @pytest.mark.parametrize("more", [0, 1, 200])
    def test_rest_comes_from_the_copy(self, log: Log, restart: bool, more: int) -> None:
        """Also when the file has grown beyond its old size since."""
        before = len(log.lines)
        if restart:
            log.stop()
        log.write("rest")
        self.copytruncate(log)
        log.write(*(f"second {number}" for number in range(more)))
        if restart:
            log.follow()
        log.read()
        assert log.lines[before:] == ["rest", *(f"second {number}" for number in range(more))]
        assert log.flags == [("truncated",)]
        log.restart()
        assert log.read() == []

    def test_rest_comes_from_a_copy_of_any_name(self, log: Log) -> None:
        """As somebody makes it by hand, and makes it anew the next time."""
        copy = log.path.with_name("kept")
        for turn in range(3):
            log.write(*(f"{turn} {number}" for number in range(1_000)))
            log.read()
            log.write(f"{turn} rest")
            shutil.copyfile(log.path, copy)
            os.truncate(log.path, 0)
            log.write(f"{turn} next")
            log.read()
        numbers = [*range(1_000), "rest", "next"]
        expected = [f"{turn} {number}" for turn in range(3) for number in numbers]
        assert log.lines[100:] == expected
        assert log.flags == [("truncated",)] * 3
        log.restart()
        assert log.read() == []

    @pytest.mark.parametrize("is_much", [False, True])
    def test_rest_comes_from_a_copy_of_any_name_after_a_restart(
        self, log: Log, is_much: bool
    ) -> None:
        """Where little was read any file of the program might be one: that is told, not read."""
        log.lines.clear()
        log.stop()
        log.cursor = None
        log.path.write_text("banner\n" * (1000 if is_much else 1))
        log.follow("beginning")
        log.read()
        log.stop()
        log.write("rest")
        shutil.copyfile(log.path, log.path.with_name("kept"))
        log.path.write_text("next\n")
        log.follow()
        log.read()
        rest = ["rest"] if is_much else []
        assert [line for line in log.lines if line != "banner"] == [*rest, "next"]
        assert log.flags == [("truncated",)]
        assert ("no copy found" in str(log.marks[0].detail)) == (not is_much)
        log.restart()
        assert log.read() == []

    def test_of_several_copies_by_hand_that_nobody_saw_being_made_one_is_read(
        self, log: Log
    ) -> None:
        """Nothing tells what the others are; that there may have been some is told."""
        log.write(*(f"line {number}" for number in range(1_000)))
        log.read()
        log.stop()
        for turn in range(3):
            log.write(f"rest {turn}")
            shutil.copyfile(log.path, log.path.with_name(f"kept-{turn}"))
            os.truncate(log.path, 0)
        log.write("next")
        log.follow()
        log.read()
        assert log.lines[-2:] == ["rest 0", "next"]
        assert log.flags == [("truncated",)]
        assert "if it was cut off more than once" in str(log.marks[0].detail)
        log.restart()
        assert log.read() == []

    def test_copy_that_is_written_over_before_it_is_read(self, log: Log) -> None:
        """Nothing that stands in it now is taken for what stood in the file."""
        copy = log.path.with_name("kept")
        log.write(*(f"rest {number}" for number in range(20_000)))
        shutil.copyfile(log.path, copy)
        os.truncate(log.path, 0)
        log.write("next")
        assert log.follower is not None
        log.follower.look(log.now)
        reading = log.follower.read(10, log.now)
        assert reading is not None
        assert reading.lines == [b"rest %d" % number for number in range(10)]
        shutil.copyfile(log.path, copy)
        assert log.read() == ["next"]
        assert log.flags == [("gap",), ("truncated",)]

    def test_what_only_begins_alike_is_no_copy(self, log: Log) -> None:
        """Logs of one program, with what it tells first: one that was there, one that is new."""
        log.stop()
        log.cursor = None
        log.path = log.path.with_name("a.log")
        other, new = (log.path.with_name(name) for name in ("b.log", "c.log"))
        log.write("banner", "ready")
        log.write("banner", "ready", to=other)
        log.follow("beginning")
        log.read()
        log.write("other", to=other)
        log.write("banner", "ready", "new", to=new)
        log.path.write_text("banner\n")
        assert log.read() == ["banner"]
        assert "no copy found" in str(log.marks[0].detail)

    def test_what_is_written_to_is_no_copy(self, log: Log) -> None:
        log.write("rest")
        shutil.copyfile(log.path, log.path.with_name("other"))
        with log.path.with_name("other").open("a"):
            os.truncate(log.path, 0)
            log.write("next")
            assert log.read() == ["next"]
        assert "no copy found" in str(log.marks[0].detail)

    def test_without_a_copy_what_is_lost_is_told(self, log: Log) -> None:
        log.write("lost")
        assert log.follower is not None
        log.follower.look(log.now)
        os.truncate(log.path, 0)
        log.write("next")
        assert log.read() == ["next"]
        assert [(mark.flags, mark.length_bytes) for mark in log.marks] == [
            (("gap", "truncated"), 5)
        ]
        assert "missing, too, if anything was" in str(log.marks[0].detail)

    def test_writer_that_goes_on_at_its_offset(self, log: Log) -> None:
        """Without O_APPEND it leaves NULs where the file was cut off."""
        log.stop()
        log.follower = None
        with log.path.open("r+") as writer:
            writer.seek(0, os.SEEK_END)
            log.follow()
            size = writer.tell()
            self.copytruncate(log)
            writer.write("a\n")
            writer.flush()
            assert log.read() == ["a"]
        assert [(mark.flags, mark.length_bytes) for mark in log.marks] == [
            (("truncated",), None),
            (("nul_run",), size),
        ]

    @pytest.mark.parametrize("restart", [False, True])
    def test_two_in_a_row(self, log: Log, restart: bool) -> None:
        if restart:
            log.stop()
        log.write("a")
        self.copytruncate(log)
        log.named(".1").rename(log.named(".2"))
        wait_for_tick()
        log.write("b")
        self.copytruncate(log)
        wait_for_tick()
        log.write("c")
        if restart:
            log.follow()
        log.read()
        assert log.lines[100:] == ["a", "b", "c"]
        assert log.flags == [("truncated",), ("truncated",)]


@pytest.mark.parametrize("is_whole", [True, False])
def test_copy_of_a_quiet_file_is_no_file_that_came_later(log: Log, is_whole: bool) -> None:
    """It was made by hand, a while before the file was renamed beyond it."""
    log.follow()
    log.write("1")
    log.read()
    if not is_whole:
        shutil.copyfile(log.path, log.named(".1"))
    log.write("2")
    log.read()
    if is_whole:
        shutil.copyfile(log.path, log.named(".1"))
    log.wall_seconds_ahead = 60
    log.read()
    log.read()
    log.path.rename(log.named(".2"))
    for _ in range(3):
        assert log.read() == []
    log.write("3")
    assert log.read() == ["3"]
    log.restart()
    assert (log.read(), log.marks) == ([], [])


def test_file_that_came_later_and_holds_the_same_is_read(log: Log) -> None:
    log.follow()
    log.write("1")
    log.read()
    log.read()
    log.path.rename(log.named(".2"))
    log.write("1")
    log.path.rename(log.named(".1"))
    log.write("1")
    assert log.read() == ["1", "1"]


def test_cut_off_again_and_again_while_nothing_is_read(log: Log) -> None:
    """As with a log that is paused: what waits is stored with each look."""
    log.write("0")
    log.follow(begin="beginning")
    assert log.follower is not None
    sizes = []
    for number in range(300):
        log.path.write_text(f"{number}\n")
        os.utime(log.path, (number, number))  # else some have the time of the same tick
        log.follower.look(float(number))
        sizes.append(len(log.follower.cursor() or ""))
    assert sizes[-1] <= sizes[150] + 10
    assert log.read() == ["299"]
    assert all("truncated" in flags for flags in log.flags)
    assert "more of the kind" in str(log.marks[-1].detail)


class TestNumbersThatCountUp:
    """As Log4j has them by default, and days of a month: the highest is the newest."""

    def test_those_of_before_are_not_read(self, log: Log) -> None:
        for number in (1, 2, 3):
            log.write(f"old {number}", to=log.named(f".{number}"))
            wait_for_tick()
        log.write("1")
        log.follow()
        log.path.rename(log.named(".4"))
        log.write("2")
        log.read()
        assert (log.lines, log.marks) == (["2"], [])

    @pytest.mark.parametrize("endings", [(".4", ".5"), (".30", ".31"), ("-1231", "-0101")])
    def test_those_that_came_while_nobody_looked_are_read(
        self, log: Log, endings: tuple[str, str]
    ) -> None:
        log.write("1")
        log.follow("beginning")
        log.read()
        log.stop()
        for place, ending in enumerate(endings):
            wait_for_tick()
            log.path.rename(log.named(ending))
            log.write(f"{place + 2}")
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["1", "2", "3"], [])
