"""What a client takes: the form of an answer, its compression, and whether it has it already."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from etlmon.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.web.http import Request

_JSON_NAMES = (b"application/json", b"application/*", b"*/*")
_STREAM_NAMES = (b"text/event-stream", b"text/*", b"*/*")
_FOLLOW = b"follow=true"
_REFUSING = re.compile(rb"q\s*=\s*0(\.0*)?")


def check_accept(request: Request) -> None:
    """Raise ApiError (406) for a client that does not take the form of the answer."""
    lines = request.requestHeaders.getRawHeaders(b"accept")
    if lines is None or lines == [b"*/*"]:
        return
    is_stream = _FOLLOW in request.uri.partition(b"?")[2].split(b"&")
    names = _STREAM_NAMES if is_stream else _JSON_NAMES
    taken = _taken(lines)
    # The most specific one that the client names decides (RFC 9110, 12.5.1).
    if taken and not next((taken[kind] for kind in names if kind in taken), False):
        raise ApiError(
            406,
            "not-acceptable",
            f"This API answers here in {names[0].decode()}; accept that.",
        )


def takes_gzip(request: Request) -> bool:
    """Whether the answer may be compressed."""
    taken = _taken(request.requestHeaders.getRawHeaders(b"accept-encoding", ()))
    return taken.get(b"gzip", taken.get(b"*", False))


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Compare weakly (RFC 9110, 13.1.2): the mark of weakness does not count."""
    bare = etag.removeprefix(b"W/")
    return any(
        candidate == b"*" or candidate.removeprefix(b"W/") == bare
        for candidate in (part.strip() for part in if_none_match.split(b","))
    )


def _taken(lines: Iterable[bytes]) -> dict[bytes, bool]:
    """Tell of each name in an Accept header or its like whether it is taken: all but ``q=0``."""
    taken = {}
    for part in b",".join(lines).lower().split(b","):
        name, *parameters = (piece.strip() for piece in part.split(b";"))
        if name:
            taken[name] = not any(map(_REFUSING.fullmatch, parameters))
    return taken
