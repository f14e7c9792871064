"""Logs over HTTP: pages of lines, searches, streams that go on, and commands."""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs

from etlmon.records.log import LineMark, LogBlock, LogFileRead, LogsConfigured
from etlmon.store.tables import log_lines as table
from etlmon.store.tables.base import records
from etlmon.units import utc

AT = utc(1_800_000_000)
APP = "/api/v1/logs/app"
Json = Any
MANY = 101
"""Lines of a commit that its streams read from the database."""


def block(*texts: str | None, name: str = "app", path: str = "/a", after: float = 0) -> LogBlock:
    marks = {
        place: LineMark(flags=("gap",), length_bytes=9, detail="rotated away")
        for place, text in enumerate(texts)
        if text is None
    }
    return LogBlock(
        log_name=name,
        log_path=path,
        source_inode=7,
        created_at=AT + timedelta(seconds=after),
        lines=list(texts),
        marks=marks,
    )


def numbered(first: int, last: int, **more: Any) -> LogBlock:
    return block(*(f"line {number}" for number in range(first, last + 1)), **more)


async def lines(api: Any, query: str = "", log: str = "app") -> list[Any]:
    answer = await api.ask(f"/api/v1/logs/{log}{query}")
    assert answer.status == 200, answer.body
    return [one["line"] for one in answer.json]


async def walk(api: Any, query: str, relation: str) -> list[list[int]]:
    """Give the ids of a page and of all that it leads to."""
    target, pages = APP + query, []
    while target:
        answer = await api.ask(target)
        pages.append([one["id"] for one in answer.json])
        target, _, rest = answer.headers.get("link", "").partition(">; ")
        target = target.removeprefix("<")
        assert rest in ("", f'rel="{relation}"')
    return pages


# --- the list -------------------------------------------------------------------------------------


async def test_configured_logs_are_listed(api, store) -> None:
    assert (await api.ask("/api/v1/logs")).json == []
    read = {"log_path": "/a", "updated_at": AT, "cursor": "{}"}
    await store.write(
        [
            numbered(1, 2),
            block(None),
            LogFileRead(log_name="app", state="following", offset=4, size=5, lag_bytes=1, **read),
            LogFileRead(log_name="old", state="following", **read),
            LogsConfigured(names=("app",)),
        ]
    )
    answer = await api.ask("/api/v1/logs")
    assert answer.headers["x-total-count"] == "1"
    assert answer.json == [
        {
            "name": "app",
            "path": "/a",
            "state": "following",
            "error_message": None,
            "watch_mode": None,
            "offset": 4,
            "size": 5,
            "lag_bytes": 1,
            "lines_total": 2,
            "gaps": 1,
            "last_line_at": "2027-01-15T08:00:00Z",
            "source_inode": None,
            "updated_at": "2027-01-15T08:00:00Z",
        }
    ]


async def test_of_ten_thousand_logs_only_the_page_is_made(api, store, monkeypatch) -> None:
    """All of them would take a tenth of a second for each page; the headers tell of all."""
    made: list[int] = []

    def note(kind: Any, rows: Any) -> Any:
        found = records(kind, rows)
        made.append(len(found))
        return found

    monkeypatch.setattr("etlmon.store.tables.log_files.records", note)
    await store.write(
        [
            LogFileRead(
                log_name=f"log-{number}",
                log_path="/a",
                state="following",
                updated_at=AT - timedelta(seconds=number),
                cursor=None,
            )
            for number in range(5)
        ]
    )
    answer = await api.ask("/api/v1/logs?limit=2&offset=2")
    assert [one["name"] for one in answer.json] == ["log-2", "log-3"]
    assert answer.headers["x-total-count"] == "5"
    assert answer.headers["link"] == '</api/v1/logs?limit=2&offset=4>; rel="next"'
    assert answer.headers["last-modified"] == "Fri, 15 Jan 2027 08:00:00 GMT"
    assert made == [2]
    last = await api.ask("/api/v1/logs?limit=2&offset=4")
    assert ([one["name"] for one in last.json], "link" in last.headers) == (["log-4"], False)


# --- lines ----------------------------------------------------------------------------------------


async def test_a_line_in_full(api, store) -> None:
    await store.write([block("\x1b[31m데이터\x00", None)])
    first, second = (await api.ask(APP)).json
    assert first == {
        "id": 1,
        "log_name": "app",
        "log_path": "/a",
        "line": "\x1b[31m데이터\x00",
        "created_at": "2027-01-15T08:00:00Z",
        "source_inode": 7,
        "flags": [],
        "logged_at": None,
        "length_bytes": None,
        "detail": None,
    }
    assert (second["line"], second["flags"], second["length_bytes"], second["detail"]) == (
        None,
        ["gap"],
        9,
        "rotated away",
    )


async def test_the_newest_lines_in_their_order(api, store) -> None:
    await store.write([numbered(1, 9)])
    assert await lines(api) == [f"line {number}" for number in range(5, 10)]  # buffer_lines
    assert await lines(api, "?lines=2") == ["line 8", "line 9"]
    assert await lines(api, "?lines=0") == []
    assert await lines(api, "?lines=5000") == [f"line {number}" for number in range(1, 10)]


async def test_buffer_lines_is_the_default_up_to_a_whole_page(api, store) -> None:
    await store.write([numbered(1, 1_200, name="long")])
    assert await lines(api, log="long") == [f"line {number}" for number in range(201, 1_201)]


async def test_pages_back_and_forth(api, store) -> None:
    await store.write([numbered(1, 7), block("x", name="other"), numbered(8, 10)])
    assert await walk(api, "?lines=4", "prev") == [[7, 9, 10, 11], [3, 4, 5, 6], [1, 2]]
    assert await walk(api, "?lines=4&after=2", "next") == [[3, 4, 5, 6], [7, 9, 10, 11]]
    assert await walk(api, "?lines=3&before=9&after=4", "next") == [[5, 6, 7]]


async def test_at_most_a_thousand_lines(api, store) -> None:
    await store.write([numbered(1, 1_001)])
    assert [len(page) for page in await walk(api, "?lines=5000", "prev")] == [1_000, 1]


async def test_times_and_files(api, store) -> None:
    await store.write([block("a", after=0), block("b", after=60, path="/b"), block("c", after=120)])
    assert await lines(api, "?since=2027-01-15T08:01:00Z") == ["b", "c"]
    assert await lines(api, "?until=2027-01-15T08:01:00Z") == ["a", "b"]
    assert await lines(api, "?since=2027-01-15T08:01:00Z&after=0&lines=1") == ["b"]
    assert await lines(api, "?path=/b") == ["b"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?match=b.", ["b."]),
        ("?match=B", []),
        ("?regex=^b", ["bc", "b."]),
        ("?regex=(?i)^B.$&match=c", ["bc"]),
        ("?regex=b&after=0&lines=1", ["ab"]),
        ("?regex=b&lines=1", ["b."]),
        ("?regex=z", []),
    ],
)
async def test_searches(api, store, query: str, found: list[str]) -> None:
    await store.write([block("ab", None, "bc", "b.")])
    assert await lines(api, query.replace("^", "%5E").replace("$", "%24")) == found


async def test_a_search_leads_on_where_it_ended(api, store) -> None:
    await store.write([numbered(1, 40)])
    pages = await walk(api, "?regex=[05]%24&lines=3", "prev")
    assert pages == [[30, 35, 40], [15, 20, 25], [5, 10]]


async def test_a_search_that_takes_too_long_leads_on_too(api, store, monkeypatch) -> None:
    """What was found by then is the answer, however little that is."""
    for _ in range(5):
        await store.write([numbered(1, 2_000)])
    seconds = iter(range(100_000))
    monkeypatch.setattr(api.clock, "seconds", lambda: float(next(seconds)))
    pages = await walk(api, "?match=line%201999", "prev")
    assert len(pages) > 2
    found = [number for page in reversed(pages) for number in page]
    assert found == [1_999, 3_999, 5_999, 7_999, 9_999]


async def test_too_many_searches_are_refused(api, store) -> None:
    await store.write([numbered(1, 10)])
    answers = [api.ask(f"{APP}?match={number}&lines=1") for number in range(40)]
    from twisted.internet.defer import Deferred, gatherResults

    found = await gatherResults([Deferred.fromCoroutine(one) for one in answers])
    assert {one.status for one in found} <= {200, 503}
    refused = [one for one in found if one.status == 503]
    assert all(one.headers["retry-after"] == "3" for one in refused)


async def test_what_is_no_regular_expression(api) -> None:
    told = (await api.ask(f"{APP}?regex=(a")).problem(400, "bad-parameter")
    assert told == "regex: missing ): (a."
    (await api.ask(f"{APP}?regex=")).problem(400, "bad-parameter")
    (await api.ask(f"{APP}?regex={'a' * 1_001}")).problem(400, "bad-parameter")
    (await api.ask(f"{APP}?follow=true&regex=(a")).problem(400, "bad-parameter")


async def test_a_log_that_is_not_known(api, store) -> None:
    for query in ("", "?follow=true"):
        told = (await api.ask(f"/api/v1/logs/nope{query}")).problem(404, "log-not-found")
        assert told == "There is no log nope; GET /api/v1/logs lists the logs."
    assert await lines(api, log="quiet") == []
    await store.write([numbered(1, 1, name="once")])
    assert await lines(api, log="once") == ["line 1"]


# --- streams --------------------------------------------------------------------------------------


async def test_history_then_what_comes(api, store) -> None:
    await store.write([numbered(1, 9)])
    stream = await api.stream(f"{APP}?follow=true&lines=3")
    assert await stream.lines(3) == ["line 7", "line 8", "line 9"]
    await store.write([block("x", name="other"), numbered(10, 11)])
    assert await stream.lines(5) == [f"line {number}" for number in range(7, 12)]
    assert [event.last_id for event in stream.events()] == ["7", "8", "9", "11", "12"]
    head = stream.head.lower()
    assert "content-type: text/event-stream" in head
    assert "cache-control: no-store" in head
    assert "x-accel-buffering: no" in head
    assert stream.body.startswith(b"retry: 2000\nid: 6\n\n")
    await stream.close()


async def test_a_stream_from_the_end(api, store) -> None:
    await store.write([numbered(1, 9)])
    stream = await api.stream(f"{APP}?follow=true&lines=0")
    await stream.wire.until(lambda received: b"retry" in received)
    await store.write([numbered(10, 10)])
    assert await stream.lines(1) == ["line 10"]
    await stream.close()


@pytest.fixture
def reads(store, monkeypatch) -> list[Any]:
    """Each read of the database from now on."""
    made: list[Any] = []
    read = store.read
    monkeypatch.setattr(store, "read", lambda query: made.append(query) or read(query))
    return made


async def test_few_lines_come_without_a_read(api, store, reads) -> None:
    streams = [
        await api.stream(f"{APP}?follow=true&lines=0{query}")
        for query in ("", "", "&path=/a", f"&since={AT.isoformat().replace('+00:00', 'Z')}")
    ]
    for stream in streams:
        await stream.wire.until(lambda received: b"retry" in received)
    reads.clear()
    await store.write([block("x", name="other"), numbered(1, 2), block("b", path="/b")])
    await store.write([block("early", after=-1), numbered(3, MANY)])
    lines = [f"line {number}" for number in range(1, MANY + 1)]
    assert await streams[0].lines(MANY + 2) == [*lines[:2], "b", "early", *lines[2:]]
    assert await streams[1].lines(MANY + 2) == [*lines[:2], "b", "early", *lines[2:]]
    assert await streams[2].lines(MANY + 1) == [*lines[:2], "early", *lines[2:]]
    assert await streams[3].lines(MANY + 1) == [*lines[:2], "b", *lines[2:]]
    assert reads == []
    for stream in streams:
        await stream.close()


@pytest.mark.parametrize(
    "written",
    [
        block(*["x"] * MANY),
        block("y" * 40_000),
    ],
)
async def test_many_lines_are_read(api, store, reads, written: LogBlock) -> None:
    stream = await api.stream(f"{APP}?follow=true&lines=0")
    await stream.wire.until(lambda received: b"retry" in received)
    reads.clear()
    await store.write([written])
    assert await stream.lines(len(written.lines)) == written.lines
    assert len(reads) == 1
    await stream.close()


async def test_what_comes_without_a_read_is_what_is_read(api, store, reads) -> None:
    strange = LogBlock(
        log_name="app",
        log_path="/caf\u00e9/\\xff.log",
        source_inode=None,
        created_at=AT + timedelta(microseconds=1_999),
        lines=['\ud55c\uae00 \u0001 "quoted"', "", None, "cut", "timed"],
        marks={
            2: LineMark(flags=("gap", "truncated"), length_bytes=9, detail="rotated away"),
            3: LineMark(flags=("cut",), length_bytes=1 << 40),
        },
        logged_at_ms=[None, None, None, 0, 1_800_000_000_123],
    )
    stream = await api.stream(f"{APP}?follow=true&lines=0")
    await stream.wire.until(lambda received: b"retry" in received)
    reads.clear()
    plain = block('{"line":null,', "a\nb\r\u2028\x0b", "", path='/"line":null,')
    await store.write([strange, block(None, "plain"), plain])
    handed = [(event.last_id, event.data) for event in await stream.until(10)]
    assert reads == []
    again = await api.stream(f"{APP}?follow=true&lines=10")
    assert [(event.last_id, event.data) for event in await again.until(10)] == handed
    assert len(reads) > 0
    await stream.close()
    await again.close()


async def test_few_streams_that_differ_take_of_one_commit(api, store, reads) -> None:
    """What each takes is put together in the reactor's thread."""
    since = [(AT - timedelta(seconds=ago)).isoformat().replace("+", "%2B") for ago in range(12)]
    streams = [await api.stream(f"{APP}?follow=true&lines=0&since={one}") for one in since]
    for stream in streams:
        await stream.wire.until(lambda received: b"retry" in received)
    reads.clear()
    await store.write([block("new")])
    for stream in streams:
        assert await stream.lines(1) == ["new"]
        await stream.close()
    assert len(reads) == 4


async def test_it_resumes_without_gap_or_repeat(api, store) -> None:
    await store.write([numbered(1, 2_000)])
    stream = await api.stream(f"{APP}?follow=true&lines=1", last_id="3")
    assert [event.last_id for event in await stream.until(1_997)] == list(map(str, range(4, 2_001)))
    await stream.close()
    after = await api.stream(f"{APP}?follow=true&after=1998")
    assert await after.lines(2) == ["line 1999", "line 2000"]
    await after.close()


async def test_filters_apply_to_the_stream_too(api, store) -> None:
    await store.write([block("a 1", "b 1", "a 2", None, "a 3")])
    stream = await api.stream(f"{APP}?follow=true&lines=2&regex=%5Ea")
    assert await stream.lines(2) == ["a 2", "a 3"]
    await store.write([block("b 2"), block("a 4", "b 3", path="/b")])
    assert await stream.lines(3) == ["a 2", "a 3", "a 4"]
    await stream.close()


async def test_the_beat_tells_the_position(api, store) -> None:
    """So that who resumes a stream with a filter begins where it was, not at its last event."""
    await store.write([numbered(1, 9)])
    stream = await api.stream(f"{APP}?follow=true&match=nothing")
    await stream.wire.until(lambda received: b"retry" in received)
    api.clock.advance(15)
    await stream.wire.until(lambda received: b":\nid: 9\n\n" in received)
    assert (stream.events(), stream.last_id) == ([], "9")
    await stream.close()


async def test_a_client_that_leaves_while_its_lines_are_read_is_no_defect(
    api, store, monkeypatch
) -> None:
    stream = await api.stream(f"{APP}?follow=true")
    await stream.wire.until(lambda received: b"retry" in received)
    reads: Deferred[None] = Deferred()

    def read(_work: Any) -> Deferred[Any]:
        if not reads.called:
            reads.callback(None)
        return Deferred()

    monkeypatch.setattr(store, "read", read)
    await store.write([numbered(1, MANY)])
    await reads
    with capturedLogs() as logged:
        stream.wire.transport.abortConnection()
        await stream.wire.closed
        await deferLater(reactor, 0.02)
    assert [event for event in logged if event.get("log_failure")] == []


async def test_what_is_not_stored_any_more_is_told(api, store) -> None:
    await store.write([numbered(1, 9)])
    await store.run(lambda cursor: cursor.execute("DELETE FROM log_lines WHERE id < 6"))
    stream = await api.stream(f"{APP}?follow=true", last_id="2")
    first, *others = await stream.until(5)
    assert (first.kind, first.last_id) == ("resync", "5")
    assert [event.last_id for event in others] == ["6", "7", "8", "9"]
    await stream.close()
    exact = await api.stream(f"{APP}?follow=true", last_id="5")
    assert [event.kind for event in await exact.until(4)] == ["message"] * 4
    await exact.close()


async def test_an_id_of_another_database(api, store) -> None:
    await store.write([numbered(1, 9)])
    stream = await api.stream(f"{APP}?follow=true", last_id="500")
    (first,) = await stream.until(1)
    assert (first.kind, first.last_id) == ("resync", "9")
    await store.write([numbered(10, 10)])
    assert len(await stream.until(2)) == 2
    await stream.close()


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "9" * 19])
async def test_what_is_no_event_id(api, given: str) -> None:
    answer = await api.ask(f"{APP}?follow=true", headers={"Last-Event-ID": given})
    answer.problem(400, "bad-event-id")


@pytest.mark.parametrize("query", ["before=5", "until=2027-01-15T08:01:00Z"])
async def test_a_stream_has_no_end(api, query: str) -> None:
    told = (await api.ask(f"{APP}?follow=true&{query}")).problem(400, "bad-parameter")
    assert "a stream has no end" in told


async def test_the_form_must_be_taken(api) -> None:
    stream = {"Accept": "text/event-stream"}
    (await api.ask(APP, headers=stream)).problem(406, "not-acceptable")
    json = {"Accept": "application/json"}
    (await api.ask(f"{APP}?follow=true", headers=json)).problem(406, "not-acceptable")


async def test_head_of_a_stream_has_its_headers(api) -> None:
    """And its problems; it opens no stream."""
    stream = await api.stream(f"{APP}?follow=true")
    status, *lines = stream.head.splitlines()
    headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
    await stream.close()
    head = await api.ask(f"{APP}?follow=true", "HEAD")
    del headers["date"], head.headers["date"]
    own = {"connection", "transfer-encoding"}  # the one asks as HTTP 1.0, the other as 1.1
    assert {name: text for name, text in head.headers.items() if name not in own} == headers
    assert (str(head.status), headers["x-content-type-options"]) == (status.split()[1], "nosniff")
    for given in ({"Last-Event-ID": "x"}, {"Accept": "application/json"}):
        get = await api.ask(f"{APP}?follow=true", headers=given)
        head = await api.ask(f"{APP}?follow=true", "HEAD", given)
        assert (head.status, head.headers["content-type"]) == (
            get.status,
            get.headers["content-type"],
        )
        assert head.status >= 400


async def test_a_stream_of_nothing_is_quiet_while_others_write(api, store, monkeypatch) -> None:
    """Commits of other logs cost it a look now and then, not one each."""
    looks: list[str] = []
    real = table.lines

    def note(cursor: Any, part: Any, *args: Any, **more: Any) -> Any:
        looks.append(part.log_name)
        return real(cursor, part, *args, **more)

    monkeypatch.setattr(table, "lines", note)
    stream = await api.stream("/api/v1/logs/quiet?follow=true")
    await stream.wire.until(lambda received: b"retry" in received)
    for number in range(20):
        await store.write([numbered(number, number)])
    before = len(looks)
    assert before < 6
    await store.write([numbered(1, 1, name="quiet")])
    api.clock.advance(0.05)
    assert await stream.lines(1) == ["line 1"]
    await stream.close()


async def test_no_more_streams_after_the_end(api, store) -> None:
    await store.write([numbered(1, 1)])
    stream = await api.stream(f"{APP}?follow=true")
    await stream.until(1)
    api.server.streams.close()
    await stream.wire.closed
    (await api.ask(f"{APP}?follow=true")).problem(503, "too-many-streams")


async def test_a_store_that_fails_is_a_problem_or_the_end(api, store, monkeypatch) -> None:
    from twisted.internet.defer import fail

    from etlmon.errors import StoreError

    stream = await api.stream(f"{APP}?follow=true")
    await stream.wire.until(lambda received: b"retry" in received)
    monkeypatch.setattr(store, "read", lambda _: fail(StoreError("gone")))
    await store.write([numbered(1, MANY)])
    await stream.wire.closed
    (await api.ask(f"{APP}?follow=true")).problem(503, "database-unavailable")


async def test_a_defect_ends_the_stream_that_meets_it_and_no_other(
    api, store, monkeypatch, flush_logged_errors
) -> None:
    streams = [
        await api.stream(f"{APP}?follow=true&lines=0{query}") for query in ("&path=/a", "&path=/b")
    ]
    for stream in streams:
        await stream.wire.until(lambda received: b"retry" in received)
    holds = table.Part.holds

    def broken(part: table.Part, stored: LogBlock) -> bool:
        if part.log_path == "/a":
            raise ZeroDivisionError
        return holds(part, stored)

    monkeypatch.setattr(table.Part, "holds", broken)
    await store.write([block("b", path="/b")])
    await streams[0].wire.closed
    assert await streams[1].lines(1) == ["b"]
    await streams[1].close()
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


async def stall(api: Any, store: Any) -> Any:
    """Open a stream whose client takes nothing, and fill it."""
    stopped = await api.stream(f"{APP}?follow=true")
    (held,) = api.server.streams._open
    connection = held._request.channel.transport
    stopped.wire.transport.pauseProducing()
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    while held.stalled_since is None:
        await store.write([block(*["x" * 1_000] * 50)])
    return stopped, held


async def test_a_client_that_takes_nothing_for_a_minute_is_cut_off(api, store) -> None:
    """It holds a place that others want; when it comes again it goes on where it was."""
    stopped, _ = await stall(api, store)
    other = await api.stream(f"{APP}?follow=true&lines=0")
    await other.wire.until(lambda received: b"retry" in received)
    for _ in range(3):
        api.clock.advance(15)
    assert len(api.server.streams) == 2
    with capturedLogs() as logged:
        api.clock.advance(15)
        while len(api.server.streams) > 1:
            await deferLater(reactor, 0.01)
    assert "its client has taken nothing for" in str([one.get("log_format") for one in logged])
    stopped.wire.transport.resumeProducing()
    await stopped.wire.closed
    last = int(stopped.last_id)
    again = await api.stream(f"{APP}?follow=true", last_id=str(last))
    assert (await again.until(1))[0].last_id == str(last + 1)
    await again.close()
    await other.close()


async def test_a_client_that_takes_something_now_and_then_is_not(api, store) -> None:
    stopped, held = await stall(api, store)
    for _ in range(2):
        for _ in range(3):
            api.clock.advance(15)
        stopped.wire.transport.resumeProducing()
        while held.stalled_since is not None:
            await deferLater(reactor, 0.01)
        stopped.wire.transport.pauseProducing()
        while held.stalled_since is None:
            await store.write([block(*["x" * 1_000] * 50)])
    assert len(api.server.streams) == 1
    stopped.wire.transport.abortConnection()
    while len(api.server.streams):
        await deferLater(reactor, 0.01)


# --- commands -------------------------------------------------------------------------------------


async def test_pause_and_resume(api) -> None:
    answer = await api.command(b'{"confirm": true}', f"{APP}/pause")
    assert (answer.status, answer.json) == (200, {"name": "app", "paused": True})
    answer = await api.command(b'{"confirm": true}', f"{APP}/resume")
    assert answer.json == {"name": "app", "paused": False}
    assert api.logs.switched == [("app", True), ("app", False)]


async def test_pauses_are_limited_in_rate_for_each_has_a_row_of_the_audit(api) -> None:
    for number in range(30):
        verb = "resume" if number % 2 else "pause"
        assert (await api.command(b'{"confirm": true}', f"{APP}/{verb}")).status == 200
    refused = await api.command(b'{"confirm": true}', f"{APP}/pause")
    assert "30" in refused.problem(429, "too-many-commands")
    api.clock.advance(int(refused.headers["retry-after"]))
    assert (await api.command(b'{"confirm": true}', f"{APP}/pause")).status == 200


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_switches_that_are_refused(api, make_api, store, verb: str) -> None:
    (await api.command(b"{}", f"{APP}/{verb}")).problem(400, "confirmation-required")
    confirmed = b'{"confirm": true}'
    nope = await api.command(confirmed, f"/api/v1/logs/nope/{verb}")
    nope.problem(404, "log-not-configured")
    closed = make_api(store, enabled=False)
    await closed.start()
    (await closed.command(confirmed, f"{APP}/{verb}")).problem(403, "commands-disabled")
    await closed.stop()
    assert api.logs.switched == []


# --- many -----------------------------------------------------------------------------------------


class Numbers:
    """The numbers of the lines of a stream, as they come."""

    def __init__(self, stream: Any) -> None:
        self.found: list[int] = []
        self._rest = b""
        stream.wire.dataReceived = self.received

    def received(self, data: bytes) -> None:
        whole, mark, self._rest = (self._rest + data).rpartition(b"\n")
        self.found += map(int, re.findall(rb'\ndata: [^\n]*"line":"(\d+) ', b"\n" + whole + mark))


async def test_200_streams_and_one_that_takes_nothing(api, store) -> None:
    """The others get every line, and what waits for the one is not kept in memory."""
    stopped = await api.stream(f"{APP}?follow=true")
    (held,) = api.server.streams._open
    connection = held._request.channel.transport
    stopped.wire.transport.pauseProducing()
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    late = Numbers(stopped)
    streams = [await api.stream(f"{APP}?follow=true&lines=0") for _ in range(199)]
    all_numbers = [Numbers(stream) for stream in streams]
    written = [*range(1_500)]
    for first in written[::50]:
        numbers = written[first : first + 50]
        await store.write([block(*[f"{number} " + "x" * 1_000 for number in numbers])])
    while min(len(numbers.found) for numbers in all_numbers) < len(written):
        api.clock.advance(0.05)
        await deferLater(reactor, 0.01)
    assert all(numbers.found == written for numbers in all_numbers)
    assert held.stalled_since is not None
    assert len(connection.dataBuffer) + connection._tempDataLen < 400_000, "of 1,600,000"
    stopped.wire.transport.resumeProducing()
    while len(late.found) < len(written):
        await deferLater(reactor, 0.01)
    assert late.found == written
    for stream in [stopped, *streams]:
        stream.wire.transport.abortConnection()
    while len(api.server.streams):
        await deferLater(reactor, 0.01)
