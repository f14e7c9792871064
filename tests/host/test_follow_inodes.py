"""Inode numbers that are given out again: another file has the number of one that is known."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import msgspec
import pytest

from etlmon.host import follow_cut, generation, rotated
from etlmon.host.cursor import decode, encode
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
