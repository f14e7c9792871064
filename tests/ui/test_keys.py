"""The key table is the truth: behaviour, help and footer agree with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from etlmon.records.disk import Filesystem
from etlmon.records.kill import KillAnswer
from etlmon.records.log import LogFile
from etlmon.records.path import PathStats, ScanAnswer
from etlmon.records.process import ProcessSample
from etlmon.records.xferlog import XferlogEntry
from etlmon.ui.keys import (
    CRON,
    DETAIL,
    EVERYWHERE,
    FILESYSTEMS,
    FILTER,
    IN_PART,
    KILL,
    KILL_OUTCOME,
    KILL_WAITING,
    LOG,
    LOGS,
    PART,
    PATH,
    PATHS,
    PLACES,
    PROCESS,
    PROCESSES,
    PROMPT,
    QUESTION,
    SUMS,
    TABLE,
    XFERLOG,
    Place,
    command_of,
    rest_of,
    shown,
)

ANSWERS = {
    "list_filesystems": [
        Filesystem(mount_point=f"/{n}", device="d", fs_type="ext4", collected_at="2026-11-24")
        for n in range(3)
    ],
    "list_paths": [PathStats(id=str(n), path=f"/{n}", status="OK") for n in range(3)],
    "list_logs": [
        LogFile(name=str(n), path=f"/{n}", state="following", updated_at="2026-11-24")
        for n in range(3)
    ],
    "list_transfers": [
        XferlogEntry(
            id=3 - n,
            status="complete",
            username="etl",
            remote_host="10.0.0.7",
            log_path="/var/log/xferlog",
            created_at=datetime(2026, 11, 24, tzinfo=UTC),
        )
        for n in range(3)
    ],
    "scan_paths": ScanAnswer(started=["/1"], skipped=[]),
    "list_processes": [
        ProcessSample(
            pid=pid,
            process_name=f"p{pid}",
            cmdline="",
            start_time=datetime(2026, 11, 24, tzinfo=UTC),
            runtime_sec=1.0,
            cpu_seconds=1.0,
            mem_rss_bytes=1,
            status="RUNNING",
            state="S",
            threads=1,
            user="etl",
            parent_pid=pid - 1,
            visibility="full",
            identity=f"boot:{pid}:1",
            collected_at=datetime(2026, 11, 24, tzinfo=UTC),
        )
        for pid in (11, 12, 13)
    ],
    "kill_process": KillAnswer(
        pid=12,
        process_name="p12",
        identity="boot:12:1",
        signals=["SIGTERM"],
        outcome="running",
        waited_seconds=5.0,
        message="still running 5s after SIGTERM",
    ),
}
ON_PROCESSES = (PROCESS, PROCESSES, KILL, KILL_WAITING, KILL_OUTCOME)
# What holds at one time: the keys of one view and those that hold everywhere.
TOGETHER = [
    (FILESYSTEMS, TABLE, EVERYWHERE),
    (PATHS, TABLE, EVERYWHERE),
    (PATH, PATHS, DETAIL, EVERYWHERE),
    (LOGS, TABLE, EVERYWHERE),
    (LOG, rest_of(EVERYWHERE, (LOG,))),
    (PROMPT,),
    (PROCESS, PROCESSES, TABLE, EVERYWHERE),
    (PROCESS, DETAIL, EVERYWHERE),
    (KILL,),
    (KILL_WAITING,),
    (KILL_OUTCOME,),
    (CRON, TABLE, EVERYWHERE),
    (CRON, DETAIL, EVERYWHERE),
    (*IN_PART, EVERYWHERE),
    (XFERLOG, TABLE, EVERYWHERE),
    (XFERLOG, *IN_PART, EVERYWHERE),
    (SUMS, *IN_PART, EVERYWHERE),
    (DETAIL, EVERYWHERE),
    (QUESTION,),
    (FILTER,),
]


def ready(stage: Callable[..., Any], place: Place) -> Any:
    """Give a screen on which the keys of a place hold, in the middle of three nodes."""
    view = "Paths" if place in (PATHS, PATH, QUESTION) else "File systems"
    view = "Logs" if place in (LOGS, LOG, PROMPT) else view
    view = "Processes" if place in ON_PROCESSES else view
    view = "Cron" if place in (CRON, PART) else view
    view = "Xferlog" if place in (XFERLOG, SUMS) else view
    made = stage("one", "two", "three", view=view).start()
    for client in made.clients:
        client.answers = dict(ANSWERS)
    made.advance(2)
    made.press("2", "down")
    made.show()
    made.press(
        *{
            QUESTION: ["s"],
            FILTER: ["/"],
            DETAIL: ["enter"],
            PATH: ["enter"],
            LOG: ["enter"],
            PROMPT: ["enter", "/"],
            PART: ["f"],
            SUMS: ["s"],
        }.get(place, [])
    )
    if place in (KILL, KILL_WAITING, KILL_OUTCOME):
        made.press("d")
    if place in (KILL_WAITING, KILL_OUTCOME):
        made.clients[1].waits = place is KILL_WAITING
        made.press("enter", "enter")
        made.show()
        made.press("y")
    return made


@pytest.mark.parametrize("places", TOGETHER, ids=lambda places: places[0].name)
def test_no_key_has_two_meanings_at_one_time(places: tuple[Place, ...]) -> None:
    keys = [key for place in places for entry in place.keys for key in entry.keys]
    assert sorted(keys) == sorted(set(keys))


def test_all_places_are_looked_at() -> None:
    assert {place.name for places in TOGETHER for place in places} == {p.name for p in PLACES}


EVERY_KEY = [(place, key) for place in PLACES for entry in place.keys for key in entry.keys]


@pytest.mark.parametrize(
    ("place", "key"), EVERY_KEY, ids=lambda value: getattr(value, "name", value)
)
def test_every_key_of_the_table_is_handled(
    stage: Callable[..., Any], place: Place, key: str
) -> None:
    made = ready(stage, place)
    assert made.screen.keypress((80, 24), key) is None
    assert "Defect" not in made.show()


def test_a_key_that_is_not_in_the_table_is_handled_by_none(stage: Callable[..., Any]) -> None:
    for place in (TABLE, DETAIL):
        made = ready(stage, place)
        known = {k for p in (*made.screen.view.places, EVERYWHERE) for e in p.keys for k in e.keys}
        before = made.show()
        for key in (*map(chr, range(33, 127)), "f2", "insert", "delete", "ctrl a", "meta x", "한"):
            if key not in known:
                assert made.screen.keypress((80, 24), key) == key
        assert made.show() == before


DOES = {
    # place, key: how it is seen
    (EVERYWHERE, "quit"): lambda made, before: made.quits == 1,
    (EVERYWHERE, "help"): lambda made, before: "Glyphs" in made.show(200, 200),
    (EVERYWHERE, "next view"): lambda made, before: made.screen.view.title == "Paths",
    (EVERYWHERE, "previous view"): lambda made, before: made.screen.view.title == "Nodes",
    (EVERYWHERE, "next node"): lambda made, before: made.screen.session.name == "three",
    (EVERYWHERE, "previous node"): lambda made, before: made.screen.session.name == "one",
    (EVERYWHERE, "node by number"): lambda made, before: made.screen.session.name == "one",
    (EVERYWHERE, "refresh"): lambda made, before: len(made.clients[1].asked) > before["asked"],
    (EVERYWHERE, "redraw"): lambda made, before: made.redrawn,
    (TABLE, "detail"): lambda made, before: made.screen.view.title == "/1",
    (TABLE, "down"): lambda made, before: made.screen.view.table.chosen.mount_point == "/2",
    (TABLE, "up"): lambda made, before: made.screen.view.table.chosen.mount_point == "/0",
    (TABLE, "page down"): lambda made, before: made.screen.view.table.chosen.mount_point == "/2",
    (TABLE, "page up"): lambda made, before: made.screen.view.table.chosen.mount_point == "/0",
    (TABLE, "first"): lambda made, before: made.screen.view.table.chosen.mount_point == "/0",
    (TABLE, "last"): lambda made, before: made.screen.view.table.chosen.mount_point == "/2",
    (TABLE, "filter"): lambda made, before: "/█" in made.show(),
    (TABLE, "sort"): lambda made, before: "Sorted by AVAIL." in made.show(),
    (TABLE, "reverse"): lambda made, before: "STATE ▾" in made.show(),
    (FILESYSTEMS, "toggle hidden"): lambda made, before: made.screen.view.want.query.all,
    (PATHS, "scan"): lambda made, before: "Scan /1 now? y/n" in made.show(),
    (PATHS, "scan all"): lambda made, before: "Scan all configured paths now? y/n" in made.show(),
    (PATH, "largest"): lambda made, before: "Look for the largest files of /1?" in made.show(),
    (LOGS, "switch"): lambda made, before: "Have two stop reading 1?" in made.show(),
    (LOGS, "fields"): lambda made, before: "source_inode" in made.show(),
    (LOG, "back"): lambda made, before: made.screen.view.title == "Logs",
    (LOG, "follow"): lambda made, before: "stays" in made.show(),
    (LOG, "freeze"): lambda made, before: "frozen, 0 new" in made.show(),
    (LOG, "switch"): lambda made, before: "Have two stop reading 1?" in made.show(),
    (LOG, "search"): lambda made, before: "/█" in made.show(),
    (LOG, "jump"): lambda made, before: ":█" in made.show(),
    (LOG, "time format"): lambda made, before: "Time: when it was read, UTC." in made.show(),
    (LOG, "wrap"): lambda made, before: made.screen.view._style.wraps,
    (LOG, "shift right"): lambda made, before: "from column 21" in made.show(),
    (PROMPT, "done"): lambda made, before: "█" not in made.show(),
    (PROMPT, "back"): lambda made, before: "█" not in made.show(),
    (PROCESSES, "toggle all"): lambda made, before: made.screen.view.want.query.all,
    (PROCESSES, "toggle tree"): lambda made, before: "\u2514\u2500p13 " in made.show(),
    (PROCESSES, "toggle watches"): lambda made, before: "In one list." in made.show(),
    (PROCESS, "kill"): lambda made, before: "A signal to 12 p12 on two" in made.show(),
    (KILL, "back"): lambda made, before: made.screen.view.title == "Processes",
    (KILL, "go on"): lambda made, before: "> reason" in made.show(),
    (KILL, "next field"): lambda made, before: "> reason" in made.show(),
    (KILL, "next signal"): lambda made, before: "\u2039 SIGKILL \u203a" in made.show(),
    (KILL, "previous signal"): lambda made, before: "\u2039 SIGCONT \u203a" in made.show(),
    (KILL_WAITING, "back"): lambda made, before: made.screen.view.title == "Processes",
    (KILL_OUTCOME, "back"): lambda made, before: made.screen.view.title == "Processes",
    (KILL_OUTCOME, "again"): lambda made, before: "\u2039 SIGTERM \u203a" in made.show(),
    (KILL_OUTCOME, "escalate"): lambda made, before: "\u2039 SIGKILL \u203a" in made.show(),
    (CRON, "files"): lambda made, before: made.screen.view.title == "files",
    (CRON, "timeline"): lambda made, before: made.screen.view.title == "24 hours",
    (CRON, "look"): lambda made, before: "Look at the crontabs now? y/n" in made.show(),
    (XFERLOG, "follow"): lambda made, before: "… following" in made.show(),
    (XFERLOG, "summary"): lambda made, before: made.screen.view.title == "sums",
    (XFERLOG, "user"): lambda made, before: made.screen.view.title == "user etl",
    (XFERLOG, "host"): lambda made, before: made.screen.view.title == "host 10.0.0.7",
    (XFERLOG, "file"): lambda made, before: "Write a part of a name after /" in made.show(),
    (XFERLOG, "logs"): lambda made, before: made.screen.view.title == "logs",
    (SUMS, "group"): lambda made, before: "Added up by user." in made.show(),
    (PART, "back"): lambda made, before: made.screen.view.title == "Cron",
    (DETAIL, "back"): lambda made, before: made.screen.view.title == "File systems",
    (QUESTION, "yes"): lambda made, before: "two: Scanning /1." in made.show(),
    (QUESTION, "back"): lambda made, before: "y/n" not in made.show(),
    (FILTER, "done"): lambda made, before: "█" not in made.show(),
    (FILTER, "down"): lambda made, before: made.screen.view.table.chosen.mount_point == "/2",
    (FILTER, "up"): lambda made, before: made.screen.view.table.chosen.mount_point == "/0",
}


@pytest.mark.parametrize(
    ("place", "command"), DOES, ids=lambda value: getattr(value, "name", value)
)
def test_a_command_does_what_help_says(
    stage: Callable[..., Any], place: Place, command: str
) -> None:
    made = ready(stage, place)
    made.redrawn = False
    made.screen.redraw_all = lambda: setattr(made, "redrawn", True)
    before = {"asked": len(made.clients[1].asked)}
    key = next(entry.keys[0] for entry in place.keys if entry.command == command)
    assert not DOES[place, command](made, before)
    made.press(key)
    assert DOES[place, command](made, before)


def test_a_filter_is_written_shortened_cleared_and_ended(stage: Callable[..., Any]) -> None:
    made = ready(stage, FILTER)
    made.type("/1")
    assert "/1█  1 row\n" in made.show()
    made.press("backspace")
    assert "/█  3 rows" in made.show()
    made.type("zz")
    assert "No row holds /zz" in made.show()
    made.press("ctrl u")
    assert made.screen.view.table.shown_rows == 3
    made.type("2")
    made.press("enter", "q")
    assert made.quits == 1
    assert made.screen.view.table.shown_rows == 1
    made.press("esc")
    assert made.screen.view.table.shown_rows == 3


def test_help_shows_every_key(stage: Callable[..., Any]) -> None:
    made = ready(stage, TABLE)
    made.press("?")
    text = made.show(100, 200)
    for place in PLACES:
        assert place.name in text
        for entry in place.keys:
            assert entry.help in text
            assert shown(entry.keys[0]) in text
    made.press("?")
    assert len(made.screen._stack) == 1


@pytest.mark.parametrize(
    "place",
    [FILESYSTEMS, PATHS, PATH, LOGS, LOG, PROMPT, DETAIL, QUESTION, FILTER, *ON_PROCESSES],
    ids=lambda p: p.name,
)
def test_the_footer_shows_only_keys_that_hold(stage: Callable[..., Any], place: Place) -> None:
    made = ready(stage, place)
    footer = made.show(200, 24).splitlines()[-1].split("  ")
    alone = (QUESTION, FILTER, PROMPT, KILL, KILL_WAITING, KILL_OUTCOME)
    own = made.screen.view.places
    places = (place,) if place in alone else (*own, rest_of(EVERYWHERE, own))
    for item in footer:
        name, _, short = item.strip().partition(" ")
        entry = next(e for p in places for e in p.keys if shown(e.keys[0]) == name)
        assert entry.short == short


def test_the_footer_leaves_out_what_would_do_nothing(stage: Callable[..., Any]) -> None:
    made = stage("alone", view="Paths").start()
    assert made.show().splitlines()[-1] == " q quit  ? help  Tab view  / filter  o sort"
    made.client.answers = dict(ANSWERS)
    made.advance(2)
    assert made.show().splitlines()[-1].split("  ")[3:] == [
        "s scan",
        "Enter detail",
        "/ filter",
        "o sort",
    ]
    made.press("/", "1", "enter")
    assert "Esc all rows" in made.show().splitlines()[-1]


@pytest.mark.parametrize("view", ["File systems", "Paths", "Processes", "Events", "Nodes"])
def test_the_keys_of_the_requirements(stage: Callable[..., Any], view: str) -> None:
    places = (*stage(view=view).screen.view.places, EVERYWHERE)
    wanted = {
        "q": "quit",
        "?": "help",
        "j": "down",
        "k": "up",
        "enter": "detail",
        "esc": "back",
        "/": "filter",
        "down": "down",
        "up": "up",
        "page down": "page down",
    }
    assert {key: command_of(key, *places) for key in wanted} == wanted


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("j", "j"),
        ("ctrl l", "^L"),
        ("shift tab", "Shift-Tab"),
        ("page down", "PageDown"),
        ("f5", "F5"),
        (" ", "Space"),
        ("esc", "Esc"),
        ("home", "Home"),
        ("&", "&"),
    ],
)
def test_how_a_key_is_called(key: str, name: str) -> None:
    assert shown(key) == name


def test_a_view_has_a_key_before_all_others() -> None:
    rest = rest_of(EVERYWHERE, (LOG,))
    assert command_of("n", LOG, rest) == "next match"
    assert command_of("]", LOG, rest) == "next node"
    assert {entry.command for entry in rest.keys} == {entry.command for entry in EVERYWHERE.keys}
    node = next(entry for entry in rest.keys if entry.command == "next node")
    assert shown(node.keys[0]) == "]"
