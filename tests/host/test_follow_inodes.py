"""Inode numbers that are given out again: another file has the number of one that is known."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import msgspec
import pytest

from etlmon.host import follow_cut, generation, rotated
from etlmon.host.cursor import decode, encode
from etlmon.host.follow import Follower
from etlmon.host.generation import Position
from etlmon.host.rotated import Rotated
from tests.host.conftest import Log
from tests.host.test_follow_races import compress, shift
from tests.waiting import wait_for_tick


def give_again(log: Log, position: Position, ending: str) -> None:
    """Let a file have the number of one that is known, as file systems give it at once."""
    cursor = decode(log.cursor)
    assert cursor is not None
    again = msgspec.structs.replace(position, inode=log.named(ending).stat().st_ino)

    def changed(positions: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(again if one == position else one for one in positions)

    values = {name: changed(getattr(cursor, name)) for name in ("waiting", "held", "past")}
    log.cursor = encode(msgspec.structs.replace(cursor, **values))


def known(log: Log) -> Position:
    """Give the file that was done with last."""
    cursor = decode(log.cursor)
    assert cursor is not None
    return cursor.past[-1]


def lasting(log: Log) -> list[Position]:
    """Give the files that are read still."""
    cursor = decode(log.cursor)
    assert cursor is not None
    return [*cursor.held, *(one for one in cursor.waiting if isinstance(one, Position))]


@pytest.fixture(params=[False, True])
def is_done(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(autouse=True)
def begun(log: Log) -> None:
    log.write("banner")
    log.follow("beginning")
    log.read()
    wait_for_tick()


@pytest.fixture
def no_births(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing tell when files were made."""
    for module in (generation, rotated):
        monkeypatch.setattr(module, "birth_ns", lambda _: 0)
    log.restart()


def test_between_a_listing_and_what_is_done_with_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy is compressed, and the next one gets its number and its name."""
    log.write("1")
    shutil.copyfile(log.path, log.named(".1"))
    wait_for_tick()
    os.truncate(log.path, 0)
    log.write("2")
    shift(log)
    shutil.copyfile(log.path, log.named(".1"))
    wait_for_tick()
    os.truncate(log.path, 0)
    listing = rotated.rotated
    listings = 0

    def listed(path: bytes) -> list[Rotated]:
        nonlocal listings
        listings += 1
        files = listing(path)
        if listings != 2:  # the first one is of the copy of what had been read last
            return files
        compress(log.named(".1"))
        for number in (2, 1):
            for old in log.path.parent.glob(f"app.log.{number}*"):
                old.rename(log.named(f".{number + 1}{old.suffix.replace(f'.{number}', '')}"))
        log.write("3")
        shutil.copyfile(log.path, log.named(".1"))
        wait_for_tick()
        os.truncate(log.path, 0)
        new = log.named(".1").stat()
        return [
            replace(one, identity=(new.st_dev, new.st_ino))
            if one.path == bytes(log.named(".1"))
            else one
            for one in files
        ]

    monkeypatch.setattr(follow_cut, "rotated", listed)
    log.read()
    log.write("4")
    log.read()
    assert log.lines == ["banner", "1", "2", "3", "4"]


class TestOfOneThatBeginsAlike:
    def test_what_came_meanwhile_is_read(self, log: Log) -> None:
        log.path.rename(log.named(".1"))
        log.write("banner", "1")
        log.read()
        log.read()
        log.stop()
        shift(log)
        log.path.rename(log.named(".1"))
        wait_for_tick()
        shift(log)
        log.write("banner", "2", to=log.named(".1"))
        wait_for_tick()
        log.write("3")
        give_again(log, known(log), ".1")
        log.follow()
        log.read()
        assert log.lines == ["banner", "banner", "1", "banner", "2", "3"]

    def test_what_came_meanwhile_and_is_compressed_is_read(self, log: Log, no_births: None) -> None:
        """No file becomes a compressed one."""
        log.path.rename(log.named(".1"))
        log.write("1")
        log.read()
        log.read()
        log.stop()
        shift(log)
        log.path.rename(log.named(".1"))
        wait_for_tick()
        shift(log)
        log.write("banner", "2", to=log.named(".1"))
        compress(log.named(".1"))
        wait_for_tick()
        log.write("3")
        give_again(log, known(log), ".1.gz")
        log.follow()
        log.read()
        assert log.lines == ["banner", "1", "banner", "2", "3"]

    def test_what_is_read_already_is_not_read_for_it(self, log: Log, no_births: None) -> None:
        """Once its number is that of another, it is gone."""
        log.path.rename(log.named(".1"))
        log.write("banner", "1")
        log.read()
        log.read()
        log.stop()
        give_again(log, known(log), "")
        log.follow()
        shift(log)
        log.path.rename(log.named(".1"))
        log.write("2")
        for _ in range(3):
            log.read()
        assert (log.lines, log.marks) == (["banner", "banner", "1", "2"], [])

    def test_what_has_been_compressed_is_not_what_has_its_number(
        self, log: Log, no_births: None
    ) -> None:
        """Its time is that of the compressed one."""
        log.path.rename(log.named(".1"))
        log.write("1")
        log.read()
        log.read()
        log.stop()
        compress(log.named(".1"))
        log.named(".1.gz").rename(log.named(".3.gz"))
        log.path.rename(log.named(".2"))
        wait_for_tick()
        log.write("banner", "2", to=log.named(".1"))
        wait_for_tick()
        log.write("3")
        give_again(log, known(log), ".1")
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "1", "banner", "2", "3"], [])

    def test_what_has_been_compressed_is_not_read_on(self, log: Log, no_births: None) -> None:
        """Where another has its number, its name, and more in it."""
        log.path.rename(log.named(".1"))
        log.write("1")
        log.read()
        log.read()
        log.stop()
        compress(log.named(".1"))
        log.named(".1.gz").rename(log.named(".2.gz"))
        wait_for_tick()
        log.write("banner", "elsewhere", to=log.named(".1"))
        give_again(log, known(log), ".1")
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "1"], [])

    def test_what_was_renamed_and_compressed_is_read_before_it(
        self, log: Log, no_births: None
    ) -> None:
        log.stop()
        cursor = decode(log.cursor)
        assert cursor is not None
        (position,) = cursor.waiting
        assert isinstance(position, Position)
        log.write("1")
        log.path.rename(log.named(".1"))
        compress(log.named(".1"))
        log.named(".1.gz").rename(log.named(".2.gz"))
        wait_for_tick()
        log.write("banner", "2")
        log.path.rename(log.named(".1"))
        log.write("3")
        give_again(log, position, ".1")
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "1", "banner", "2", "3"], [])

    def test_what_lost_the_name_is_not_what_bears_it_now(self, log: Log, no_births: None) -> None:
        """And which does not hold what was read: it has not been cut off."""
        with log.path.open("a"):
            log.path.rename(log.named(".1"))
            log.write("2")
            log.read()
        cursor = decode(log.cursor)
        assert cursor is not None
        (position,) = cursor.held
        log.stop()
        compress(log.named(".1"))
        log.named(".1.gz").rename(log.named(".2.gz"))
        wait_for_tick()
        log.path.rename(log.named(".1"))
        log.write("3")
        give_again(log, position, "")
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "2", "3"], [])

    def test_what_came_before_it_is_read(self, log: Log, no_births: None) -> None:
        """The file that bore the name last has been compressed, and is not the newest one."""
        log.path.rename(log.named(".1"))
        log.read()
        log.stop()
        (position,) = lasting(log)
        compress(log.named(".1"))
        log.named(".1.gz").rename(log.named(".3.gz"))
        for number in (2, 1):
            wait_for_tick()
            log.write("banner", str(number), to=log.named(f".{number}"))
        log.write("3")
        give_again(log, position, ".1")
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "banner", "2", "banner", "1", "3"], [])

    def test_what_came_before_what_bears_the_name_is_read(
        self, log: Log, no_births: None, is_done: bool
    ) -> None:
        """It is not the file that lost the name, which has been compressed or deleted."""
        log.path.rename(log.named(".1"))
        if is_done:
            log.write("1")
            log.read()
        log.read()
        position = known(log) if is_done else lasting(log)[0]
        log.stop()
        if is_done:
            log.named(".1").unlink()
            log.path.rename(log.named(".2"))
        else:
            compress(log.named(".1"))
            log.named(".1.gz").rename(log.named(".2.gz"))
        wait_for_tick()
        log.write("banner", "2")
        log.path.rename(log.named(".1"))
        wait_for_tick()
        log.write("banner", "3")
        give_again(log, position, "")
        log.follow()
        log.read()
        assert [line for line in log.lines if line in "23"] == ["2", "3"]
        assert log.marks == []

    def test_an_empty_file_is_not_what_bears_the_name(self, log: Log, no_births: None) -> None:
        log.path.rename(log.named(".1"))
        with log.path.open("a"):  # it may be written to still
            log.read()
            log.path.rename(log.named(".2"))
            log.write("1")
            log.read()
        position = next(one for one in lasting(log) if not one.head_bytes)
        log.stop()
        log.named(".2").unlink()
        for number in (2, 3):
            log.path.rename(log.named(f"-2026010{number}"))
            wait_for_tick()
            log.write("banner", str(number))
        give_again(log, position, "")
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "1", "banner", "2", "banner", "3"], [])

    def test_compressed_file_is_another_that_was_written_later(
        self, log: Log, no_births: None
    ) -> None:
        log.stop()
        log.path.rename(log.named(".1"))
        compress(log.named(".1"))
        log.write("1")
        log.follow()
        log.read()
        position = known(log)
        assert position.is_packed
        log.stop()
        log.path.rename(log.named(".2"))
        wait_for_tick()
        log.write("banner", "2")
        log.path.rename(log.named(".1"))
        compress(log.named(".1"))
        wait_for_tick()
        log.write("3")
        give_again(log, position, ".1.gz")
        log.follow()
        log.read()
        assert log.lines == ["banner", "1", "banner", "2", "3"]
        assert ("gap",) not in log.flags

    def test_compressed_file_is_known_by_its_time(self, log: Log, no_births: None) -> None:
        """What was compressed before, and begins alike, is not looked for in its place."""
        log.stop()
        log.path.rename(log.named(".2"))
        wait_for_tick()
        log.write("banner", "1")
        log.path.rename(log.named(".1"))
        compress(log.named(".1"))
        log.write("2")
        follower = Follower(bytes(log.path), log.cursor, limits=log.limits)
        follower.look(0.0)
        assert follower.read(1, 0.0) is not None
        log.cursor = follower.cursor()
        follower.sleep()
        log.write("banner", "elsewhere", to=log.named(".3"))
        times = log.named(".1.gz").stat()
        os.utime(log.named(".3"), ns=(times.st_atime_ns, times.st_mtime_ns - 10**9))
        compress(log.named(".3"))
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "1", "2"], [])

    def test_copy_is_found_that_has_the_number_of_another(self, log: Log, no_births: None) -> None:
        """That was read, and has been compressed since."""
        shutil.copyfile(log.path, log.named(".1"))
        wait_for_tick()
        os.truncate(log.path, 0)
        log.read()
        log.write("banner", "1")
        log.read()
        position = known(log)
        log.stop()
        compress(log.named(".1"))
        log.named(".1.gz").rename(log.named(".2.gz"))
        log.write("2")
        wait_for_tick()
        shutil.copyfile(log.path, log.named(".1"))
        os.truncate(log.path, 0)
        give_again(log, position, ".1")
        log.follow()
        log.read()
        assert log.lines == ["banner", "banner", "1", "2"]
        assert ("gap", "truncated") not in log.flags

    def test_what_bears_the_name_is_read_from_its_beginning(self, log: Log) -> None:
        log.path.rename(log.named(".1"))
        log.write("1")
        log.read()
        log.read()
        log.stop()
        shift(log)
        log.path.rename(log.named(".1"))
        wait_for_tick()
        log.write("banner", "2")
        give_again(log, known(log), "")
        log.follow()
        log.read()
        assert log.lines == ["banner", "1", "banner", "2"]

    def test_what_was_read_last_is_not_gone_on_with_in_it(self, log: Log) -> None:
        log.stop()
        cursor = decode(log.cursor)
        assert cursor is not None
        (position,) = cursor.waiting
        assert isinstance(position, Position)
        log.path.rename(log.path.with_name("elsewhere"))
        log.write("banner", "2")
        give_again(log, position, "")
        log.follow()
        log.read()
        assert log.lines == ["banner", "banner", "2"]
        assert log.flags == [("gap",)]
