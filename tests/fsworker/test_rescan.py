"""Scans that reuse what is remembered; find is the judge of their counts, whatever happened."""

from __future__ import annotations

import os
import random
import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlmon.fsworker.jobs import walk
from etlmon.fsworker.jobs.memory import Memory, size_bytes
from etlmon.fsworker.jobs.scan import Scan
from tests.fsworker.conftest import Worker, counts, find, make_scan
from tests.fsworker.test_worker import dig
from tests.waiting import clock_of_files_ns

SETTLE_SECONDS = 0.05
"""More than a tick of the kernel's clock, and short enough to be waited for."""


def settle() -> None:
    """Wait until what has been done is old enough, and what comes next gets later times."""
    enough_ns = time.time_ns() + int(SETTLE_SECONDS * 1e9)
    while clock_of_files_ns() <= enough_ns:
        time.sleep(0.005)


class Rescanner:
    """One scan after the other of the same tree, with one memory."""

    def __init__(self, tree: Path, memory: Memory | None = None) -> None:
        self.tree = tree
        self.memory = memory or Memory()
        self.number = self.generation = 0
        self.clock_ns = clock_of_files_ns

    def scan(self, *, anew: bool = False, **options: Any) -> dict[str, Any]:
        self.number += 1
        self.generation += anew
        options.setdefault("generation", self.generation)
        options.setdefault("scan_id", self.number)
        options.setdefault("settle_seconds", SETTLE_SECONDS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time_ns", self.clock_ns)
            return make_scan(self.tree, memory=self.memory, remember_as="it", **options).run()

    def settle(self) -> None:
        """Wait until what has been done is old enough, and remember it."""
        settle()
        self.scan()

    def assert_right(self, **options: Any) -> dict[str, Any]:
        answer = self.scan(**options)
        assert counts(answer) == find(self.tree)
        assert answer["listed"] + answer["reused"] == answer["dirs"] + 1
        assert answer["troubles"] == []
        return answer


def grow(path: Path, depth: int = 3, width: int = 3) -> None:
    """Make a tree of directories with a file and a link in each."""
    (path / "file").touch()
    (path / "link").symlink_to("file")
    if depth:
        for number in range(width):
            (path / f"d{number}").mkdir()
            grow(path / f"d{number}", depth - 1, width)


@pytest.fixture
def known(tree: Path) -> Rescanner:
    """Give a tree of 40 directories that has been scanned and has settled."""
    grow(tree)
    rescanner = Rescanner(tree)
    rescanner.settle()
    return rescanner


def test_unchanged_tree_is_not_listed(known: Rescanner) -> None:
    answer = known.assert_right()
    assert (answer["listed"], answer["reused"]) == (0, 40)
    os.utime(known.tree / "d0" / "d1", ns=(0, 4_000_000_000_123_456_789))
    assert known.assert_right()["newest_mtime_ns"] == 4_000_000_000_123_456_789


def test_changed_directory_alone_is_listed(known: Rescanner) -> None:
    (known.tree / "d1" / "d2" / "new").touch()
    answer = known.assert_right()
    assert (answer["listed"], answer["reused"]) == (1, 39)


def test_directory_that_has_just_changed_is_listed_again(known: Rescanner) -> None:
    """Its next change may come within the same tick of the clock, and give it the same times."""
    (known.tree / "d1" / "new").touch()
    assert known.assert_right(settle_seconds=1000.0)["listed"] == 1
    assert known.assert_right(settle_seconds=1000.0)["listed"] == 1
    settle()
    assert known.assert_right()["listed"] == 1
    assert known.assert_right()["listed"] == 0


def _set_back(path: Path) -> None:
    before = path.stat()
    (path / "new").touch()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(path: Path) -> None:
    before = path.stat()
    path.rename(path.with_name("old"))
    path.mkdir()
    (path / "other").mkdir()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace_by_link(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.symlink_to("old")


def _exchange(path: Path) -> None:
    (path / "more").touch()
    shutil.move(path, path.parent.parent / "away")
    shutil.move(path.parent.parent / "d0", path)


@pytest.mark.parametrize(
    "change", [_set_back, _replace, _replace_by_link, _exchange, shutil.rmtree]
)
def test_no_change_is_missed(known: Rescanner, change: Callable[[Path], None]) -> None:
    change(known.tree / "d1" / "d1")
    known.assert_right()
    known.settle()
    assert known.assert_right()["listed"] == 0


def test_full_scan_lists_all_and_is_remembered(known: Rescanner) -> None:
    assert known.assert_right(anew=True)["reused"] == 0
    assert known.assert_right()["listed"] == 0


def test_full_scan_that_is_cut_short_is_gone_on_with(known: Rescanner) -> None:
    """What it has not listed is not taken from before it."""
    answer = known.scan(anew=True, max_files=17)
    assert (answer["reused"], answer["stopped"]) == (0, "max_files")
    rest = known.assert_right()
    assert rest["listed"] == 40 - answer["listed"] + 1  # The one in which it stopped is not whole.
    assert known.assert_right()["listed"] == 0
    [(*_, parts)] = known.memory._scans.values()
    assert known.memory._bytes == size_bytes(parts.values())


def test_limit_of_files_counts_reused_ones(known: Rescanner) -> None:
    answer = known.scan(max_files=17)
    assert (answer["files"], answer["stopped"]) == (17, "max_files")
    assert known.assert_right()["listed"] == 0


@pytest.mark.parametrize(("levels", "name"), [(200, b"n" * 30), (500, b"d")])
def test_deep_tree(tree: Path, levels: int, name: bytes) -> None:
    """Far down directories are opened; still farther there is no path that the kernel takes."""
    dig(tree, levels, name, siblings=True)
    rescanner = Rescanner(tree)
    rescanner.settle()
    assert rescanner.assert_right()["listed"] == 0


def test_clock_that_is_set_back_forgets_all(known: Rescanner) -> None:
    known.clock_ns = lambda: clock_of_files_ns() - 3600 * 10**9
    assert known.assert_right()["reused"] == 0
    # Every time is in the future now: nothing can be relied on.
    assert known.assert_right()["reused"] == 0


@pytest.mark.parametrize("seed", range(12))
def test_random_changes(tree: Path, seed: int) -> None:
    """Any mixture of changes between two scans, some in the same tick, some settled."""
    rng = random.Random(seed)
    grow(tree, 2)
    rescanner = Rescanner(tree, Memory(max_bytes=rng.choice([10_000, 1 << 20])))
    reused = 0
    for _ in range(30):
        for _ in range(rng.randrange(6)):
            change(tree, rng)
        if rng.random() < 0.3:
            settle()
        reused += rescanner.assert_right(anew=rng.random() < 0.1)["reused"]
    assert reused


def change(tree: Path, rng: random.Random) -> None:
    """Change something anywhere in the tree; sometimes cover it by setting the time back."""
    places = [tree, *(Path(top, name) for top, names, _ in os.walk(tree) for name in names)]
    places = [place for place in places if not place.is_symlink()]
    place, other = rng.choice(places), rng.choice(places)
    before = place.stat()
    name = rng.choice(["a", "b", "c", "d0", "d1", "file"])
    kind = rng.choice(["file", "unlink", "mkdir", "rename", "replace", "rmtree", "chmod"])
    if kind == "file" and not (place / name).is_dir():
        (place / name).touch()
    elif kind == "unlink" and (place / name).is_file():
        (place / name).unlink()
    elif kind == "mkdir" and not os.path.lexists(place / name):
        (place / name).mkdir()
    elif kind == "chmod":
        place.chmod(rng.choice([0o700, 0o755]))
    elif place != tree:
        if kind == "rename" and place not in [other, *other.parents]:
            if not os.path.lexists(other / name):
                place.rename(other / name)
        elif kind == "replace":
            shutil.rmtree(place)
            place.mkdir()
            (place / "inside").mkdir()
        elif kind == "rmtree" and rng.random() < 0.3:
            shutil.rmtree(place)
    if rng.random() < 0.5 and place.exists():
        os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_changes_while_it_scans(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that changes after it was stat'ed and before it is listed is not missed."""
    grow(tree)
    rescanner = Rescanner(tree)
    settle()
    real = Scan._list
    rng = random.Random(1)

    def interfering(scan: Scan, *where: Any) -> None:
        if rng.random() < 0.5:
            change(tree, rng)
        real(scan, *where)
        if rng.random() < 0.5:
            change(tree, rng)

    for _ in range(20):
        monkeypatch.setattr(Scan, "_list", interfering)
        rescanner.scan()
        monkeypatch.setattr(Scan, "_list", real)
        settle()
        rescanner.assert_right()


# --- memory ---------------------------------------------------------------------------------------


def test_memory_of_a_directory(tree: Path) -> None:
    """What is said of it, in the code and in the documentation, is not too little."""
    for number in range(3000):
        (tree / f"a directory {number}").mkdir()
        (tree / f"a directory {number}" / "file").touch()
    settle()
    rescanner = Rescanner(tree)
    Scan(str(tree)).run()  # What Python keeps of a scan for the next one is not the memory's.
    tracemalloc.start()
    rescanner.scan()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rescanner.assert_right()["listed"] == 0
    assert 0.7 * rescanner.memory._bytes < taken < rescanner.memory._bytes
    shutil.rmtree(tree / "a directory 7")
    rescanner.assert_right()
    [(*_, parts)] = rescanner.memory._scans.values()
    assert rescanner.memory._bytes == size_bytes(parts.values())


def test_full_memory_forgets_what_was_used_last_long_ago(tree: Path) -> None:
    for name in ("one", "two", "three"):
        (tree / name).mkdir()
        grow(tree / name, 3)
    memory = Memory(max_bytes=80 * 300)
    scans = {name: Rescanner(tree / name, memory) for name in ("one", "two", "three")}
    settle()

    def listed(name: str) -> int:
        rescanner = scans[name]
        answer = Scan(
            str(rescanner.tree), memory=memory, remember_as=name, settle_seconds=SETTLE_SECONDS
        ).run()
        assert counts(answer) == find(rescanner.tree)
        return int(answer["listed"])  # type: ignore[call-overload]

    assert [listed(name) for name in ("one", "two", "one", "two")] == [40, 40, 0, 0]
    assert [listed(name) for name in ("three", "two", "three", "one")] == [40, 0, 0, 40]


def test_tree_too_large_for_the_memory_is_remembered_in_part(tree: Path) -> None:
    grow(tree, 4)
    rescanner = Rescanner(tree, Memory(max_bytes=60 * 300))
    rescanner.settle()
    for _ in range(3):
        assert 30 < rescanner.assert_right()["reused"] < 121
        assert rescanner.memory._bytes <= 60 * 300


@pytest.mark.parametrize("options", [{}, {"parallelism": 3}])
def test_directories_that_are_very_many_are_counted_and_not_remembered(
    tree: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, int]
) -> None:
    """Nor is what was remembered of them while they were fewer; the rest of the tree still is."""
    grow(tree)
    rescanner = Rescanner(tree)
    rescanner.settle()
    wide = tree / "d1" / "d1"
    for number in range(95):
        (wide / f"{number}" / "below").mkdir(parents=True)
        (wide / f"{number}" / "below" / "file").touch()
    monkeypatch.setattr("etlmon.fsworker.jobs.counting.MOST_BELOW", 20)
    for _ in range(2):
        rescanner.assert_right(**options)
        settle()
    assert rescanner.assert_right(**options)["reused"] == 40 - 4
    others = rescanner.scan(apart=["d1/d1/7", "d1/d1/94"])
    assert others["dirs"] == find(tree)["dirs"] - 2
    [(*_, parts)] = rescanner.memory._scans.values()
    assert rescanner.memory._bytes == size_bytes(parts.values())


def test_room_for_directories_that_are_very_many(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "wide").mkdir()
    for number in range(10_000):
        (tree / "wide" / f"a directory {number}").mkdir()
    monkeypatch.setattr("etlmon.fsworker.jobs.counting.MOST_BELOW", 500)
    Scan(str(tree)).run()
    tracemalloc.start()
    answer = Scan(str(tree)).run()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer["dirs"] == 10_001
    assert most < 10_000 * 60


# --- shared scans ---------------------------------------------------------------------------------


def test_parts_are_scanned_apart_and_again(tree: Path) -> None:
    """Two workers have parts of one tree: together they count all of it, each thing once."""
    grow(tree)
    one, two = Rescanner(tree), Rescanner(tree)
    mine: dict[str, Any] = {"parts": ["", "d0/d1/d2"], "apart": ["d0/d1", "d2", "d0/d1/d2"]}
    other: dict[str, Any] = {**mine, "parts": ["d0/d1", "d2", "gone/d", "d1/link"]}
    settle()

    def both() -> tuple[dict[str, Any], dict[str, Any]]:
        answers = one.scan(**mine), two.scan(**other)
        total = {key: sum(counts(answer)[key] for answer in answers) for key in ("files", "dirs")}
        assert total == {key: find(tree)[key] for key in total}
        assert [answer["troubles"] for answer in answers] == [[], []]
        return answers

    assert [answer["listed"] for answer in both()] == [24, 16]
    assert [answer["listed"] for answer in both()] == [0, 0]
    (tree / "d0" / "d1" / "d2" / "new").touch()
    (tree / "d2" / "d0").rename(tree / "d1" / "moved")
    # Of the first d1, the four that came there, d0/d1/d2; of the second d2.
    assert [answer["listed"] for answer in both()] == [6, 1]
    shutil.rmtree(tree / "d2")
    (tree / "d0" / "d1").rename(tree / "d0" / "renamed")
    both()
    # What one had before, though the other has it now, is not counted twice.
    one.scan()
    both()


def test_worker_gives_away_what_is_highest_up(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(tree)
    monkeypatch.setattr(walk, "_ORDERS_SECONDS", 0.0)
    given: list[str] = []

    def tell(content: dict[str, Any]) -> None:
        given.extend(content["given"])

    answer = Scan(str(tree), tell=tell, orders=lambda: ["share"]).run()
    rest = Scan(str(tree), parts=given, apart=given).run()
    assert "" not in given
    assert len(given) > 1
    for key in ("files", "dirs", "others", "listed"):
        both = answer[key] + rest[key]  # type: ignore[operator]
        assert both == {**find(tree), "listed": 40}[key]


def test_order_that_comes_too_late_is_ignored(tree: Path, start: Callable[..., Worker]) -> None:
    one = start()
    assert one.process.stdin
    for op in ("share", "stop"):
        one.process.stdin.write(b'{"id": 1, "op": "%s"}\n' % op.encode())
    assert counts(one.scan(tree)) == find(tree)


# --- children -------------------------------------------------------------------------------------


def children_by_find(tree: Path) -> dict[str, tuple[int, int, int]]:
    """Count what is below each direct subdirectory."""
    found = {}
    for child in tree.iterdir():
        if child.is_dir() and not child.is_symlink():
            below = find(child)
            found[child.name] = below["files"], below["dirs"], below["others"]
    return found


def children_of(*answers: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    """Add up what the answers of several workers tell of each child."""
    total: dict[str, tuple[int, int, int]] = {}
    for answer in answers:
        for name, *counted in answer["children"]:
            before = total.get(name, (0, 0, 0))
            files, dirs, others = (a + b for a, b in zip(before, counted, strict=True))
            total[name] = files, dirs, others
    return total


def test_children_are_counted_whether_listed_or_reused(known: Rescanner) -> None:
    tree = known.tree
    for name in ("leaf", "other leaf"):
        (tree / name).mkdir()
        (tree / name / "file").touch()
    (tree / "empty").mkdir()
    known.settle()
    answer = known.assert_right()
    assert answer["listed"] == 0
    assert children_of(answer) == children_by_find(tree)
    assert answer["children_rest"] == [0, 0, 0, 0]
    (tree / "d1" / "d2" / "new").touch()
    shutil.rmtree(tree / "leaf")
    answer = known.assert_right()
    assert children_of(answer) == children_by_find(tree)


@pytest.mark.parametrize("seed", range(4))
def test_children_under_random_changes_and_sharing(tree: Path, seed: int) -> None:
    """Two workers, who got what by chance, again and again; what they reuse counts too."""
    rng = random.Random(seed)
    grow(tree, 3)
    one, two = Rescanner(tree), Rescanner(tree)
    reused = 0
    for _ in range(10):
        if rng.random() < 0.3:
            settle()
        places = [Path(top, name) for top, names, _ in os.walk(tree) for name in names]
        given = [str(place.relative_to(tree)) for place in places if rng.random() < 0.15]
        answers = one.scan(apart=given), two.scan(parts=given or ["none/x"], apart=given)
        assert children_of(*answers) == children_by_find(tree)
        reused += sum(answer["reused"] for answer in answers)
        for _ in range(rng.randrange(4)):
            change(tree, rng)
    assert reused


def test_many_children_are_summed_up(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many the largest are told, and those of which others count a part."""
    monkeypatch.setattr("etlmon.fsworker.jobs.children._MAX_TOLD", 5)
    for number in range(60):
        (tree / f"{number:02}").mkdir()
        for file in range(number % 30):
            (tree / f"{number:02}" / f"{file}").touch()
    answer = Scan(str(tree), apart=["00/elsewhere"]).run()
    told = children_of(answer)
    assert set(told) == {"00", "29", "59", "28", "58"}
    assert answer["children_rest"][:2] == [55, sum(range(30)) * 2 - 29 * 2 - 28 * 2]  # type: ignore[index]
    assert answer["files"] == sum(range(30)) * 2


def test_long_names_of_children_stay_within_a_line(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etlmon.fsworker.jobs.children._MAX_TOLD_CHARACTERS", 1000)
    for number in range(10):
        (tree / f"{number:0200}").mkdir()
    answer = Scan(str(tree)).run()
    assert len(children_of(answer)) == 5
    assert answer["children_rest"] == [5, 0, 0, 0]
