"""A log that is cut off after copying, and renamed, between two looks: by two who rotate it."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.host.conftest import Log
from tests.host.test_follow_alike import HEADER, pack, rotate
from tests.waiting import wait_for_tick

pytestmark = pytest.mark.usefixtures("births")


@pytest.fixture(params=[False, True])
def restart(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[[], ["banner"], HEADER], ids=["nothing", "banner", "header"])
def beginning(request: pytest.FixtureRequest, log: Log) -> list[str]:
    """What the log begins with each time, and what of it was read at the last look."""
    found: list[str] = request.param
    log.write(*found) if found else log.path.touch()
    log.follow("beginning")
    log.read()
    wait_for_tick()
    return found


def rename(log: Log, *lines: str) -> None:
    for number in range(8, 0, -1):
        for ending in ("", ".gz"):
            if log.named(f".{number}{ending}").exists():
                log.named(f".{number}{ending}").rename(log.named(f".{number + 1}{ending}"))
    log.path.rename(log.named(".1"))
    wait_for_tick()
    log.path.touch()
    log.write(*lines)
    wait_for_tick()


def numbers(log: Log) -> list[str]:
    return [line for line in log.lines if line.isdigit()]


@pytest.mark.parametrize("packed", ["", ".1"])
def test_copies_from_before_it_was_renamed_are_read(
    log: Log, beginning: list[str], restart: bool, packed: str
) -> None:
    """Between what was read and what the file holds now; of one cut off once more after that."""
    if restart:
        log.stop()
    log.write("1", "2")
    rotate(log, *beginning, "3")
    rotate(log, *beginning, "4")
    rename(log, *beginning, "5")
    if packed:
        pack(log, packed)
    rotate(log, *beginning, "6")
    if restart:
        log.follow()
    log.read()
    log.read()
    assert numbers(log) == ["1", "2", "3", "4", "5", "6"]
    assert not [mark for mark in log.marks if "gap" in mark.flags]
    log.restart()
    assert log.read() == []


def test_copy_of_what_came_after_it_is_read_once_that_is_cut_off(
    log: Log, beginning: list[str], restart: bool
) -> None:
    """Until then the file itself is read, from its beginning."""
    if restart:
        log.stop()
    log.write("1")
    rename(log)
    log.write(*beginning, "2", "3")
    wait_for_tick()
    log.named(".1").rename(log.named(".2"))
    shutil.copyfile(log.path, log.named(".1"))
    if restart:
        log.follow()
    log.read(0)
    log.read()
    assert numbers(log) == ["1", "2", "3"]
    assert log.marks == []
    wait_for_tick()
    os.truncate(log.path, 0)
    log.write(*beginning, "4")
    log.read()
    log.read()
    assert numbers(log) == ["1", "2", "3", "4"]
    assert log.flags == [("truncated",)]


def test_copy_of_a_beginning_alone_is_read(log: Log, beginning: list[str], restart: bool) -> None:
    """What came after the renamed file was cut off, and has begun alike."""
    if restart:
        log.stop()
    log.write("1")
    rename(log, *beginning)
    rotate(log, *beginning, "2")
    if restart:
        log.follow()
    log.read()
    log.read()
    assert log.lines == [*beginning, "1", *beginning, *beginning, "2"]
    assert log.marks == []


def test_long_copy_is_of_the_file_as_it_is(log: Log, beginning: list[str], restart: bool) -> None:
    """Nothing begins alike for so long, though the file has been written to since."""
    lines = [f"{number} {'x' * 100}" for number in range(1000)]
    if restart:
        log.stop()
    log.write("1")
    rename(log, *beginning, *lines)
    log.named(".1").rename(log.named(".2"))
    shutil.copyfile(log.path, log.named(".1"))
    wait_for_tick()
    log.write("2")
    if restart:
        log.follow()
    log.read()
    assert log.lines == [*beginning, "1", *beginning, *lines, "2"]
    os.truncate(log.path, 0)
    log.write("3")
    log.read()
    assert (log.lines[-2:], log.flags) == (["2", "3"], [("truncated",)])


def test_what_was_renamed_after_it_is_no_copy_of_it(
    log: Log, beginning: list[str], restart: bool
) -> None:
    if restart:
        log.stop()
    log.write("1")
    for number in range(2, 6):
        rename(log, *beginning, str(number))
    if restart:
        log.follow()
    log.read()
    log.read()
    assert (numbers(log), log.marks) == (["1", "2", "3", "4", "5"], [])
