"""Answers as plain text: all pages of a list, and JSON that cannot drive a terminal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from etlmon.client.http import ClientError, Reply
from etlmon.contract.logs import LOG_LINES, LogLinesQuery
from etlmon.contract.openapi import OPENAPI
from etlmon.contract.paths import PATHS, SCAN_PATHS
from etlmon.contract.query import Page, Query
from etlmon.contract.xferlog import XFERLOG, XferlogQuery
from etlmon.records.log import LogLine
from etlmon.records.path import PathStats, ScanAnswer
from etlmon.records.xferlog import XferlogEntry
from etlmon.ui.format import text_width
from etlmon.ui.plain import fetch_json, fetch_text, follow_items
from etlmon.units import utc


class FakeClient:
    """Gives pages, one after the other, and notes which were asked for."""

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)
        self.asked: list[str | None] = []

    async def call(self, _endpoint: Any, _query: Any = None, *, page: str | None = None) -> Reply:
        self.asked.append(page)
        value = self.pages.pop(0)
        return Reply(value, b"", f"/next/{len(self.pages)}" if self.pages else None)


def stats(path: str) -> PathStats:
    return PathStats(id="1", path=path, status="OK")


async def test_all_pages_of_a_list_are_fetched() -> None:
    client = FakeClient([stats("/a")], [stats("/b")], [stats("/c")])
    text = await fetch_json(client, PATHS, Page())
    assert [item["path"] for item in msgspec.json.decode(text)] == ["/a", "/b", "/c"]
    assert client.asked == [None, "/next/2", "/next/1"]


async def test_a_limit_gives_one_page() -> None:
    client = FakeClient([stats("/a")], [stats("/b")])
    text = await fetch_text(client, PATHS, Page(limit=1))
    assert "/a" in text
    assert "/b" not in text


class Lines:
    """Gives the newest lines, or the oldest, some at a time; a search may give none."""

    def __init__(self, *pages: list[int], newer: bool = False) -> None:
        self.pages = list(pages)
        self.newer = newer

    async def call(self, _endpoint: Any, _query: Any = None, *, page: str | None = None) -> Reply:
        at = utc(1_800_000_000.0)
        numbers = self.pages.pop(0)
        found = [LogLine(id=n, log_name="a", log_path="/a", created_at=at) for n in numbers]
        rest = "/logs/a?lines=3&before=7" if self.pages else None
        return Reply(found, b"", rest, None) if self.newer else Reply(found, b"", None, rest)


@pytest.mark.parametrize(
    ("query", "client", "expected"),
    [
        ({"lines": 5}, Lines([7, 8, 9], [4, 5, 6], [1, 2, 3]), [5, 6, 7, 8, 9]),
        ({"lines": 5}, Lines([7, 8, 9]), [7, 8, 9]),
        ({"match": "x"}, Lines([], [9], [], [5, 6], [1]), [5, 6, 9]),
        ({"after": 0, "lines": 4}, Lines([1], [], [2, 3, 4, 5], newer=True), [1, 2, 3, 4]),
        ({"lines": 0}, Lines([]), []),
    ],
)
async def test_as_many_lines_as_are_asked_for(
    query: dict[str, Any], client: Any, expected: list[int]
) -> None:
    text = await fetch_json(client, LOG_LINES, LogLinesQuery(name="a", **query))
    assert [line["id"] for line in msgspec.json.decode(text)] == expected


async def test_an_empty_list_is_said_in_words_and_is_an_array_for_programs() -> None:
    assert await fetch_text(FakeClient([]), PATHS, Page()) == "Nothing there yet."
    assert await fetch_json(FakeClient([]), PATHS, Page()) == "[]"


async def test_a_table_has_the_columns_of_the_contract() -> None:
    text = await fetch_text(FakeClient([stats("/a")]), PATHS, Page())
    assert text.split("\n")[0].startswith("PATH  FILE COUNT  FILE COUNT CHANGE  DIR COUNT")


async def test_transfers_fit_on_a_terminal() -> None:
    at = utc(1_795_510_986)
    upload = XferlogEntry(
        id=1, log_path="/l", created_at=at, log_time=at, status="complete", direction="upload",
        bytes=734_003_205, username="a_long_user_name", remote_host="partner-gw-01.example.com",
        transfer_time_sec=12, filename="/srv/입고/하루_매출.csv",
    )  # fmt: skip
    none = XferlogEntry(id=2, log_path="/l", created_at=at, status="unparsed", reason="no date")
    text = await fetch_text(FakeClient([upload, none]), XFERLOG, XferlogQuery(), 80)
    lines = text.split("\n")
    assert max(map(text_width, lines)) <= 80
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 4] * 3
    assert "LANDING" not in text
    wide = await fetch_text(FakeClient([upload]), XFERLOG, XferlogQuery(), 200)
    assert len(wide.split("\n")) == 2


async def test_what_is_no_transfer_shows_its_line() -> None:
    at = utc(1_795_510_986)
    line = "\x1b[2J no transfer " + "x" * 2_000
    none = XferlogEntry(
        id=2, log_path="/l", created_at=at, status="unparsed", reason="no date", line=line
    )
    upload = XferlogEntry(
        id=1, log_path="/l", created_at=at, status="complete", landing="partial",
        landing_reason="the transfer broke off",
    )  # fmt: skip
    text = await fetch_text(FakeClient([none, upload]), XFERLOG, XferlogQuery(), 80)
    assert "no date\n    \u241b[2J no transfer xxx" in text
    assert "\u2026 (1,017 \n        more)\n" in text
    assert max(map(text_width, text.split("\n"))) == 80
    assert text.endswith("\ncomplete  partial  the transfer broke off  -")
    piped = await fetch_text(FakeClient([none]), XFERLOG, XferlogQuery())
    assert len(piped.split("\n")) == 2
    assert piped.endswith("x" * 2_000)


async def test_a_record_and_any_other_value() -> None:
    answer = ScanAnswer(started=["/a"], skipped=[])
    assert "started  /a" in await fetch_text(FakeClient(answer), SCAN_PATHS, Query())
    assert msgspec.json.decode(await fetch_text(FakeClient({"a": 1}), OPENAPI, Query())) == {"a": 1}


@pytest.mark.parametrize(
    "path", ["/a\x1b\x7f\x9b2J\u202e\u200b\u2028", "/한국 é 👍", "/\U000e0041"]
)
async def test_json_is_the_same_and_drives_no_terminal(path: str) -> None:
    text = await fetch_json(FakeClient([stats(path)]), PATHS, Page())
    assert msgspec.json.decode(text)[0]["path"] == path
    assert all(character.isprintable() or character == "\n" for character in text)
    assert ("한국" in path) == ("한국" in text)


# --- lines of logs --------------------------------------------------------------------------------


def line(number: int, text: str | None, **more: Any) -> LogLine:
    return LogLine(
        id=number, log_name="app", log_path="/a", line=text, created_at=utc(1.25), **more
    )


ODD = [
    line(1, "a\x1b[31m\tb"),
    line(2, None, flags=["gap"], length_bytes=1_234, detail="gone\n"),
    line(3, "x", flags=["cut"], length_bytes=70_000),
    line(4, "y", logged_at=utc(61)),
    line(5, None, flags=["truncated"]),
]
SHOWN = [
    "01.250  a␛[31m␉b",
    "01.250  -- gap, 1,234 bytes: gone␊ --",
    "01.250  x  -- cut, of 70,000 bytes --",
    "01.000  y",
    "01.250  -- truncated --",
]


async def test_lines_are_a_line_each() -> None:
    text = await fetch_text(FakeClient(ODD), LOG_LINES, LogLinesQuery(name="app"))
    assert [one.partition(":")[2].partition(":")[2] for one in text.split("\n")] == SHOWN


class FakeStream:
    """Lets the test say what the node sends."""

    address = "node"

    def __init__(self) -> None:
        self.asked: list[Deferred[Any]] = []

    def open_stream(self, _target: str, _last: str) -> Deferred[Any]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def deliverBody(self, body: Any) -> None:
        self.body = body

    def begin(self) -> None:
        self.asked[-1].callback(self)


class Following:
    """What is written while a stream is followed; a full pipe is one whose reader has gone."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.stream, self.clock = FakeStream(), Clock()
        self.written: list[str] = []
        self.told: list[str] = []
        self.is_broken = False
        self.done = Deferred.fromCoroutine(
            follow_items(
                self.stream,  # type: ignore[arg-type]
                LOG_LINES,
                LogLinesQuery(name="app", follow=True),
                self.clock,
                as_json=as_json,
                write=self.write,
                tell=self.told.append,
            )
        )

    def write(self, text: str) -> None:
        if self.is_broken:
            raise BrokenPipeError
        self.written.append(text)

    def send(self, *items: LogLine) -> None:
        for one in items:
            self.stream.body.dataReceived(
                b"id: %d\ndata: %s\n\n" % (one.id, msgspec.json.encode(one))
            )


async def test_items_are_written_as_they_come() -> None:
    following = Following()
    following.stream.begin()
    following.send(*ODD)
    assert [one.partition(":")[2].partition(":")[2] for one in following.written] == SHOWN
    following.stream.body.dataReceived(b'event: resync\ndata: {"reason": "too old"}\n\n')
    following.stream.body.connectionLost()
    assert following.told[0] == "something is missing here: too old"
    assert following.told[1].startswith("the stream ended; trying again in 1 s")
    following.done.cancel()
    with pytest.raises(CancelledError):
        await following.done
    assert not following.clock.getDelayedCalls()


async def test_items_for_programs_drive_no_terminal() -> None:
    following = Following(as_json=True)
    following.stream.begin()
    following.send(line(1, "\x9b\u202e\n"))
    assert following.written[0].isascii()
    assert msgspec.json.decode(following.written[0], type=LogLine) == line(1, "\x9b\u202e\n")
    following.is_broken = True
    following.send(line(2, "x"))
    with pytest.raises(BrokenPipeError):
        await following.done
    assert not following.clock.getDelayedCalls()


async def test_a_stream_that_never_was_is_an_error() -> None:
    following = Following()
    following.stream.asked[0].errback(ClientError("node: no such log", "problem"))
    with pytest.raises(ClientError, match="no such log"):
        await following.done
    assert following.told == []
    assert not following.clock.getDelayedCalls()
