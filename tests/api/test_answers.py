"""Kept answers: made once, dropped by a commit, never older than what the client may know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from etlmon.api import answers
from etlmon.api.answers import Answer, EncodedAnswer, KeptAnswers
from etlmon.errors import StoreError

FS, PATHS = frozenset({"filesystem_usage"}), frozenset({"path_stats"})


class Kitchen:
    """KeptAnswers whose answers are made when the test says so."""

    def __init__(self) -> None:
        self.kept = KeptAnswers()
        self.orders: list[Deferred[Answer]] = []

    def ask(self, key: bytes = b"/fs", tables: frozenset[str] = FS) -> Deferred[EncodedAnswer]:
        async def make() -> Answer:
            self.orders.append(Deferred())
            return await self.orders[-1]

        return self.kept.make(key, tables, make)


@pytest.fixture
def kitchen() -> Kitchen:
    return Kitchen()


def body(asked: Deferred[EncodedAnswer]) -> bytes:
    outcome: list[Any] = []
    asked.addBoth(outcome.append)
    assert outcome, "not answered yet"
    return bytes(outcome[0].body)


def test_requests_at_the_same_time_are_answered_by_one_making(kitchen: Kitchen) -> None:
    asked = [kitchen.ask() for _ in range(5)]
    assert len(kitchen.orders) == 1
    kitchen.orders[0].callback(Answer(1))
    assert [body(one) for one in asked] == [b"1"] * 5
    kept = kitchen.kept.get(b"/fs")
    assert kept is not None
    assert kept.body == b"1"


def test_other_requests_have_their_own(kitchen: Kitchen) -> None:
    one, other = kitchen.ask(b"/fs"), kitchen.ask(b"/fs?all=true")
    kitchen.orders[1].callback(Answer(2))
    kitchen.orders[0].callback(Answer(1))
    assert (body(one), body(other)) == (b"1", b"2")


def test_a_commit_drops_what_comes_from_its_tables_only(kitchen: Kitchen) -> None:
    kitchen.ask(b"/fs", FS)
    kitchen.ask(b"/paths", PATHS)
    for order in kitchen.orders:
        order.callback(Answer(0))
    kitchen.kept.forget(FS)
    assert kitchen.kept.get(b"/fs") is None
    assert kitchen.kept.get(b"/paths") is not None
    kitchen.kept.forget(PATHS | {"others"})
    assert kitchen.kept.get(b"/paths") is None


def test_who_asks_after_a_commit_never_gets_the_answer_from_before(kitchen: Kitchen) -> None:
    before = kitchen.ask()
    kitchen.kept.forget(FS)
    after = kitchen.ask()
    assert len(kitchen.orders) == 2
    kitchen.orders[0].callback(Answer("old"))
    assert body(before) == b'"old"'
    assert kitchen.kept.get(b"/fs") is None
    assert not after.called
    kitchen.orders[1].callback(Answer("new"))
    assert body(after) == b'"new"'
    assert kitchen.kept.get(b"/fs").body == b'"new"'


def test_the_new_answer_stays_when_the_old_one_comes_later(kitchen: Kitchen) -> None:
    kitchen.ask()
    kitchen.kept.forget(FS)
    kitchen.ask()
    kitchen.orders[1].callback(Answer("new"))
    kitchen.orders[0].callback(Answer("old"))
    assert kitchen.kept.get(b"/fs").body == b'"new"'


def test_a_second_commit_outdates_the_second_making_too(kitchen: Kitchen) -> None:
    kitchen.ask()
    kitchen.kept.forget(FS)
    kitchen.ask()
    kitchen.kept.forget(FS)
    kitchen.orders[1].callback(Answer("old"))
    assert kitchen.kept.get(b"/fs") is None


def test_a_client_that_goes_does_not_harm_the_others(kitchen: Kitchen) -> None:
    first, second = kitchen.ask(), kitchen.ask()
    gone: list[Any] = []
    first.addErrback(gone.append)
    first.cancel()
    assert gone[0].check(CancelledError)
    kitchen.orders[0].callback(Answer(1))
    assert body(second) == b"1"


def test_an_answer_that_nobody_waits_for_any_more_is_kept(kitchen: Kitchen) -> None:
    asked = kitchen.ask()
    asked.addErrback(lambda failure: failure.trap(CancelledError))
    asked.cancel()
    kitchen.orders[0].callback(Answer(1))
    assert kitchen.kept.get(b"/fs") is not None


def test_a_failure_goes_to_all_who_wait_and_is_not_kept(kitchen: Kitchen) -> None:
    failures: list[Any] = []
    for _ in range(3):
        kitchen.ask().addErrback(failures.append)
    kitchen.orders[0].errback(StoreError("no"))
    assert [failure.check(StoreError) for failure in failures] == [StoreError] * 3
    assert kitchen.kept.get(b"/fs") is None
    asked = kitchen.ask()
    kitchen.orders[1].callback(Answer(1))
    assert body(asked) == b"1"


def test_what_cannot_be_encoded_fails_for_its_client(kitchen: Kitchen) -> None:
    failures: list[Any] = []
    kitchen.ask().addErrback(failures.append)
    kitchen.orders[0].callback(Answer(object()))
    assert failures[0].check(TypeError)
    assert kitchen.kept.get(b"/fs") is None


def test_one_who_asks_again_while_being_answered_is_answered(kitchen: Kitchen) -> None:
    again: list[Deferred[EncodedAnswer]] = []

    def ask_again(encoded: EncodedAnswer) -> EncodedAnswer:
        kitchen.kept.forget(FS)
        again.append(kitchen.ask())
        return encoded

    kitchen.ask().addCallback(ask_again)
    kitchen.orders[0].callback(Answer(1))
    kitchen.orders[1].callback(Answer(2))
    assert body(again[0]) == b"2"


def test_answers_without_tables_are_not_kept(kitchen: Kitchen) -> None:
    kitchen.ask(b"/health", frozenset())
    kitchen.orders[0].callback(Answer(1))
    assert kitchen.kept.get(b"/health") is None


def test_the_number_of_kept_answers_is_bounded(kitchen: Kitchen, monkeypatch) -> None:
    monkeypatch.setattr(answers, "_MOST_KEPT", 3)
    for number in range(5):
        kitchen.ask(b"%d" % number)
        kitchen.orders[-1].callback(Answer(number))
    kept = [number for number in range(5) if kitchen.kept.get(b"%d" % number)]
    assert kept == [2, 3, 4]


def test_an_etag_is_of_the_body_alone() -> None:
    one, same, other = (EncodedAnswer(Answer(value)) for value in (1, 1, 2))
    assert one.etag == same.etag != other.etag
    assert one.etag.startswith(b'W/"')


def test_the_compressed_form_is_made_once() -> None:
    encoded = EncodedAnswer(Answer("x" * 5_000))
    assert encoded.worth_compressing
    assert encoded.compressed is encoded.compressed


# --- through the server ---------------------------------------------------------------------------


@pytest.fixture
def reads(store, monkeypatch) -> list[Callable[..., Any]]:
    """The queries that reach the database."""
    seen: list[Callable[..., Any]] = []
    read = store.read

    def noting(query: Callable[..., Any]) -> Any:
        seen.append(query)
        return read(query)

    monkeypatch.setattr(store, "read", noting)
    return seen


async def test_one_query_serves_all_until_the_table_commits(api, store, mount, reads) -> None:
    for _ in range(3):
        assert (await api.ask("/api/v1/fs")).status == 200
    assert len(reads) == 1
    await store.write([mount(1, used_percent=99.0)])
    answer = await api.ask("/api/v1/fs")
    assert len(reads) == 2
    assert 99.0 in [item["used_percent"] for item in answer.json]


async def test_errors_are_not_kept(api, reads) -> None:
    for _ in range(2):
        target = "/api/v1/fs/history?mount_point=/nope"
        (await api.ask(target)).problem(404, "mount-not-found")
    assert len(reads) == 2


async def test_a_kept_answer_is_not_given_to_a_command_or_a_foreign_host(api) -> None:
    assert (await api.ask("/api/v1/fs")).status == 200
    (await api.ask("/api/v1/fs", "POST")).problem(405, "method-not-allowed")
    foreign = await api.ask("/api/v1/fs", headers={"Host": "evil.example"})
    foreign.problem(421, "host-not-allowed")
