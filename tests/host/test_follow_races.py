"""What rotation does between two steps of who follows: nothing is missing, nothing comes twice."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from etlmon.host import follow_cut, follow_lineup, follow_restore, rotated
from etlmon.host.follow import Begin
from etlmon.host.generation import Generation, Position
from etlmon.host.rotated import Rotated
from tests.host.conftest import Log
from tests.waiting import wait_for_tick

pytestmark = pytest.mark.usefixtures("numbers_are_kept")


def shift(log: Log) -> None:
    """Make room for a new app.log.1."""
    for number in range(8, 0, -1):
        if log.named(f".{number}").exists():
            log.named(f".{number}").rename(log.named(f".{number + 1}"))


def copytruncate(log: Log, *too_late: str) -> None:
    """Rotate; what comes too late is written and read after the copy was made."""
    shift(log)
    wait_for_tick()
    shutil.copyfile(log.path, log.named(".1"))
    wait_for_tick()
    if too_late:
        log.write(*too_late)
        log.read()
    os.truncate(log.path, 0)
    wait_for_tick()


@pytest.fixture(autouse=True)
def begun(log: Log) -> None:
    log.write("0")
    log.follow("beginning")
    log.read()


def compress(plain: Path) -> None:
    times = plain.stat()
    packed = plain.with_name(f"{plain.name}.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
    plain.unlink()


class TestCopyThatLacksTheEnd:
    """Lines may be written, and read, after the file was copied and before it was cut off."""

    @pytest.mark.parametrize("restart", [False, True])
    def test_next_copy_is_read_all_the_same(self, log: Log, restart: bool) -> None:
        log.write("1")
        copytruncate(log, "2")
        if restart:
            log.stop()
        log.write("3")
        copytruncate(log)
        log.write("4")
        if restart:
            log.follow()
        log.read()
        assert log.lines == ["0", "1", "2", "3", "4"]
        assert log.flags == [("truncated",)] * 2
        log.restart()
        assert log.read() == []

    def test_next_copies_are_read_where_all_is_compressed(self, log: Log) -> None:
        log.write("1")
        copytruncate(log, "2")
        log.stop()
        log.write("3")
        copytruncate(log)
        log.write("4")
        later_ns = log.path.stat().st_mtime_ns + 2_000_000_000
        for at_ns, file in enumerate((log.named(".1"), log.path), start=later_ns):
            os.utime(file, ns=(at_ns, at_ns))
        for number in (1, 2):
            compress(log.named(f".{number}"))
        log.follow()
        log.read()
        assert log.lines == ["0", "1", "2", "3", "4"]

    def test_next_copy_is_read_where_it_is_compressed_at_once(self, log: Log) -> None:
        """A few milliseconds later; it begins otherwise."""
        lines = [f"{number} {'=' * 80}" for number in range(1, 5)]
        copytruncate(log)
        log.write(lines[0])
        log.read()
        copytruncate(log, lines[1])
        compress(log.named(".1"))
        log.stop()
        log.write(lines[2])
        log.named(".1.gz").rename(log.named(".2.gz"))
        copytruncate(log)
        compress(log.named(".1"))
        log.write(lines[3])
        log.follow()
        log.read()
        assert log.lines == ["0", *lines]

    def test_what_was_written_since_the_last_look_was_read_too(self, log: Log) -> None:
        """And tells that a copy that was made meanwhile is one of this file."""
        assert log.follower is not None
        log.write("1")
        log.follower.look(log.now)
        wait_for_tick()
        shutil.copyfile(log.path, log.named(".1"))
        wait_for_tick()
        log.write("2")
        log.read_on()
        os.truncate(log.path, 0)
        wait_for_tick()
        log.write("3")
        assert log.read() == ["3"]
        assert log.lines == ["0", "1", "2", "3"]

    @pytest.mark.parametrize("restart", [False, True])
    def test_even_of_the_beginning_that_was_seen(self, log: Log, restart: bool) -> None:
        assert log.follower is not None
        copytruncate(log)
        log.write("1")
        shift(log)
        wait_for_tick()
        shutil.copyfile(log.path, log.named(".1"))
        wait_for_tick()
        log.write("never copied")
        log.follower.look(log.now)
        log.cursor = log.follower.cursor()
        os.truncate(log.path, 0)
        wait_for_tick()
        log.write("2")
        if restart:
            log.restart()
        log.read()
        assert log.lines == ["0", "1", "2"]
        assert [(mark.flags, mark.length_bytes) for mark in log.marks] == [
            (("truncated",), None),
            (("gap", "truncated"), len("never copied\n")),
        ]


class TestCopyInTheMaking:
    def test_of_what_is_in_the_file_now(self, log: Log) -> None:
        """It is empty yet when the file is found to have been cut off, and filled afterwards."""
        copytruncate(log)
        log.write("1")
        shift(log)
        wait_for_tick()
        log.named(".1").touch()
        wait_for_tick()
        log.write("2")
        assert log.follower is not None
        log.follower.look(log.now)
        shutil.copyfile(log.path, log.named(".1"))
        assert log.read() == ["1", "2"]
        assert log.flags == [("truncated",)]

    def test_of_a_file_that_was_empty_when_it_began(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It grows and is copied while it is taken up."""
        copytruncate(log)
        listing = rotated.rotated

        def meanwhile(path: bytes) -> list[Rotated]:
            cut = log.path.stat()
            if not cut.st_size:
                log.write("1")
                shift(log)
                shutil.copyfile(log.path, log.named(".1"))
                os.utime(log.named(".1"), ns=(cut.st_atime_ns, cut.st_mtime_ns))
            return listing(path)

        monkeypatch.setattr(follow_cut, "rotated", meanwhile)
        assert log.read() == ["1"]
        assert log.flags == [("truncated",)]


@pytest.mark.parametrize("seen", ["", "1"])
def test_cut_off_twice_between_look_and_read(log: Log, seen: str) -> None:
    """What was in the file in between comes first."""
    assert log.follower is not None
    copytruncate(log)
    if seen:
        log.write(seen)
    log.follower.look(log.now)
    mark = log.follower.read(1, log.now)
    assert mark is not None
    assert mark.lines == [None]
    if not seen:
        log.write("1")
    copytruncate(log)
    log.write("other")
    log.read_on()
    log.read()
    assert log.lines == ["0", "1", "other"]
    log.restart()
    assert log.read() == []


class TestRenamedMeanwhile:
    """While files are listed, and between the listing and what is done with it."""

    def around(
        self,
        monkeypatch: pytest.MonkeyPatch,
        module: ModuleType,
        before: Callable[[], object],
        after: Callable[[], object],
    ) -> None:
        """Have something happen right before the first listing, and right after it."""
        listing = rotated.rotated

        def once(path: bytes) -> list[Rotated]:
            monkeypatch.undo()
            before()
            files = listing(path)
            after()
            return files

        monkeypatch.setattr(module, "rotated", once)

    def test_the_file_itself(self, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its writer goes on writing to it."""
        log.stop()
        log.write("1")
        with log.path.open("a") as writer:
            self.around(
                monkeypatch,
                follow_restore,
                lambda: None,
                lambda: log.path.rename(log.named(".1")),
            )
            log.follow()
            writer.write("2\n")
            writer.flush()
            log.read()
        assert (log.lines, log.marks) == (["0", "1", "2"], [])

    def test_the_file_itself_which_was_empty(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is filled and compressed: nobody knows what was in it, but that it is there."""
        log.path.rename(log.named(".1"))
        log.path.touch()
        log.read()
        log.stop()

        def rotate() -> None:
            shift(log)
            log.write("1")
            log.path.rename(log.named(".1"))
            compress(log.named(".1"))
            wait_for_tick()
            log.write("2", to=log.named(".new"))
            log.named(".new").rename(log.path)

        self.around(monkeypatch, follow_restore, lambda: None, rotate)
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["0", "1", "2"], [])

    def test_a_compressed_file_that_is_being_read(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was empty when it was seen under the name."""
        log.path.rename(log.named(".1"))
        log.path.touch()
        log.read()
        log.stop()
        shift(log)
        log.write("1")
        log.path.rename(log.named(".1"))
        wait_for_tick()
        log.write("2")
        self.around(
            monkeypatch,
            follow_lineup,
            lambda: compress(log.named(".1")),
            lambda: log.named(".1.gz").rename(log.named(".3.gz")),
        )
        log.follow()
        log.read()
        assert (log.lines, log.marks) == (["0", "1", "2"], [])

    def test_the_file_that_is_being_taken_up(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It loses the name after it has been opened, and the next one has it for a moment only."""
        log.path.rename(log.named(".1"))
        log.write("1")

        def rotate_twice() -> None:
            shift(log)
            log.path.rename(log.named(".1"))
            compress(log.named(".1"))
            wait_for_tick()
            log.write("2")
            shift(log)
            log.named(".1.gz").rename(log.named(".2.gz"))
            log.path.rename(log.named(".1"))
            wait_for_tick()
            log.write("3")

        self.around(monkeypatch, follow_lineup, rotate_twice, lambda: None)
        log.read()
        assert (log.lines, log.marks) == (["0", "1", "2", "3"], [])


def test_copy_that_was_ready_a_second_before_the_last_line(log: Log) -> None:
    """What is in the copy is read from there though the file was written to since."""
    assert log.follower is not None
    log.write("1")
    shutil.copyfile(log.path, log.named(".1"))
    log.write("2")
    os.utime(log.path, ns=(2_000_000_000_000_000_000,) * 2)
    os.utime(log.named(".1"), ns=(1_999_999_999_000_000_000,) * 2)
    log.follower.look(log.now)
    os.truncate(log.path, 0)
    log.write("3")
    assert log.read() == ["1", "3"]
    assert [(mark.flags, mark.length_bytes) for mark in log.marks] == [(("gap", "truncated"), 2)]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("is_empty", [False, True])
def test_copies_as_old_as_the_cut(tmp_path: Path, restart: bool, is_empty: bool) -> None:
    """The times of files are those of ticks: a small one is copied and cut off within one."""
    log = Log(tmp_path / "other.log")
    log.path.touch()
    if not is_empty:
        log.write("0")
    log.follow()
    if restart:
        log.stop()
    for number in range(1, 3):
        wait_for_tick()
        log.write(f"{number}")
        shift(log)
        shutil.copyfile(log.path, log.named(".1"))
        os.truncate(log.path, 0)
        times = log.path.stat()
        os.utime(log.named(".1"), ns=(times.st_atime_ns, times.st_mtime_ns))
    if restart:
        log.follow()
    else:
        log.read()
    assert log.lines == ["1", "2"]
    assert log.flags == [("truncated",)] * 2
    log.restart()
    assert log.read() == []
    log.stop()


class TestOfAFileOfWhichNothingHasBeenRead:
    """Little tells that it was cut off, but what rotation has made meanwhile."""

    @pytest.fixture(autouse=True)
    def empty(self, log: Log, begun: None) -> None:
        copytruncate(log)
        log.read()
        log.lines.clear()
        log.marks.clear()

    def test_filled_and_cut_off_as_it_is_read(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refresh = Generation.refresh

        def once(generation: Generation) -> None:
            refresh(generation)
            monkeypatch.undo()
            log.write("1")
            copytruncate(log)
            log.write("2")

        monkeypatch.setattr(Generation, "refresh", once)
        log.read_on()
        log.read()
        assert (log.lines, log.flags) == (["1", "2"], [("truncated",)])

    def test_cut_off_as_its_beginning_is_read(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beginning = Generation._at

        def once(generation: Generation, offset: int, length: int) -> bytes:
            monkeypatch.undo()
            copytruncate(log)
            log.write("2")
            return beginning(generation, offset, length)

        log.write("1")
        wait_for_tick()
        monkeypatch.setattr(Generation, "_at", once)
        log.read()
        log.read()
        assert (log.lines, log.flags) == (["1", "2"], [("truncated",)])

    def test_seen_and_cut_off_as_it_is_found_again(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of which nothing had been read."""
        assert log.follower is not None
        log.write("1")
        log.follower.look(log.now)
        log.cursor = log.follower.cursor()
        log.stop()
        seek = Generation.seek

        def once(generation: Generation, offset: int) -> None:
            monkeypatch.undo()
            copytruncate(log)
            log.write("2")
            seek(generation, offset)

        monkeypatch.setattr(Generation, "seek", once)
        log.follow()
        log.read()
        assert (log.lines, log.flags) == (["1", "2"], [("truncated",)])

    def test_renamed_as_copies_are_looked_for(
        self, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What came after it within the same tick is no copy of it."""
        listing = rotated.rotated

        def once(path: bytes) -> list[Rotated]:
            monkeypatch.undo()
            times = log.path.stat()
            for number in ("2", "3"):
                shift(log)
                log.path.rename(log.named(".1"))
                log.write(number)
            os.utime(log.named(".1"), ns=(times.st_atime_ns, times.st_mtime_ns))
            return listing(path)

        log.write("1")
        monkeypatch.setattr(follow_cut, "rotated", once)
        log.read()
        log.read()
        assert (log.lines, log.marks) == (["1", "2", "3"], [])

    def test_copied_empty_and_filled_before_the_cut(self, log: Log) -> None:
        shift(log)
        wait_for_tick()
        log.named(".1").touch()
        log.write("never copied")
        os.truncate(log.path, 0)
        wait_for_tick()
        log.write("1")
        log.read()
        assert (log.lines, log.flags) == (["1"], [("truncated",)])
        log.restart()
        log.write("2")
        log.read()
        assert (log.lines, log.flags) == (["1", "2"], [("truncated",)])


def test_file_that_is_renamed_as_it_is_found_again(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.path.rename(log.named(".1"))
    log.write("1", to=log.named(".1"))
    log.stop()
    opened = follow_restore.open_same

    def once(path: bytes, position: Position) -> Generation | None:
        monkeypatch.undo()
        shift(log)
        return opened(path, position)

    monkeypatch.setattr(follow_restore, "open_same", once)
    log.follow()
    assert (log.lines, log.marks) == (["0", "1"], [])


@pytest.mark.parametrize("begin", ["end", "beginning"])
def test_copy_as_old_as_the_file_when_it_is_followed_first(tmp_path: Path, begin: Begin) -> None:
    """It was there before; one that is made in the same tick came since."""
    log = Log(tmp_path / "other.log")
    log.path.touch()
    log.write("old", to=log.named(".1"))
    times = log.path.stat()
    ns = (times.st_atime_ns, times.st_mtime_ns)
    os.utime(log.named(".1"), ns=ns)
    log.follow(begin)
    shift(log)
    log.write("1", to=log.named(".1"))
    os.utime(log.named(".1"), ns=ns)
    os.utime(log.path, ns=ns)
    assert log.read() == []
    log.write("2")
    log.read()
    assert (log.lines, log.flags) == (["1", "2"], [("truncated",)])
    log.stop()
