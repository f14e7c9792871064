"""The form for a signal: always for the process it was opened for, and nothing unseen is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from etlmon.records.problem import Problem
from etlmon.ui.views.kill import why_no_signal
from etlmon.ui.views.process_text import process_state
from tests.ui.views.recorded.processes import PROCESSES

TERM = ["enter", "enter"]


def kills(made: Any, node: int = 0) -> list[Any]:
    """Give the pid and the body of every signal that went to a node."""
    asked = made.clients[node].asked
    return [(query.pid, body) for name, query, body in asked if name == "kill_process"]


@pytest.fixture
def on(stage: Callable[..., Any], recorded: dict[str, Any]) -> Callable[..., Any]:
    """Give a screen on which a process of the watches is chosen, 4711 if no other."""

    def make(*names: str, pid: int = 4711, **answers: Any) -> Any:
        made = stage(*(names or ("etl",)), view="Processes")
        for client in made.clients:
            client.answers = recorded | answers
        made.start()
        choose(made, pid)
        return made

    return make


def choose(made: Any, pid: int) -> None:
    made.press("g")
    for _ in range(20):
        process = made.screen.view.table.chosen.process
        if process is not None and process.pid == pid:
            break
        made.press("down")
    assert process is not None
    assert process.pid == pid
    made.show()


def yes(made: Any) -> None:
    made.show()
    made.press("y")


def problem(made: Any, status: int, kind: str, detail: str, **fields: Any) -> Any:
    """Give the error of a client whose node refuses."""
    from etlmon.client.http import ProblemError

    said = Problem(
        type=f"urn:etlmon:problem:{kind}",
        title="x",
        status=status,
        detail=detail,
        instance="/x",
        **fields,
    )
    return ProblemError(made.client.address, said)


def test_a_signal_goes_to_the_process_that_was_chosen(on: Any, is_as_kept: Any) -> None:
    made = on()
    made.press("d", "enter")
    made.type("hangs since 02:10")
    form = made.show()
    made.press("enter")
    question = made.show()
    made.client.waits = True
    made.press("y")
    waiting = made.show()
    made.client.answer("kill_process")
    is_as_kept(
        "kill-80x24",
        f"--- form\n{form}--- question\n{question}--- waiting\n{waiting}--- told\n{made.show()}",
    )
    [(pid, body)] = kills(made)
    assert (pid, body.identity) == (4711, "6f4f1c1e-0000-4000-8000-000000000000:4711:471100")
    assert (body.signal, body.confirm, body.escalate) == ("SIGTERM", True, False)
    assert body.reason == "hangs since 02:10"
    assert "✓ exited 300ms after SIGTERM: killed by SIGTERM" in made.show()
    made.press("esc")
    assert made.screen.view.title == "Processes"


def test_only_what_the_node_allows_can_be_chosen(on: Any, recorded: dict[str, Any]) -> None:
    allowed = ["SIGHUP", "SIGRTMIN"]
    made = on(list_processes=[replace(one, signals=allowed) for one in recorded["list_processes"]])
    made.press("d")
    assert "SIGHUP" in made.show()
    made.press("right")
    assert "means what its program makes of it" in made.show()
    made.press("right")
    assert "SIGHUP" in made.show()
    made.press("enter", "enter")
    yes(made)
    [(_, body)] = kills(made)
    assert body.signal == "SIGHUP"
    assert "goes on to SIGKILL" not in made.show()


def test_where_the_node_allows_none_there_is_no_form(on: Any, recorded: dict[str, Any]) -> None:
    made = on(list_processes=[replace(one, signals=[]) for one in recorded["list_processes"]])
    made.press("d")
    assert "gets no signals by its watch's allow_signals or control" in made.show()
    assert made.screen.view.title == "Processes"


@pytest.mark.parametrize("keys", [[], ["enter"], TERM, ["right"], ["right", *TERM]])
def test_esc_sends_nothing_whenever_it_is_pressed(on: Any, keys: list[str]) -> None:
    made = on()
    made.press("d", *keys)
    made.show()
    made.press("esc", "esc", "y", "enter", "esc")
    assert kills(made) == []


def test_a_process_that_goes_on_as_it_was_told_to_is_no_failure(on: Any, survived: Any) -> None:
    told = "SIGCONT had it go on; it runs (state S)"
    made = on(kill_process=replace(survived, signals=["SIGCONT"], message=told))
    made.press("d", *TERM)
    yes(made)
    assert f"\u2713 {told}" in made.show()
    assert "SIGKILL" not in made.show()


def test_a_row_that_moves_is_not_hit(on: Any, recorded: dict[str, Any]) -> None:
    """Whatever the list becomes while the form is open, it stays for the process of the key."""
    made = on()
    made.press("w")
    made.show()
    chosen = made.screen.view.table.chosen.process
    made.press("d")
    others = [one for one in recorded["list_processes"] if one.pid != chosen.pid]
    for answer in ([others[0]], [*others, chosen], []):
        made.client.answers = made.client.answers | {"list_processes": answer}
        made.advance(2)
        assert f"A signal to {chosen.pid} {chosen.process_name}" in made.show()
    assert "It is not in the list any more" in made.show()
    made.press(*TERM)
    yes(made)
    [(pid, body)] = kills(made)
    assert (pid, body.identity) == (chosen.pid, chosen.identity)


def test_what_has_come_under_the_cursor_unseen_is_not_chosen(
    on: Any, recorded: dict[str, Any]
) -> None:
    made = on()
    others = [one for one in recorded["list_processes"] if one.pid != 4711]
    made.client.answers = made.client.answers | {"list_processes": others}
    made.advance(2)
    assert made.screen.view.table.chosen.process.pid != 4711
    made.press("d")
    assert made.screen.view.title == "Processes"
    assert "has just gone: choose another one" in made.show()
    made.press("d")
    assert made.screen.view.title == "Signal"


def test_another_process_with_the_same_pid_is_another_row(
    on: Any, recorded: dict[str, Any]
) -> None:
    made = on()
    changed = [
        msgspec.structs.replace(one, identity="other:4711:9") if one.pid == 4711 else one
        for one in recorded["list_processes"]
    ]
    made.press("d")
    made.client.answers = made.client.answers | {"list_processes": changed}
    made.advance(2)
    made.press(*TERM)
    yes(made)
    [(_, body)] = kills(made)
    assert body.identity.endswith(":4711:471100")


def test_a_yes_to_what_was_not_seen_sends_nothing(on: Any) -> None:
    """A pasted reason may have lines: the second must not be the answer to the question."""
    made = on()
    made.press("d", "enter", *"hangs", "enter", "y")
    assert kills(made) == []
    assert "Nothing was sent yet: read the question" in made.show()
    made.press("y")
    assert len(kills(made)) == 1


def test_sigkill_needs_a_name(on: Any, is_as_kept: Any) -> None:
    made = on()
    made.press("d", "right", "enter", "enter", "enter")
    assert "SIGKILL needs a name: type prod-etl-01 or python3." in made.show()
    made.type("pythonn")
    made.press("enter")
    assert kills(made) == []
    made.press("backspace", "backspace")
    made.type("n3")
    is_as_kept("kill-sigkill-80x24", made.show())
    made.press("enter")
    assert [body.signal for _, body in kills(made)] == ["SIGKILL"]


@pytest.mark.parametrize("name", ["", " ", "\N{IDEOGRAPHIC SPACE}"])
def test_a_process_without_a_name_is_not_named_by_typing_none(
    on: Any, everything: Any, name: str
) -> None:
    nameless = [replace(one, process_name=name) for one in everything]
    made = on(list_processes=nameless)
    made.press("d", "right", "enter", "enter", "enter")
    assert "SIGKILL needs a name: type prod-etl-01. Nothing was sent." in made.show()
    assert kills(made) == []


def test_the_host_is_a_name_too_and_another_signal_asks_anew(on: Any) -> None:
    made = on()
    made.press("d", "right", "enter", "enter", *"prod-etl-01", "left", "right", *TERM, "enter")
    assert kills(made) == []
    made.press(*"prod-etl-01", "enter")
    assert [body.signal for _, body in kills(made)] == ["SIGKILL"]


def test_one_that_survives_is_sent_sigkill_by_the_same_form(
    on: Any, survived: Any, is_as_kept: Any
) -> None:
    made = on(kill_process=survived)
    made.press("d", *TERM)
    yes(made)
    is_as_kept("kill-survived-80x24", made.show())
    made.press("K")
    assert len(kills(made)) == 1
    made.press(*TERM, *"python3", "enter")
    assert [body.signal for _, body in kills(made)] == ["SIGTERM", "SIGKILL"]
    assert len({body.identity for _, body in kills(made)}) == 1


@pytest.mark.parametrize(
    ("status", "kind", "detail"),
    [
        (403, "signal-not-permitted", "The process belongs to root (uid 0). Run it so. " * 8),
        (403, "signal-not-allowed", "The watch loader allows SIGTERM, not SIGKILL: see x."),
        (409, "identity-changed", "The pid 4711 belongs to another process now. Nothing was sent."),
        (429, "too-many-commands", "More kill commands than allowed; try again in 6 s."),
        (401, "token-needed", "A bearer token is needed."),
    ],
)
def test_a_refusal_is_told_in_full_and_can_be_tried_again(
    on: Any, status: int, kind: str, detail: str
) -> None:
    made = on()
    made.client.answers = made.client.answers | {
        "kill_process": problem(made, status, kind, detail)
    }
    made.press("d", *TERM)
    yes(made)
    shown = " ".join(made.show().split())
    assert detail.strip().replace(" ", "") in shown.replace(" ", "")
    assert "not known" not in shown
    made.press("d", "enter")
    assert made.screen.view.title == "Signal"
    yes_again = [*TERM]
    made.press(*yes_again)
    yes(made)
    assert len(kills(made)) == 2


def test_the_second_call_of_a_node_that_asks_for_one(on: Any, recorded: dict[str, Any]) -> None:
    made = on()
    token = problem(made, 409, "confirmation-token-required", "Send it again.", token="etlmon_1")
    made.client.answers = made.client.answers | {"kill_process": token}
    made.press("d", *TERM)
    made.show()
    made.client.waits = True
    made.press("y")
    made.client.answer("kill_process")
    made.client.answers = made.client.answers | {"kill_process": recorded["kill_process"]}
    made.client.answer("kill_process")
    assert [body.token for _, body in kills(made)] == [None, "etlmon_1"]
    assert "✓ exited" in made.show()


def test_a_token_that_is_asked_for_again_ends_it(on: Any) -> None:
    made = on()
    token = problem(made, 409, "confirmation-token-required", "Send it again.", token="etlmon_1")
    made.client.answers = made.client.answers | {"kill_process": token}
    made.press("d", *TERM)
    yes(made)
    assert len(kills(made)) == 2
    assert "✗ Send it again." in made.show()


def test_who_leaves_before_the_second_call_has_sent_nothing(on: Any) -> None:
    made = on("etl", "other")
    token = problem(made, 409, "confirmation-token-required", "Send it again.", token="etlmon_1")
    made.client.answers = made.client.answers | {"kill_process": token}
    made.press("d", *TERM)
    made.show()
    made.client.waits = True
    made.press("y", "esc", "2")
    made.client.answer("kill_process")
    assert [len(kills(made, node)) for node in (0, 1)] == [1, 0]
    assert "Nothing was sent: the form was left" in made.show(200)


def test_a_node_that_is_late_and_goes_away_is_told(on: Any, fail: Any) -> None:
    made = on()
    made.press("d", *TERM)
    made.show()
    made.client.waits = True
    made.press("y")
    made.draws.clear()
    made.advance(2)
    made.screen.look_at_clock()
    assert made.draws
    assert "under way for 2 s; the node waits up to 5 s" in made.show()
    assert "late" not in made.show()
    made.advance(8)
    made.screen.look_at_clock()
    assert "The node is late: whether the signal was sent is not known yet." in made.show()
    gone = fail("timeout", "http://etl:8080: no answer in 30 s")
    made.client.answers = dict.fromkeys(made.client.answers, gone)
    made.client.answer()
    text = " ".join(made.show().split())
    assert "no answer in 30 s. Whether the signal was sent is not known" in text
    assert "offline" in text


def test_where_nothing_listens_nothing_was_sent(on: Any, fail: Any) -> None:
    made = on(kill_process=fail("refused"))
    made.press("d", *TERM)
    yes(made)
    assert "nothing listens there. Nothing was sent." in " ".join(made.show().split())


def test_what_came_of_it_is_told_to_who_has_left_and_one_goes_at_a_time(on: Any) -> None:
    made = on("etl", "other")
    made.press("d", *TERM)
    made.show()
    made.client.waits = True
    made.press("y", "esc")
    made.show()
    choose(made, 4712)
    made.press("d", *TERM)
    yes(made)
    assert "still awaited; try again" in " ".join(made.show().split())
    assert len(kills(made)) == 1
    made.press("esc")
    made.client.answer("kill_process")
    assert "etl: SIGTERM to 4711 python3: ✓ exited 300ms" in made.show()


@pytest.mark.parametrize(("pid", "why"), [(4600, "has ended already"), (901, "its parent takes")])
def test_what_has_ended_gets_no_signal(on: Any, pid: int, why: str) -> None:
    made = on(pid=pid)
    assert "d signal" not in made.show().splitlines()[-1]
    made.press("d")
    assert made.screen.view.title == "Processes"
    assert why in made.show()


def test_one_whose_first_thread_has_ended_runs_and_gets_signals(on: Any) -> None:
    one = replace(PROCESSES[0], state="Z", threads=3)
    assert process_state(one) == ("ok", "\u2713 running")
    assert why_no_signal(one) is None


def test_neither_does_a_watch_or_the_kernel(on: Any, everything: Any) -> None:
    made = on()
    made.press("g")
    made.show()
    made.press("d")
    assert "That is no process" in made.show()
    made.client.answers = made.client.answers | {"list_processes": everything}
    made.press("a")
    choose(made, 2)
    made.press("d")
    assert "is a part of the kernel" in made.show()


def test_the_detail_of_a_process_opens_the_form_too(on: Any) -> None:
    made = on()
    made.press("enter", "d", *TERM)
    yes(made)
    assert [pid for pid, _ in kills(made)] == [4711]


def test_keys_and_clicks_go_nowhere_else_while_it_is_open(on: Any) -> None:
    made = on("etl", "other")
    made.press("d", "enter")
    made.show()
    made.press("q", "2", "n", "?", "/")
    made.screen.mouse_event((80, 24), "mouse press", 1, 1, 1, True)
    assert (made.quits, made.screen.session.name) == (0, "etl")
    assert "q2n?/" in made.show()


def test_the_end_of_the_form_is_seen_on_a_small_terminal(on: Any) -> None:
    made = on()
    made.press("d", *TERM)
    assert "Send SIGTERM to 4711 python3 on prod-etl-01? y/n" in made.show(80, 8)
