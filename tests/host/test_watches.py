"""Hearing of changes in directories, on the kernel's own inotify."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import inotify, reactor, task
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel, capturedLogs

from etlmon.host.inotify import INotify
from etlmon.host.watches import DirectoryWatches, Watch

MAX_QUEUED_EVENTS = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def until() -> Until:
    async def wait(condition: Callable[[], object]) -> None:
        while not condition():
            await task.deferLater(reactor, 0.002)

    return wait


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Give a /proc with one local mount; a test writes others."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    mount(tmp_path / "proc", "1 0 0:1 / / rw - ext4 dev rw")
    return tmp_path / "proc"


def mount(proc: Path, *lines: str) -> None:
    (proc / "self" / "mountinfo").write_text("".join(f"{line}\n" for line in lines))


class Heard:
    """Watches directories and counts what is heard of each."""

    def __init__(self, watches: DirectoryWatches) -> None:
        self.all = watches
        self.counts: dict[str, int] = {}
        self.watches: dict[str, Watch] = {}

    async def watch(self, directory: Path) -> Watch:
        name = directory.name
        self.counts[name] = 0
        watch = self.watches[name] = self.all.watch(bytes(directory), lambda: self._count(name))
        await self.all.arm(watch)
        return watch

    def _count(self, name: str) -> None:
        self.counts[name] += 1

    def end(self) -> None:
        for watch in self.watches.values():
            self.all.end(watch)


@pytest.fixture
def heard(proc: Path) -> Iterator[Heard]:
    one = Heard(DirectoryWatches(reactor, deferToThread, proc))
    yield one
    one.end()


def directories(tmp_path: Path, *names: str) -> list[Path]:
    for name in names:
        (tmp_path / name).mkdir()
    return [tmp_path / name for name in names]


async def test_every_kind_of_change_is_heard(heard: Heard, tmp_path: Path, until: Until) -> None:
    (d,) = directories(tmp_path, "d")
    watch = await heard.watch(d)
    assert watch.mode == "inotify"
    file = d / "\udcff.log"
    changes: list[Callable[[], object]] = [
        lambda: file.write_text("a"),
        lambda: file.write_text("b"),
        lambda: file.rename(d / "other"),
        lambda: os.truncate(d / "other", 0),
        (d / "other").unlink,
        lambda: (d / "link").symlink_to("nowhere"),
    ]
    for change in changes:
        before = heard.counts["d"]
        change()
        await until(lambda before=before: heard.counts["d"] > before)


async def test_end_of_one_directory_leaves_the_others(
    heard: Heard, tmp_path: Path, until: Until
) -> None:
    """Twisted's own would hear nothing any more of any directory."""
    a, b = directories(tmp_path, "a", "b")
    gone, kept = await heard.watch(a), await heard.watch(b)
    for _ in range(100):
        before = heard.counts["a"]
        a.rmdir()
        await until(lambda before=before: heard.counts["a"] > before)
        assert (gone.mode, kept.mode) == ("poll (no directory)", "inotify")
        a.mkdir()
        await heard.all.arm(gone)
        assert gone.mode == "inotify"
        for one in (a, b):
            before = heard.counts[one.name]
            (one / "x").touch()
            await until(lambda before=before, one=one: heard.counts[one.name] > before)
            (one / "x").unlink()


async def test_a_directory_that_moves_away(heard: Heard, tmp_path: Path, until: Until) -> None:
    (d,) = directories(tmp_path, "d")
    watch = await heard.watch(d)
    d.rename(tmp_path / "elsewhere")
    await until(lambda: watch.mode == "poll (no directory)")
    directories(tmp_path, "d")
    await heard.all.arm(watch)
    before = heard.counts["d"]
    (d / "x").touch()
    await until(lambda: heard.counts["d"] > before)


async def test_a_parent_that_moves_away_is_seen_at_the_next_look(
    heard: Heard, tmp_path: Path, until: Until
) -> None:
    directories(tmp_path, "p", "p/d")
    watch = await heard.watch(tmp_path / "p" / "d")
    (tmp_path / "p").rename(tmp_path / "q")
    directories(tmp_path, "p", "p/d")
    await heard.all.arm(watch)
    (tmp_path / "p" / "d" / "x").touch()
    await until(lambda: heard.counts["d"])


async def test_overflow_of_the_queue_hints_everybody(
    heard: Heard, tmp_path: Path, until: Until
) -> None:
    """While the reactor stands still, more happens than the kernel keeps."""
    a, b = directories(tmp_path, "a", "b")
    await heard.watch(a)
    await heard.watch(b)
    file = (a / "x").open("wb", buffering=0)
    with file:
        for number in range(MAX_QUEUED_EVENTS + 100):
            # Two equal events one after the other would be one.
            file.truncate(0) if number % 2 else (a / "y").touch()
    await until(lambda: heard.all.overflows == 1)
    assert heard.counts["b"] == 1
    before = heard.counts["b"]
    (b / "x").touch()
    await until(lambda: heard.counts["b"] > before)


async def test_what_goes_on_and_on_is_read_by_a_timer(
    heard: Heard, tmp_path: Path, until: Until
) -> None:
    """And what comes after a pause wakes the reactor again."""
    (d,) = directories(tmp_path, "d")
    await heard.watch(d)
    for number in range(5):
        before = heard.counts["d"]
        (d / f"{number}").touch()
        await until(lambda before=before: heard.counts["d"] > before)
        if number % 2:
            await until(lambda: heard.all._inotify._resting is None)  # type: ignore[union-attr]


async def test_exception_of_one_who_hears_harms_nobody(
    heard: Heard, tmp_path: Path, until: Until, flush_logged_errors: Any
) -> None:
    """Twisted's own would close the instance."""
    (d,) = directories(tmp_path, "d")
    bad = heard.all.watch(bytes(d), lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    await heard.all.arm(bad)
    await heard.watch(d)
    for name in ("x", "y"):
        before = heard.counts["d"]
        (d / name).touch()
        await until(lambda before=before: heard.counts["d"] > before)
    heard.all.end(bad)
    assert flush_logged_errors(ZeroDivisionError)


async def test_two_who_hear_of_one_directory(heard: Heard, tmp_path: Path, until: Until) -> None:
    (d,) = directories(tmp_path, "d")
    (tmp_path / "link").symlink_to(d)
    direct, linked = await heard.watch(d), await heard.watch(tmp_path / "link")
    (d / "x").touch()
    await until(lambda: heard.counts["d"] and heard.counts["link"])
    heard.all.end(direct)
    before, ended = heard.counts["link"], heard.counts["d"]
    (d / "y").touch()
    await until(lambda: heard.counts["link"] > before)
    assert heard.counts["d"] == ended
    assert (direct.mode, linked.mode) == ("ended", "inotify")


async def test_writing_to_files_that_do_not_matter(
    heard: Heard, tmp_path: Path, until: Until
) -> None:
    """In a directory such as /var/log; their coming and going is heard of all the same."""
    (d,) = directories(tmp_path, "d")
    (d / "mine").touch()
    (d / "other").touch()
    mine: list[int] = []
    watch = heard.all.watch(bytes(d), lambda: mine.append(1), lambda name: name == b"mine")
    await heard.all.arm(watch)
    await heard.watch(d)
    (d / "other").write_text("a")
    await until(lambda: heard.counts["d"])
    assert mine == []
    (d / "mine").write_text("a")
    await until(lambda: len(mine) == 1)
    (d / "other").rename(d / "another")
    await until(lambda: len(mine) >= 2)
    heard.all.end(watch)


async def test_names_that_files_are_given(heard: Heard, tmp_path: Path, until: Until) -> None:
    """Each time anew, and before it is told that something has changed."""
    (d,) = directories(tmp_path, "d")
    came: list[bytes] = []
    known: list[int] = []
    watch = heard.all.watch(bytes(d), lambda: known.append(len(came)), came=came.append)
    await heard.all.arm(watch)
    for name in ("a", "b", "a"):
        (d / "link").unlink(missing_ok=True)
        (d / "link").symlink_to(name)
    (d / "link").rename(d / "other")
    (d / "other").unlink()
    await until(lambda: len(came) == 4)
    assert came == [b"link", b"link", b"link", b"other"]
    assert known[0] == 1
    heard.all.end(watch)


async def test_modes_of_what_cannot_be_heard(heard: Heard, proc: Path, tmp_path: Path) -> None:
    (nfs,) = directories(tmp_path, "nfs")
    mount(proc, "1 0 0:1 / / rw - ext4 dev rw", f"2 1 0:2 / {nfs} rw - nfs4 server:/x rw")
    (tmp_path / "file").touch()
    modes = [(await heard.watch(tmp_path / name)).mode for name in ("nfs", "none", "file")]
    assert modes == ["poll (nfs4)", "poll (no directory)", "poll (no directory)"]


async def test_limit_of_watches(
    heard: Heard, tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's refusal is told once; directories before and after it are heard of."""
    a, b, c = directories(tmp_path, "a", "b", "c")
    await heard.watch(a)
    add = INotify.add
    monkeypatch.setattr(INotify, "add", lambda *_: None)
    with capturedLogs() as captured:
        refused = await heard.watch(b)
        await heard.watch(c)
        await heard.all.arm(refused)
    assert refused.mode == "poll (limit)"
    told = [event for event in captured if event["log_level"] is LogLevel.warn]
    assert [event["setting"] for event in told] == ["fs.inotify.max_user_watches"]
    monkeypatch.setattr(INotify, "add", add)
    await heard.all.arm(refused)
    assert refused.mode == "inotify"
    for one in (a, b):
        (one / "x").touch()
        await until(lambda one=one: heard.counts[one.name])


async def test_limit_of_instances(
    heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise inotify.INotifyError("INotify initialization error.")

    monkeypatch.setattr(inotify.INotify._inotify, "init", refuse)
    with capturedLogs() as captured:
        watch = await heard.watch(*directories(tmp_path, "d"))
    assert watch.mode == "poll (limit)"
    assert [event["setting"] for event in captured if "setting" in event] == [
        "fs.inotify.max_user_instances"
    ]


async def test_instance_is_closed_with_the_last_watch(heard: Heard, tmp_path: Path) -> None:
    watch = await heard.watch(*directories(tmp_path, "d"))
    kernel = heard.all._inotify
    assert kernel is not None
    heard.all.end(watch)
    heard.all.end(watch)
    assert heard.all._inotify is None
    await heard.all.arm(watch)
    assert watch.mode == "ended", "who has ended hears no more"


def test_writing_that_goes_on_waits_where_nobody_does(proc: Path, tmp_path: Path) -> None:
    """A name that comes or goes does not: whoever looks too late does not find it any more."""
    turning = MemoryReactorClock()
    hurries = False
    heard: list[None] = []
    one = DirectoryWatches(turning, lambda function: succeed(function()), proc, lambda: hurries)
    (logs,) = directories(tmp_path, "logs")
    (logs / "a").touch()
    watch = one.watch(bytes(logs), lambda: heard.append(None))
    Deferred.fromCoroutine(one.arm(watch))

    def change(seconds: float, what: Callable[[], object]) -> int:
        """Give how many hints there are in the seconds after a change."""
        heard.clear()
        what()
        for _ in range(round(seconds / 0.001)):
            for kernel in turning.getReaders():
                kernel.doRead()
            turning.advance(0.001)
        return len(heard)

    def write() -> None:
        os.truncate(logs / "a", 1)

    try:
        assert change(0.03, write) == 1, "the first one at once"
        assert change(0.05, write) == 0
        assert change(0.05, lambda: (logs / "a").rename(logs / "b")) >= 1
        (logs / "b").rename(logs / "a")
        assert change(0.1, lambda: None) >= 1, "the other name, and what was written, at last"
        assert change(0.05, write) == 0
        hurries = True
        assert change(0.03, write) == 1
    finally:
        one.end(watch)
    assert not turning.getDelayedCalls()
