"""A log on files of a test, and one who follows it; no thread, no reactor."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from etlmon.host import generation, rotated
from etlmon.host.follow import Begin, Follower
from etlmon.host.follow_queue import Limits
from etlmon.host.lines import Mark

HOLD = 1000.0


class Log:
    """A log file, who follows it, and what has come of it so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.wall_seconds_ahead = 0.0
        self.limits = Limits(max_line_bytes=1000, partial_seconds=5.0, rotated_hold_seconds=HOLD)
        self.follower: Follower | None = None
        self.cursor: str | None = None
        self.lines: list[str] = []
        self.marks: list[Mark] = []

    def follow(self, begin: Begin = "end", **options: Any) -> None:
        self.follower = Follower(
            bytes(self.path),
            self.cursor,
            begin=begin,
            limits=self.limits,
            wall_clock=lambda: time.time() + self.wall_seconds_ahead,
            **options,
        )
        self.read(0)

    def read(self, seconds: float = 10.0, came: int = 0) -> list[str]:
        """Look some seconds later and read all; give the new lines."""
        assert self.follower is not None
        self.now += seconds
        self.follower.look(self.now, came)
        return self.read_on()

    def read_on(self) -> list[str]:
        """Read all without a look before; give the new lines."""
        assert self.follower is not None
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
def numbers_are_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have no inode number given out again: what is deleted stays open.

    What comes of it otherwise depends on whether the file system tells when files were made.
    """
    kept: list[int] = []
    unlink = os.unlink

    def keep(path: Any, **options: Any) -> None:
        with suppress(OSError):
            kept.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", keep)
    yield
    for descriptor in kept:
        os.close(descriptor)


@pytest.fixture(params=[True, False], ids=["births", "no-births"])
def births(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, numbers_are_kept: None
) -> bool:
    """Have the file system tell when files were made, as far as it can, or not at all."""
    if not request.param:
        for module in (generation, rotated):
            monkeypatch.setattr(module, "birth_ns", lambda _: 0)
    return bool(request.param)


@pytest.fixture
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    if "births" in request.fixturenames:
        request.getfixturevalue("births")  # before a file is opened
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
