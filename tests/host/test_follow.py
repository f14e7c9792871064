"""A followed file through rotation, truncation, absence and restarts, one case after the other.

``test_follow_random.py`` tries what nobody has thought of.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etlmon.host.follow import Begin, Follower
from etlmon.host.follow_queue import Limits
from etlmon.host.lines import Mark
from tests.waiting import PATIENCE_SECONDS

HOLD = 1000.0


class Log:
    """A log file, who follows it, and what has come of it so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.limits = Limits(max_line_bytes=1000, partial_seconds=5.0, rotated_hold_seconds=HOLD)
        self.follower: Follower | None = None
        self.cursor: str | None = None
        self.lines: list[str] = []
        self.marks: list[Mark] = []

    def follow(self, begin: Begin = "end", **options: Any) -> None:
        self.follower = Follower(
            bytes(self.path), self.cursor, begin=begin, limits=self.limits, **options
        )
        self.read(0)

    def read(self, seconds: float = 10.0) -> list[str]:
        """Look some seconds later and read all; give the new lines."""
        assert self.follower is not None
        self.now += seconds
        self.follower.look(self.now)
        before = len(self.lines)
        while (reading := self.follower.read(1000, self.now)) is not None:
            for place, line in enumerate(reading.lines):
                mark = reading.marks.get(place)
                if mark is not None:
                    self.marks.append(mark)
                if line is not None:
                    self.lines.append(line.decode())
        self.cursor = self.follower.cursor()
        return self.lines[before:]

    def stop(self) -> None:
        if self.follower is not None:
            self.follower.sleep()
            self.follower = None

    def restart(self, **options: Any) -> None:
        self.stop()
        self.follow(**options)

    def write(self, *lines: str, to: Path | None = None) -> None:
        with (to or self.path).open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def named(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)

    @property
    def flags(self) -> list[tuple[str, ...]]:
        return [mark.flags for mark in self.marks]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    one = Log(tmp_path / "app.log")
    yield one
    one.stop()


def open_files(directory: Path) -> list[str]:
    """Give what this process has open below a directory."""
    links = []
    for number in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(number.readlink()))
        except OSError:
            continue
    return sorted(link for link in links if link.startswith(str(directory)))


class TestBegin:
    @pytest.mark.parametrize(
        ("begin", "expected"), [("end", ["new"]), ("beginning", ["old", "new"]), ("saved", [])]
    )
    def test_of_a_file_that_is_there(self, log: Log, begin: Begin, expected: list[str]) -> None:
        log.write("old")
        log.follow(begin)
        log.write("new")
        log.read()
        assert log.lines == expected

    @pytest.mark.parametrize("begin", ["end", "beginning"])
    def test_of_a_file_that_comes_later(self, log: Log, begin: Begin) -> None:
        log.path = log.path.parent / "later" / "app.log"
        log.follow(begin)
        assert log.follower is not None
        assert not log.follower.standing().is_there
        log.path.parent.mkdir()
        log.write("a")
        assert log.read() == ["a"]

    def test_saved_goes_on_where_an_earlier_one_stopped(self, log: Log) -> None:
        log.write("old")
        log.follow()
        log.stop()
        log.write("new")
        log.follow("saved")
        assert log.lines == ["new"]

    def test_of_the_file_that_is_there_a_later_place_may_be_found(self, log: Log) -> None:
        """Of no other file, and not again after a restart."""
        asked = []

        def find_begin(fd: int, size: int) -> int:
            asked.append((os.fstat(fd).st_size, size))
            return 4

        log.write("old", "new")
        log.follow("beginning", find_begin=find_begin)
        assert (log.lines, asked) == (["new"], [(8, 8)])
        log.write("newer")
        log.restart(begin="beginning", find_begin=find_begin)
        log.path.rename(log.named(".1"))
        log.write("a", "b")
        log.read()
        assert (log.lines, log.marks) == (["new", "newer", "a", "b"], [])
        assert len(asked) == 1

    def test_where_no_later_place_can_be_found(self, log: Log, tmp_path: Path) -> None:
        def find_begin(_fd: int, _size: int) -> int:
            raise OSError(5, "Input/output error")

        log.write("old")
        with pytest.raises(OSError, match="Input/output"):
            log.follow("beginning", find_begin=find_begin)
        assert open_files(tmp_path) == []
        log.follow("beginning", find_begin=lambda _fd, size: size + 5)  # cut off meanwhile
        assert log.lines == ["old"]

    def test_one_byte(self, log: Log) -> None:
        log.follow()
        log.path.write_bytes(b"\n")
        assert log.read() == [""]

    def test_cursor_that_is_none(self, log: Log) -> None:
        with pytest.raises(ValueError, match=r"Expected"):
            Follower(bytes(log.path), "{}")

    def test_rotated_files_of_before_are_left_alone(self, log: Log) -> None:
        for ending in (".1", "-20260101"):
            log.write("old", to=log.named(ending))
        log.follow()
        log.write("a")
        assert log.read() == ["a"]
        log.named(".1").rename(log.named(".2"))
        log.path.rename(log.named(".1"))
        log.write("b")
        assert log.read() == ["b"]


class TestRotation:
    @pytest.fixture(autouse=True)
    def begun(self, log: Log) -> None:
        log.write("0")
        log.follow()

    def test_rest_of_the_old_file_comes_before_the_new(self, log: Log) -> None:
        log.write("1")
        log.path.rename(log.named(".1"))
        log.write("2", to=log.named(".1"))
        log.write("3")
        assert log.read() == ["1", "2", "3"]

    def test_writer_that_goes_on_in_the_renamed_file(self, log: Log) -> None:
        """As a session of vsftpd does, for hours."""
        with log.path.open("a", buffering=1) as session:
            session.write("1\n")
            log.path.rename(log.named(".1"))
            for number in range(2, 20, 2):
                session.write(f"{number}\n")
                log.write(f"{number + 1}")
                log.read(60)
                assert sorted(map(int, log.lines)) == list(range(1, number + 2))
        log.read()
        log.read()
        assert open_files(log.path.parent) == [str(log.path)]

    def test_hold_is_bounded(self, log: Log) -> None:
        with log.path.open("a"):
            log.path.rename(log.named(".1"))
            log.write("1")
            log.read()
            assert open_files(log.path.parent).count(str(log.named(".1"))) == 2
            log.read(HOLD)
            log.read()
            assert open_files(log.path.parent).count(str(log.named(".1"))) == 1, "the writer's own"

    def test_deleted_file_is_let_go_when_nobody_writes_to_it(self, log: Log) -> None:
        writer = log.path.open("a", buffering=1)
        log.path.unlink()
        writer.write("1\n")
        assert log.read() == ["1"]
        writer.write("2\n")
        writer.close()
        assert log.read() == ["2"]
        log.read()
        assert open_files(log.path.parent) == []

    def test_file_that_grows_after_it_was_let_go(self, log: Log) -> None:
        log.path.rename(log.named(".1"))
        log.write("1")
        log.read()
        log.read()
        log.write("2", to=log.named(".1"))
        assert log.read() == ["2"]

    def test_last_line_without_an_end(self, log: Log) -> None:
        """It is never joined with the new file, and given when nobody can end it any more."""
        log.path.write_text("0\n1")
        log.path.rename(log.named(".1"))
        log.write("2")
        log.read()
        log.read()
        assert sorted(log.lines) == ["1", "2"]
        assert log.flags == [("partial",)]

    def test_rotation_undone(self, log: Log) -> None:
        log.write("1")
        log.read()
        log.path.rename(log.named(".1"))
        log.read()
        log.read()
        log.named(".1").rename(log.path)
        log.write("2")
        assert log.read() == ["2"]

    @pytest.mark.parametrize("restart", [False, True])
    def test_several_rotations_between_two_looks(self, log: Log, restart: bool) -> None:
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

    def test_new_file_with_the_inode_of_the_old(self, log: Log) -> None:
        log.write("1")
        log.read()
        inode = log.path.stat().st_ino
        log.restart()
        log.stop()
        log.path.unlink()
        log.write("2", "3")
        if log.path.stat().st_ino != inode:
            pytest.xfail("the file system gave another inode")
        log.follow()
        assert log.lines == ["1", "2", "3"]

    def test_symlink_that_switches(self, log: Log) -> None:
        first, second = (log.path.with_name(f"{name}.txt") for name in ("first", "second"))
        log.stop()
        log.cursor = None
        log.path.rename(first)
        log.path.symlink_to(first)
        log.follow()
        log.write("1", to=first)
        log.write("2", to=second)
        log.path.unlink()
        log.path.symlink_to(second)
        log.write("3", to=first)
        assert log.read() == ["1", "3", "2"]
        log.path.unlink()
        log.path.symlink_to(first)
        log.write("4", to=first)
        assert log.read() == ["4"]

    def test_symlink_that_switches_while_nobody_looks(self, log: Log) -> None:
        """What it led to in between is not known by its name: a gap tells so, once."""
        log.stop()
        log.cursor = None
        self.link(log, "first")
        log.follow(begin="beginning")
        log.write("1", to=log.path.with_name("first"))
        log.read()
        log.stop()
        log.write("2", to=log.path.with_name("first"))
        for name in ("second", "third"):
            self.link(log, name)
            log.write(name)
        log.follow()
        assert log.lines == ["1", "2", "third"]
        assert [mark.flags for mark in log.marks] == [("gap",)]
        assert "a link was switched" in str(log.marks[0].detail)
        log.restart()
        log.write("3")
        assert log.read() == ["3"]
        assert len(log.marks) == 1

    def test_symlink_to_names_of_rotation_that_switches_while_nobody_looks(self, log: Log) -> None:
        """They tell what came in between: nothing is missing."""
        log.stop()
        log.cursor = None
        self.link(log, "app.log-20260101")
        log.follow(begin="beginning")
        log.write("1")
        log.read()
        log.stop()
        for day in ("20260102", "20260103"):
            self.link(log, f"app.log-{day}")
            log.write(day)
        log.follow()
        assert (log.lines, log.marks) == (["1", "20260102", "20260103"], [])

    def test_link_to_the_directory_that_switches_while_nobody_looks(
        self, log: Log, tmp_path: Path
    ) -> None:
        for name in ("old", "new"):
            (tmp_path / name).mkdir()
        current = tmp_path / "current"
        current.symlink_to("old")
        linked = Log(current / "app.log")
        linked.write("1")
        linked.follow(begin="beginning")
        linked.stop()
        current.unlink()
        current.symlink_to("new")
        linked.write("2")
        linked.follow()
        assert linked.lines == ["1", "2"]
        assert [mark.flags for mark in linked.marks] == [("gap",)]
        linked.stop()

    @staticmethod
    def link(log: Log, name: str) -> None:
        log.path.unlink(missing_ok=True)
        log.path.symlink_to(name)
        log.path.with_name(name).touch()

    def test_files_of_one_header_are_told_apart(self, log: Log, tmp_path: Path) -> None:
        header = "\n".join(["#" * 63] * 64)
        logs = [Log(tmp_path / f"{number}.csv") for number in range(50)]
        for one in logs:
            one.write(header)
            one.follow()
        for number, one in enumerate(logs):
            one.write(str(number))
            one.path.rename(one.named(".1"))
            one.write(header)
        for number, one in enumerate(logs):
            one.restart()
            one.read()
            assert [line for line in one.lines if line != "#" * 63] == [str(number)]
            assert len(one.lines) == 65
            one.stop()

    def test_a_hundred_rotations_leave_a_small_cursor(self, log: Log) -> None:
        for number in range(100):
            log.path.rename(log.named(".1"))
            log.write(str(number))
            log.read()
        assert log.lines == [str(number) for number in range(100)]
        assert len(log.cursor or "") < 4096
        assert len(open_files(log.path.parent)) < 4


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
        log.write("b")
        self.copytruncate(log)
        log.write("c")
        if restart:
            log.follow()
        log.read()
        assert log.lines[100:] == ["a", "b", "c"]
        assert log.flags == [("truncated",), ("truncated",)]


class TestAfterDowntime:
    @pytest.fixture(autouse=True)
    def stopped(self, log: Log) -> None:
        log.follow()
        log.write("1")
        log.read()
        log.stop()
        log.write("2", "3")

    @pytest.mark.parametrize("ending", [".1", "-20260131", ".2026-01-31T00:00", "-1767225600"])
    def test_renamed(self, log: Log, ending: str) -> None:
        log.path.rename(log.named(ending))
        log.write("4")
        log.follow()
        assert (log.lines, log.marks) == (["1", "2", "3", "4"], [])

    def test_renamed_with_the_date_before_its_ending(self, log: Log) -> None:
        log.path.rename(log.path.with_name("app-20260131.log"))
        log.write("4")
        log.follow()
        assert (log.lines, log.marks) == (["1", "2", "3", "4"], [])

    @pytest.mark.parametrize("ending", [".1.gz", "-20260131.gz", ".1.bz2", ".1.xz"])
    def test_compressed(self, log: Log, ending: str) -> None:
        pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
        status = log.path.stat()
        packed = log.named(ending)
        packed.write_bytes(pack[ending[-3:].strip(".")](log.path.read_bytes()))
        os.utime(packed, (status.st_atime, int(status.st_mtime)))
        log.path.unlink()
        log.write("4")
        log.follow()
        assert (log.lines, [flags for flags in log.flags if flags != ("truncated",)]) == (
            ["1", "2", "3", "4"],
            [],
        )
        log.restart()
        assert log.read() == []

    def test_compressed_file_that_is_broken(self, log: Log) -> None:
        log.path.rename(log.named(".1"))
        packed = gzip.compress(b"1\n2\n3\n" + os.urandom(100_000))
        log.named(".1.gz").write_bytes(packed[:5000])
        log.named(".1").unlink()
        log.write("4")
        log.follow()
        assert "4" in log.lines
        assert any("gap" in flags for flags in log.flags)

    @pytest.mark.parametrize("is_kept", [True, False])
    def test_empty_then_filled_and_compressed(self, log: Log, is_kept: bool) -> None:
        log.path.rename(log.named(".2"))
        log.path.touch()
        log.follow()
        log.stop()
        assert log.lines == ["1", "2", "3"]
        packed = log.named(".1.gz")
        if is_kept:
            packed.write_bytes(gzip.compress(b"4\n5\n"))
        log.write("6", to=log.named(".new"))  # with an inode of its own
        log.named(".new").rename(log.path)
        log.follow()
        if is_kept:
            assert (log.lines, log.marks) == (["1", "2", "3", "4", "5", "6"], [])
        else:
            assert log.lines == ["1", "2", "3", "6"]
            assert log.flags == [("gap",)], "nobody knows what was in it"

    def test_gone(self, log: Log) -> None:
        log.path.rename(log.path.with_name("moved-away"))
        log.write("4")
        log.follow()
        assert log.lines == ["1", "4"]
        assert log.flags == [("gap",)]
        log.restart()
        assert log.flags == [("gap",)], "it is told once"

    def test_renamed_and_nothing_in_its_place(self, log: Log) -> None:
        log.path.rename(log.named(".1"))
        log.follow()
        assert log.lines == ["1", "2", "3"]
        log.write("4")
        assert log.read() == ["4"]


class TestErrors:
    def test_what_is_no_file(self, log: Log) -> None:
        os.mkfifo(log.path)
        with pytest.raises(OSError, match="not a regular file"):
            log.follow("beginning")
        log.path.unlink()
        log.write("a")
        assert log.read() == ["a"]

    def test_file_that_may_not_be_read(self, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
        log.write("0")
        log.path.chmod(0)
        os.seteuid(65534)
        try:
            with pytest.raises(PermissionError):
                log.follow()
        finally:
            os.seteuid(0)
        assert log.cursor is None


def test_who_cannot_see_others_waits_for_quiet(log: Log) -> None:
    """Without privileges a rotated file is read on until it has been quiet for a while."""
    log.write("0")
    os.chown(log.path, 65534, 65534)
    log.path.parent.chmod(0o755)
    for parent in list(log.path.parents)[:-1]:
        parent.chmod(parent.stat().st_mode | 0o055)
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"f = open({str(log.path)!r}, 'a'); print(flush=True); input(); f.write('1\\n')",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    os.seteuid(65534)
    try:
        log.follow()
        os.seteuid(0)
        log.path.rename(log.named(".1"))
        os.seteuid(65534)
        log.read(1)
        log.read(10)
        assert log.follower is not None
        standing = log.follower.standing()
        assert (standing.rotated_files, standing.sees_all_writers) == (1, False)
        writer.communicate(b"\n", timeout=PATIENCE_SECONDS)
        assert log.read(25) == ["1"]
        log.read(29)
        assert log.follower.standing().rotated_files == 1
        log.read(31)
        log.read(31)
        assert log.follower.standing().rotated_files == 0
    finally:
        os.seteuid(0)
