"""Transfers added up: groups, totals, and the way to those of a group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def sums(stage: Callable[..., Any], recorded: dict[str, Any]) -> Any:
    made = stage("etl", view="Xferlog")
    made.client.answers = recorded
    made.start()
    made.press("s")
    return made


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=lambda size: "{}x{}".format(*size))
def test_a_screen(sums: Any, is_as_kept: Callable[[str, str], None], size: tuple[int, int]) -> None:
    is_as_kept("xferlog-sums-{}x{}".format(*size), sums.show(*size))


def test_totals_of_each_direction_stand_below(sums: Any) -> None:
    line = sums.show(120, 24).splitlines()[-2]
    assert "24 h  ↑ up 12, 12.0 MiB, 512 KiB/s, 2 failed" in line
    assert "↓ down 3, 3.00 MiB, 512 KiB/s" in line


def test_groups_are_turned_through(sums: Any) -> None:
    sums.press("b")
    assert "Added up by user." in sums.show()
    assert [item.username for item in sums.screen.view.items(sums.screen.session)] == [
        "etl",
        "한국어",
    ]
    sums.press("b", "b", "b", "b")
    assert "Added up by hour, user, host, direction." in sums.show()


def test_a_group_is_opened(sums: Any) -> None:
    sums.press("enter")
    query = next(q for n, q, _ in reversed(sums.client.asked) if n == "list_transfers")
    assert (query.user, query.host, query.direction) == ("etl", "10.0.0.7", "upload")
    assert query.since.isoformat() == "2026-11-24T11:00:00+00:00"
    assert query.until.isoformat() == "2026-11-24T11:59:59.999000+00:00"
    assert sums.screen.view.title == "etl 10.0.0.7 upload 11-24 11:00"
    sums.press("f")
    assert "This part has an end" in sums.show()
    assert not sums.client.streams
    sums.press("esc", "esc")
    assert sums.screen.view.title == "Xferlog"


def test_a_part_is_added_up_alone(stage: Callable[..., Any], recorded: dict[str, Any]) -> None:
    made = stage("etl", view="Xferlog")
    made.client.answers = recorded
    made.start()
    made.press("u", "s")
    query = next(q for n, q, _ in reversed(made.client.asked) if n == "summarize_transfers")
    assert query.user == "etl"
