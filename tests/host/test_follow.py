"""A followed file through rotation, absence and errors, one case after the other.

``test_follow_links``, ``test_follow_lineup`` and ``test_follow_restore`` go on with links, copies
and downtime; ``test_follow_random`` tries what nobody has thought of.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from etlmon.host.follow import Begin, Follower
from tests.host.conftest import HOLD, Log, open_files
from tests.waiting import PATIENCE_SECONDS, wait_for_tick


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
        wait_for_tick()
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
