"""Entries counted in the kernel's own buffer; os.scandir is the judge."""

from __future__ import annotations

import errno
import gc
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlmon.fsworker.jobs.entries import Entries
from etlmon.fsworker.jobs.scan import Scan
from tests.fsworker.conftest import counts, find, make_scan

MAKE: list[Callable[[Path], object]] = [
    Path.touch,
    Path.mkdir,
    lambda path: path.symlink_to("nowhere"),
    os.mkfifo,
]


class Untold(Entries):
    """As on a file system that tells no types: of some entries, or of all."""

    share = 1.0

    def _fill(self, fd: int) -> int:
        size, rng, at = super()._fill(fd), random.Random(1), 0
        while at < size:
            if rng.random() < self.share:
                self._buffer[at + 18] = 0
            at += int.from_bytes(self._buffer[at + 16 : at + 18], sys.byteorder)
        return size


def counted(entries: Entries, path: Path) -> tuple[list[int], set[str]]:
    """Give the numbers of files, directories and others, and the names of the directories."""
    fd = os.open(path, os.O_RDONLY)
    total, names = [0, 0, 0], list[str]()
    while (more := entries.count(fd, names)) is not None:
        total = [before + one for before, one in zip(total, more, strict=True)]
    os.close(fd)
    assert len(names) == len(set(names))
    return total, set(names)


def by_scandir(path: Path) -> tuple[list[int], set[str]]:
    with os.scandir(path) as found:
        every = list(found)
    files = sum(one.is_file(follow_symlinks=False) for one in every)
    names = {one.name for one in every if one.is_dir(follow_symlinks=False)}
    return [files, len(names), len(every) - files - len(names)], names


@pytest.mark.parametrize("entries", [Entries, Untold], ids=["types", "no types"])
@pytest.mark.parametrize("seed", range(6))
def test_all_kinds_and_lengths(tree: Path, seed: int, entries: type[Entries]) -> None:
    """Stretches of one length and of many, more than a buffer holds, names of 255 bytes."""
    rng = random.Random(seed)
    for number in range(rng.choice([0, 3, 40, 1500])):
        longest = rng.choice([6, 6, 40, 255])
        name = f"{number:05}" + "é" * ((rng.randrange(6, longest + 1) - 5) // 2)
        rng.choices(MAKE, [20, 3, 1, 1])[0](tree / name)
    one = entries()
    assert counted(one, tree) == by_scandir(tree)
    assert counted(one, tree) == by_scandir(tree)


def test_names_that_are_no_text(tree: Path) -> None:
    for name in (b"\xff\n", b"...", b".x", b"\x01\x08\x04"):
        Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).mkdir()
    assert counted(Entries(), tree) == by_scandir(tree)


def test_longest_names_among_the_shortest(tree: Path) -> None:
    """Their lengths differ in one byte of two."""
    for number in range(40):
        (tree / f"{number}").touch()
        if number % 10 == 9:
            (tree / ("x" * 253 + f"{number:02}")).touch()
    assert counted(Entries(), tree) == by_scandir(tree)


def test_types_that_are_told_of_some(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Untold, "share", 0.3)
    for number in range(300):
        MAKE[number % 4](tree / f"{number}")
    assert counted(Untold(), tree) == by_scandir(tree)


def test_entry_that_is_gone_before_its_type_is_known(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "file").touch()

    def gone(*_: Any, **__: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("etlmon.fsworker.jobs.entries.os.stat", gone)
    assert counted(Untold(), tree) == ([0, 0, 1], set())


def test_what_cannot_be_read(tree: Path) -> None:
    (tree / "file").touch()
    fd = os.open(tree / "file", os.O_RDONLY)
    with pytest.raises(NotADirectoryError) as caught:
        Entries().count(fd, [])
    os.close(fd)
    assert caught.value.errno == errno.ENOTDIR


@pytest.mark.parametrize("is_there", [True, False])
def test_scans_count_the_same_without(
    tree: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Where Python has no ctypes, scans list as it does."""
    if not is_there:
        monkeypatch.setitem(sys.modules, "ctypes", None)
    Entries.of_this_system.cache_clear()
    for number in range(200):
        MAKE[number % 4](tree / f"{number}")
    assert (Entries.of_this_system() is not None) == is_there
    assert counts(Scan(str(tree)).run()) == find(tree)
    assert Entries.of_this_system() is Entries.of_this_system()
    Entries.of_this_system.cache_clear()


@pytest.mark.parametrize("options", [{}, {"parallelism": 4}, {"exclude": "x"}], ids=str)
def test_scans_leave_no_cycles(tree: Path, options: dict[str, Any]) -> None:
    """A worker collects none, and serves ten thousand requests."""
    (tree / "a" / "b").mkdir(parents=True)
    make_scan(tree, **options).run()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            make_scan(tree, **options).run()
        assert gc.collect() == 0
    finally:
        gc.enable()
