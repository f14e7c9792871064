"""Names in directories: as they are now, though they are listed only where that is needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from etlmon.host import names
from etlmon.host.names import names_from
from etlmon.host.rotated import rotated
from tests.waiting import wait_for_tick


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Each directory that is listed from now on."""
    found: list[bytes] = []
    listdir: Callable[[bytes], list[bytes]] = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: found.append(path) or listdir(path))
    return found


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each directory be one that has not changed for long."""
    monkeypatch.setattr(names, "_SETTLED_NS", 0)


def test_one_that_has_just_changed_is_listed_each_time(tmp_path: Path, listed: list[bytes]) -> None:
    place = bytes(tmp_path)
    for number in range(20):  # several within a tick of the clock
        (tmp_path / f"a{number}").touch()
        assert len(names_from(place, b"a")) == number + 1
    assert listed == [place] * 20


@pytest.mark.usefixtures("settled")
def test_one_that_stays_as_it_was_is_listed_once(tmp_path: Path, listed: list[bytes]) -> None:
    place = bytes(tmp_path)
    for name in ("b", "ab", "aa", "a", "c"):
        (tmp_path / name).touch()
    for _ in range(3):
        assert sorted(names_from(place, b"a")) == [b"a", b"aa", b"ab"]
        assert names_from(place, b"c") == [b"c"]
        assert names_from(place, b"d") == []
    assert listed == [place]
    wait_for_tick()
    (tmp_path / "aa").rename(tmp_path / "ad")
    assert sorted(names_from(place, b"a")) == [b"a", b"ab", b"ad"]


@pytest.mark.usefixtures("settled")
def test_another_directory_of_the_name_is_another(tmp_path: Path) -> None:
    place = tmp_path / "logs"
    for number in range(2):
        place.mkdir()
        (place / f"a{number}").touch()
        assert names_from(bytes(place), b"a") == [b"a%d" % number]
        place.rename(tmp_path / f"old{number}")
        with pytest.raises(FileNotFoundError):
            names_from(bytes(place), b"a")


@pytest.mark.usefixtures("settled")
def test_what_is_kept_is_bounded(
    tmp_path: Path, listed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_MOST_NAMES", 2)
    for number in range(6):
        (tmp_path / str(number)).mkdir()
        names_from(bytes(tmp_path / str(number)), b"")
    assert len(names._kept) == 4
    assert len(names_from(bytes(tmp_path), b"")) == len(names_from(bytes(tmp_path), b"")) == 6
    assert listed[-2:] == [bytes(tmp_path)] * 2


@pytest.mark.usefixtures("settled")
def test_the_rotated_files_of_many_logs_cost_one_listing(
    tmp_path: Path, listed: list[bytes]
) -> None:
    for number in range(9):
        (tmp_path / f"{number}.log").touch()
        (tmp_path / f"{number}.log.1").touch()
    for number in range(9):
        (found,) = rotated(bytes(tmp_path / f"{number}.log"))
        assert found.path == bytes(tmp_path / f"{number}.log.1")
    assert listed == [bytes(tmp_path)]
