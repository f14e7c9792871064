"""Threads that look ahead: the same counts, in less time where each call takes long."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from etlmon.collectors.path.exclude import compile_exclude
from etlmon.fsworker.jobs import ahead as ahead_module
from etlmon.fsworker.jobs.scan import Scan
from etlmon.fsworker.jobs.scan_ahead import ScanAhead
from etlmon.fsworker.jobs.wire import OutOfMemory
from tests.fsworker.conftest import WORKER, SlowFilesystem, Worker, counts, find
from tests.fsworker.test_rescan import (
    Rescanner,
    change,
    children_by_find,
    children_of,
    grow,
    settle,
)
from tests.fsworker.test_worker import dig, fill, needs_root
from tests.others import NOBODY
from tests.waiting import PATIENCE_SECONDS

THREADS = 4


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def scan(tree: Path, **options: Any) -> dict[str, Any]:
    before = descriptors(), set(threading.enumerate())
    answer = ScanAhead(str(tree), parallelism=THREADS, **options).run()
    assert descriptors() <= before[0]
    assert set(threading.enumerate()) <= before[1]  # some of another test may end meanwhile
    return answer


@pytest.mark.parametrize("depth", [None, 0, 1, 2, 3])
def test_counts_are_those_of_find(tree: Path, depth: int | None) -> None:
    fill(tree)
    limit = [] if depth is None else ["-maxdepth", str(depth)]
    answer = scan(tree, max_depth=depth)
    assert counts(answer) == find(tree, *limit)
    if depth is None:
        assert children_of(answer) == children_by_find(tree)
        assert answer["listed"] == answer["dirs"] + 1


def test_exclude_and_skip(tree: Path) -> None:
    fill(tree)
    options: dict[str, Any] = {"exclude": compile_exclude(["b?/a/", "*.tmp"]), "skip": ["a/a"]}
    one, several = Scan(str(tree), **options).run(), scan(tree, **options)
    for answer in (one, several):
        del answer["duration_seconds"]
        answer["children"] = sorted(answer["children"])  # type: ignore[call-overload]
    assert one == several
    assert several["skipped_mounts"] == 1


@pytest.mark.parametrize("seed", range(4))
def test_rescans_miss_nothing(tree: Path, seed: int) -> None:
    rng = random.Random(seed)
    grow(tree, 3)
    rescanner = Rescanner(tree)
    reused = 0
    for _ in range(15):
        for _ in range(rng.randrange(5)):
            change(tree, rng)
        if rng.random() < 0.4:
            settle()
        answer = rescanner.assert_right(parallelism=THREADS, anew=rng.random() < 0.1)
        reused += answer["reused"]
        assert children_of(answer) == children_by_find(tree)
    assert reused


@pytest.mark.parametrize(("levels", "name"), [(3000, b"d"), (60, b"n" * 255)])
def test_deep_trees_need_few_descriptors(
    tree: Path, start: Callable[..., Worker], levels: int, name: bytes
) -> None:
    dig(tree, levels, name, siblings=len(name) > 1)
    few = start(["prlimit", "--nofile=64", *WORKER])
    answer = few.scan(tree, parallelism=64)
    assert counts(answer) == find(tree)
    assert answer["troubles"] == []


def test_wide_tree_needs_few_descriptors(tree: Path, start: Callable[..., Worker]) -> None:
    for number in range(2000):
        (tree / f"{number % 40}" / f"{number}" / "below").mkdir(parents=True)
    few = start(["prlimit", "--nofile=64", *WORKER])
    answer = few.scan(tree, parallelism=64)
    assert counts(answer) == find(tree)
    assert answer["troubles"] == []


@needs_root
def test_unreadable_directories_are_troubles(tree: Path, start: Callable[..., Worker]) -> None:
    from tests.fsworker.test_worker import _AS_NOBODY

    fill(tree, 2)
    (tree / "a" / "a").chmod(0o000)
    (tree / "b\n").chmod(0o311)
    answer = start([*WORKER[:-1], "-c", _AS_NOBODY, WORKER[-1]]).scan(tree, parallelism=THREADS)
    assert counts(answer) == find(tree, prefix=NOBODY)
    [trouble] = answer["troubles"]
    assert (trouble["kind"], trouble["count"]) == ("EACCES", 2)


def test_tree_that_changes_all_the_time(tree: Path) -> None:
    fill(tree, 2)
    least = find(tree)
    done = threading.Event()

    def disturb() -> None:
        rng = random.Random(1)
        while not done.is_set():
            path = tree / f"coming and going {rng.randrange(5)}"
            (path / "x" / "y").mkdir(parents=True, exist_ok=True)
            shutil.rmtree(path)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(50):
            answer = ScanAhead(str(tree), parallelism=THREADS).run()
            assert answer["troubles"] == []
            assert all(answer[key] >= least[key] for key in least)  # type: ignore[operator]
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("limit", [{"max_files": 10}, {"timeout_seconds": 0.0}])
def test_limits_end_the_threads(tree: Path, limit: dict[str, Any]) -> None:
    fill(tree)
    answer = scan(tree, **limit)
    assert answer["stopped"] in ("max_files", "timeout")
    assert answer["files"] <= 10 or "timeout_seconds" in limit


def test_limit_of_files_ends_the_listing_of_a_large_directory(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when a thread has come to its end."""
    (tree / "large").mkdir()
    for number in range(2000):
        (tree / "large" / f"{number}").touch()
    monkeypatch.setattr(ahead_module, "CHUNK", 10)
    answer = ScanAhead(str(tree), parallelism=THREADS, max_files=100, max_ops_per_second=10.0).run()
    assert (answer["stopped"], answer["files"]) == ("max_files", 100)
    assert answer["duration_seconds"] < 15  # type: ignore[operator] # of twenty


def test_rate_is_that_of_all_threads_together(tree: Path) -> None:
    for number in range(30):
        (tree / f"{number}").mkdir()
    answer = scan(tree, max_ops_per_second=200.0)
    assert answer["dirs"] == 30
    assert answer["duration_seconds"] > 0.15  # 61 calls, of which 20 may catch up.


def test_nothing_is_told_while_nothing_answers(tree: Path, monkeypatch: Any) -> None:
    """By that the parent knows that the mount hangs."""
    (tree / "d").mkdir()
    answer_now = threading.Event()
    real = ahead_module.open_directory
    told: list[Any] = []
    told_meanwhile: list[int] = []

    def answer_later() -> None:
        told_meanwhile.append(len(told))
        answer_now.set()

    later = threading.Timer(0.5, answer_later)

    def hanging(*arguments: Any) -> int:
        if not later.is_alive() and not answer_now.is_set():
            later.start()
        answer_now.wait(PATIENCE_SECONDS)
        return real(*arguments)

    monkeypatch.setattr(ahead_module, "open_directory", hanging)
    monkeypatch.setattr("etlmon.fsworker.jobs.walk._PROGRESS_SECONDS", 0.01)
    answer = ScanAhead(str(tree), parallelism=THREADS, tell=told.append).run()
    assert answer["duration_seconds"] > 0.4  # type: ignore[operator]
    assert told_meanwhile[0] <= 2


def test_listing_of_the_directory_itself_is_told(tree: Path, monkeypatch: Any) -> None:
    """It has no threads, and may take longer than a mount may be silent."""
    for number in range(3000):
        (tree / f"{number}").touch()
    monkeypatch.setattr("etlmon.fsworker.jobs.walk._PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr("etlmon.fsworker.jobs.walk._ORDERS_SECONDS", 0.0)
    told: list[Any] = []
    ScanAhead(str(tree), parallelism=THREADS, tell=told.append).run()
    files = [one["progress"]["files"] for one in told]
    assert files[:2] == [16, 32]
    assert files[-1] == 3000


def test_thread_without_memory_ends_the_scan(tree: Path, monkeypatch: Any) -> None:
    """What it was in is not taken for an empty directory."""
    (tree / "d").mkdir()
    before = descriptors()

    def fails(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(ahead_module.Ahead, "_list", fails)
    with pytest.raises(OutOfMemory):
        ScanAhead(str(tree), parallelism=THREADS).run()
    assert descriptors() == before


# --- a file system that is really slow ------------------------------------------------------------


@pytest.fixture
def slow(tree: Path) -> Iterator[Callable[..., SlowFilesystem]]:
    """Mount file systems that answer each call late."""
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("mounting a FUSE file system needs root and /dev/fuse")
    mounted: list[SlowFilesystem] = []

    def mount(milliseconds: float, *shape: int | str) -> SlowFilesystem:
        point = tree / f"slow{len(mounted)}"
        point.mkdir()
        mounted.append(SlowFilesystem(point, milliseconds, *shape))
        return mounted[-1]

    yield mount
    for one in mounted:
        one.close()


def test_slow_file_system_is_asked_many_things_at_once(
    slow: Callable[..., SlowFilesystem], start: Callable[..., Worker]
) -> None:
    """How much faster that is, `./run bench slow` measures. Each has its own mount.

    What one has looked up, the kernel knows for the next.
    """
    for threads, at_once in ((1, {1}), (8, range(4, 10))):
        filesystem = slow(20, 4, 12, 3)
        answer = start().scan(filesystem.point, parallelism=threads)
        assert counts(answer) == {"files": 144, "dirs": 52, "others": 0}
        assert filesystem.most_at_once() in at_once


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("exclude", [None, "no"])
def test_slow_file_system_without_types_is_heard_of(
    slow: Callable[..., SlowFilesystem],
    start: Callable[..., Worker],
    threads: int,
    exclude: str | None,
) -> None:
    """It is asked for each entry: more than a second for all of a directory is no silence."""
    worker = start()
    filesystem = slow(4, 1, 1, 300, "untyped")
    answer = worker.scan(filesystem.point, parallelism=threads, exclude=exclude)
    assert counts(answer) == {"files": 300, "dirs": 2, "others": 0}
    assert answer["duration_seconds"] > 1
    assert len(worker.progress) >= 3
