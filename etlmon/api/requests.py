"""Requests as the API takes them: bounded in size, decoded with errors that name the field."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

import msgspec
from twisted.web.server import Request

from etlmon.api import problems
from etlmon.api.pages import SERVER
from etlmon.contract.query import Query
from etlmon.contract.wire import read_query
from etlmon.contract.words import in_words
from etlmon.control.callers import Caller
from etlmon.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etlmon.control.audit import Attempt

T = TypeVar("T")
Q = TypeVar("Q", bound=Query)

MOST_BODY_BYTES = 1 << 20
_MOST_PARAMETERS = 100
_LINGER_SECONDS = 2.0
"""How long a refused client may go on sending."""


class BoundedRequest(Request):
    """A request that is refused as soon as its body is, or says it is, over 1 MiB."""

    caller = Caller()
    """Who asks, as soon as that is known."""
    attempt: Attempt | None = None
    """What the audit hears of it, if it is a command."""
    began: float | None = None
    """When it came in, whole, by the server's clock; None for one that never came so far."""
    endpoint = ""
    """The name of the endpoint that it has reached, if any."""
    attempt_is_told = False
    """Whether log and audit know already that it was refused."""

    _received = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:
        """Look at the length that the client declares, before anything is read."""
        super().gotLength(0 if length is None or length > MOST_BODY_BYTES else length)
        if length is not None and length > MOST_BODY_BYTES:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, unless it is too much."""
        self._received += len(data)
        if self._received <= MOST_BODY_BYTES and not self._refused:
            super().handleContentChunk(data)
        elif not self._refused:
            self._refuse()

    def process(self) -> None:
        """Answer the request, unless that has been done; then its whole body has come by now."""
        if self._refused:
            self.channel.loseConnection()
        else:
            super().process()

    def finish(self) -> None:
        """End the answer; a client that takes nothing of its last one is cut off after a while.

        Twisted sees to that only where the connection stays open for a next request.
        """
        channel: Any = self.channel
        super().finish()
        if not channel.persistent:
            channel.setTimeout(channel.site.timeOut)

    def getRequestHostname(self) -> bytes:
        """Give one name for all: no route depends on the host, and some that come are no names."""
        return b"localhost"

    def _refuse(self) -> None:
        self._refused = True
        self.requestHeaders.removeHeader(b"expect")
        error = ApiError(
            413, "body-too-large", f"The body may have at most {MOST_BODY_BYTES:,} bytes."
        )
        channel: Any = self.channel
        # The request learns its own method and path only when its body is whole.
        self.method = getattr(channel, "_command", b"")
        self.uri = getattr(channel, "_path", b"")
        told: Any = getattr(channel, "site", None)
        if hasattr(told, "too_large"):
            told.too_large(self, error)
        answer_unread(channel, error, self.uri)


def answer_unread(channel: Any, error: ApiError, uri: bytes) -> None:
    """Answer a request of which not all is read, and drop what still comes of it.

    Closing on that would take back the answer.
    """
    path = quote(uri.partition(b"?")[0], safe=problems.URI_CHARACTERS)
    body = problems.encode(error, path)
    phrase = HTTPStatus(error.status).phrase.encode()
    channel.transport.write(
        b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"
        b"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nServer: %s\r\n"
        b"Connection: close\r\n\r\n%s"
        % (error.status, phrase, problems.CONTENT_TYPE, len(body), SERVER[0], body)
    )
    channel.transport.loseWriteConnection()
    channel.dataReceived = lambda _data: None
    channel.setTimeout(_LINGER_SECONDS)


def guard(segment: bytes) -> bytes:
    """Give a decoded segment of a path so that a slash within it divides nothing.

    The router is handed the path in one piece; ``parse_query`` undoes this for what it takes out.
    """
    return segment.replace(b"%", b"%25").replace(b"/", b"%2F")


def check_path(request: Request) -> None:
    """Raise ApiError (404) for a path that is no text: Klein would answer it in its own way."""
    try:
        unquote_to_bytes(request.path).decode()
    except UnicodeDecodeError as error:
        raise problems.no_such_path() from error


def parse_query(request: Request, wanted: type[Q], guarded: Mapping[str, str]) -> Q:
    """Decode the query string of a request, and what the router took out of its path.

    Raises ApiError (400) naming the parameter and what it may be.
    """
    raw = request.uri.partition(b"?")[2]
    try:
        pairs = parse_qsl(
            raw.decode("ascii", "surrogateescape"),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            errors="surrogateescape",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError as error:
        raise ApiError(400, "bad-query", f"The query string cannot be read: {error}.") from error
    try:
        return read_query(pairs, wanted, {name: unquote(text) for name, text in guarded.items()})
    except ApiError as error:
        if b"+" not in raw or error.problem != "bad-parameter":
            raise
        detail = f"{error.detail} A + stands for a space in a URL; write %2B for it."
        raise ApiError(400, error.problem, detail) from error


def parse_body(raw: bytes, content_type: bytes | None, wanted: type[T]) -> T:
    """Decode a JSON body; raise ApiError: 415 for another type, 400 naming the field."""
    media_type = (content_type or b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        raise ApiError(
            415,
            "unsupported-media-type",
            "A command needs a JSON body and the header Content-Type: application/json.",
            headers={"Accept": "application/json"},
        )
    try:
        return msgspec.json.decode(raw or b"{}", type=wanted)
    except msgspec.ValidationError as error:
        raise ApiError(400, "bad-body", in_words(error)) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ApiError(400, "bad-body", f"The body is not JSON: {error}.") from error
