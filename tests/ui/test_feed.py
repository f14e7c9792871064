"""What the screen knows of a log: two stretches of it at most, whatever comes and is asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etlmon.client.http import Reply
from etlmon.records.log import LogLine
from etlmon.ui import stretch
from etlmon.ui.feed import LogFeed

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def line(number: int) -> LogLine:
    at = NOW + timedelta(seconds=number)
    return LogLine(id=number, log_name="app", log_path="/a", created_at=at, line=f"line {number}")


def lines(first: int, last: int) -> list[LogLine]:
    return [line(number) for number in range(first, last + 1)]


def ids(feed: LogFeed) -> list[int]:
    return [one.id for one in feed.shown.lines]


class Node:
    """A session, the feed of a log, and the lines that the node has stored."""

    def __init__(self, stage: Any) -> None:
        self.client = stage.client
        self.session = stage.screen.sessions[0]
        self.stored: list[LogLine] = []
        self.drawn = 0
        self.client.answers["get_log_lines"] = self._give
        self.session.changed = self._changed
        self.feed = LogFeed(self.session, "app", None)

    def _changed(self, _: Any) -> None:
        self.drawn += 1

    def _give(self, query: Any, page: str | None) -> Reply[Any]:
        assert page is None
        found = [
            one
            for one in self.stored
            if (query.before is None or one.id < query.before)
            and (query.after is None or one.id > query.after)
            and (query.since is None or one.created_at >= query.since)
        ]
        if query.after is None:
            given = found[-query.lines :]
            return Reply(given, b"", None, "/more" if len(given) < len(found) else None)
        given = found[: query.lines]
        return Reply(given, b"", "/more" if len(given) < len(found) else None)

    @property
    def stream(self) -> Any:
        return self.client.streams[-1]


@pytest.fixture
def node(stage: Callable[..., Any]) -> Node:
    one = Node(stage("etl").start())
    one.feed.open()
    return one


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "MOST_LINES", 10)
    monkeypatch.setattr(stretch, "_AT_ONCE", 1)


def test_lines_come_once_and_in_order(node: Node) -> None:
    node.stream.send(*lines(1, 3))
    node.stream.send(line(3), line(2), line(4))
    assert ids(node.feed) == [1, 2, 3, 4]
    assert node.feed.heard_lines == 4


def test_news_is_told_once_until_it_is_seen(node: Node) -> None:
    node.stream.send(line(1))
    before = node.drawn
    node.stream.send(*lines(2, 500))
    assert node.drawn == before
    node.feed.seen()
    node.stream.send(line(501))
    assert node.drawn == before + 1


def test_opened_again_it_goes_on_after_the_newest(node: Node) -> None:
    node.stream.send(*lines(1, 3))
    node.feed.close()
    assert node.stream.is_closed
    assert not node.feed.is_open
    node.feed.open()
    node.feed.open()
    assert len(node.client.streams) == 2
    assert "after=3" in node.stream.target


def test_frozen_it_keeps_what_is_shown_and_goes_on_beside(node: Node) -> None:
    node.stream.send(*lines(1, 3))
    node.feed.freeze()
    node.stream.send(*lines(4, 6))
    assert ids(node.feed) == [1, 2, 3]
    assert node.feed.heard_lines == 6
    node.feed.newer()
    assert ids(node.feed) == [1, 2, 3]
    node.feed.to_tail()
    assert ids(node.feed) == [1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures("small")
def test_what_is_read_is_not_pushed_out_by_what_comes(node: Node) -> None:
    node.stream.send(*lines(1, 10))
    node.feed.keep_id = 2
    node.stream.send(*lines(11, 100))
    assert node.feed.shown.holds(2)
    assert not node.feed.is_at_tail
    assert len(node.feed.shown.lines) + len(node.feed.tail.lines) <= 22
    assert node.feed.tail.last_id == 100


@pytest.mark.usefixtures("small")
def test_newer_lines_lead_back_to_the_tail(node: Node) -> None:
    node.stored = lines(1, 40)
    node.stream.send(*lines(1, 10))
    node.feed.keep_id = 2
    node.stream.send(*lines(11, 40))
    for _ in range(10):
        if node.feed.is_at_tail:
            break
        node.feed.keep_id = node.feed.shown.last_id
        node.feed.newer()
        assert ids(node.feed) == list(range(ids(node.feed)[0], ids(node.feed)[-1] + 1))
    assert node.feed.is_at_tail
    assert ids(node.feed)[-1] == 40


def test_older_lines_are_asked_for_once_and_to_the_first(node: Node) -> None:
    node.stored = lines(1, 1_500)
    node.stream.send(*lines(1_401, 1_500))
    node.client.waits = True
    node.feed.older()
    node.feed.older()
    assert node.client.waiting().count("get_log_lines") == 1
    assert node.feed.is_asking
    node.client.waits = False
    node.client.answer("get_log_lines")
    assert ids(node.feed)[0] == 401
    node.feed.older()
    assert ids(node.feed) == list(range(1, 1_501))
    assert not node.feed.has_older
    asked = len(node.client.asked)
    node.feed.older()
    assert len(node.client.asked) == asked


def test_a_place_far_away_is_gone_to(node: Node) -> None:
    node.stored = lines(1, 3_000)
    node.stream.send(*lines(2_900, 3_000))
    told: list[int | None] = []
    node.feed.go_to(100, told.append)
    assert told == [100]
    assert node.feed.shown.holds(100)
    assert node.feed.shown.holds(99)
    assert not node.feed.is_at_tail
    node.feed.go_to(2_950, told.append)
    assert node.feed.is_at_tail


def test_a_time_is_found(node: Node) -> None:
    node.stored = lines(1, 10)
    told: list[int | None] = []
    node.feed.find_time(NOW + timedelta(seconds=7), told.append)
    node.feed.find_time(NOW + timedelta(seconds=70), told.append)
    assert told == [7, None]


def test_a_question_takes_the_place_of_the_one_before(node: Node) -> None:
    node.stored = lines(1, 10)
    told: list[int | None] = []
    node.client.waits = True
    node.feed.find_time(NOW, told.append)
    node.feed.find_time(NOW + timedelta(seconds=5), told.append)
    node.client.waits = False
    node.client.answer("get_log_lines")
    assert told == [5]


def test_what_is_missing_is_a_row_between(node: Node) -> None:
    node.stream.send(*lines(1, 2))
    node.stream.send({"reason": "not stored any more"}, kind="resync")
    node.stream.send(*lines(9, 10))
    assert [(one.id, one.flags) for one in node.feed.shown.lines] == [
        (1, []), (2, []), (8, ["gap"]), (9, []), (10, []),
    ]  # fmt: skip


def test_a_new_database_begins_anew(node: Node) -> None:
    node.stream.send(*lines(100, 110))
    node.stream.send({"reason": "the node has a new database"}, kind="resync")
    node.stream.send(*lines(1, 2))
    assert [(one.id, one.flags) for one in node.feed.shown.lines] == [
        (0, ["gap"]), (1, []), (2, []),
    ]  # fmt: skip


def test_a_filter_begins_anew_with_what_matches(node: Node) -> None:
    node.stream.send(*lines(1, 3))
    first = node.stream
    node.feed.freeze()
    node.feed.filter("2$")
    assert first.is_closed
    assert "regex=2%24" in node.stream.target
    assert ids(node.feed) == []
    assert not node.feed.is_frozen
