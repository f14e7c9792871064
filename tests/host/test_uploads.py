"""Uploads on the disk by their logged names, and who has them open."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from etlmon.host import beneath, uploads
from etlmon.host.mounts import parse_mount
from etlmon.host.uploads import (
    Found,
    FoundFile,
    Hanging,
    UploadSearch,
    as_glob,
    is_logged_as,
    writers,
)


def find(root: str, name: str, is_it: FoundFile | None = None) -> Found:
    with closing(UploadSearch()) as search:
        return search.find(root, name, is_it)


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

    monkeypatch.setattr(beneath.os, "scandir", fail)
    assert names(root, "/up/a_b", FoundFile(b"", 3, 1_000_000)) == ["up/a_b"]


def test_a_name_that_is_not_utf_8_is_found_as_it_is_stored(root: Path) -> None:
    put(root, "up/f \udcff.csv")
    put(root, "up/f x.csv")
    assert names(root, "/up/f_\\xff.csv") == ["up/f \udcff.csv"]
    assert is_logged_as(b"up/f \xff.csv", "/up/f_\\xff.csv")
    assert as_glob("/up/f_\\xff.csv") == "up/f??.csv"


# --- links ----------------------------------------------------------------------------------------


def test_a_link_leads_to_where_it_leads_for_the_session(root: Path) -> None:
    """As for a process that is locked in: nothing leads out, and / is the directory."""
    put(root, "up/a.csv")
    (root / "relative").symlink_to("up")
    (root / "absolute").symlink_to("/up")
    (root / "up/above").symlink_to("../../../up")
    (root / "up/b.csv").symlink_to("a.csv")
    (root / "chain").symlink_to("absolute")
    for name in ("relative/a.csv", "absolute/a.csv", "up/above/a.csv", "up/b.csv", "chain/b.csv"):
        assert names(root, name) == ["up/a.csv"], name
    assert [one.path for one in find("/", f"{root}/relative/a.csv").files] == [
        os.fsencode(root / "up/a.csv")
    ]


def test_no_link_leads_out_of_the_directory(root: Path, tmp_path: Path) -> None:
    top = tmp_path / "ftp"
    top.mkdir()
    secret = put(root, "secret.csv")
    (top / "file.csv").symlink_to(secret)
    (top / "up").symlink_to(root)
    (top / "a_b").symlink_to("..")
    (top / "magic").symlink_to("/proc/self/root")
    for name in ("file.csv", "up/secret.csv", "a_b/secret.csv", f"magic{secret}"):
        assert find(str(top), name) == Found(()), name
    # The directory itself is whoever's who configured it.
    (tmp_path / "link").symlink_to(root)
    (found,) = find(str(tmp_path / "link"), "/secret.csv").files
    assert found.path == os.fsencode(secret)


def test_a_link_swapped_in_while_it_is_looked_at_leads_nowhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory is there when its name is read, and a link out when it is opened."""
    top = tmp_path / "ftp"
    (top / "in_box").mkdir(parents=True)
    put(root, "secret.csv")
    really_open = os.open

    def swap(path: bytes, *rest: int, **named: int) -> int:
        if path == b"in_box" and not (top / "in_box").is_symlink():
            (top / "in_box").rmdir()
            (top / "in_box").symlink_to(root)
        return really_open(path, *rest, **named)

    monkeypatch.setattr(beneath.os, "open", swap)
    assert find(str(top), "/in_box/secret.csv") == Found(())
    assert (top / "in_box").is_symlink()


@pytest.mark.parametrize("target", ["loop", "/loop", "../loop", "loop/loop"])
def test_links_that_go_round_end(root: Path, target: str) -> None:
    (root / "loop").symlink_to(target)
    before = len([*Path("/proc/self/fd").iterdir()])
    found = find(str(root), "/loop/a.csv")
    assert found.files == ()
    assert found.trouble == f"{root}/loop: Too many levels of symbolic links"
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_look_has_an_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beneath, "_MOST_OPENED", 20)
    for number in range(5):
        place = root / f"a{chr(0xAC00 + number)}/b"
        place.mkdir(parents=True)
        for other in range(5):
            (place / f"c{chr(0xAC00 + other)}").mkdir()
    assert find(str(root), "/a???/b/c???/d.csv").trouble == "more than 20 files may be meant"
    monkeypatch.undo()
    deep = root.joinpath(*["d"] * 101)
    deep.mkdir(parents=True)
    put(deep, "a.csv")
    assert find(str(root), "/d" * 101 + "/a.csv").trouble == "more than 100 directories deep"
    assert find(str(root), "/d" * 2_049).trouble == "the name is longer than any path"


def test_a_directory_that_is_not_there_may_come(root: Path) -> None:
    found = find(f"{root}/none", "/a.csv")
    assert (found.trouble, found.may_pass) == (f"{root}/none: No such file or directory", True)


def test_what_may_hang_is_not_looked_into(root: Path) -> None:
    """Wherever a name or a link leads there; it says where to look instead."""
    (root / "nfs/in").mkdir(parents=True)
    put(root, "nfs/in/a.csv")
    (root / "link").symlink_to("nfs/in")
    lines = (
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw",
        f"21 20 0:50 / {root}/nfs rw - nfs4 server:/export rw,vers=4.2",
    )
    mounts = [parse_mount(line.encode()) for line in lines]
    with closing(UploadSearch([one for one in mounts if one is not None])) as search:
        for name, left in (("nfs/in/a_?.csv", "in/a_?.csv"), ("link/a.csv", "in/a.csv")):
            assert search.find(str(root), name).hanging == Hanging(
                f"{root}/nfs", f"{root}/nfs", left
            )
        assert search.find(f"{root}/nfs/in", "a.csv").hanging == Hanging(
            f"{root}/nfs/in", f"{root}/nfs", "a.csv"
        )
        assert search.find(str(root), "up/a.csv") == Found(())


# --- renamed ones ---------------------------------------------------------------------------------

IT = FoundFile(b"", 5, 1_000_000)


@pytest.mark.parametrize(
    ("logged", "name"),
    [
        ("a.csv.tmp", "a.csv"),
        (".a.csv.Ab12", "a.csv"),
        ("tmp_a.csv", "a.csv"),
        ("a.tmp", "a.csv"),
        ("a.csv", "a.csv.done"),
        ("my_file.part", "my file"),
        ("??????.csv.part", "하루.csv"),
    ],
)
def test_what_was_renamed_is_found_by_size_and_time(root: Path, logged: str, name: str) -> None:
    put(root, f"up/{name}")
    put(root, "up/other.csv")
    found = find(str(root), f"/up/{logged}", IT)
    assert found.is_renamed
    assert [os.fsdecode(one.path) for one in found.files] == [os.fsdecode(root / "up" / name)]
    assert find(str(root), f"/up/{logged}") == Found(())


@pytest.mark.parametrize(
    "is_it", [FoundFile(b"", 6, 1_000_000), FoundFile(b"", 5, 1_009_000), FoundFile(b"", 0, 0)]
)
def test_what_differs_has_not_been_renamed(root: Path, is_it: FoundFile) -> None:
    put(root, "up/a.csv")
    put(root, "up/a", b"", at=0)
    assert find(str(root), "/up/a.csv.tmp", is_it) == Found(())


def test_one_of_several_has_not_been_renamed(root: Path) -> None:
    put(root, "up/a.csv")
    put(root, "up/a.csv.done")
    assert find(str(root), "/up/a.csv.tmp", IT) == Found(())


def test_in_a_directory_of_very_many_names_no_other_one_is_looked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_MOST_RELATED", 1)
    put(root, "up/a.csv")
    assert find(str(root), "/up/a.csv.tmp", IT).is_renamed
    put(root, "up/b.csv")
    assert find(str(root), "/up/a.csv.tmp", IT) == Found(())


# --- what is no file, and what is too much --------------------------------------------------------


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
    assert time.process_time() - began < 10


def test_who_has_a_file_open(root: Path) -> None:
    reading, writing, neither = (put(root, name) for name in "abc")
    paths = [os.fsencode(path) for path in (reading, writing, neither)]
    with reading.open("rb"), writing.open("ab"):
        found, sees_all = writers(Path("/proc"), paths)
    assert found == {os.fsencode(writing): os.getpid()}
    assert sees_all == (os.geteuid() == 0)
    assert writers(Path("/proc"), paths)[0] == {}


def test_processes_of_others_may_hide_theirs(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "8").mkdir()
    (tmp_path / "8/fd").mkdir(mode=0)
    (tmp_path / "self").mkdir()
    found, sees_all = writers(tmp_path, [b"/x"])
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
