"""What the searches, for the largest and by name, hold of the trees that they look through."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlmon.fsworker.jobs.find import Find
from etlmon.fsworker.jobs.top import Top
from etlmon.fsworker.jobs.walk import Walk
from etlmon.globs import glob_parts


def searches(tree: Path, **limits: Any) -> dict[str, Callable[[], dict[str, Any]]]:
    """Give what runs each kind of search over a tree; the files are found by eight patterns."""
    patterns = [{"parts": glob_parts(f"**/*.{kind}")} for kind in range(8)]
    return {
        "top": Top(str(tree), count=10, **limits).run,
        "find": Find(str(tree), patterns=patterns, max_listed=10, **limits).run,
    }


@pytest.mark.parametrize("kind", ["top", "find"])
def test_directories_that_are_very_many_take_little_more_than_their_names(
    tree: Path, kind: str
) -> None:
    for number in range(8_000):
        (tree / f"customer {number}").mkdir()
    (tree / "customer 7" / "in").mkdir()
    searches(tree / "customer 7")[kind]()
    run = searches(tree)[kind]
    tracemalloc.start()
    try:
        answer = run()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer["entries"] == 8_001
    # Besides what is looked at in one go.
    assert most < 8_000 * len("customer 1234/") + (600 << 10)


@pytest.mark.parametrize("kind", ["top", "find"])
def test_all_of_very_many_directories_are_looked_into(
    tree: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etlmon.fsworker.jobs.level._MOST_PENDING", 7)
    for number in range(95):
        (tree / "a" / f"{number}" / "below").mkdir(parents=True)
        (tree / "a" / f"{number}" / "below" / f"{number}.{number % 8}").write_text("x")
    answer = searches(tree)[kind]()
    assert answer["entries"] == 1 + 3 * 95
    if kind == "top":
        assert answer["apparent_bytes"] == 95
    else:
        assert sum(one["matched"] for one in answer["found"]) == 95


@pytest.mark.parametrize("kind", ["top", "find"])
def test_place_in_a_deep_tree_is_put_together_as_far_as_it_is_told(
    tree: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it each time would take time that grows with the square of the depth.

    The levels are left after the timeout, too: then it was the end of the worker, and no answer.
    """
    directory = os.open(tree, os.O_DIRECTORY)
    for _ in range(1200):
        os.mkdir("dddd", dir_fd=directory)
        upper, directory = directory, os.open("dddd", os.O_DIRECTORY, dir_fd=directory)
        os.close(upper)
    os.close(os.open("file.0", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    os.close(directory)
    monkeypatch.setattr(Walk, "_relative", lambda *_: pytest.fail("put together from the root"))
    answer = searches(tree)[kind]()
    rows = answer["files"][0] if kind == "top" else answer["found"][0]["files"]
    assert rows[0][0] == "..." + ("dddd/" * 1200 + "file.0")[-1000:]
    if kind == "top":
        assert {row[0] for row in answer["directories"][1]} == {
            "..." + "/".join(["dddd"] * 1200)[-1000:]
        }
