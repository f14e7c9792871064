"""Pages that are no JSON, for programs that supervise: they stand beside the endpoints.

They go through the same entrance: the Host check, the token, the log of what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.server import NOT_DONE_YET

from etlmon import __version__
from etlmon.api import problems
from etlmon.api.metrics.exposition import OPENMETRICS, TEXT, prefers_openmetrics
from etlmon.contract.pages import LIVE, METRICS, READY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etlmon.api.metrics.exposition import Metrics
    from etlmon.api.requests import BoundedRequest
    from etlmon.contract.pages import PlainPage

SERVER = [f"etlmon/{__version__}".encode()]
_PLAIN = b"text/plain; charset=utf-8"
_METHODS = (b"GET", b"HEAD")


@dataclass(frozen=True)
class PageAnswer:
    """What a page has to say."""

    body: bytes
    content_type: bytes = _PLAIN
    status: int = 200
    encoding: bytes | None = None


@dataclass(frozen=True)
class PageRoute:
    """A page of the contract, and what answers it."""

    page: PlainPage
    answer: Callable[[str, bool], PageAnswer | Deferred[PageAnswer]]
    """Takes the Accept header and whether gzip is taken."""


def pages(readiness: Callable[[], Mapping[str, bool]], metrics: Metrics) -> list[PageRoute]:
    """Give the pages. ``readiness`` tells from memory of each part whether it does its work."""

    def live(_accept: str, _gzip: bool) -> PageAnswer:
        # That this runs is the answer: the reactor's thread does its work.
        return PageAnswer(b"ok\n")

    def ready(_accept: str, _gzip: bool) -> PageAnswer:
        parts = readiness()
        lines = [f"{name}: {'ok' if well else 'not ok'}\n" for name, well in parts.items()]
        return PageAnswer("".join(lines).encode(), status=200 if all(parts.values()) else 503)

    def metrics_page(accept: str, compressed: bool) -> Deferred[PageAnswer]:
        openmetrics = prefers_openmetrics(accept)
        kind = OPENMETRICS if openmetrics else TEXT
        encoding = b"gzip" if compressed else None
        written = metrics.write(openmetrics=openmetrics, compressed=compressed)
        return written.addCallback(lambda body: PageAnswer(body, kind, encoding=encoding))

    return [PageRoute(LIVE, live), PageRoute(READY, ready), PageRoute(METRICS, metrics_page)]


def check_method(request: BoundedRequest) -> None:
    """Raise ApiError (405) for a method that no page takes."""
    if request.method not in _METHODS:
        raise problems.method_not_allowed(method.decode() for method in _METHODS)


def send(
    route: PageRoute,
    request: BoundedRequest,
    *,
    takes_gzip: bool,
    failed: Callable[[Any, Any], bytes],
) -> Any:
    """Answer a request with a page; ``failed`` turns what goes wrong into a problem."""
    gone: list[Any] = []
    request.notifyFinish().addErrback(gone.append)
    accept = request.getHeader("accept") or ""

    def finish(body: bytes) -> None:
        if not gone:
            request.write(b"" if request.method == b"HEAD" else body)
            request.finish()

    made: Deferred[Any] = maybeDeferred(route.answer, accept, takes_gzip)
    made.addCallback(_respond, request)
    made.addErrback(lambda failure: failed(request, failure))
    made.addCallback(finish)
    return NOT_DONE_YET


def _respond(answer: PageAnswer, request: BoundedRequest) -> bytes:
    request.setResponseCode(answer.status)
    set_header = request.responseHeaders.setRawHeaders
    set_header(b"Content-Type", [answer.content_type])
    set_header(b"Content-Length", [b"%d" % len(answer.body)])
    set_header(b"Cache-Control", [b"no-store"])
    set_header(b"X-Content-Type-Options", [b"nosniff"])
    set_header(b"Server", SERVER)
    set_header(b"Vary", [b"Accept, Accept-Encoding"])
    if answer.encoding is not None:
        set_header(b"Content-Encoding", [answer.encoding])
    return answer.body
