"""The screen around the views: any size, any order of events, and defects survived."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from etlmon.records.disk import Filesystem
from etlmon.records.kill import KillAnswer
from etlmon.records.path import PathStats, ScanAnswer, ScanCancelAnswer, path_id
from etlmon.records.process import ProcessSample, ProcessWatchStatus
from etlmon.records.top import TopJob

SOME_TIME = datetime(2026, 11, 24, tzinfo=UTC)
NAMES = [
    "/",
    "/한국어",
    "/👨\u200d👩\u200d👧",
    "/☺\ufe0f",
    "/🇰🇷",
    "/e\u0301",
    "/\u0301",
    "",
    "/\x1b[2J",
    "/" * 300,
]
KEYS = [
    "tab",
    "shift tab",
    "n",
    "N",
    "1",
    "3",
    "r",
    "?",
    "enter",
    "esc",
    "j",
    "k",
    "G",
    "g",
    " ",
    "page up",
    "/",
    "o",
    "O",
    "h",
    "s",
    "S",
    "y",
    "backspace",
    "한",
    "f2",
    "ctrl l",
    "d",
    "a",
    "t",
    "w",
    "K",
    "left",
]


def answers(chance: random.Random) -> dict[str, Any]:
    some = chance.sample(NAMES, chance.randrange(len(NAMES)))
    return {
        "list_filesystems": [
            Filesystem(
                mount_point=name,
                device=chance.choice(NAMES),
                fs_type="한국",
                used_percent=chance.choice([None, 0.0, 55.5, 100.0]),
                level=chance.choice(["ok", "warning", "critical", "한국"]),
                reason=chance.choice([None, *NAMES]),
                collected_at="2026-11-24",
            )
            for name in some
        ],
        "list_paths": [
            PathStats(
                id=name,
                path=name,
                status=chance.choice(["OK", "ERROR", "SCANNING", "?"]),
                file_count=chance.choice([None, 0, 10**15]),
                error_message=chance.choice([None, *NAMES]),
            )
            for name in some
        ],
        "scan_paths": ScanAnswer(started=some, skipped=[]),
        "list_processes": [a_process(chance, name) for name in some],
        "list_process_watches": [
            ProcessWatchStatus(
                watch=name,
                state=chance.choice(["ok", "down", "한국"]),
                reason=chance.choice([None, *NAMES]),
                since=SOME_TIME,
                process_count=1,
                mem_rss_bytes=1,
                threads=1,
                visibility="full",
                collected_at=SOME_TIME,
            )
            for name in chance.sample(NAMES, 3)
        ],
        "kill_process": KillAnswer(
            pid=1,
            process_name="한",
            identity="i",
            signals=["SIGTERM"],
            outcome=chance.choice(["exited", "running"]),
            waited_seconds=5.0,
            message=chance.choice(NAMES),
        ),
    }


def a_process(chance: random.Random, name: str) -> ProcessSample:
    pid = chance.randrange(1, 8)
    return ProcessSample(
        watch=chance.choice([None, *NAMES]),
        pid=pid,
        process_name=name,
        cmdline=chance.choice([None, *NAMES]),
        start_time=SOME_TIME,
        runtime_sec=10.0 ** chance.randrange(9),
        cpu_percent=chance.choice([None, 0.0, 9.96, 6400.0]),
        cpu_seconds=1.0,
        mem_rss_bytes=chance.choice([0, 1 << 40]),
        status=chance.choice(["RUNNING", "STOPPED"]),
        state=chance.choice([None, "R", "Z", "한"]),
        threads=1,
        user=chance.choice([None, *NAMES]),
        parent_pid=chance.randrange(8),
        visibility="partial",
        identity=f"boot:{pid}:{name}",
        collected_at=SOME_TIME,
    )


SIZE = st.tuples(st.integers(1, 300), st.integers(1, 50))
STEP = st.tuples(SIZE, st.sampled_from(KEYS), st.integers(0, 99), st.integers(0, 299))


@settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(STEP, min_size=3, max_size=20), st.randoms(use_true_random=False))
def test_any_size_while_keys_data_and_the_mouse_come(
    stage: Callable[..., Any], fail: Any, steps: list[Any], chance: random.Random
) -> None:
    view = chance.choice(["File systems", "Processes"])
    made = stage("one", "한국", "three", view=view).start()
    for size, key, event, place in steps:
        client = chance.choice(made.clients)
        if event < 50:
            client.answers = answers(chance)
        elif event < 60:
            client.answers = dict.fromkeys(answers(chance), fail("refused"))
        elif event < 70:
            client.waits = not client.waits
            client.answer()
        made.advance(chance.choice([0, 0.5, 2, 30]))
        made.screen.keypress(size, key)
        assert "Defect" not in made.show(*size)
        for button in (1, 4, 5):
            col, row = place % size[0], event % size[1]
            made.screen.mouse_event(size, "mouse press", button, col, row, True)
        assert "Defect" not in made.show(*size)
    assert made.screen._last_defect == ""


@pytest.mark.parametrize("height", range(1, 12))
def test_what_is_left_out_where_there_is_no_room(stage: Callable[..., Any], height: int) -> None:
    made = stage("etl").start()
    text = made.show(40, height)
    assert ("etl online" in text) == (height >= 4)
    assert ("q quit" in text) == (height >= 7)


# --- what is drawn, and when ----------------------------------------------------------------------


def test_the_answer_to_a_key_is_drawn_at_once_and_later_ones_wait(
    stage: Callable[..., Any],
) -> None:
    made = stage("etl").start()
    made.show()
    made.draws.clear()
    made.advance(2)
    assert made.draws
    assert not any(made.draws)
    made.client.waits = True
    made.press("tab")
    made.draws.clear()
    made.client.answer("list_paths")
    assert made.draws == [True]


def test_a_change_of_state_is_drawn_at_once(stage: Callable[..., Any], fail: Any) -> None:
    made = stage("one", "two").start()
    made.show()
    made.advance(2)
    made.draws.clear()
    made.clients[1].answers = {"get_health": fail("refused")}
    made.advance(2)
    assert True in made.draws


def test_time_alone_makes_an_answer_stale(stage: Callable[..., Any]) -> None:
    made = stage("etl").start()
    made.show()
    made.client.waits = True
    made.advance(2)
    made.draws.clear()
    made.screen.look_at_clock()
    assert made.draws == []
    made.advance(8)
    made.screen.look_at_clock()
    assert made.draws == [False]
    assert "stale" in made.show()


def test_the_result_of_a_command_is_told_at_once(stage: Callable[..., Any], refuse: Any) -> None:
    made = stage("etl", view="Paths")
    made.client.answers = answers(random.Random(1)) | {"scan_paths": refuse(403, "closed")}
    made.start()
    made.press("S")
    made.draws.clear()
    made.press("y")
    assert made.draws == [True]
    assert "etl: http://etl:8080: closed" in made.show()
    made.press("j")
    assert "closed" not in made.show()


def test_a_question_is_about_the_row_it_was_asked_for(stage: Callable[..., Any]) -> None:
    made = stage("etl", "other", view="Paths")
    made.client.answers = {
        "list_paths": [PathStats(id="a", path="/a", status="OK")],
        "scan_paths": ScanAnswer(started=["/a"], skipped=[]),
    }
    made.start()
    made.press("s")
    made.client.answers["list_paths"] = [PathStats(id="b", path="/b", status="OK")]
    made.advance(2)
    made.press("tab", "2", "s")
    assert "Scan /a now? y/n" in made.show()
    made.press("y")
    asked = [body for name, _, body in made.client.asked if name == "scan_paths"]
    assert [(body.paths, body.confirm) for body in asked] == [(["/a"], True)]


def test_a_node_whose_health_is_an_error_is_not_shown_as_well(
    stage: Callable[..., Any], refuse: Any
) -> None:
    made = stage("etl", "other", view="Nodes").start()
    made.client.answers = made.client.answers | {"get_health": refuse(500, "it is broken")}
    made.advance(2)
    assert made.show().splitlines()[0].startswith(" 1 \u2717 etl error")
    assert "it is broken" in made.show()


def test_a_scan_that_runs_is_ended_after_yes(stage: Callable[..., Any]) -> None:
    made = stage("etl", view="Paths")
    made.client.answers = {
        "list_paths": [PathStats(id="a", path="/a", status="OK")],
        "cancel_scans": ScanCancelAnswer(cancelled=["/a"], not_running=[]),
    }
    made.start()
    assert "end scan" not in made.show()
    made.client.answers["list_paths"] = [PathStats(id="a", path="/a", status="SCANNING")]
    made.advance(2)
    assert "x end scan" in made.show()
    made.press("x")
    assert "End the scan of /a? y/n" in made.show()
    made.press("y")
    asked = [query for name, query, _ in made.client.asked if name == "cancel_scans"]
    assert [(query.path, query.confirm) for query in asked] == [("/a", True)]
    assert "etl: Ended the scan of /a." in made.show()


def test_the_message_of_a_refresh_goes_when_the_answer_is_there(stage: Callable[..., Any]) -> None:
    made = stage("etl").start()
    made.client.waits = True
    made.press("r")
    assert "Asking etl ..." in made.show()
    made.client.answer()
    assert "Asking etl" not in made.show()


@pytest.mark.parametrize("where", ["run", "update", "draw"])
def test_a_defect_is_shown_logged_once_and_survived(
    stage: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    flush_logged_errors: Callable[..., Any],
    where: str,
) -> None:
    made = stage("etl").start()

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("oh\x1b[2J")

    with monkeypatch.context() as patch:
        patch.setattr(made.screen.view.widget if where == "draw" else made.screen.view, where, fail)
        made.screen.view.widget.changed()
        for _ in range(3):
            made.press("j")
            made.advance(2)
            made.show()
        text = made.show()
        assert "Defect: ZeroDivisionError: oh␛[2J. The log has the rest." in text
    assert len(flush_logged_errors(ZeroDivisionError)) == 1
    made.press("j")
    assert "Defect" not in made.show()


def test_the_largest_below_a_path_are_looked_for_and_the_search_ended(
    stage: Callable[..., Any],
) -> None:
    made = stage("etl", view="Paths")
    none = TopJob(id=path_id("/a"), path="/a", state="none")
    running = replace(none, state="running", entries=1_234, directory="sub", duration_ms=3_000)
    made.client.answers = {
        "list_paths": [PathStats(id=path_id("/a"), path="/a", status="OK")],
        "get_top": none,
        "start_top": running,
        "cancel_top": replace(none, state="cancelled"),
    }
    made.start()
    made.press("enter", "T")
    assert "y/n" not in made.show()
    made.press("t", "y")
    assert "Looking for the largest of /a." in made.show()
    made.client.answers["get_top"] = running
    made.press("r")
    assert "running  3 s, 1,234 entries, 0 B on the disk so far, in sub" in made.show()
    made.press("t")
    assert "y/n" not in made.show()
    made.press("T", "y")
    assert "The search of /a has ended." in made.show()
    commands = {name: (query, body) for name, query, body in made.client.asked}
    query, body = commands["start_top"]
    assert (query.id, body.confirm, body.count) == (path_id("/a"), True, 20)
    query, _ = commands["cancel_top"]
    assert (query.id, query.confirm) == (path_id("/a"), True)
