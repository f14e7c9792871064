"""Answers and problems as they go out: their headers and their bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from etlmon.api import problems
from etlmon.api.negotiate import matches, takes_gzip
from etlmon.api.pages import SERVER

if TYPE_CHECKING:
    from twisted.web.http import Request
    from twisted.web.iweb import IRequest

    from etlmon.api.answers import EncodedAnswer
    from etlmon.errors import ApiError

_EVENT_STREAM = [b"text/event-stream"]
_JSON = [b"application/json"]
_NOSNIFF = [b"nosniff"]
_NO_CACHE = [b"no-cache"]
_VARY = [b"Accept-Encoding"]
_GZIP = [b"gzip"]


def respond(request: Request, encoded: EncodedAnswer) -> bytes:
    """Set the headers of an answer to a query and give its body, or none (304)."""
    set_header = request.responseHeaders.setRawHeaders
    for name, values in encoded.headers:
        set_header(name, values)
    set_header(b"Cache-Control", _NO_CACHE)
    known = request.requestHeaders.getRawHeaders(b"if-none-match")
    if known is not None and matches(b",".join(known), encoded.etag):
        set_header(b"Server", SERVER)
        set_header(b"Vary", _VARY)
        request.setResponseCode(304)
        return b""
    return write_json(request, encoded)


def write_json(request: Request, encoded: EncodedAnswer) -> bytes:
    """Set the headers that go with a body and give it, compressed if that is worth it."""
    set_header = request.responseHeaders.setRawHeaders
    set_header(b"Server", SERVER)
    set_header(b"Vary", _VARY)
    set_header(b"Content-Type", _JSON)
    set_header(b"X-Content-Type-Options", _NOSNIFF)
    body = encoded.body
    if encoded.worth_compressing and takes_gzip(request):
        body = encoded.compressed
        set_header(b"Content-Encoding", _GZIP)
    set_header(b"Content-Length", [b"%d" % len(body)])
    return body


def write_problem(request: Request | IRequest, problem: ApiError) -> bytes:
    """Set the headers of a problem and give its body."""
    path = quote(request.uri.partition(b"?")[0], safe=problems.URI_CHARACTERS)
    body = problems.encode(problem, path)
    request.setResponseCode(problem.status)
    headers = request.responseHeaders
    headers.setRawHeaders(b"Content-Type", [problems.CONTENT_TYPE])
    headers.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
    headers.setRawHeaders(b"Cache-Control", [b"no-store"])
    headers.setRawHeaders(b"X-Content-Type-Options", _NOSNIFF)
    headers.setRawHeaders(b"Server", SERVER)
    for name, text in problem.headers.items():
        headers.setRawHeaders(name, [text])
    return body


def is_stream(request: Request) -> bool:
    """Whether a request has been answered with a stream."""
    return request.responseHeaders.getRawHeaders(b"content-type") == _EVENT_STREAM
