"""Following a stream: no gap, no repeat, whatever happens to the connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

from etlmon.client.backoff import BackOff
from etlmon.client.events import Event
from etlmon.client.http import ClientError, FailureKind, NodeClient
from etlmon.client.stream import StreamFollower, follow
from etlmon.contract.logs import LOG_LINES, LogLinesQuery
from etlmon.records.log import LogLine
from etlmon.units import utc
from tests.waiting import PATIENCE_SECONDS


class FakeResponse:
    """A response whose body the test sends."""

    def __init__(self) -> None:
        self.body: Any = None
        self.is_closed = False

    def deliverBody(self, body: Any) -> None:
        self.body = body
        body.makeConnection(self)

    def loseConnection(self) -> None:
        if not self.is_closed:
            self.end()

    def send(self, data: bytes) -> None:
        self.body.dataReceived(data)

    def end(self) -> None:
        self.is_closed = True
        self.body.connectionLost(Failure(ResponseDone()))


class FakeClient:
    """Notes what is asked; the test answers."""

    address = "node"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.cancelled = 0
        self._waiting: list[Deferred[Any]] = []

    def open_stream(self, target: str, last_event_id: str) -> Deferred[Any]:
        self.asked.append((target, last_event_id))
        asked: Deferred[Any] = Deferred(self._cancel)
        self._waiting.append(asked)
        return asked

    def _cancel(self, _asked: object) -> None:
        self.cancelled += 1

    def answer(self) -> FakeResponse:
        response = FakeResponse()
        self._waiting.pop().callback(response)
        return response

    def refuse(self, error: Exception) -> None:
        self._waiting.pop().errback(error)


class Following:
    """A follower on a clock, and what it has told."""

    def __init__(self, last_id: str = "") -> None:
        self.clock = Clock()
        self.client = FakeClient()
        self.heard: list[str] = []
        self.lost: list[tuple[str, float]] = []
        self.found = 0
        self.on_heard: Callable[[Event], None] = lambda _: None
        self.follower = StreamFollower(
            self.client,
            "/logs/app?follow=true",
            self.clock,
            BackOff(lambda: 0.5),
            heard=self._hear,
            lost=lambda error, seconds: self.lost.append((error.kind, seconds)),
            found=self._find,
            last_id=last_id,
        )
        self.follower.start()

    def _hear(self, event: Event) -> None:
        self.heard.append(event.data)
        self.on_heard(event)

    def _find(self) -> None:
        self.found += 1


@pytest.fixture
def following() -> Iterator[Following]:
    following = Following()
    yield following
    following.follower.stop()
    assert not following.clock.getDelayedCalls()


def test_events_are_heard_as_they_come(following: Following) -> None:
    response = following.client.answer()
    assert following.found == 1
    response.send(b"id: 1\nda")
    assert following.heard == []
    response.send(b"ta: a\n\nid: 2\ndata: b\n\n")
    assert following.heard == ["a", "b"]
    assert following.follower.last_id == "2"


def test_a_position_without_an_event_counts(following: Following) -> None:
    """The node tells how far the stream is though nothing of it was wanted."""
    response = following.client.answer()
    response.send(b"retry: 2000\nid: 7\n\n")
    assert following.follower.last_id == "7"
    response.send(b"id: 8\ndata: a\n\n:\nid: 90\n\n")
    response.end()
    following.clock.advance(1)
    assert following.client.asked[1] == ("/logs/app?follow=true", "90")
    assert following.heard == ["a"]


def test_items_of_a_list_are_records() -> None:
    """What cannot be read is left out, and what is missing is told."""
    client, clock = FakeClient(), Clock()
    items: list[Any] = []
    follower = follow(
        client,  # type: ignore[arg-type]
        LOG_LINES,
        LogLinesQuery(name="a/b", follow=True, regex="^x+"),
        clock,
        BackOff(lambda: 0.5),
        heard=items.append,
        resynced=lambda reason: items.append(f"resync: {reason}"),
        lost=lambda error, seconds: None,
        found=lambda: items.append("found"),
    )
    follower.start()
    assert client.asked == [("/logs/a%2Fb?regex=%5Ex%2B&follow=true", "")]
    line = LogLine(id=3, log_name="app", log_path="/a", line="x", created_at=utc(0), flags=["cut"])
    client.answer().send(
        b"id: 3\ndata: %s\n\nid: 4\ndata: {}\n\nevent: later\ndata: x\n\n"
        b'event: resync\nid: 9\ndata: {"reason": "gone"}\n\n' % msgspec.json.encode(line)
    )
    assert items == ["found", line, "resync: gone"]
    assert follower.last_id == "9"
    follower.stop()


def test_after_a_cut_it_goes_on_behind_the_last_event_that_was_whole(following: Following) -> None:
    response = following.client.answer()
    response.send(b"id: 1\ndata: a\n\nid: 2\ndata: half")
    response.end()
    assert following.lost == [("broken", 1.0)]
    following.clock.advance(0.99)
    assert len(following.client.asked) == 1
    following.clock.advance(0.01)
    assert following.client.asked[1] == ("/logs/app?follow=true", "1")
    following.client.answer().send(b"id: 2\ndata: whole\n\n")
    assert following.heard == ["a", "whole"]
    assert following.found == 2


def test_it_begins_where_it_is_told() -> None:
    following = Following(last_id="41")
    assert following.client.asked == [("/logs/app?follow=true", "41")]
    following.follower.stop()


@pytest.mark.parametrize("kind", ["refused", "forbidden", "not an etlmon node"])
def test_it_waits_ever_longer_for_a_node_that_refuses(
    following: Following, kind: FailureKind
) -> None:
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        following.client.refuse(ClientError("x", kind))
        assert following.lost[-1] == (kind, wait)
        following.clock.advance(wait)
    assert following.found == 0


@pytest.mark.parametrize("said", [b": nothing happens\n\n", b"data: a\n\n"])
def test_a_stream_that_spoke_is_tried_again_soon(following: Following, said: bytes) -> None:
    for wait in (1.0, 2.0, 4.0):
        following.client.refuse(ClientError("x", "refused"))
        following.clock.advance(wait)
    response = following.client.answer()
    response.send(said)
    response.end()
    assert following.lost[-1] == ("broken", 1.0)


def test_a_stream_that_ends_without_a_word_counts_as_refused(following: Following) -> None:
    for wait in (1.0, 2.0, 4.0):
        following.client.answer().end()
        assert following.lost[-1] == ("broken", wait)
        following.clock.advance(wait)


def test_silence_ends_a_stream_and_comments_keep_it(following: Following) -> None:
    response = following.client.answer()
    for _ in range(10):
        following.clock.advance(44)
        response.send(b":\n\n")
    assert following.lost == []
    following.clock.advance(45)
    assert following.lost == [("timeout", 1.0)]
    assert response.is_closed


def test_what_is_no_stream_is_closed(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etlmon.client.events._MOST_BYTES", 100)
    response = following.client.answer()
    response.send(b"<html>" * 100)
    assert following.lost == [("not an etlmon node", 1.0)]
    assert response.is_closed


def test_a_closed_client_is_told_as_an_end(following: Following) -> None:
    following.client._waiting[0].cancel()
    assert following.lost == [("broken", 1.0)]


def test_a_defect_is_logged_and_tried_again(
    following: Following, flush_logged_errors: Callable[..., Any]
) -> None:
    following.client.refuse(ZeroDivisionError("oh"))
    assert following.lost == [("broken", 1.0)]
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


def test_stop_while_it_asks(following: Following) -> None:
    following.follower.stop()
    assert following.client.cancelled == 1
    assert (following.lost, following.clock.getDelayedCalls()) == ([], [])


def test_stop_while_it_waits(following: Following) -> None:
    following.client.refuse(ClientError("x", "refused"))
    following.follower.stop()
    following.clock.advance(100)
    assert len(following.client.asked) == 1


def test_stop_in_the_middle_of_a_piece_is_heeded(following: Following) -> None:
    response = following.client.answer()
    following.on_heard = lambda _: following.follower.stop()
    response.send(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n")
    assert following.heard == ["a"]
    assert following.follower.last_id == "1"
    assert response.is_closed
    assert following.lost == []


# --- once with real sockets -----------------------------------------------------------------------


class Streaming(Protocol):
    """Gives numbered events after the one asked for, three a connection, and cuts them."""

    def __init__(self, server: StreamServer) -> None:
        self.server = server
        self.request = b""

    def connectionMade(self) -> None:
        self.server.open += 1

    def connectionLost(self, reason: Any = None) -> None:
        self.server.open -= 1

    def dataReceived(self, data: bytes) -> None:
        self.request += data
        if b"\r\n\r\n" not in self.request:
            return
        asked = self.request.lower().partition(b"last-event-id: ")[2].partition(b"\r\n")[0]
        self.server.asked.append(asked)
        first = int(asked or 0) + 1
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
        )
        for number in range(first, first + 3):
            self.transport.write(b"id: %d\ndata: %d\n\n" % (number, number))
        if len(self.server.asked) < 3:
            self.transport.write(b"id: %d\ndata: half" % (first + 3))
            self.transport.loseConnection()


class StreamServer(Factory):
    """Where the events come from."""

    def __init__(self) -> None:
        self.open = 0
        self.asked: list[bytes] = []

    def buildProtocol(self, _address: object) -> Streaming:
        return Streaming(self)


class Quick(BackOff):
    """Does not let the test wait."""

    def next_seconds(self) -> float:
        return 0.001 + 0 * super().next_seconds()


async def until(is_so: Callable[[], Any]) -> None:
    """Wait until something is so."""
    give_up_at = reactor.seconds() + PATIENCE_SECONDS
    while not is_so():
        assert reactor.seconds() < give_up_at
        await deferLater(reactor, 0.005)


async def test_a_real_server_that_cuts() -> None:
    server = StreamServer()
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    client = NodeClient(f"http://127.0.0.1:{port.getHost().port}", reactor)
    heard: list[str] = []
    lost: list[str] = []
    follower = StreamFollower(
        client,
        "/stream",
        reactor,
        Quick(lambda: 0.5),
        heard=lambda event: heard.append(event.data),
        lost=lambda error, _: lost.append(error.kind),
        found=lambda: None,
    )
    follower.start()
    try:
        await until(lambda: len(heard) == 9)
        assert heard == [str(number) for number in range(1, 10)]
        assert server.asked == [b"", b"3", b"6"]
        assert lost == ["broken", "broken"]
    finally:
        follower.stop()
        await until(lambda: server.open == 0)
        await client.close()
        await port.stopListening()
