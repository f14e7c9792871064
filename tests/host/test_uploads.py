"""Uploads on the disk by their logged names, and who has them open."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from etlmon.host import uploads
from etlmon.host.uploads import FoundFile, as_glob, find, is_logged_as, writers


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "up").mkdir()
    return tmp_path


def put(root: Path, name: str, content: bytes = b"12345", at: float = 1_000.0) -> Path:
    path = root / name
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def names(root: Path, logged: str, is_it: FoundFile | None = None) -> list[str]:
    found = find(str(root), logged, is_it)
    assert found.trouble is None
    return sorted(os.path.relpath(os.fsdecode(one.path), root) for one in found.files)


def test_a_file_by_its_name(root: Path) -> None:
    put(root, "up/a.csv")
    (found,) = find(str(root), "/up/a.csv").files
    assert found == FoundFile(os.fsencode(root / "up/a.csv"), 5, 1_000_000)
    assert names(root, "up/a.csv") == ["up/a.csv"]
    assert names(root, "/up//../up/./a.csv") == ["up/a.csv"]
    assert names(root, "/up/b.csv") == []
    assert names(root, "/a.csv/b") == []


def test_no_name_leads_out_of_the_directory(root: Path) -> None:
    put(root, "a.csv")
    assert names(root / "up", "/../a.csv") == []
    put(root, "up/a.csv")
    assert [one.path for one in find(str(root / "up"), "/../../a.csv").files] == [
        os.fsencode(root / "up/a.csv")
    ]


@pytest.mark.parametrize(
    ("name", "logged"),
    [
        ("my file  two.txt", "my_file__two.txt"),  # vsftpd
        ("f\ud55c\uae00.txt", "f??????.txt"),
        ("f\n\x1b\x7f.txt", "f???.txt"),
        ("f\udcff.txt", "f?.txt"),
        ("f\ud55c \n.txt", "f\ud55c__.txt"),  # ProFTPD
        ("a_b.txt", "a_b.txt"),
        ("what?.txt", "what?.txt"),
        ("[*].txt", "[*].txt"),
    ],
)
def test_names_as_servers_log_them(root: Path, name: str, logged: str) -> None:
    put(root, f"up/{name}")
    put(root, "up/other.txt")
    found = find(str(root), f"/up/{logged}")
    assert [os.fsdecode(one.path) for one in found.files] == [os.fsdecode(root / "up" / name)]


def test_several_may_be_meant(root: Path) -> None:
    put(root, "up/a_b")
    put(root, "up/a b")
    assert names(root, "/up/a_b") == ["up/a b", "up/a_b"]


def test_directories_may_have_blanks_too(root: Path) -> None:
    (root / "in box").mkdir()
    put(root, "in box/\ud55c.csv")
    assert names(root, "/in_box/???.csv") == ["in box/\ud55c.csv"]


def test_of_several_the_one_that_fits_is_it(root: Path) -> None:
    put(root, "up/a_b", b"123", at=1_000)
    put(root, "up/a b", b"12345", at=1_001)
    assert names(root, "/up/a_b", FoundFile(b"", 5, 1_000_000)) == ["up/a b"]
    assert names(root, "/up/a_b", FoundFile(b"", 3, 1_000_000)) == ["up/a_b"]
    assert names(root, "/up/a_b", FoundFile(b"", 9, 1_000_000)) == ["up/a b", "up/a_b"]


def test_what_fits_exactly_needs_no_listing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, "up/a_b", b"123")

    def fail(_path: bytes) -> None:
        raise AssertionError

    monkeypatch.setattr(uploads.os, "scandir", fail)
    assert names(root, "/up/a_b", FoundFile(b"", 3, 1_000_000)) == ["up/a_b"]


def test_what_is_no_file_is_none(root: Path) -> None:
    os.mkfifo(root / "up/pipe")
    assert names(root, "/up/pipe") == []
    assert names(root, "/up") == []
    assert find(str(root), "/up/").trouble == "the log names no file"
    assert find(str(root), "/").trouble == "the log names no file"


def test_a_directory_of_very_many_names_is_not_searched(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_MOST_LISTED", 3)
    for number in range(4):
        put(root, f"up/{number}")
    assert find(str(root), "/up/a_b").trouble == f"more than 3 names in {root}/up"
    put(root, "up/a_b")
    assert names(root, "/up/a_b", FoundFile(b"", 5, 1_000_000)) == ["up/a_b"]


def test_a_name_too_long_is_a_trouble(root: Path) -> None:
    found = find(str(root), "/" + "x" * 300)
    assert found.trouble is not None
    assert "File name too long" in found.trouble


def test_hostile_names_take_no_time(root: Path) -> None:
    for number in range(200):
        put(root, f"up/{'a' * 200}{number}")
    began = time.process_time()
    find(str(root), "/up/" + "?" * 200)
    find(str(root), "/_" * 2_000)
    assert time.process_time() - began < 1


def test_who_has_a_file_open(root: Path) -> None:
    reading, writing, neither = (put(root, name) for name in "abc")
    paths = [os.fsencode(path) for path in (reading, writing, neither)]
    with reading.open("rb"), writing.open("ab"):
        found, sees_all = writers(Path("/proc"), {path: path for path in paths})
    assert found == {os.fsencode(writing): os.getpid()}
    assert sees_all == (os.geteuid() == 0)
    assert writers(Path("/proc"), {path: path for path in paths})[0] == {}


def test_who_has_a_file_open_through_a_link(root: Path) -> None:
    put(root, "a")
    (root / "link").symlink_to(root)
    path = os.fsencode(root / "link/a")
    with (root / "a").open("ab"):
        real = os.path.realpath(path)
        assert writers(Path("/proc"), {path: real})[0] == {path: os.getpid()}


def test_processes_of_others_may_hide_theirs(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "8").mkdir()
    (tmp_path / "8/fd").mkdir(mode=0)
    (tmp_path / "self").mkdir()
    found, sees_all = writers(tmp_path, {b"/x": b"/x"})
    assert (found, sees_all) == ({}, os.geteuid() == 0)


@pytest.mark.parametrize(
    ("logged", "glob"),
    [
        ("/in/a.csv", "in/a.csv"),
        ("/in/a_b??.csv", "in/a?b*.csv"),
        ("/in//./x/../?_?.csv", "in/*.csv"),
        ("/[a]*.csv", "[[]a[]][*].csv"),
        ("/in/", None),
        ("/", None),
    ],
)
def test_globs(logged: str, glob: str | None) -> None:
    assert as_glob(logged) == glob


def test_which_path_is_logged_so() -> None:
    assert is_logged_as("in/my 한.csv".encode(), "/in/my_???.csv")
    assert is_logged_as("in/my 한.csv".encode(), "/in/my_한.csv")
    assert not is_logged_as(b"in/my x.csv", "/in/my_???.csv")
    assert not is_logged_as(b"my_.csv", "/in/my_.csv")
