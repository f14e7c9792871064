"""Bodies are bounded: what is too large is refused at once, and never kept."""

from __future__ import annotations

import pytest
from twisted.internet import reactor
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from etlmon.api import requests
from etlmon.api.requests import MOST_BODY_BYTES

SCAN = b"POST /api/v1/paths/scan HTTP/1.1\r\nHost: localhost\r\n"


def assert_too_large(answer) -> None:
    assert "1,048,576 bytes" in answer.problem(413, "body-too-large")
    assert answer.json["instance"] == "/api/v1/paths/scan"
    assert answer.headers["connection"] == "close"


@pytest.fixture
def linger_briefly(monkeypatch) -> None:
    monkeypatch.setattr(requests, "_LINGER_SECONDS", 0.05)


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
async def test_a_body_declared_too_large_is_refused_before_it_comes(
    api, linger_briefly, expect: bytes
) -> None:
    head = SCAN + expect + b"Content-Length: %d\r\n\r\n" % (MOST_BODY_BYTES + 1)
    (answer,) = await api.send(head, ["POST"])
    assert_too_large(answer)


async def test_a_client_that_sends_it_all_still_gets_the_answer(api, linger_briefly) -> None:
    size = 8 * MOST_BODY_BYTES
    (answer,) = await api.send(SCAN + b"Content-Length: %d\r\n\r\n" % size + b"x" * size, ["POST"])
    assert_too_large(answer)


async def test_a_chunked_body_is_refused_once_it_is_too_large(api, linger_briefly) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    raw = SCAN + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 40 + b"0\r\n\r\n"
    (answer,) = await api.send(raw, ["POST"])
    assert_too_large(answer)


async def test_a_client_that_never_stops_sending_is_cut_off(api, linger_briefly) -> None:
    wire = await api.connect()
    wire.transport.write(SCAN + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"

    class Endless:
        def resumeProducing(self) -> None:
            wire.transport.write(chunk)

        def stopProducing(self) -> None: ...

    wire.transport.registerProducer(Endless(), False)
    assert (await wire.closed).startswith(b"HTTP/1.1 413 ")
    assert api.scans.begun == []


class HalfClosing(StringTransport):
    """Notes that the server has said all it has to say."""

    write_closed = False

    def loseWriteConnection(self) -> None:
        self.write_closed = True


async def test_what_is_refused_is_answered_once_and_not_kept_in_memory(api) -> None:
    channel = api.server.site().buildProtocol(None)
    transport = HalfClosing()
    channel.makeConnection(transport)
    chunk = b"40000\r\n" + b"x" * 0x40000 + b"\r\n"
    head = SCAN + b"Transfer-Encoding: chunked\r\n\r\n"
    channel.dataReceived(head + chunk * 16 + b"0\r\n\r\n")  # all of it in one piece
    assert transport.value().count(b"HTTP/1.1 ") == 1
    assert transport.write_closed
    assert transport.disconnecting
    channel.connectionLost(Failure(ConnectionDone()))


class Stopped(StringTransport):
    """A connection to a client that takes nothing: what was written waits, and it stays open."""

    def unregisterProducer(self) -> None:
        """Do nothing, however often, as a real one."""


async def test_a_client_that_takes_nothing_of_its_last_answer_is_cut_off(api) -> None:
    clock = Clock()
    site = api.server.site()
    site.reactor = clock
    channel = site.buildProtocol(None)
    transport = Stopped()
    channel.makeConnection(transport)
    channel.dataReceived(b"GET /api/v1/fs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    while not transport.disconnecting:
        await deferLater(reactor, 0.005)
    clock.advance(60)
    assert transport.value().startswith(b"HTTP/1.1 200 ")
    assert not transport.disconnected
    clock.advance(15)
    assert transport.disconnected
    channel.connectionLost(Failure(ConnectionAborted()))
    assert [call for call in clock.getDelayedCalls() if call.active()] == []


async def test_a_body_of_the_largest_size_is_read(api) -> None:
    body = b'{"confirm": true}'.ljust(MOST_BODY_BYTES)
    assert (await api.command(body)).status == 202


@pytest.mark.parametrize(
    ("raw", "status", "kind"),
    [
        (b"GET /api/v1/logs/app?regex=" + b"x" * 100_000, 414, "uri-too-long"),
        (b"GET /api/v1/fs HTTP/1.1\r\nX-Long: " + b"x" * 100_000, 431, "headers-too-large"),
        (
            b"GET /api/v1/fs HTTP/1.1\r\n" + b"X-Many: %0100d\r\n" % 0 * 200,
            431,
            "headers-too-large",
        ),
    ],
    ids=["line", "header", "headers"],
)
@pytest.mark.parametrize("is_whole", [True, False])
async def test_what_is_too_long_is_refused_in_words(
    api, linger_briefly, raw: bytes, status: int, kind: str, *, is_whole: bool
) -> None:
    """Be it that it ends at last or not; the connection served another request before."""
    before = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    end = b"\r\n\r\n" if is_whole else b""
    first, answer = await api.send(before + raw + end, ["GET", "GET"])
    assert first.status == 200
    assert "at most 16,384 bytes" in answer.problem(status, kind)
    assert answer.json["instance"] == ("" if status == 414 else "/api/v1/fs")
    assert answer.headers["connection"] == "close"
    counted = (await api.ask("/metrics")).body.decode()
    assert f'etlmon_http_requests_total{{code="{status}",endpoint="other"}} 1.0' in counted
