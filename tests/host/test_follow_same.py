"""Files of a log that are the same, byte for byte, as far as they go: a banner, and no more."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from etlmon.host import follow_cut, rotated
from etlmon.host.rotated import Rotated
from tests.host.conftest import Log
from tests.host.test_follow_alike import HEADER, pack, rotate
from tests.waiting import wait_for_tick

pytestmark = pytest.mark.usefixtures("births")

SECOND_NS = 10**9


@pytest.fixture(params=[False, True])
def restart(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(autouse=True)
def begun(log: Log) -> None:
    log.write("banner", "1")
    log.follow("beginning")
    log.read()


def numbers(log: Log) -> list[str]:
    return [line for line in log.lines if line.isdigit()]


def rename(log: Log, *lines: str) -> None:
    """Rotate by renaming, compress at once, and begin anew with these lines."""
    for number in range(8, 0, -1):
        if log.named(f".{number}.gz").exists():
            log.named(f".{number}.gz").rename(log.named(f".{number + 1}.gz"))
    wait_for_tick()
    log.path.rename(log.named(".1"))
    pack(log, ".1")
    wait_for_tick()
    log.write(*lines)


def set_time(path: Path, at_ns: int) -> None:
    os.utime(path, ns=(at_ns, at_ns))


class TestCompressedAtOnce:
    """Each is known by its time, which compressing keeps."""

    def test_what_was_read_of_is_found_again(self, log: Log) -> None:
        for _ in range(3):
            rename(log, "banner")
            log.read()
            log.read()
        log.stop()
        rename(log, "banner", "2")
        rename(log, "banner", "3")
        log.follow()
        log.read()
        assert log.lines == ["banner", "1", *["banner"] * 3, "banner", "2", "banner", "3"]
        assert log.marks == []

    def test_what_was_read_to_its_end_is_no_gap(self, log: Log) -> None:
        for _ in range(3):
            rename(log, "banner")
            log.read()
            log.read()
        log.stop()
        rename(log, "banner")
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "1", *["banner"] * 4], [])

    def test_none_is_taken_for_another(self, log: Log, restart: bool) -> None:
        """Those that nobody has seen come are read."""
        rename(log, "banner")
        log.read()
        log.read()
        if restart:
            log.stop()
        for _ in range(3):
            rename(log, "banner")
        if restart:
            log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "1", *["banner"] * 4], [])

    def test_while_it_is_open_and_written_to(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between a look at it and one at what has its name now."""
        listing = rotated.rotated
        with log.path.open("a") as writer:
            log.path.rename(log.named(".1"))
            log.path.touch()
            log.read()
            wait_for_tick()
            log.write("2")

            def meanwhile(path: bytes) -> list[Rotated]:
                monkeypatch.undo()
                writer.write("late\n")
                writer.flush()
                set_time(log.named(".1"), log.path.stat().st_mtime_ns)
                wait_for_tick()
                pack(log, ".1")
                return listing(path)

            monkeypatch.setattr(follow_cut, "rotated", meanwhile)
            log.read()
            log.read()
        assert (sorted(log.lines), log.marks) == (["1", "2", "banner", "late"], [])


class TestLongBanner:
    """Longer than a file is known by: when each was written tells them apart."""

    def test_is_read_after_one_that_was_done_with(self, log: Log, restart: bool) -> None:
        rename(log, *HEADER)
        log.read()
        rename(log, *HEADER)
        log.read()
        log.read()
        if restart:
            log.stop()
        rotate(log)
        pack(log, ".1")
        log.write("2")
        rename(log, *HEADER, "3")
        rename(log, *HEADER, "4")
        if restart:
            log.follow()
        log.read()
        log.read()
        assert numbers(log) == ["1", "2", "3", "4"]
        assert ("gap",) not in log.flags
        log.restart()
        assert log.read() == []


class TestCompressedByHand:
    """As ``gzip -c app.log.1 > app.log.1.gz; rm app.log.1``, which gives it another time."""

    @pytest.fixture(autouse=True)
    def done_with(self, log: Log, begun: None) -> None:
        set_time(log.path, log.path.stat().st_mtime_ns - 60 * SECOND_NS)
        log.path.rename(log.named(".1"))
        log.path.touch()
        log.read()
        log.read()
        wait_for_tick()

    def compress(self, log: Log) -> None:
        data = gzip.compress(log.named(".1").read_bytes())
        log.named(".1.gz").write_bytes(data)
        log.named(".1").unlink()

    def test_it_is_known(self, log: Log, restart: bool) -> None:
        if restart:
            log.stop()
        self.compress(log)
        log.write("2")
        if restart:
            log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "1", "2"], [])
        log.restart()
        assert log.read() == []

    def test_another_that_holds_the_same_is_read(self, log: Log, restart: bool) -> None:
        if restart:
            log.stop()
        self.compress(log)
        log.named(".1.gz").rename(log.named(".2.gz"))
        wait_for_tick()
        log.write("banner", "1")
        log.path.rename(log.named(".1"))
        self.compress(log)
        wait_for_tick()
        log.write("2")
        if restart:
            log.follow()
        log.read()
        assert (log.lines, log.marks) == (["banner", "1", "banner", "1", "2"], [])


class TestCutOff:
    """A file that holds what was read may have been cut off: its copies tell."""

    @pytest.mark.parametrize("is_packed", [False, True])
    def test_and_begun_otherwise_before_it_was_cut_off_again(
        self, log: Log, restart: bool, is_packed: bool
    ) -> None:
        """That is in the second copy; the first holds what was read and no more.

        Compressed, it could be a backup of what the file has grown from.
        """
        rotate(log, "banner")
        log.read()
        log.lines.clear()
        log.marks.clear()
        if restart:
            log.stop()
        rotate(log)
        if is_packed:
            pack(log, ".1")
        log.write("2")
        rotate(log, "banner", "3")
        if is_packed:
            pack(log, ".1")
        if restart:
            log.follow()
        log.read()
        assert log.lines == ["2", "banner", "3"]
        assert log.flags == [("truncated",)] * 2
        log.restart()
        assert log.read() == []

    def test_of_which_nothing_had_been_read_yet(self, log: Log) -> None:
        """It was seen, and that is in the first copy."""
        assert log.follower is not None
        os.truncate(log.path, 0)
        log.read()
        wait_for_tick()
        log.write("banner")
        log.follower.look(log.now)
        log.cursor = log.follower.cursor()
        log.lines.clear()
        log.marks.clear()
        log.stop()
        rotate(log, "2")
        pack(log, ".1")
        rotate(log, "banner", "3")
        log.follow()
        log.read()
        assert log.lines == ["banner", "2", "banner", "3"]
        assert log.flags == [("truncated",)] * 2

    def test_of_which_a_long_header_was_read(self, log: Log, restart: bool) -> None:
        """More than a file is known by."""
        rotate(log, *HEADER)
        log.read()
        if restart:
            log.stop()
        log.write("2")
        rotate(log, *HEADER, "3")
        if restart:
            log.follow()
        log.read()
        assert numbers(log) == ["1", "2", "3"]
        assert log.flags == [("truncated",)] * 2

    def test_its_copy_is_one_that_was_made_since_it_was_seen(self, log: Log) -> None:
        """One of a moment before begins alike, and was read as the file itself."""
        assert log.follower is not None
        rotate(log, *HEADER)
        log.read()
        at_ns = log.path.stat().st_mtime_ns // SECOND_NS * SECOND_NS + 5 * SECOND_NS
        rotate(log, *HEADER)
        set_time(log.named(".1"), at_ns + 500)
        set_time(log.path, at_ns + 1000)
        log.read()
        log.write("2")
        set_time(log.path, at_ns + 2000)
        log.follower.look(log.now)
        rotate(log)
        set_time(log.named(".1"), at_ns + 3000)
        set_time(log.path, at_ns + 4000)
        log.read()
        assert numbers(log) == ["1", "2"]
        assert log.flags == [("truncated",)] * 2
