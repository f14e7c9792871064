"""Events as bytes: many in one go are what each would be alone."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from etlmon.api import events
from etlmon.records.log import LogLine


def line(number: int, text: str | None) -> LogLine:
    return LogLine(
        id=number,
        log_name="app",
        log_path="/logs/app.log",
        line=text,
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
        source_inode=7,
        flags=[],
        logged_at=None,
        length_bytes=None,
        detail=None,
    )


def test_many_events_are_each_of_them() -> None:
    texts = ["", "plain", "a\nb\r\nc\rd", "\u2028\x85\x0b\x1c", 'id: 9\ndata: "x"\n\n', None]
    items = [line(number, text) for number, text in enumerate(texts, 40)]
    assert events.of(items) == b"".join(events.event(item.id, item) for item in items)


def test_no_events_are_nothing() -> None:
    assert events.of([]) == b""


def test_an_event_is_one_line_of_data() -> None:
    """Whatever is in it: a line break would end the field, an empty line the event."""
    (number, data, end, last) = events.of([line(5, "a\r\rb\n\nc")]).split(b"\n")
    assert (number, end, last) == (b"id: 5", b"", b"")
    assert msgspec.json.decode(data.removeprefix(b"data: "))["line"] == "a\r\rb\n\nc"
