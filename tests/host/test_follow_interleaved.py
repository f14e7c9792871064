"""What logrotate does, system call by system call, in between those of one who follows.

Before any call of the follower rotation may go on by some steps, and the follower may die. Time is
the model's: files have the times of its ticks. The ways are random ones that come out the same each
time; what comes out must be every line that is in a file, once and in order where it is copied,
and a row where lines are in no file any more.
"""

from __future__ import annotations

import gzip
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from etlmon.host import generation, rotated
from etlmon.host.follow import Follower
from etlmon.host.follow_queue import Limits
from etlmon.host.lines import Mark

WAYS = ("copy", "copy, pack", "copy, pack later", "rename", "rename, pack later", "rename to date")
SEEDS = (6, 7, 8, 10, 22)
LIMITS = Limits(max_line_bytes=1000)
TICK_NS = 4_000_000
MOST_STEPS = 300
REAL = {name: getattr(os, name) for name in ("open", "stat", "lstat", "fstat", "pread", "scandir")}


class Death(BaseException):
    """The follower's, between two of its calls."""


@dataclass
class Status:
    """What the kernel says of a file, with the model's times."""

    st_dev: int
    st_ino: int
    st_mode: int
    st_size: int
    st_nlink: int
    st_mtime_ns: int
    st_ctime_ns: int


@dataclass
class Times:
    """Those of a file."""

    modified_ns: int
    changed_ns: int
    born_ns: int


@dataclass
class Entry:
    """What a directory holds, as ``os.scandir`` gives it."""

    world: World
    name: bytes
    path: bytes

    def stat(self, *, follow_symlinks: bool) -> Status:
        assert not follow_symlinks
        self.world.between()
        return self.world.status(REAL["lstat"](self.path))


@dataclass
class World:
    """A log, its writer and its rotation, a clock, and who is asked before each call."""

    directory: Path
    way: str
    chance: random.Random
    now_ns: int = 2_000_000_000_000_000_000
    number: int = 0
    steps: int = 0
    is_watching: bool = False
    times: dict[int, Times] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path = self.directory / "app.log"
        self.often = self.chance.choice([0.002, 0.005, 0.02])
        self.further = self.chance.choice([0.3, 0.8, 0.95])
        self.deadly = self.chance.choice([0.0, 0.002, 0.02])
        self.burst = self.chance.choice([1, 3, 30])
        self.make(self.path)
        self.writer = self.path.open("ab", buffering=0)
        self.rotation = self._rotate()

    # --- the follower's calls ---

    def between(self) -> None:
        """Let something happen before a call of the follower."""
        if not self.is_watching:
            return
        self.is_watching = False
        if self.chance.random() < self.often and self.steps < MOST_STEPS:
            self.step()
            while self.chance.random() < self.further:
                self.step()
        dies = self.chance.random() < self.deadly
        self.is_watching = True
        if dies:
            raise Death

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the calls go through here."""
        own = bytes(self.directory)

        def stepping(name: str) -> Callable[..., Any]:
            def call(file: Any, *args: Any, **options: Any) -> Any:
                # Not before looks at processes: how many there are is not the model's.
                if self.is_watching and (isinstance(file, int) or file.startswith(own)):
                    self.between()
                result = REAL[name](file, *args, **options)
                known = self.is_watching and name in ("stat", "lstat", "fstat")
                return self.status(result) if known else result

            return call

        def scandir(directory: Any) -> Any:
            self.between()
            return self.listing(directory) if self.is_watching else REAL["scandir"](directory)

        def names_from(directory: bytes, begin: bytes) -> list[bytes]:
            self.between()  # as where it changes all the time: it is listed anew
            with REAL["scandir"](directory) as entries:
                return [one.name for one in entries if one.name.startswith(begin)]

        for name in ("open", "stat", "lstat", "fstat", "pread"):
            monkeypatch.setattr(os, name, stepping(name))
        monkeypatch.setattr(rotated, "names_from", names_from)
        monkeypatch.setattr(os, "scandir", scandir)
        monkeypatch.setattr(generation, "birth_ns", self.born_ns)
        monkeypatch.setattr(rotated, "birth_ns", self.born_ns)

    def listing(self, directory: bytes) -> Any:
        with REAL["scandir"](directory) as entries:
            found = [Entry(self, one.name, one.path) for one in entries]
        return Listing(found)

    def status(self, real: os.stat_result) -> Status:
        times = self.times.get(real.st_ino, Times(0, 0, 0))
        return Status(
            real.st_dev,
            real.st_ino,
            real.st_mode,
            real.st_size,
            real.st_nlink,
            times.modified_ns,
            times.changed_ns,
        )

    def born_ns(self, file: int | bytes) -> int:
        try:
            real = REAL["fstat" if isinstance(file, int) else "lstat"](file)
        except OSError:
            return 0
        return self.times[real.st_ino].born_ns if real.st_ino in self.times else 0

    # --- the writer's, and logrotate's ---

    def step(self) -> None:
        """Let a moment pass, in which something may be written and rotation goes on."""
        self.steps += 1
        self.now_ns += self.chance.choice([20_000, 200_000, 1_000_000, 1_000_000, 5_000_000])
        if self.chance.random() < 0.4:
            count = self.chance.randint(1, self.burst)
            lines = range(self.number, self.number + count)
            self.writer.write(b"".join(b"line %07d\n" % one for one in lines))
            self.touch(self.writer.fileno())
            self.number += count
        next(self.rotation)

    def touch(self, file: int | Path, modified_ns: int | None = None) -> None:
        """Give a file the times of having been written to, or others."""
        tick_ns = self.now_ns // TICK_NS * TICK_NS
        times = self.times.setdefault(REAL["stat"](file).st_ino, Times(tick_ns, tick_ns, tick_ns))
        times.modified_ns = tick_ns if modified_ns is None else modified_ns
        times.changed_ns = tick_ns

    def make(self, path: Path) -> None:
        path.touch(exist_ok=False)
        self.times.pop(path.stat().st_ino, None)
        self.touch(path)

    def rename(self, path: Path, new: Path) -> None:
        path.rename(new)
        self.touch(new, self.times[new.stat().st_ino].modified_ns)

    def named(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)

    def _rotate(self) -> Iterator[None]:
        later, date = self.way.endswith("later"), 20260100
        while True:
            for _ in range(self.chance.choice([1, 3, 10])):
                yield
            self.now_ns += self.chance.choice([5, 12]) * 1_000_000
            date += 1
            first = self.named(f"-{date}" if self.way.endswith("date") else ".1")
            if later and first.exists():
                yield from self._pack(first)
            for number in range(40, 0, -1):
                for ending in ("", ".gz"):
                    if self.named(f".{number}{ending}").exists():
                        new = self.named(f".{number + 1}{ending}")
                        self.rename(self.named(f".{number}{ending}"), new)
                        yield
            if self.way.startswith("copy"):
                yield from self._copy(first)
            else:
                yield from self._renew(first)
            if self.way.endswith("pack"):
                yield from self._pack(first)

    def _copy(self, first: Path) -> Iterator[None]:
        with self.path.open("r+b", buffering=0) as log:
            self.make(first)
            yield
            with first.open("wb", buffering=0) as copy:
                while data := log.read(self.chance.choice([4096, 1 << 16])):
                    copy.write(data)
                    self.touch(copy.fileno())
                    yield
            yield
            log.truncate(0)
            self.touch(log.fileno())
        yield

    def _renew(self, first: Path) -> Iterator[None]:
        self.rename(self.path, first)
        yield
        self.make(self.path)
        for _ in range(self.chance.choice([1, 1, 4])):
            yield
        self.writer.close()
        self.writer = self.path.open("ab", buffering=0)
        yield

    def _pack(self, plain: Path) -> Iterator[None]:
        packed, data = plain.with_name(f"{plain.name}.gz"), gzip.compress(plain.read_bytes())
        self.make(packed)
        yield
        with packed.open("wb", buffering=0) as file:
            for part in (data[:20], data[20:]):
                file.write(part)
                self.touch(file.fileno())
                yield
        self.touch(packed, self.times[plain.stat().st_ino].modified_ns)
        yield
        plain.unlink()
        yield

    def lines(self) -> set[int]:
        """Give the numbers of the lines that are in the files."""
        found: set[int] = set()
        for file in self.directory.glob("app.log*"):
            data = file.read_bytes()
            if file.suffix == ".gz":
                if file.with_suffix("").exists():  # it is being made
                    continue
                data = gzip.decompress(data)
            found.update(numbers(data.split(b"\n")[:-1]))
        return found


class Listing(list[Entry]):
    """Entries of a directory, which are left as ``os.scandir`` is."""

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def numbers(lines: list[bytes]) -> list[int]:
    return [int(line[5:]) for line in lines]


class Life:
    """One who follows, dies and begins again, and what he has stored."""

    def __init__(self, world: World, proc: Path) -> None:
        self.world = world
        self.proc = proc
        self.stored: list[int | Mark] = []
        self.cursor: str | None = None
        self.follower = self.begin()
        self.follower.look(0.0)
        self.cursor = self.follower.cursor()

    def begin(self) -> Follower:
        return Follower(
            bytes(self.world.path),
            self.cursor,
            begin="beginning",
            limits=LIMITS,
            proc=self.proc,
            wall_clock=lambda: self.world.now_ns / 1e9,
        )

    def step(self, most_readings: int, most_lines: int) -> int:
        """Look, read, and store with the cursor; give how much."""
        now, found = self.world.now_ns / 1e9, []
        self.world.is_watching = True
        try:
            self.follower.look(now)
            for _ in range(most_readings):
                reading = self.follower.read(most_lines, now)
                if reading is None:
                    break
                for place, line in enumerate(reading.lines):
                    found += numbers([line]) if line is not None else [reading.marks[place]]
            cursor = self.follower.cursor()
        except (Death, OSError):
            self.again()
            return 0
        finally:
            self.world.is_watching = False
        self.stored += found
        self.cursor = cursor
        return len(found)

    def again(self) -> None:
        self.world.is_watching = False
        self.follower.sleep()
        self.follower = self.begin()

    def live(self) -> None:
        world, chance = self.world, self.world.chance
        for _ in range(25):
            for _ in range(chance.choice([0, 0, 1, 3, 10])):
                world.step()
            self.step(chance.choice([1, 1, 2, 10]), chance.choice([1, 10, 1000]))
            if chance.random() < 0.1:
                self.again()
        world.often = world.deadly = 0
        for _ in range(4):
            world.now_ns += 3_000_000_000
            while self.step(50, 1000):
                pass


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_line_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, seed: int
) -> None:
    (tmp_path / "logs").mkdir()
    proc = tmp_path / "proc"
    proc.mkdir()
    for name in ("self", str(os.getpid())):
        (proc / name).symlink_to(f"/proc/{os.getpid()}")
    world = World(tmp_path / "logs", way, random.Random(f"{way} {seed}"))
    with monkeypatch.context() as patch:
        world.patch(patch)
        life = Life(world, proc)
        life.live()
    life.follower.sleep()
    world.writer.close()
    read = [one for one in life.stored if isinstance(one, int)]
    marks = [one for one in life.stored if isinstance(one, Mark)]
    assert [number for number, times in Counter(read).items() if times > 1] == []
    assert world.lines() - set(read) == set()
    if way.startswith("copy"):
        assert read == sorted(read)
        before = -1
        is_told = False
        for one in (*life.stored, world.number):
            if isinstance(one, Mark):
                is_told = True
                continue
            assert is_told or one == before + 1, f"silence after {before}"
            before, is_told = one, False
    else:
        assert (marks, set(read)) == ([], set(range(world.number)))
