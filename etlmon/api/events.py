"""Server-Sent Events as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENCODER = msgspec.json.Encoder()


def event(number: int, item: Any, kind: str = "") -> bytes:
    """Give an event; ``kind`` is for those that are no item of the stream."""
    name = f"event: {kind}\n".encode() if kind else b""
    return b"%sid: %d\ndata: %s\n\n" % (name, number, msgspec.json.encode(item))


def of(items: Sequence[Any]) -> bytes:
    """Give the events of items, each with its ``id``; in one go, as that costs half as much."""
    texts = zip(items, encode_each(items), strict=True)
    return b"".join([b"id: %d\ndata: %s\n\n" % (item.id, text) for item, text in texts])


def encode_each(items: Sequence[Any]) -> list[bytes]:
    """Give the JSON of each item, none of which has a line break in it."""
    return _ENCODER.encode_lines(items).splitlines()


def resync(position: int, reason: str) -> bytes:
    """Give the event that says: what was between the last event and this one is not known."""
    return event(position, {"reason": reason}, "resync")


def go_on(position: int, oldest: int, last: int, what: str) -> tuple[int, list[bytes]]:
    """Give where a stream goes on, and the event that says so where that is not ``position``.

    ``oldest`` and ``last`` are the ids that are stored; ``what`` they number, for example lines.
    """
    if position > last:
        return last, [resync(last, "the node has a new database")]
    if position + 1 < oldest:
        return oldest - 1, [resync(oldest - 1, f"{what} in between are not stored any more")]
    return position, []
