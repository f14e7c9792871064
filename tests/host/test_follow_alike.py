"""Logs of a program that begins each alike, and files that only look as if rotation made them."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from pathlib import Path

import pytest

from etlmon.host import follow_cut, rotated
from etlmon.host.rotated import Rotated
from tests.host.conftest import Log
from tests.waiting import wait_for_tick

pytestmark = pytest.mark.usefixtures("births")


def shift_time(path: Path, seconds: int) -> None:
    times = path.stat()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + seconds * 10**9))


def compress(log: Log, ending: str) -> None:
    times = log.path.stat()
    log.named(ending).write_bytes(gzip.compress(log.path.read_bytes()))
    os.utime(log.named(ending), ns=(times.st_atime_ns, times.st_mtime_ns))
    log.path.unlink()


@pytest.fixture(autouse=True)
def begun(log: Log) -> None:
    log.write("banner", "1")
    log.follow("beginning")
    log.read()


@pytest.fixture(params=[False, True])
def restart(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class TestFileOfSecondsBefore:
    """It was read, and begins like the one that came after it."""

    def test_is_no_copy_of_what_was_cut_off(self, log: Log, restart: bool) -> None:
        shutil.copyfile(log.path, log.named(".1"))
        os.truncate(log.path, 0)
        shift_time(log.named(".1"), -3)
        log.read()
        log.write("banner")
        log.read()
        wait_for_tick()
        if restart:
            log.stop()
        os.truncate(log.path, 0)
        log.write("2")
        if restart:
            log.follow()
        log.read()
        assert log.lines == ["banner", "1", "banner", "2"]

    def test_is_not_what_has_been_deleted(self, log: Log) -> None:
        log.path.rename(log.named(".1"))
        shift_time(log.named(".1"), -3)
        log.write("banner")
        log.read()
        log.read()
        log.stop()
        log.path.unlink()
        log.write("2")
        log.follow()
        log.read()
        assert log.lines == ["banner", "1", "banner", "2"]
        assert log.flags == [("gap",)]


def test_compressed_file_that_goes_on_where_another_ended_is_read(log: Log, restart: bool) -> None:
    if restart:
        log.stop()
    compress(log, ".2.gz")
    log.write("banner", "1", "2")
    shift_time(log.path, 3)
    compress(log, ".1.gz")
    log.write("3")
    if restart:
        log.follow()
    log.read()
    assert (log.lines, log.marks) == (["banner", "1", "banner", "1", "2", "3"], [])


def test_compressed_file_with_a_time_of_its_own_is_known(log: Log, restart: bool) -> None:
    """As ``gzip -c app.log.1 > app.log.1.gz`` makes it."""
    log.write(*(f"line {number}" for number in range(1000)))
    log.read()
    wait_for_tick()
    log.path.rename(log.named(".1"))
    log.path.touch()
    log.read()
    log.read()
    log.lines.clear()
    if restart:
        log.stop()
    log.named(".1.gz").write_bytes(gzip.compress(log.named(".1").read_bytes()))
    shift_time(log.named(".1.gz"), 60)
    log.named(".1").unlink()
    log.write("2")
    shift_time(log.path, 120)
    if restart:
        log.follow()
    log.read()
    assert (log.lines, log.marks) == (["2"], [])


def test_file_that_was_made_otherwise_is_no_copy(log: Log, restart: bool) -> None:
    """Whoever types ``tail app.log > app.log.1; > app.log`` has nothing read again."""
    if restart:
        log.stop()
    wait_for_tick()
    log.write("1", to=log.named(".1"))
    wait_for_tick()
    os.truncate(log.path, 0)
    log.write("2")
    if restart:
        log.follow()
    log.read()
    assert log.lines == ["banner", "1", "2"]
    assert log.flags == [("truncated",)]


@pytest.mark.parametrize("first", ["banner\n", "\0" * 5000 + "\n"])
def test_copies_of_before_that_begin_as_the_file_does_now_are_read(
    log: Log, restart: bool, first: str
) -> None:
    """Programs begin their logs alike, with NULs if they write on at their offset."""
    if restart:
        log.stop()
    for number, then in ((2, "2\n"), (1, "")):
        wait_for_tick()
        shutil.copyfile(log.path, log.named(f".{number}"))
        wait_for_tick()
        log.path.write_text(first + then)
    if restart:
        log.follow()
    log.read()
    log.write("3")
    log.read()
    assert [line for line in log.lines if line not in ("banner", "")] == ["1", "2", "3"]


HEADER = [f"# {number:4} {'=' * 60}" for number in range(100)]
"""More than a file is known by."""


def rotate(log: Log, *lines: str) -> None:
    """Rotate by copytruncate, and begin the file again with these lines."""
    for number in range(8, 0, -1):
        for ending in ("", ".gz"):
            if log.named(f".{number}{ending}").exists():
                log.named(f".{number}{ending}").rename(log.named(f".{number + 1}{ending}"))
    wait_for_tick()
    shutil.copyfile(log.path, log.named(".1"))
    wait_for_tick()
    os.truncate(log.path, 0)
    log.write(*lines)
    wait_for_tick()


def pack(log: Log, ending: str) -> None:
    times = log.named(ending).stat()
    log.named(f"{ending}.gz").write_bytes(gzip.compress(log.named(ending).read_bytes()))
    os.utime(log.named(f"{ending}.gz"), ns=(times.st_atime_ns, times.st_mtime_ns))
    log.named(ending).unlink()


class TestLongHeader:
    """Files that have a longer beginning in common than they are known by."""

    def numbers(self, log: Log) -> list[str]:
        return [line for line in log.lines if line.isdigit()]

    @pytest.mark.parametrize("is_packed", [False, True])
    def test_copies_of_before_are_read(self, log: Log, restart: bool, is_packed: bool) -> None:
        if restart:
            log.stop()
        rotate(log, *HEADER, "2")
        rotate(log, *HEADER, "3")
        if is_packed:
            pack(log, ".1")
        rotate(log, *HEADER, "4")
        if restart:
            log.follow()
        log.read()
        assert self.numbers(log) == ["1", "2", "3", "4"]
        log.restart()
        assert log.read() == []

    def test_compressed_copy_is_not_one_that_waits_to_be_read(self, log: Log) -> None:
        assert log.follower is not None
        rotate(log, *HEADER, "2")
        rotate(log, *HEADER, "3")
        log.follower.look(log.now)  # the copy with 2 waits
        rotate(log, *HEADER, "4")
        pack(log, ".1")
        rotate(log, *HEADER, "5")
        log.follower.look(log.now)
        log.read()
        assert self.numbers(log) == ["1", "2", "3", "4", "5"]


def test_compressed_copy_of_a_banner_is_no_part_of_a_copy_that_is_read(log: Log) -> None:
    """It was compressed in the same seconds, but nobody has written to the other one since."""
    assert log.follower is not None
    log.write("2", "3")
    rotate(log, "banner")
    log.follower.look(log.now)
    assert log.follower.read(1, log.now) is not None
    rotate(log, "4")
    pack(log, ".1")
    log.follower.look(log.now)
    log.read()
    assert log.lines == ["banner", "1", "3", "banner", "4"]
    assert ("gap", "truncated") not in log.flags


def test_compressed_copy_of_a_banner_is_not_of_what_was_written_before(log: Log) -> None:
    """Of a file that has lost the name, and may be written to still."""
    log.write("2")
    log.path.rename(log.named(".1"))
    wait_for_tick()
    log.write("banner")
    log.read()
    wait_for_tick()
    rotate(log)
    pack(log, ".1")
    log.write("3")
    rotate(log, "banner")
    rotate(log, "banner", "4")
    log.read()
    assert [line for line in log.lines if line != "banner"] == ["1", "2", "3", "4"]


class TestOnlyTheBannerHasBeenRead:
    """It is in the file still, though that was cut off: a copy goes on otherwise."""

    @pytest.fixture(autouse=True)
    def banner(self, log: Log, begun: None) -> None:
        rotate(log, "banner")
        log.read()
        wait_for_tick()
        log.lines.clear()
        log.marks.clear()

    def test_of_what_was_cut_off_since(self, log: Log, restart: bool) -> None:
        if restart:
            log.stop()
        log.write("2")
        rotate(log, "banner", "3")
        if restart:
            log.follow()
        log.read()
        assert log.lines == ["2", "banner", "3"]
        assert log.flags == [("truncated",)]
        log.restart()
        assert log.read() == []

    def test_though_another_copy_cannot_be_read(self, log: Log, restart: bool) -> None:
        """One begins as the file does and is broken further on; of another nothing can be read."""
        if restart:
            log.stop()
        log.write("2")
        rotate(log, "banner", "3")
        broken = gzip.compress(b"banner\n" + random.Random(1).randbytes(100_000))[:50_000]
        log.named(".2.gz").write_bytes(broken)
        log.named(".3.gz").write_bytes(b"damaged")
        wait_for_tick()
        log.write("4")
        if restart:
            log.follow()
        log.read()
        log.read()
        assert log.lines == ["2", "banner", "3", "4"]
        assert sorted(log.flags) == [("gap",), ("truncated",)]
        assert any(str(mark.detail).endswith(".3.gz") for mark in log.marks)

    def test_by_none_that_can_be_read(self, log: Log) -> None:
        """Nothing tells whether it was, and a mark tells that, once for each."""
        lines = [random.Random(number).randbytes(40).hex() for number in range(400)]
        packed = gzip.compress("".join(f"{line}\n" for line in ("banner", *lines)).encode())
        log.named(".2.gz").write_bytes(packed[: len(packed) // 4])
        log.named(".3.gz").write_bytes(b"damaged")
        log.write(*lines[:200])
        log.read()
        log.write(*lines[200:])
        log.read()
        assert log.lines == lines
        assert log.flags == [("gap",)] * 2

    def test_of_several_that_were(self, log: Log, restart: bool) -> None:
        if restart:
            log.stop()
        log.write("2")
        rotate(log, "banner", "3")
        rotate(log, "banner", "4")
        pack(log, ".1")
        rotate(log, "banner")
        if restart:
            log.follow()
        log.read()
        assert log.lines == ["2", "banner", "3", "banner", "4", "banner"]

    def test_not_of_what_is_renamed_meanwhile(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The one after it begins alike."""
        listing = rotated.rotated

        def once(path: bytes) -> list[Rotated]:
            monkeypatch.undo()
            times = log.path.stat()
            for number in (1, 2):
                log.path.rename(log.named(f"-2026010{number}"))
                log.write("banner", str(2 + number))
            os.utime(log.named("-20260102"), ns=(times.st_atime_ns, times.st_mtime_ns))
            return listing(path)

        log.write("2")
        monkeypatch.setattr(follow_cut, "rotated", once)
        log.read()
        log.read()
        assert (log.lines, log.marks) == (["2", "banner", "3", "banner", "4"], [])

    def test_not_of_what_is_copied_only(self, log: Log, restart: bool) -> None:
        """A backup goes on as the file does."""
        if restart:
            log.stop()
        log.write("2")
        wait_for_tick()
        shutil.copyfile(log.path, log.named(".1"))
        wait_for_tick()
        log.write("3")
        if restart:
            log.follow()
        log.read()
        assert (log.lines, log.marks) == (["2", "3"], [])


def test_short_copy_is_one_that_begins_as_what_was_seen(log: Log) -> None:
    """Of what has been seen nothing was read yet: another file of these seconds is no copy."""
    assert log.follower is not None
    log.write("an old one", to=log.named(".1"))
    log.path.write_text("seen and never read\n")
    log.follower.look(log.now)
    assert log.follower.read(1, log.now) is not None
    wait_for_tick()
    os.truncate(log.path, 0)
    log.write("2")
    log.read()
    assert log.lines[-1] == "2"
    assert "an old one" not in log.lines
    assert ("gap", "truncated") in log.flags


def test_copies_of_these_seconds_are_known_still(log: Log) -> None:
    """However many there are: what is cut off without a copy is not looked for in them."""
    for number in range(2, 14):
        rotate(log, "banner", str(number))
        log.read()
    rotate(log, "banner")
    log.read()
    log.path.write_text("14\n")
    log.read()
    assert [line for line in log.lines if line != "banner"] == [str(one) for one in range(1, 15)]


def test_compressed_file_is_not_taken_for_one_that_began_alike(log: Log) -> None:
    """Of two that hold the banner only one is known; the other is looked for."""
    assert log.follower is not None

    def rotated_at_once() -> None:
        for number in range(8, 0, -1):
            if log.named(f".{number}.gz").exists():
                log.named(f".{number}.gz").rename(log.named(f".{number + 1}.gz"))
        compress(log, ".1.gz")

    rotated_at_once()
    log.write("banner")
    log.read()
    rotated_at_once()
    log.write("banner")
    log.read()
    wait_for_tick()
    log.path.rename(log.named(".1"))
    log.write("banner")
    log.read()
    log.write("2", "3")
    log.follower.look(log.now)
    with log.named(".1").open("a"):  # it has a writer, and is read on
        log.read()
    log.lines.clear()
    log.stop()
    log.path.rename(log.path.with_name("x"))
    log.named(".1").rename(log.path)
    rotated_at_once()
    log.path.with_name("x").rename(log.path)
    rotated_at_once()
    log.write("banner", "4")
    log.follow()
    log.read()
    assert (log.lines, log.marks) == (["banner", "4"], [])
