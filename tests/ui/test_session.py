"""A session under all orders of events: one round at a time, and the node's state told right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from etlmon.client.http import Reply
from etlmon.contract.fs import FILESYSTEMS, FilesystemsQuery
from etlmon.contract.health import HEALTH
from etlmon.contract.paths import PATHS, SCAN_PATHS
from etlmon.contract.query import Page, Query
from etlmon.ui.session import Session, Want

FS = Want(FILESYSTEMS, FilesystemsQuery())
PATH_LIST = Want(PATHS, Page())
NODE = Want(HEALTH, Query())


class Rounds:
    """A session that wants the file systems, its client, its clock."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.client = stage.client
        self.session: Session = stage.sessions[0]
        self.changes: list[str] = []
        self.session.changed = lambda session: self.changes.append(session.state)
        self.session.want([FS])
        self.client.answers = {"get_health": "well", "list_filesystems": ["/"], "list_paths": []}

    def asked(self) -> list[str]:
        """Give what was asked since the last time."""
        names = [name for name, _, _ in self.client.asked]
        self.client.asked.clear()
        return names

    def wait(self) -> None:
        self.client.waits = True


ROUND = ["list_filesystems", "get_health"]


@pytest.fixture
def rounds(stage: Callable[..., Any]) -> Iterator[Rounds]:
    return Rounds(stage())


def test_nothing_is_asked_before_the_start(rounds: Rounds) -> None:
    rounds.session.refresh()
    rounds.session.want([PATH_LIST])
    rounds.stage.advance(100)
    assert rounds.asked() == []
    assert rounds.session.state == "connecting"


def test_a_round_asks_for_all_that_is_wanted_and_for_health(rounds: Rounds) -> None:
    rounds.session.start()
    assert rounds.asked() == ROUND
    assert rounds.session.state == "online"
    assert rounds.session.held(FS).value == ["/"]
    assert rounds.session.held(FS).received_at == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert rounds.session.health.value == "well"
    assert rounds.session.held(PATH_LIST).received_at is None


def test_rounds_come_at_the_interval(rounds: Rounds) -> None:
    rounds.session.start()
    rounds.asked()
    for _ in range(3):
        rounds.stage.advance(1.9)
        assert rounds.asked() == []
        rounds.stage.advance(0.1)
        assert rounds.asked() == ROUND


def test_nothing_is_asked_twice_at_a_time(rounds: Rounds) -> None:
    rounds.wait()
    rounds.session.start()
    rounds.stage.advance(20)
    rounds.session.refresh()
    assert rounds.asked() == ROUND
    rounds.client.answer()
    rounds.stage.advance(0)
    assert rounds.asked() == ROUND


def test_a_list_that_is_late_holds_up_nothing(rounds: Rounds) -> None:
    """The node is asked how it is all the same, and is not taken for silent."""
    rounds.wait()
    rounds.session.start()
    rounds.asked()
    for _ in range(10):
        rounds.client.answer("get_health")
        rounds.stage.advance(2)
        assert rounds.asked() == ["get_health"]
        assert not rounds.session.is_stale
    rounds.client.answer()
    rounds.stage.advance(2)
    assert rounds.asked() == ROUND


def test_a_slow_round_is_followed_by_the_next_at_once(rounds: Rounds) -> None:
    rounds.wait()
    rounds.session.start()
    rounds.stage.advance(1.5)
    rounds.client.answer()
    rounds.asked()
    rounds.stage.advance(0.4)
    assert rounds.asked() == []
    rounds.stage.advance(0.1)
    assert rounds.asked() == ROUND


def test_refresh_between_rounds_asks_now_and_the_interval_begins_anew(rounds: Rounds) -> None:
    rounds.session.start()
    rounds.stage.advance(1.5)
    rounds.asked()
    rounds.session.refresh()
    assert rounds.asked() == ROUND
    rounds.stage.advance(1.9)
    assert rounds.asked() == []


def test_refreshes_during_a_round_make_one_more(rounds: Rounds) -> None:
    rounds.wait()
    rounds.session.start()
    rounds.session.refresh()
    rounds.session.refresh()
    assert rounds.asked() == ROUND
    rounds.client.answer()
    rounds.stage.advance(0)
    assert rounds.asked() == ROUND
    rounds.client.answer()
    rounds.stage.advance(1)
    assert rounds.asked() == []


def test_what_is_newly_wanted_is_asked_for_at_once(rounds: Rounds) -> None:
    rounds.session.start()
    rounds.asked()
    rounds.session.want([FS, PATH_LIST])
    assert rounds.asked() == ["list_filesystems", "list_paths", "get_health"]
    rounds.session.want([FS])
    assert rounds.asked() == []
    rounds.session.want([PATH_LIST])
    assert rounds.asked() == ["list_paths", "get_health"]


def test_what_is_wanted_no_more_is_not_waited_for(rounds: Rounds) -> None:
    rounds.wait()
    rounds.session.start()
    rounds.client.answer("get_health")
    rounds.session.want([PATH_LIST])
    assert rounds.client.cancelled == ["list_filesystems"]
    assert rounds.asked() == [*ROUND, "list_paths", "get_health"]
    assert rounds.session.held(FS).error is None


@pytest.mark.parametrize("is_told", [True, False])
def test_what_is_given_up_fails_unseen_whatever_it_says(
    rounds: Rounds, fail: Callable[..., Exception], is_told: bool
) -> None:
    """Cut while it resolves the name of the host, or while it connects, Twisted fails otherwise."""
    rounds.client.cut_with = fail("no such host") if is_told else ConnectionAbortedError("x")
    rounds.wait()
    rounds.session.start()
    rounds.session.want([])
    assert rounds.client.cancelled == ["list_filesystems"]
    assert rounds.session.held(FS).error is None


def test_answers_show_as_they_come(rounds: Rounds) -> None:
    rounds.wait()
    rounds.session.start()
    rounds.client.answer("list_filesystems")
    assert rounds.session.held(FS).value == ["/"]
    assert rounds.changes == ["connecting"]
    rounds.client.answer("get_health")
    assert rounds.changes == ["connecting", "online", "online"]


def test_offline_backs_off_and_comes_back_by_itself(
    rounds: Rounds, fail: Callable[..., Exception]
) -> None:
    rounds.session.start()
    good = dict(rounds.client.answers)
    gone = fail("refused")
    rounds.client.answers = dict.fromkeys(good, gone)
    rounds.stage.advance(2)
    rounds.asked()
    for wait in (1, 2, 4, 8, 16, 30, 30):
        assert (rounds.session.state, rounds.session.trouble) == ("offline", gone)
        assert rounds.session.retry_at is not None
        assert rounds.session.retry_at.timestamp() == rounds.stage.wall + wait
        rounds.stage.advance(wait - 0.1)
        assert rounds.asked() == []
        rounds.stage.advance(0.1)
        assert rounds.asked() == ROUND
    assert rounds.session.held(FS).value == ["/"]
    assert rounds.session.held(FS).error is gone
    rounds.client.answers = good
    rounds.stage.advance(30)
    assert (rounds.session.state, rounds.session.trouble) == ("online", None)
    assert rounds.session.retry_at is None
    assert rounds.session.held(FS).error is None
    rounds.asked()
    rounds.stage.advance(2)
    assert rounds.asked() == ROUND
    rounds.client.answers = dict.fromkeys(good, gone)
    rounds.stage.advance(2)
    rounds.asked()
    rounds.stage.advance(1)
    assert rounds.asked() == ROUND  # and the next time it begins with a second again


def test_refresh_does_not_wait_for_the_back_off(
    rounds: Rounds, fail: Callable[..., Exception]
) -> None:
    rounds.client.answers = dict.fromkeys(rounds.client.answers, fail("refused"))
    rounds.session.start()
    rounds.asked()
    rounds.session.refresh()
    assert rounds.asked() == ROUND


@pytest.mark.parametrize("kind", ["timeout", "broken", "not an etlmon node"])
def test_a_failure_of_one_want_does_not_make_the_node_offline(
    rounds: Rounds, fail: Callable[..., Exception], kind: str
) -> None:
    rounds.session.start()
    rounds.changes.clear()
    error = rounds.client.answers["list_filesystems"] = fail(kind)
    rounds.stage.advance(2)
    assert (rounds.session.state, rounds.session.trouble) == ("online", None)
    assert rounds.session.held(FS).error is error
    assert rounds.session.held(FS).value == ["/"]
    assert set(rounds.changes) == {"online"}


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_nor_does_a_problem(rounds: Rounds, refuse: Callable[..., Exception], status: int) -> None:
    error = rounds.client.answers["list_filesystems"] = refuse(status)
    rounds.session.start()
    assert rounds.session.state == "online"
    assert rounds.session.held(FS).error is error
    rounds.asked()
    rounds.stage.advance(2)
    assert rounds.asked() == ROUND


@pytest.mark.parametrize(
    ("status", "state"), [(401, "refused"), (403, "refused"), (421, "refused"), (500, "online")]
)
def test_a_node_that_will_not_say_how_it_is(
    rounds: Rounds, refuse: Callable[..., Exception], status: int, state: str
) -> None:
    rounds.client.answers["get_health"] = refuse(status)
    rounds.session.start()
    assert rounds.session.state == state
    assert rounds.session.trouble is rounds.client.answers["get_health"]
    assert rounds.session.last_seen_at is not None


def test_answers_grow_stale_when_a_round_hangs(rounds: Rounds) -> None:
    rounds.session.start()
    rounds.wait()
    rounds.stage.advance(2)
    rounds.stage.advance(5)
    assert not rounds.session.is_stale
    rounds.stage.advance(0.1)
    assert rounds.session.is_stale
    rounds.client.answer()
    assert not rounds.session.is_stale


def test_a_node_that_is_offline_or_never_answered_is_not_stale(
    rounds: Rounds, fail: Callable[..., Exception]
) -> None:
    rounds.wait()
    rounds.session.start()
    rounds.stage.advance(100)
    assert not rounds.session.is_stale
    rounds.client.answers = dict.fromkeys(rounds.client.answers, fail("timeout"))
    rounds.client.answer()
    rounds.stage.advance(0.5)
    assert (rounds.session.state, rounds.session.is_stale) == ("offline", False)


@pytest.mark.parametrize("answered", [(), ("get_health",), ("list_filesystems",)])
async def test_stop_during_a_round_ends_it_quietly(rounds: Rounds, answered: tuple[str]) -> None:
    rounds.wait()
    rounds.session.start()
    for name in answered:
        rounds.client.answer(name)
    rounds.changes.clear()
    await rounds.session.stop()
    assert rounds.client.is_closed
    assert rounds.client.waiting() == []
    assert rounds.stage.clock.getDelayedCalls() == []
    rounds.session.refresh()
    rounds.session.want([PATH_LIST])
    rounds.asked()
    rounds.stage.advance(100)
    assert (rounds.asked(), rounds.changes) == ([], [])


async def test_stop_between_rounds_and_twice(rounds: Rounds) -> None:
    rounds.session.start()
    await rounds.session.stop()
    await rounds.session.stop()
    rounds.asked()
    rounds.stage.advance(100)
    assert rounds.asked() == []


async def test_a_command_gives_its_answer_and_asks_anew(rounds: Rounds) -> None:
    rounds.client.answers["scan_paths"] = "begun"
    rounds.session.start()
    rounds.asked()
    assert await rounds.session.command(SCAN_PATHS, "body") == "begun"
    assert rounds.client.asked[0] == ("scan_paths", None, "body")
    assert rounds.asked() == ["scan_paths", *ROUND]


async def test_a_command_that_fails_is_raised_and_changes_nothing(
    rounds: Rounds, refuse: Callable[..., Exception]
) -> None:
    error = rounds.client.answers["scan_paths"] = refuse(403)
    rounds.session.start()
    rounds.asked()
    with pytest.raises(type(error)):
        await rounds.session.command(SCAN_PATHS, "body")
    assert rounds.asked() == ["scan_paths"]
    assert rounds.session.state == "online"


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
def test_steps_of_the_wall_clock_change_neither_rounds_nor_age(rounds: Rounds, step: float) -> None:
    rounds.session.start()
    rounds.asked()
    rounds.stage.wall += step
    assert not rounds.session.is_stale
    rounds.stage.advance(1.9)
    assert rounds.asked() == []
    rounds.stage.advance(0.1)
    assert rounds.asked() == ROUND
    assert rounds.session.held(FS).received_at == rounds.session.now


def test_a_defect_is_logged_held_and_survived(
    rounds: Rounds, flush_logged_errors: Callable[..., Any]
) -> None:
    rounds.client.answers["list_filesystems"] = ZeroDivisionError("oh")
    rounds.session.start()
    assert "ZeroDivisionError: oh" in str(rounds.session.held(FS).error)
    assert len(flush_logged_errors(ZeroDivisionError)) == 1
    rounds.client.answers["list_filesystems"] = ["/"]
    rounds.stage.advance(2)
    assert rounds.session.held(FS).error is None


def test_who_is_told_of_changes_may_fail(
    rounds: Rounds, flush_logged_errors: Callable[..., Any]
) -> None:
    def fail(session: Session) -> None:
        if session.held(NODE).value and not rounds.changes:
            rounds.changes.append("failed")
            raise ZeroDivisionError

    rounds.session.changed = fail
    rounds.session.start()
    assert rounds.changes == ["failed"]
    assert flush_logged_errors(ZeroDivisionError)
    rounds.asked()
    rounds.stage.advance(2)
    assert rounds.asked() == ROUND


def test_one_command_at_a_time(rounds: Rounds) -> None:
    rounds.session.start()
    rounds.asked()
    rounds.wait()
    first = Deferred.fromCoroutine(rounds.session.command(SCAN_PATHS))
    second = Deferred.fromCoroutine(rounds.session.command(SCAN_PATHS))
    failures: list[Any] = []
    second.addErrback(failures.append)
    assert failures[0].value.kind == "busy"
    assert rounds.asked() == ["scan_paths"]
    rounds.client.answer("scan_paths")
    assert first.called
    third = Deferred.fromCoroutine(rounds.session.command(SCAN_PATHS))
    assert rounds.client.waiting().count("scan_paths") == 1
    rounds.client.answer()
    assert third.called


def test_pages_are_asked_for_up_to_a_number(rounds: Rounds) -> None:
    pages: list[str | None] = []

    async def call(endpoint: Any, query: Any = None, body: Any = None, *, page: Any = None) -> Any:
        pages.append(page)
        return Reply([len(pages)], b"", f"p{len(pages)}")

    rounds.client.call = call
    want = Want(PATHS, Page(), 3)
    rounds.session.want([want])
    rounds.session.start()
    assert rounds.session.held(want).value == [1, 2, 3]
    assert pages[:3] == [None, "p1", "p2"]
