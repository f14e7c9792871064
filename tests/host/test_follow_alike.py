"""Logs of a program that begins each alike, and files that only look as if rotation made them."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest

from tests.host.conftest import Log
from tests.waiting import wait_for_tick


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
