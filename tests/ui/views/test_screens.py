"""Every screen as it is kept in snapshots/: what an operator sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

SIZES = [(80, 24), (200, 50)]
NAMES = {"File systems": "fs", "Paths": "paths", "Processes": "processes", "Nodes": "nodes"}
SCREENS = {
    # name: view, keys
    "fs": ("File systems", []),
    "fs-detail": ("File systems", ["enter"]),
    "fs-sorted": ("File systems", ["o", "o", "o", "o", "o"]),
    "fs-filtered": ("File systems", ["/", *"nfs", "enter"]),
    "paths": ("Paths", []),
    "paths-detail": ("Paths", ["down", "down", "enter"]),
    "paths-largest": ("Paths", ["down", "down", "enter", "page down"]),
    "paths-scanning": ("Paths", ["down", "down", "down", "enter"]),
    "paths-question": ("Paths", ["s"]),
    "logs": ("Logs", []),
    "processes": ("Processes", []),
    "processes-tree": ("Processes", ["t", "down"]),
    "processes-list": ("Processes", ["w", "o", "o", "o"]),
    "processes-detail": ("Processes", [*"/loader", "enter", *"w", "enter"]),
    "processes-watch": ("Processes", ["enter"]),
    "processes-form": ("Processes", ["w", "d"]),
    "events": ("Events", []),
    "events-detail": ("Events", ["down", "enter"]),
    "audit": ("Audit", []),
    "nodes": ("Nodes", []),
    "nodes-detail": ("Nodes", ["enter"]),
    "help": ("File systems", ["?"]),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "{}x{}".format(*size))
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_with_answers(
    stage: Callable[..., Any],
    recorded: dict[str, Any],
    is_as_kept: Callable[[str, str], None],
    name: str,
    size: tuple[int, int],
) -> None:
    view, keys = SCREENS[name]
    made = stage("prod-etl-01", view=view)
    made.client.answers = recorded
    made.start()
    made.press(*keys)
    is_as_kept("{}-{}x{}".format(name, *size), made.show(*size))


def test_hidden_mounts_come_with_the_reason(
    stage: Callable[..., Any], recorded: dict[str, Any], with_hidden: Any, is_as_kept: Any
) -> None:
    made = stage("prod-etl-01")
    made.client.answers = recorded
    made.start()
    made.press("h")
    made.client.answers["list_filesystems"] = with_hidden
    made.press("r", "end")
    assert made.client.asked[-2][1].all
    is_as_kept("fs-hidden", made.show())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "{}x{}".format(*size))
@pytest.mark.parametrize("view", ["Nodes", "File systems"])
def test_nodes_in_every_state(
    stage: Callable[..., Any],
    recorded: dict[str, Any],
    degraded: Any,
    fail: Any,
    refuse: Any,
    is_as_kept: Callable[[str, str], None],
    view: str,
    size: tuple[int, int],
) -> None:
    made = stage("etl-01", "etl-02", "etl-03", "etl-04", "etl-05", "etl-06", view=view)
    well, ill, gone, refused, slow, asking = made.clients
    well.answers, slow.answers = recorded, recorded
    ill.answers = recorded | {"get_health": degraded}
    gone.answers = {"get_health": fail("refused", "http://etl-03:8080: nothing listens there")}
    refused.answers = {"get_health": refuse(403, "a token is needed")}
    asking.waits = True
    made.start()
    slow.waits = True
    for _ in range(4):
        made.advance(2)
    made.press("2")
    is_as_kept("states-{}-{}x{}".format(NAMES[view], *size), made.show(*size))


def test_a_degraded_node_in_full(
    stage: Callable[..., Any], recorded: dict[str, Any], degraded: Any, is_as_kept: Any
) -> None:
    made = stage("prod-etl-01", view="Nodes")
    made.client.answers = recorded | {"get_health": degraded}
    made.start()
    made.press("enter")
    is_as_kept("nodes-detail-degraded", made.show(100, 38))


@pytest.mark.parametrize("view", ["File systems", "Paths", "Processes"])
def test_what_stands_where_there_are_no_rows(
    stage: Callable[..., Any],
    recorded: dict[str, Any],
    fail: Any,
    refuse: Any,
    is_as_kept: Any,
    view: str,
) -> None:
    made = stage("prod-etl-01", view=view)
    empty = {"get_health": recorded["get_health"]}
    texts = []
    made.client.waits = True
    made.start()
    texts.append(("loading", made.show(80, 10)))
    made.client.waits = False
    made.client.answers = empty
    made.client.answer()
    texts.append(("empty", made.show(80, 10)))
    made.stop()
    for name, answer in (
        ("error", refuse(503, "the database cannot be read: disk I/O error")),
        ("offline", fail("timeout", "http://etl:8080: no answer in 30 s")),
        ("forbidden", refuse(403, "a token is needed: auth.tokens_file is set")),
    ):
        made = stage("prod-etl-01", view=view)
        made.client.answers = dict.fromkeys(recorded, answer)
        if name == "error":
            made.client.answers["get_health"] = recorded["get_health"]
        made.start()
        texts.append((name, made.show(80, 10)))
    shown = "".join(f"--- {name}\n{text}" for name, text in texts)
    is_as_kept(f"nothing-{NAMES[view]}", shown)


@pytest.mark.parametrize("view", ["File systems", "Paths", "Processes", "Nodes"])
def test_old_answers_stay_and_are_marked(
    stage: Callable[..., Any], recorded: dict[str, Any], fail: Any, is_as_kept: Any, view: str
) -> None:
    made = stage("prod-etl-01", view=view)
    made.client.answers = recorded
    made.start()
    made.client.waits = True
    made.advance(2)
    made.advance(8)
    stale = made.show(80, 16)
    gone = fail("refused", "http://prod-etl-01:8080: nothing listens there")
    made.client.answers = dict.fromkeys(recorded, gone)
    made.client.answer()
    offline = made.show(80, 16)
    assert "~ As of 12:00:00: no fresh answer." in stale
    assert "✗ As of 12:00:00: http://prod-etl-01:8080: nothing listens there." in offline
    is_as_kept(f"old-{NAMES[view]}", f"--- stale\n{stale}--- offline\n{offline}")


def test_a_problem_of_one_list_leaves_its_old_rows(
    stage: Callable[..., Any], recorded: dict[str, Any], refuse: Any
) -> None:
    made = stage()
    made.client.answers = recorded
    made.start()
    made.client.answers = recorded | {"list_filesystems": refuse(503, "the disk is full")}
    made.advance(2)
    text = made.show()
    assert "the disk is full" in text.splitlines()[2]
    assert "/var/spool" in text
    assert "etl ok" in text


def test_states_are_told_without_colour(
    stage: Callable[..., Any], recorded: dict[str, Any]
) -> None:
    """The text alone says it: each state has a word and a glyph of its own kind."""
    made = stage("etl")
    made.client.answers = recorded
    made.start()
    text = made.show(120, 24)
    for words in ("✗ critical", "! warning", "~ stale", "✓ ok"):
        assert words in text
    made.press("tab")
    text = made.show(120, 24)
    for words in ("✗ error", "! partial", "… scanning", "✓ ok"):
        assert words in text


def test_the_worst_comes_first_and_says_why(
    stage: Callable[..., Any], recorded: dict[str, Any]
) -> None:
    made = stage("etl")
    made.client.answers = recorded
    made.start()
    lines = made.show(80, 24).splitlines()
    assert lines[3].startswith("/data ")
    assert lines[-2] == " /data: full 2026-11-24 17:20"
    made.press("tab")
    lines = made.show(80, 24).splitlines()
    assert lines[3].startswith("/gone ")
    assert lines[-2] == " /gone: No such file or directory"


def test_a_mount_that_became_worse_appears_above_though_another_is_chosen(
    stage: Callable[..., Any], recorded: dict[str, Any]
) -> None:
    made = stage("etl")
    made.client.answers = recorded
    made.start()
    worse = [
        msgspec.structs.replace(m, level="critical") if m.mount_point == "/boot" else m
        for m in recorded["list_filesystems"]
    ]
    made.client.answers = recorded | {"list_filesystems": worse}
    made.advance(2)
    lines = made.show(80, 24).splitlines()
    assert lines[3].startswith("/boot ")
    assert made.screen.view.table.chosen.mount_point == "/data"


def test_a_time_of_another_day_says_the_day(
    stage: Callable[..., Any], recorded: dict[str, Any]
) -> None:
    made = stage("etl", view="Paths")
    made.client.answers = recorded
    made.start()
    assert "11-21 12:00" in made.show()


def test_a_node_is_chosen_by_opening_it(
    stage: Callable[..., Any], recorded: dict[str, Any]
) -> None:
    made = stage("one", "two", view="Nodes").start()
    made.press("down", "enter")
    assert made.screen.session.name == "two"
    made.press("n")
    assert made.screen.session.name == "one"
    assert made.show().splitlines()[2].startswith("one")


def test_tabs_and_rows_are_clicked(stage: Callable[..., Any], recorded: dict[str, Any]) -> None:
    made = stage("one", "two")
    for client in made.clients:
        client.answers = recorded
    made.start()
    text = made.show().splitlines()

    def click(row: int, word: str, button: int = 1) -> None:
        made.screen.mouse_event((80, 24), "mouse press", button, text[row].index(word), row, True)

    click(0, "two")
    assert made.screen.session.name == "two"
    text = made.show().splitlines()
    click(5, text[5].split()[0])
    assert made.screen.view.table.chosen.mount_point == text[5].split()[0]
    click(1, "Paths")
    assert made.screen.view.title == "Paths"
    made.show()
    made.screen.mouse_event((80, 24), "mouse press", 5, 0, 5, True)
    assert made.screen.view.table.chosen.path == "/srv/late"


def test_the_chosen_tab_is_seen_however_many_there_are(stage: Callable[..., Any]) -> None:
    made = stage(*(f"prod-etl-{n:02}" for n in range(30)))
    made.press("N")
    assert "30 … prod-etl-29 connecting" in made.show(80, 24).splitlines()[0]
    made.screen.mouse_event((80, 24), "mouse press", 1, 1, 0, True)
    assert made.screen.session.name != "prod-etl-00"
