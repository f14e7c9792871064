"""The largest files and directories; du and find are the judges."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from etlmon.collectors.path.exclude import compile_exclude
from etlmon.fsworker.failures import WorkerFailed
from etlmon.fsworker.jobs import top as top_module
from etlmon.fsworker.jobs import walk
from etlmon.fsworker.jobs.top import Top
from etlmon.fsworker.pool import WorkerPool
from etlmon.fsworker.top import TopOrder, TopProgress
from tests.fsworker.conftest import Worker


def fill(tree: Path, seed: int = 1) -> None:
    """Make directories of files with and without holes, with links of both kinds."""
    rng = random.Random(seed)
    places = [tree]
    for number in range(30):
        place = rng.choice(places) / f"d{number}"
        place.mkdir()
        places.append(place)
    for number in range(120):
        with (rng.choice(places) / f"f{number}").open("wb") as file:
            file.write(b"x" * rng.randrange(30_000))
            if rng.random() < 0.2:
                file.truncate(rng.randrange(200_000))
    files = list(tree.rglob("f*"))
    for number in range(40):
        os.link(rng.choice(files), rng.choice(places) / f"l{number}")
    (tree / "symlink").symlink_to("x" * 100)
    os.mkfifo(tree / "fifo")


def du(tree: Path, *options: str) -> list[tuple[int, str]]:
    """Give the allocated bytes of each directory, and its path relative to the tree."""
    command = ["du", "-x", "-B1", *options, "."]
    lines = subprocess.check_output(command, cwd=tree, text=True).splitlines()
    rows = (line.split("\t") for line in lines)
    return [(int(size), path.removeprefix(".").removeprefix("/")) for size, path in rows]


def inodes(tree: Path) -> list[tuple[int, int]]:
    """Give allocated and apparent bytes of every regular file, each once."""
    command = ["find", tree, "-type", "f", "-printf", r"%i %b %s\n"]
    found = {
        line.split()[0]: line.split()[1:]
        for line in subprocess.check_output(command, text=True).splitlines()
    }
    return [(int(blocks) * 512, int(size)) for blocks, size in found.values()]


def top(tree: Path, count: int = 10, **options: Any) -> Any:
    return Top(str(tree), count=count, **options).run()


@pytest.mark.parametrize("seed", range(5))
def test_sizes_are_those_of_du(tree: Path, seed: int) -> None:
    fill(tree, seed)
    answer = top(tree, 100)
    by_allocated, by_apparent = answer["directories"]
    assert by_allocated[0][0] == ""
    assert answer["allocated_bytes"] == by_allocated[0][1]
    # Which directory has a file with several names is du's choice and ours: the sum is the same.
    assert sorted(du(tree, "-s")) == [(answer["allocated_bytes"], "")]
    files = inodes(tree)
    assert answer["apparent_bytes"] == sum(size for _, size in files) + 100
    assert by_apparent[0][2] == answer["apparent_bytes"]
    assert by_apparent[0][3] == len(files)
    assert [row[1] for row in answer["files"][0]] == sorted((b for b, _ in files), reverse=True)[
        :100
    ]
    assert [row[2] for row in answer["files"][1]] == sorted((s for _, s in files), reverse=True)[
        :100
    ]
    assert (answer["stopped"], answer["troubles"], answer["links_exact"]) == (None, [], True)
    for path, allocated, size, mtime_ns in answer["files"][0]:
        status = (tree / path).lstat()
        expected = status.st_blocks * 512, status.st_size, status.st_mtime_ns
        assert (allocated, size, mtime_ns) == expected


def test_each_directory_is_as_large_as_du_says(tree: Path) -> None:
    fill(tree)
    for link in tree.rglob("l*"):
        link.unlink()
    answer = top(tree, 100)
    expected = sorted(du(tree), key=lambda row: -row[0])
    assert sorted((row[1], row[0]) for row in answer["directories"][0]) == sorted(expected)
    few = top(tree, 4)
    assert [row[1] for row in few["directories"][0]] == [size for size, _ in expected[:4]]
    assert few["files"][1] == answer["files"][1][:4]


def test_exclude_and_skip(tree: Path) -> None:
    fill(tree)
    (tree / "big.tmp").write_bytes(b"x" * 1_000_000)
    (tree / "mnt").mkdir()
    (tree / "mnt" / "huge").write_bytes(b"x" * 2_000_000)
    answer = top(tree, 1, exclude=compile_exclude(["*.tmp"]), skip=["mnt"])
    assert answer["files"][0][0][1] < 1_000_000
    assert answer["skipped_mounts"] == 1


def test_more_links_than_can_be_told_apart(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_module, "_MAX_LINKED", 0)
    for number in range(3):
        (tree / f"{number}").write_bytes(b"x")
        os.link(tree / f"{number}", tree / f"{number} again")
    answer = top(tree)
    assert answer["links_exact"] is False
    assert answer["apparent_bytes"] == 6


def test_inodes_of_which_all_names_are_found_are_forgotten(tree: Path) -> None:
    for number in range(50):
        (tree / f"{number}").write_bytes(b"x")
        os.link(tree / f"{number}", tree / f"{number} again")
    search = Top(str(tree), count=1)
    assert search.run()["apparent_bytes"] == 50
    assert search._linked == {}


def test_timeout_gives_what_is_known(tree: Path) -> None:
    fill(tree)
    answer = top(tree, timeout_seconds=0.0)
    assert answer["stopped"] == "timeout"
    assert [row[0] for row in answer["directories"][0]] == [""]


def test_progress(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tree)
    monkeypatch.setattr(walk, "_PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(walk, "_ORDERS_SECONDS", 0.0)
    lines: list[dict[str, Any]] = []
    answer = top(tree, tell=lines.append)
    told = [line["progress"] for line in lines]
    assert [one["entries"] for one in told] == sorted(one["entries"] for one in told)
    last = told[-1]["entries"], told[-1]["allocated_bytes"]
    assert last == (answer["entries"], answer["allocated_bytes"])


def test_rate_is_kept(tree: Path) -> None:
    for number in range(30):
        (tree / f"{number}").touch()
    answer = top(tree, max_ops_per_second=100.0)
    assert answer["duration_seconds"] > 0.2  # 31 calls, of which 10 may catch up.


@pytest.mark.parametrize("count", [0, 101, None, "3"])
def test_count_that_makes_no_sense(worker: Worker, count: object) -> None:
    assert "count" in worker.ask(op="top", path="/etc", count=count)["error"]["text"]


async def test_by_the_pool(pool: WorkerPool, tree: Path) -> None:
    fill(tree)
    name = os.fsdecode(b"\xff\n")
    (tree / name).write_bytes(b"x" * 5_000_000)
    told: list[TopProgress] = []
    order = TopOrder(path=os.fsencode(tree), mount_point="/", timeout_seconds=30, count=3)
    outcome = await pool.top(order, told.append)
    assert outcome.complete
    assert outcome.files_by_apparent[0].path == "\\xff\n"
    assert outcome.files_by_apparent[0].apparent_bytes == 5_000_000
    assert outcome.files_by_apparent[0].modified_at is not None
    assert outcome.files_by_apparent[0].modified_at.timestamp() == pytest.approx(
        (tree / name).stat().st_mtime, abs=0.002
    )
    assert len(outcome.files_by_allocated) == 3
    assert outcome.directories_by_allocated[0].path == ""
    assert outcome.directories_by_allocated[0].allocated_bytes == outcome.allocated_bytes
    assert outcome.directories_by_apparent[0].files == len(inodes(tree))
    with pytest.raises(WorkerFailed, match="No such file"):
        await pool.top(TopOrder(path=b"/nowhere", mount_point="/", timeout_seconds=30))


async def test_longest_answer_is_taken(pool: WorkerPool, tree: Path) -> None:
    """Names of bytes that are no UTF-8 are six times as long on the wire."""
    place = tree
    for _ in range(4):
        place /= os.fsdecode(b"\xff" * 250)
        place.mkdir()
    for number in range(100):
        (place / os.fsdecode(b"\xfe" * 200 + b"%d" % number)).write_text("x")
    order = TopOrder(path=os.fsencode(tree), mount_point="/", timeout_seconds=30, count=100)
    outcome = await pool.top(order)
    assert len(outcome.files_by_apparent) == 100
    assert outcome.files_by_apparent[0].path.startswith("...\\xff")
