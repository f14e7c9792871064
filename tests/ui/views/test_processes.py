"""The table of processes: by watch, as a tree, all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.ui.views.process_rows import Row, one_row_each, tree


@pytest.fixture
def shown(stage: Callable[..., Any], recorded: dict[str, Any]) -> Any:
    """Give the screen of a node's processes."""
    made = stage("etl", view="Processes")
    made.client.answers = recorded
    return made.start()


def names(made: Any) -> list[str]:
    """Give the first words of the rows."""
    lines = made.show(200, 40).splitlines()[3:]
    return [line.strip("│├└─ ").split()[0] for line in lines[: lines.index("")]]


def test_the_worst_watch_comes_first_and_is_chosen(shown: Any) -> None:
    assert names(shown) == [
        *("mailer", "upload-수신", "sftpd"),
        *("loader", "python3", "sort", "gzip", "python3"),
    ]
    assert shown.screen.view.table.chosen.head.watch == "mailer"
    assert "none of at least 1 runs" in shown.show().splitlines()[-2]


def test_sorting_stays_within_a_watch_and_what_has_ended_comes_last(shown: Any) -> None:
    shown.press("o", "o", "o")
    assert "Sorted by CPU." in shown.show()
    assert names(shown)[3:] == ["loader", "python3", "gzip", "sort", "python3"]


def test_a_filter_keeps_the_watch_above(shown: Any) -> None:
    shown.press(*"/gzip", "enter")
    assert names(shown) == ["loader", "gzip"]
    shown.press("esc", *"/mailer", "enter")
    assert names(shown) == ["mailer"]


def test_one_that_two_watches_select_is_once_in_the_list(
    shown: Any, recorded: dict[str, Any]
) -> None:
    twice = msgspec.structs.replace(recorded["list_processes"][0], watch="also")
    shown.client.answers = recorded | {"list_processes": [*recorded["list_processes"], twice]}
    shown.press("r", "w")
    assert len(names(shown)) == 5
    assert "loader, also" in shown.show(200, 40)


def test_all_processes_as_a_tree(
    shown: Any, recorded: dict[str, Any], everything: Any, is_as_kept: Any
) -> None:
    shown.client.answers = recorded | {"list_processes": everything}
    shown.press("a", "t")
    asked = [query for name, query, _ in shown.client.asked if name == "list_processes"]
    assert [query.all for query in asked] == [False, True]
    shown.press("w")
    assert "All processes are in one list." in shown.show()
    is_as_kept("processes-all", shown.show(120, 16))


def test_a_process_that_is_not_watched_has_no_history(
    shown: Any, recorded: dict[str, Any], everything: Any
) -> None:
    shown.client.answers = recorded | {"list_processes": everything}
    shown.press("a", *"/sshd", "enter", "enter")
    assert "No watch selects it: its history is not kept." in shown.show()


def sample(pid: int, parent: int, like: Any) -> Any:
    return msgspec.structs.replace(like, pid=pid, parent_pid=parent, identity=f"b:{pid}:{parent}")


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), unique_by=lambda one: one[0]))
def test_a_tree_has_every_process_once(pairs: list[tuple[int, int]]) -> None:
    like = msgspec.convert(
        {
            "pid": 1,
            "process_name": "x",
            "cmdline": "",
            "start_time": "2026-11-24T12:00:00Z",
            "runtime_sec": 1.0,
            "cpu_seconds": 1.0,
            "mem_rss_bytes": 1,
            "status": "RUNNING",
            "state": "S",
            "threads": 1,
            "user": None,
            "parent_pid": 1,
            "visibility": "full",
            "identity": "x",
            "collected_at": "2026-11-24T12:00:00Z",
        },
        _sample_type(),
    )
    rows = one_row_each(sample(pid, parent, like) for pid, parent in pairs)
    grown = tree(rows, list)
    assert sorted(row.key for row in grown) == sorted(row.key for row in rows)


def _sample_type() -> Any:
    from etlmon.records.process import ProcessSample

    return ProcessSample


def test_a_deep_tree_needs_no_deep_stack_and_no_wide_screen(recorded: dict[str, Any]) -> None:
    like = recorded["list_processes"][0]
    rows = [Row(sample(pid, pid - 1, like), "") for pid in range(1, 5001)]
    grown = tree(rows, list)
    assert len(grown) == 5000
    assert max(len(row.branch) for row in grown) <= 18
