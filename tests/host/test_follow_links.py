"""A followed name that is a symbolic link, or leads through one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etlmon.host import follow
from etlmon.host.generation import Generation
from tests.host.conftest import Log


@pytest.fixture(autouse=True)
def begun(log: Log) -> None:
    log.write("0")
    log.follow()


def link(log: Log, name: str) -> None:
    log.path.unlink(missing_ok=True)
    log.path.symlink_to(name)
    log.path.with_name(name).touch()


def test_symlink_that_switches(log: Log) -> None:
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


def test_symlink_that_switches_as_it_is_looked_at(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which file it leads to is asked first, and opened then: that it is another is no gap."""
    log.path.rename(log.path.with_name("first"))
    link(log, "first")
    log.read()
    link(log, "second")
    opening = follow.open_generation

    def switched(name: bytes) -> Generation:
        monkeypatch.undo()
        link(log, "third")
        return opening(bytes(log.path.resolve()))

    monkeypatch.setattr(follow, "open_generation", switched)
    log.read()
    log.write("3")
    for _ in range(4):
        log.read()
    assert (log.lines, log.marks) == (["3"], [])


def test_symlink_that_switches_while_nobody_looks(log: Log) -> None:
    """What it led to in between is not known by its name: a gap tells so, once."""
    log.stop()
    log.cursor = None
    link(log, "first")
    log.follow(begin="beginning")
    log.write("1", to=log.path.with_name("first"))
    log.read()
    log.stop()
    log.write("2", to=log.path.with_name("first"))
    for name in ("second", "third"):
        link(log, name)
        log.write(name)
    log.follow()
    assert log.lines == ["1", "2", "third"]
    assert [mark.flags for mark in log.marks] == [("gap",)]
    assert "a link was switched" in str(log.marks[0].detail)
    log.restart()
    log.write("3")
    assert log.read() == ["3"]
    assert len(log.marks) == 1


def test_symlink_to_names_of_rotation_that_switches_while_nobody_looks(log: Log) -> None:
    """They tell what came in between: nothing is missing."""
    log.stop()
    log.cursor = None
    link(log, "app.log-20260101")
    log.follow(begin="beginning")
    log.write("1")
    log.read()
    log.stop()
    for day in ("20260102", "20260103"):
        link(log, f"app.log-{day}")
        log.write(day)
    log.follow()
    assert (log.lines, log.marks) == (["1", "20260102", "20260103"], [])


def test_link_to_the_directory_that_switches_while_nobody_looks(log: Log, tmp_path: Path) -> None:
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


class TestThereAndBack:
    """The link leads elsewhere and back between two looks that find the same file."""

    @pytest.fixture(autouse=True)
    def linked(self, log: Log) -> None:
        log.stop()
        log.cursor = None
        link(log, "first")
        log.follow()
        log.read()

    def switch(self, log: Log, *names: str) -> None:
        for name in names:
            new = log.path.with_name("new")
            new.symlink_to(name)
            os.utime(new, ns=(0, log.path.lstat().st_mtime_ns + 1), follow_symlinks=False)
            new.rename(log.path)

    def test_is_told_where_it_was_heard(self, log: Log) -> None:
        self.switch(log, "second", "first")
        log.write("1", to=log.path.with_name("first"))
        assert log.read(came=2) == ["1"]
        assert [mark.detail for mark in log.marks] == [
            "1 more had the name meanwhile; lines may be missing"
        ]
        for _ in range(2):
            log.read()
        assert len(log.marks) == 1

    def test_also_if_it_is_heard_in_two_parts(self, log: Log) -> None:
        self.switch(log, "second", "first")
        log.read(came=1)
        assert log.marks == []
        log.read(came=1)
        assert log.flags == [("gap",)]

    def test_and_once_where_nobody_hears_it(self, log: Log) -> None:
        self.switch(log, "second", "first")
        for _ in range(4):
            log.read()
        assert log.flags == [("gap",)]
        assert "made anew" in str(log.marks[0].detail)

    def test_or_after_a_restart(self, log: Log) -> None:
        log.stop()
        self.switch(log, "second", "first")
        log.follow()
        for _ in range(3):
            log.read()
            log.restart()
        assert log.flags == [("gap",)]

    @pytest.mark.parametrize("came", [(1, 0), (0, 1)])
    def test_made_anew_to_lead_to_the_same_misses_nothing(
        self, log: Log, came: tuple[int, int]
    ) -> None:
        self.switch(log, "first")
        for times in (*came, 0, 0):
            log.read(came=times)
        assert log.marks == []

    def test_neither_does_one_that_is_heard_of_late(self, log: Log) -> None:
        log.path.with_name("second").touch()
        self.switch(log, "second")
        for times in (0, 1, 0):
            log.read(came=times)
        assert log.marks == []


@pytest.mark.parametrize(
    ("ending", "begin"),
    [
        (".gz", b"\x1f\x8b\x08"),
        (".bz2", b"BZh9"),
        (".xz", b"\xfd7zXZ\0"),
        (".zst", b"\x28\xb5\x2f\xfd"),
    ],
)
def test_link_to_a_compressed_file_that_is_broken(log: Log, ending: str, begin: bytes) -> None:
    """It is an error of this file: those of the same pattern are followed on."""
    broken = log.path.with_suffix(ending)
    broken.write_bytes(begin)
    log.path.unlink()
    log.path.symlink_to(broken)
    with pytest.raises(OSError, match="cannot be unpacked"):
        log.read()
    link(log, "plain.txt")
    log.write("1")
    assert log.read() == ["1"]
