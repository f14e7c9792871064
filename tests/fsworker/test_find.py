"""Files by their names; the shell and pathlib are the judges of what matches."""

from __future__ import annotations

import ast
import errno
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etlmon.fsworker.find import FindOrder, FindPattern, find_request
from etlmon.fsworker.jobs import find as find_module
from etlmon.fsworker.jobs.find import Find
from etlmon.fsworker.pool import WorkerPool
from etlmon.globs import expand, glob_parts
from tests.fsworker.conftest import Worker

NAMES = ["a", "b", "in_1.csv", "in_2.csv", ".in_3.csv", "x.csv", "[a]", "A"]


def fill(tree: Path, depth: int = 2) -> None:
    for name in ("in_1.csv", "in_2.csv", ".in_3.csv", "x.csv", "[a]"):
        (tree / name).write_text(name)
    (tree / "link.csv").symlink_to("x.csv")
    os.mkfifo(tree / "fifo.csv")
    if depth:
        for name in ("a", "b", ".hidden", "dir.csv"):
            (tree / name).mkdir()
            fill(tree / name, depth - 1)


def find(tree: Path, *globs: str, max_listed: int = 100, **options: Any) -> list[Any]:
    """Give what is found of each glob."""
    patterns = [{"parts": glob_parts(glob), **options} for glob in globs]
    answer: Any = Find(str(tree), patterns=patterns, max_listed=max_listed).run()
    assert (answer["stopped"], answer["troubles"]) == (None, [])
    found: list[Any] = answer["found"]
    return found


def paths(found: dict[str, Any]) -> set[str]:
    return {path for path, _, _ in found["files"]}


def by_glob(tree: Path, pattern: str) -> set[str]:
    """Give the regular files that Python's glob finds, which hides what begins with a dot."""
    import glob

    # At the end it finds even a file for a directory: x.csv for x.csv/**.
    pattern = pattern + "/*" if pattern.endswith("**") else pattern
    found = glob.glob(pattern, root_dir=tree, recursive=True)  # noqa: PTH207
    places = [(name, tree / name) for name in found]
    return {
        os.path.normpath(name)
        for name, place in places
        if place.is_file() and not place.is_symlink()
    }


@pytest.mark.parametrize(
    "pattern",
    [
        "in_*.csv",
        "*",
        "*.csv",
        ".*.csv",
        "[[]a]",
        "in_[!2].csv",
        "a/*.csv",
        "*/in_?.csv",
        "**/in_1.csv",
        "a/**/*.csv",
        "**/b/*",
        "**/a/**/x.csv",
        "**",
        "a/**",
        "dir.csv/x.csv",
        "./a//x.csv",
        "nothing*",
        ".hidden/*",
    ],
)
def test_matches_are_those_of_glob(tree: Path, pattern: str) -> None:
    fill(tree)
    [found] = find(tree, pattern)
    assert paths(found) == by_glob(tree, pattern)
    assert found["matched"] == len(paths(found))


parts = st.sampled_from(["**", "*", "a", "b", "in_*", "*.csv", "?", "[ab]", "x.csv", ".*"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(patterns=st.lists(st.lists(parts, min_size=1, max_size=4), min_size=1, max_size=4))
def test_any_patterns_at_once(whole: Path, patterns: list[list[str]]) -> None:
    globs = ["/".join(names) for names in patterns]
    for one, found in zip(globs, find(whole, *globs, max_listed=1000), strict=True):
        assert paths(found) == by_glob(whole, one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("whole")
    fill(tree)
    return tree


def test_old_empty_and_small_files(tree: Path) -> None:
    for name, size, mtime in [("a", 0, 200), ("b", 5, 200), ("c", 10, 200), ("d", 10, 100)]:
        (tree / name).write_bytes(b"x" * size)
        os.utime(tree / name, ns=(0, mtime * 10**9))
    [found] = find(tree, "*", since_ns=200 * 10**9, min_bytes=10)
    assert found == {
        "matched": 4,
        "recent": 3,
        "arrived": 1,
        "empty": 1,
        "recent_bytes": 15,
        "links": 0,
        "files": [
            ["c", 10, 200 * 10**9],
            ["b", 5, 200 * 10**9],
            ["a", 0, 200 * 10**9],
            ["d", 10, 100 * 10**9],
        ],
    }
    [found] = find(tree, "*")
    assert (found["recent"], found["arrived"]) == (4, 4)


def test_links_are_the_files_that_they_lead_to(tree: Path) -> None:
    """As long as those are below the directory, and nothing counts twice."""
    for name in ("out", "staging", "elsewhere"):
        (tree / name).mkdir()
    root = tree / "out"
    (root / "parts").mkdir()
    for name in ("out/parts/data", "out/sales_1.csv", "staging/file", "elsewhere/file"):
        (tree / name).write_bytes(b"x" * 10)
        os.utime(tree / name, ns=(0, 300 * 10**9))
    (root / "sales_2.csv").symlink_to("parts/data")
    (root / "sales_3.csv").symlink_to("sales_2.csv")
    (root / "sales_4.csv").symlink_to(root / "parts" / "data")
    (root / "sales_latest.csv").symlink_to("sales_1.csv")
    (root / "parts" / "up.csv").symlink_to("../parts/data")
    for number, target in enumerate(
        ["../staging/file", str(tree / "staging" / "file"), "nowhere", "parts", "sales_loop.csv"]
    ):
        (root / f"sales_bad_{number}.csv").symlink_to(target)
    (root / "sales_loop.csv").symlink_to("sales_loop.csv")
    (root / "away").symlink_to("../elsewhere")
    (root / "sales_away.csv").symlink_to("away/file")
    sales, up = find(root, "sales_*.csv", "**/up.csv", since_ns=200 * 10**9, min_bytes=10)
    assert sorted(sales["files"]) == [
        [f"sales_{number}.csv", 10, 300 * 10**9] for number in (1, 2, 3, 4)
    ]
    assert (sales["arrived"], sales["links"]) == (4, 7)
    assert ([name for name, *_ in up["files"]], up["links"]) == (["parts/up.csv"], 0)
    # By the path through a link to the directory, too.
    (tree / "way").symlink_to("out")
    (root / "sales_5.csv").symlink_to(tree / "way" / "parts" / "data")
    [sales] = find(tree / "way", "sales_[45].csv")
    assert (sales["arrived"], sales["links"]) == (2, 0)


@pytest.mark.parametrize("error", [ImportError, OSError(errno.ENOSYS, "an old kernel")])
def test_links_are_told_where_nobody_can_follow_them(
    tree: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    def no_call() -> Any:
        raise error

    (tree / "file").touch()
    (tree / "link.csv").symlink_to("file")
    monkeypatch.setattr("etlmon.fsworker.jobs.links._system_calls", no_call)
    [found] = find(tree, "*.csv")
    assert (found["matched"], found["links"]) == (0, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to mount")
def test_links_lead_to_no_other_file_system(tree: Path) -> None:
    (tree / "mounted").mkdir()
    (tree / "link.csv").symlink_to("mounted/file")
    program = (
        "import sys; sys.path.append(sys.argv[1]);"
        "from etlmon.fsworker.jobs.find import Find;"
        "print(Find('.', patterns=[{'parts': [r'link.csv']}], max_listed=1).run()['found'])"
    )
    top = str(Path(find_module.__file__).parents[3])
    script = 'mount -t tmpfs none mounted && touch mounted/file && exec "$@"'
    told = subprocess.check_output(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", program, top],
        cwd=tree,
        text=True,
    )
    [found] = ast.literal_eval(told)
    assert (found["matched"], found["links"]) == (0, 1)


def test_newest_are_listed(tree: Path) -> None:
    order = list(range(50))
    random.Random(1).shuffle(order)
    for number in order:
        (tree / f"{number}").touch()
        os.utime(tree / f"{number}", ns=(0, number * 10**9))
    [found] = find(tree, "*", max_listed=3)
    assert found["matched"] == 50
    assert [path for path, _, _ in found["files"]] == ["49", "48", "47"]


def test_only_what_may_hold_a_match_is_entered(tree: Path) -> None:
    fill(tree)
    search = Find(str(tree), patterns=[{"parts": glob_parts("a/*.csv")}], max_listed=5)
    answer = search.run()
    assert answer["entries"] == len(list(tree.iterdir())) + len(list((tree / "a").iterdir()))


def test_timeout(tree: Path) -> None:
    fill(tree)
    patterns = [{"parts": glob_parts("**")}]
    answer = Find(str(tree), patterns=patterns, max_listed=5, timeout_seconds=0.0).run()
    assert answer["stopped"] == "timeout"


@pytest.mark.parametrize(
    "patterns",
    [None, [1], [{}], [{"parts": []}], [{"parts": ["("]}], [{"parts": [None]}], [{"parts": [3]}]],
)
def test_patterns_that_make_no_sense(worker: Worker, patterns: object) -> None:
    answer = worker.ask(op="find", path="/etc", patterns=patterns)
    assert answer["error"]["text"].startswith("bad request: pattern")


@pytest.mark.parametrize("glob", ["", "/a", "../a", "a/../b", "/", "."])
def test_what_is_no_glob(glob: str) -> None:
    with pytest.raises(ValueError, match="is no glob below a directory"):
        glob_parts(glob)


def test_pattern_with_a_date() -> None:
    at = datetime(2024, 2, 9, 6, 5, tzinfo=UTC)
    assert expand("%Y/sales_%y%m%d-%H%M_100%%.csv", at) == "2024/sales_240209-0605_100%.csv"
    for pattern in ("%Q.csv", "at 100%", "%-d"):
        with pytest.raises(ValueError, match="means nothing; write %% for a % itself"):
            expand(pattern, at)


def order(tree: Path, patterns: Sequence[FindPattern]) -> FindOrder:
    return FindOrder(path=os.fsencode(tree), mount_point="/", timeout_seconds=30, patterns=patterns)


async def test_by_the_pool(pool: WorkerPool, tree: Path) -> None:
    fill(tree)
    os.utime(tree / "in_1.csv", ns=(0, 1_700_000_000_123_456_789))
    since = datetime(2023, 11, 14, 23, 0, tzinfo=UTC)
    patterns = [
        FindPattern(glob="in_*.csv", since=since, min_bytes=8),
        FindPattern(glob="**/x.csv", min_bytes=100),
    ]
    outcome = await pool.find(order(tree, patterns))
    assert outcome.complete
    first, second = outcome.found
    assert (first.matched, first.recent, first.arrived, first.empty) == (2, 1, 1, 0)
    oldest = first.newest[-1]
    assert (oldest.path, oldest.size_bytes) == ("in_1.csv", 8)
    assert oldest.modified_at == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)
    assert (second.matched, second.arrived) == (13, 0)
    assert find_request(order(tree, patterns))["patterns"][0]["since_ns"] == 1700002800 * 10**9


async def test_many_patterns_stay_within_a_line(pool: WorkerPool, tree: Path) -> None:
    fill(tree)
    outcome = await pool.find(order(tree, [FindPattern(glob="**")] * 500))
    assert len(outcome.found) == 500
    assert len(outcome.found[-1].newest) == 1
