"""Server-Sent Events, cut anywhere: the bytes decide, never the pieces they come in."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.client import events
from etlmon.client.events import Event, EventParser, EventTooLargeError


def parse(*pieces: bytes, last_id: str = "") -> list[Event]:
    parser = EventParser(last_id)
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [Event("message", "a", "")]),
        (b"data:a\n\n", [Event("message", "a", "")]),
        (b"data:  a\n\n", [Event("message", " a", "")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [Event("message", "a", ""), Event("message", "b", "")]),
        (b"data: a\r\rdata: b\r\r\n", [Event("message", "a", ""), Event("message", "b", "")]),
        (b"data: a\ndata: b\ndata\n\n", [Event("message", "a\nb\n", "")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("message", "a", "")]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [Event("message", "a", "")]),
        (b": a comment\n\n:\n\ndata: a\n\n", [Event("message", "a", "")]),
        (b"event: row\nid: 7\ndata: a\n\n", [Event("row", "a", "7")]),
        (b"event: row\ndata: a\n\ndata: b\n\n", [Event("row", "a", ""), Event("message", "b", "")]),
        (
            b"id: 7\ndata: a\n\ndata: b\n\n",
            [Event("message", "a", "7"), Event("message", "b", "7")],
        ),
        (
            b"id: 7\ndata: a\n\nid\ndata: b\n\n",
            [Event("message", "a", "7"), Event("message", "b", "")],
        ),
        (b"id: 7\n\ndata: b\n\n", [Event("message", "b", "7")]),
        (b"id: 1\0\ndata: a\n\n", [Event("message", "a", "")]),
        (
            b"id: 1\ndata: a\n\nid: \x002\ndata: b\n\n",
            [Event("message", "a", "1"), Event("message", "b", "1")],
        ),
        (b"event: row\n\ndata: a\n\n", [Event("message", "a", "")]),
        (b"data: \xff\xfe a\n\n", [Event("message", "\ufffd\ufffd a", "")]),
        ("data: 한국 👍\n\n".encode(), [Event("message", "한국 👍", "")]),
        (b"unknown: x\ndatax: y\nDATA: z\n\n", []),
        (b"data: unfinished\n", []),
        (b"data: unfinished", []),
        (b"", []),
        (b"\n\n\n", []),
    ],
)
def test_a_stream_gives_its_events_whole_and_byte_by_byte(
    stream: bytes, expected: list[Event]
) -> None:
    # Only an LF after the last CR, or anything else, says where a line ends.
    stream = stream.replace(b"\r\r\n", b"\r\r\n:")
    assert parse(stream) == expected
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == expected


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            b"data: ",
            b"data",
            b"id: ",
            b"event: ",
            b"retry: ",
            b": ",
            b":",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"7",
            b"\0",
            b" ",
            b"\xef\xbb\xbf",
            b"\xef",
            b"\xff",
            "한".encode(),
            b"x",
        ]
    )
    | st.binary(max_size=4),
    max_size=40,
)


@given(FRAGMENTS, st.data())
def test_any_cutting_gives_the_same_events(fragments: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(fragments)
    whole, cut = EventParser("0"), EventParser("0")
    expected = whole.feed(stream)
    places = data.draw(st.lists(st.integers(0, len(stream))).map(sorted))
    found = []
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        found += cut.feed(stream[start:end])
    assert found == expected
    assert cut.last_id == whole.last_id


def test_it_goes_on_after_the_last_id_of_the_stream_before() -> None:
    assert parse(b"data: a\n\n", last_id="41") == [Event("message", "a", "41")]


def test_retry_is_passed_over() -> None:
    assert parse(b"retry: 1500\ndata: a\n\n") == [Event("message", "a", "")]


@pytest.mark.parametrize(
    "piece", [b"x" * 50, b"data: " + b"x" * 50, b"data: xxxxx\n" * 5, b"data:\n" * 20]
)
def test_an_event_that_does_not_end_is_refused(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_MOST_BYTES", 100)
    with pytest.raises(EventTooLargeError, match="100 bytes"):
        parse(*[piece] * 4)


def test_each_byte_of_a_long_line_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []

    class LineEnd:
        def finditer(self, text: bytearray, begin: int = 0) -> Iterator[re.Match[bytes]]:
            looked_at.append(len(text) - begin)
            return line_end.finditer(text, begin)

    line_end = events._LINE_END
    monkeypatch.setattr(events, "_LINE_END", LineEnd())
    assert parse(b"data: ", *[b"x" * 1_000] * 100, b"\r", b"\n\n") == [
        Event("message", "x" * 100_000, "")
    ]
    assert sum(looked_at) <= 100_010


def test_many_events_are_no_large_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MOST_BYTES", 100)
    parser = EventParser()
    assert len(parser.feed(b"data: xxxxx\n\n" * 1000)) == 1000
