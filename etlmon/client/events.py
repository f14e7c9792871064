"""Server-Sent Events as they come over the wire (WHATWG HTML, 9.2.6). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_MOST_BYTES = 8 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLargeError(ValueError):
    """An event is larger than any that a node sends: whoever sends it is no node."""


@dataclass(frozen=True)
class Event:
    """One event; ``last_id`` is what to resume after."""

    kind: str
    data: str
    last_id: str


class EventParser:
    """Takes the bytes of a stream in any pieces and gives the events that they complete.

    Bytes that are not UTF-8 are replaced. An event that the stream leaves unfinished is none.
    ``retry`` is passed over: who follows a stream has a back-off of his own.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._buffer = bytearray()
        self._seen = 0
        """Up to where it holds no end of a line; a long one comes in hundreds of pieces."""
        self._begun = False
        self._data: list[str] = []
        self._size = 0
        self._kind = ""
        self._id = last_id

    def feed(self, piece: bytes) -> list[Event]:
        """Give the events that this piece completes; raise EventTooLargeError."""
        self._buffer += piece
        if not self._begun:
            if len(self._buffer) < 3 and _BYTE_ORDER_MARK.startswith(self._buffer):
                return []
            self._begun = True
            self._buffer = self._buffer.removeprefix(_BYTE_ORDER_MARK)
        events = []
        start = 0
        seen = len(self._buffer)
        for end in _LINE_END.finditer(self._buffer, self._seen):
            if end[0] == b"\r" and end.end() == len(self._buffer):
                seen = end.start()  # its LF may come with the next piece
                break
            event = self._take(self._buffer[start : end.start()])
            start = end.end()
            if event is not None:
                events.append(event)
        self._buffer = self._buffer[start:]
        self._seen = seen - start
        if len(self._buffer) + self._size > _MOST_BYTES:
            raise EventTooLargeError(f"an event of more than {_MOST_BYTES:,} bytes")
        return events

    def _take(self, line: bytearray) -> Event | None:
        """Take one line; give the event that an empty one ends."""
        if not line:
            return self._end()
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(text)
            self._size += len(line)
        elif name == b"event":
            self._kind = text
        elif name == b"id" and "\0" not in text:
            self._id = text
        return None

    def _end(self) -> Event | None:
        self.last_id = self._id
        data, kind = self._data, self._kind
        self._data, self._kind, self._size = [], "", 0
        if not data:
            return None
        return Event(kind or "message", "\n".join(data), self.last_id)
