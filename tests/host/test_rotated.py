"""Names that rotation gives, and the order in which files came."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etlmon.host import rotated as module
from etlmon.host.generation import open_generation
from etlmon.host.rotated import Rotated, find, rotated, unseen_after

NAMES = pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("app.log.1", True),
        ("app.log.12.gz", True),
        ("app.log-20260131", True),
        ("app.log-20260131.xz", True),
        ("app.log-20260131.zst", True),
        ("app.log-2026-01-31T10:00:00Z", True),
        ("app.log.20260131-1769846400", True),
        ("app-20260131.log", True),
        ("app.1.log.bz2", True),
        ("app.log", False),
        ("app.log.gz", False),
        ("app.log.zst", False),
        ("app.log.bak", False),
        ("app.log.1.bak", False),
        ("app.log.1~", False),
        ("app-2.log", False),
        ("app-errors.log", False),
        ("app.log-x", False),
        ("other.log.1", False),
        ("xapp.log.1", False),
    ],
)


def files_of(directory: Path, *names: str) -> None:
    for age, name in enumerate(reversed(names)):
        file = directory / name
        file.write_text(name)
        os.utime(file, (1_800_000_000 - age, 1_800_000_000 - age))


def names_of(found: list[Rotated]) -> list[str]:
    return [Path(os.fsdecode(one.path)).name for one in found]


@NAMES
def test_names(tmp_path: Path, name: str, is_one: bool) -> None:
    files_of(tmp_path, name)
    assert names_of(rotated(bytes(tmp_path / "app.log"))) == [name] * is_one


def test_names_without_an_ending(tmp_path: Path) -> None:
    files_of(tmp_path, "messages-20260131.gz", "messages.1", "messages")
    found = names_of(rotated(bytes(tmp_path / "messages")))
    assert found == ["messages-20260131.gz", "messages.1"]


def test_last_written_last_and_only_files(tmp_path: Path) -> None:
    files_of(tmp_path, "app.log.3.gz", "app.log.2", "app.log.1", "app.log")
    (tmp_path / "app.log.4").mkdir()
    (tmp_path / "app.log.5").symlink_to("app.log.1")
    found = rotated(bytes(tmp_path / "app.log"))
    assert names_of(found) == ["app.log.3.gz", "app.log.2", "app.log.1"]


def test_compressed_file_that_is_being_made_is_left_out(tmp_path: Path) -> None:
    files_of(tmp_path, "app.log.1", "app.log.1.gz")
    assert names_of(rotated(bytes(tmp_path / "app.log"))) == ["app.log.1"]


def test_beside_the_target_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    files_of(tmp_path / "data", "today.1", "today")
    (tmp_path / "app.log").symlink_to("data/today")
    assert names_of(rotated(bytes(tmp_path / "app.log"))) == ["today.1"]


@pytest.mark.parametrize(
    ("names", "own", "later"),
    [
        # By number, where most of the times say that it counts down.
        (
            ["app.log.5", "app.log.4", "app.log.1", "app.log.2", "app.log.3"],
            "app.log.4",
            ["app.log.1", "app.log.2", "app.log.3"],
        ),
        # By time where it counts up, or is a day without its month, or without its year.
        (["app.log.1", "app.log.2", "app.log.3"], "app.log.2", ["app.log.3"]),
        (["app.log.29", "app.log.30", "app.log.31", "app.log.01"], "app.log.31", ["app.log.01"]),
        (["app.log-1230", "app.log-1231", "app.log-0101"], "app.log-1231", ["app.log-0101"]),
        # By time where the day stands first, or the month does, and the year last.
        (
            ["app.log-30012026", "app.log-31012026", "app.log-01022026"],
            "app.log-31012026",
            ["app.log-01022026"],
        ),
        (["app.log-12312025", "app.log-01012026"], "app.log-12312025", ["app.log-01012026"]),
        (["app.log-310126", "app.log-010226"], "app.log-310126", ["app.log-010226"]),
        # By seconds since the epoch.
        (["app.log-1767225600", "app.log-1767139200"], "app.log-1767225600", []),
        # By date.
        (
            ["app.log-20260103", "app.log-20260102", "app.log-20260101"],
            "app.log-20260102",
            ["app.log-20260103"],
        ),
        # By time where the names cannot be compared.
        (["app.log-20260103", "app.log.1"], "app.log-20260103", ["app.log.1"]),
        (["app.log.1", "app.log.2"], None, ["app.log.2", "app.log.1"]),
    ],
)
def test_order(tmp_path: Path, names: list[str], own: str | None, later: list[str]) -> None:
    files_of(tmp_path, *names)
    files = rotated(bytes(tmp_path / "app.log"))
    mine = next((one for one in files if names_of([one]) == [own]), None)
    last_modified_ns = mine.modified_ns if mine else 0
    found = unseen_after(last_modified_ns, mine, files)
    assert sorted(names_of(found)) == sorted(later)


def test_position_is_found_in_the_oldest_that_holds_it(tmp_path: Path) -> None:
    """Two files that begin alike: the one that was written first after it is meant."""
    live = tmp_path / "app.log"
    live.write_text("same\n")
    os.utime(live, (1_700_000_000, 1_700_000_000))
    generation = open_generation(bytes(live))
    generation.seek(5)
    position = generation.position()
    generation.close()
    live.unlink()
    (tmp_path / "keeps-the-inode").touch()
    for name, content, age in (
        ("app.log.3", "same\nolder\n", 1_600_000_000),
        ("app.log.2", "same\nrest\n", 1_700_000_000),
        ("app.log.1", "same\nother\n", 1_800_000_000),
    ):
        (tmp_path / name).write_text(content)
        os.utime(tmp_path / name, (age, age))
    found = find(position, bytes(live), rotated(bytes(live)))
    assert found is not None
    assert found.name.endswith(b"app.log.2")
    assert found.peek(100) == b"rest\n"
    found.close()


def test_listing_misses_none_while_hundreds_are_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are renamed from the last one to the first: what is renamed meanwhile may be missed."""
    for number in range(1, 21):
        (tmp_path / f"app.log.{number}").touch()
    numbers = iter(range(20, 0, -1))
    listing = module._list

    def meanwhile(path: bytes) -> dict[bytes, Rotated]:
        found = listing(path)
        number = next(numbers, None)
        if number is not None:
            plain = tmp_path / f"app.log.{number}"
            del found[bytes(plain)]
            plain.rename(tmp_path / f"app.log.{number + 1}")
        return found

    monkeypatch.setattr(module, "_list", meanwhile)
    assert len(rotated(bytes(tmp_path / "app.log"))) == 20
