"""The Klein application: a route for each endpoint of the contract, and one way through it.

Every request comes in by ``_enter`` and every route is made by ``_serve``, so none can leave out
the Host check, the token, the policy, the errors, the audit or the log. Resources give values; this
module alone speaks HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, get_type_hints
from urllib.parse import quote, unquote, unquote_to_bytes

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from etlmon.api import problems
from etlmon.api.access import the_host, who_connected
from etlmon.api.answers import Answer, EncodedAnswer, KeptAnswers
from etlmon.api.metrics.traffic import Traffic
from etlmon.api.pages import SERVER, check_method, send
from etlmon.api.requests import BoundedRequest, parse_body, parse_query
from etlmon.api.sse import Streams
from etlmon.contract.endpoint import PREFIX, Endpoint
from etlmon.control.callers import Caller, Gate
from etlmon.errors import ApiError
from etlmon.records.audit import NOBODY
from etlmon.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twisted.web.http import Request
    from twisted.web.iweb import IRequest

    from etlmon.api.access import HostCheck
    from etlmon.api.pages import PageRoute
    from etlmon.api.sse import Source
    from etlmon.control.audit import Attempt, AuditLog
    from etlmon.control.policy import Policy

_JSON = [b"application/json"]
_NOSNIFF = [b"nosniff"]
_NO_CACHE = [b"no-cache"]
_VARY = [b"Accept-Encoding"]
_GZIP = [b"gzip"]
_EVENT_STREAM = [b"text/event-stream"]
_JSON_NAMES = (b"application/json", b"application/*", b"*/*")
_STREAM_NAMES = (b"text/event-stream", b"text/*", b"*/*")
_FOLLOW = b"follow=true"
_READING = (b"GET", b"HEAD")
_REFUSING = re.compile(rb"q\s*=\s*0(\.0*)?")
_IDLE_SECONDS = 60

Handler = Callable[..., Coroutine[Deferred[Any], Any, Answer]]
"""Takes the query and the body of a request, gives its answer or raises ApiError, StoreError."""


@dataclass(frozen=True)
class Route:
    """An endpoint and what answers it."""

    endpoint: Endpoint[Any, Any, Any]
    handler: Handler
    tables: tuple[str, ...] = ()
    """The tables that the answer comes from: it is kept until one of them commits. Without any,
    it is made anew each time."""
    is_live: Callable[[Any], bool] | None = None
    """Tells of a query whether its answer comes from elsewhere all the same, and is not kept."""
    takes_attempt: bool = False
    """Whether the handler of a command takes its Attempt as a third argument: who gives it, and
    what the audit should know before it is done."""
    source: Callable[[Any], Coroutine[Deferred[Any], Any, Source]] | None = None
    """Takes a query with ``follow`` and gives what its stream sends, or raises as the handler."""


class ApiServer:
    """The API as a web resource. It must be told of commits (``committed``).

    ``hosts`` is None on a unix socket, which no browser reaches. Without ``audit`` no command is
    recorded, and without ``gate`` everybody is let in: for tests of what they do not matter to.
    """

    log = Logger()

    def __init__(
        self,
        routes: Sequence[Route],
        hosts: HostCheck | None,
        policy: Policy,
        clock: Any,
        *,
        gate: Gate | None = None,
        audit: AuditLog | None = None,
        pages: Iterable[PageRoute] = (),
        traffic: Traffic | None = None,
    ) -> None:
        self.kept = KeptAnswers()
        self.streams = Streams(clock)
        self.hosts = hosts
        self.policy = policy
        self._gate = gate or Gate()
        self._audit = audit
        self._commands = [route.endpoint for route in routes if route.endpoint.is_command]
        self._clock = clock
        self._pages = {path.encode(): route for route in pages for path in route.page.paths}
        self._traffic = traffic or Traffic()
        self._running: set[Deferred[Any]] = set()
        self._is_closing = False
        self._app = Klein()
        self._app.url_map.merge_slashes = False
        self._app.handle_errors(Exception)(self._failed)
        for route in routes:
            self._app.route(
                PREFIX + _rule(route.endpoint),
                methods=[route.endpoint.method],
                endpoint=route.endpoint.name,
                strict_slashes=True,
            )(self._serve(route))
        self._router = self._app.resource()

    def site(self) -> Site:
        """Give the factory that serves the API: bounded bodies, idle connections closed."""
        site = _QuietSite(
            _Entrance(self._enter), requestFactory=BoundedRequest, timeout=_IDLE_SECONDS
        )
        site.displayTracebacks = False
        site.too_large = self._too_large
        site.answered = self._answered
        return site

    def committed(self, tables: frozenset[str]) -> None:
        """Drop the answers that come from these tables, and let streams of them go on."""
        self.kept.forget(tables)
        self.streams.committed(tables)

    async def finish(self) -> None:
        """Take no more commands; come back when those under way are over, and in the audit."""
        self._is_closing = True
        while self._running:
            await gatherResults(list(self._running), consumeErrors=True)
        if self._audit is not None:
            self._audit.stop()

    def _enter(self, request: BoundedRequest) -> Any:
        """Check what must be so of every request, and answer what is at hand; Klein does the rest.

        An answer that is kept goes out from here: finding its route would take longer.
        """
        request.began = self._clock.seconds()
        try:
            request.caller = Caller(origin=who_connected(request)[0])
            self._check_host(request)
            page = self._pages.get(request.path)
            if page is not None:
                return self._enter_page(request, page)
            self._identify(request)
            _check_accept(request)
            _check_path(request)
        except ApiError as error:
            body = self._refuse(request, error)
        else:
            kept = self.kept.get(request.uri) if request.method in _READING else None
            if kept is None:
                request.postpath = [*map(_guard, request.postpath or ())]
                return self._router.render(request)
            request.endpoint = kept.endpoint
            body = _respond(request, kept)
        request.write(body)
        request.finish()
        return NOT_DONE_YET

    def _enter_page(self, request: BoundedRequest, route: PageRoute) -> Any:
        """Answer with a page that is no JSON; one that supervises may have no token."""
        request.endpoint = route.page.name
        if route.page.needs_token:
            self._identify(request)
        check_method(request)
        return send(route, request, takes_gzip=_takes_gzip(request), failed=self._failed)

    def _answered(self, request: BoundedRequest) -> None:
        """Count a request whose answer is on its way; how long a stream lasted says nothing."""
        began, is_stream = request.began, _is_stream(request)
        seconds = None if began is None or is_stream else self._clock.seconds() - began
        self._traffic.answered(request.endpoint, request.code, seconds)

    def _serve(self, route: Route) -> Callable[[BoundedRequest], Any]:
        endpoint = route.endpoint

        def read(request: Request, guarded: dict[str, str]) -> Any:
            segments = {name: unquote(text) for name, text in guarded.items()}
            return parse_query(request.uri.partition(b"?")[2], endpoint.query, segments)

        def answer_query(request: BoundedRequest, **guarded: str) -> Any:
            request.endpoint = endpoint.name
            query = read(request, guarded)
            if route.source is not None and query.follow:
                return self._stream(request, route.source(query))
            is_live = route.is_live is not None and route.is_live(query)
            tables = () if is_live else route.tables
            made = self.kept.make(request.uri, tables, lambda: route.handler(query, None))
            return made.addCallback(respond, request)

        def respond(encoded: EncodedAnswer, request: BoundedRequest) -> bytes:
            encoded.endpoint = endpoint.name
            return _respond(request, encoded)

        async def do(request: BoundedRequest, guarded: dict[str, str]) -> Answer:
            if self._is_closing:
                raise _closing()
            request.caller.check_operator()
            self.policy.check_open()
            query = read(request, guarded)
            body = None
            if endpoint.body is not NoneType:
                content = request.content.read() if request.content is not None else b""
                body = parse_body(content, request.getHeader(b"content-type"), endpoint.body)
            attempt = request.attempt
            if attempt is not None:
                attempt.asks(query, body)
            return await route.handler(query, body, *([attempt] if route.takes_attempt else []))

        async def do_and_tell(request: BoundedRequest, guarded: dict[str, str]) -> bytes:
            """Do a command; the log and the audit hear how it went, whoever still listens."""
            attempt = request.attempt
            try:
                answer = await do(request, guarded)
            except Exception as error:
                problem = self._problem(request, Failure(error))
                self._log_refusal(request, problem)
                if attempt is not None:
                    await attempt.refused(problem)
                raise problem from error
            self._log_command(request, endpoint.status)
            if attempt is not None:
                await attempt.done(endpoint.status, answer.summary)
            request.setResponseCode(endpoint.status)
            return _write_json(request, EncodedAnswer(answer))

        def answer_command(request: BoundedRequest, **guarded: str) -> Any:
            request.endpoint = endpoint.name
            request.attempt = self._attempt(request)
            running = Deferred.fromCoroutine(do_and_tell(request, guarded))
            self._running.add(running)
            # A client that leaves, which cancels what it waits for, does not end the command.
            waiting: Deferred[bytes] = Deferred()

            def ended(result: Any) -> None:
                self._running.discard(running)
                waiting.callback(result)

            running.addBoth(ended)
            return waiting

        return answer_command if endpoint.is_command else answer_query

    def _identify(self, request: BoundedRequest) -> None:
        """Note who asks; raise ApiError (401) for one who must say so and does not."""
        origin, peer = who_connected(request)
        values = request.requestHeaders.getRawHeaders(b"authorization", ())
        request.caller = self._gate.identify(values, origin, peer)

    def _attempt(self, request: BoundedRequest) -> Attempt | None:
        """Give what the audit is to hear of a request; None if it is no command of the API."""
        if self._audit is None or request.method in _READING:
            return None
        method = request.method.decode("latin-1")
        path = request.uri.partition(b"?")[0].decode("latin-1")
        if not path.startswith(PREFIX):
            return None
        target = path.removeprefix(PREFIX)
        for endpoint in self._commands:
            if endpoint.method == method and endpoint.segments(target) is not None:
                return self._audit.attempt(request.caller, endpoint.name, target)
        return None

    def _too_large(self, request: BoundedRequest, problem: ApiError) -> None:
        """Hear of a request that was refused for its body, before it could be answered here."""
        request.caller = Caller(origin=who_connected(request)[0])
        with suppress(ApiError):
            self._identify(request)
        self._note_refusal(request, problem)
        self._traffic.answered("", problem.status, None)

    async def _stream(
        self, request: Request, finding: Coroutine[Deferred[Any], Any, Source]
    ) -> bytes:
        """Send a stream; a HEAD request learns of it what a problem would say."""
        source = await finding
        if request.method == b"HEAD":
            request.responseHeaders.setRawHeaders(b"Content-Type", _EVENT_STREAM)
            return b""
        return await self.streams.serve(request, source)

    def _check_host(self, request: Request) -> None:
        values = request.requestHeaders.getRawHeaders(b"host", ())
        host = the_host(values, request.clientproto)
        if self.hosts is not None and host is not None:
            self.hosts.check(host)

    def _failed(self, request: IRequest, failure: Failure) -> bytes:
        """Turn an exception into a problem; log the unexpected."""
        return self._refuse(request, self._problem(request, failure))

    def _problem(self, request: IRequest | Request, failure: Failure) -> ApiError:
        error = failure.value or Exception()
        problem = _from_werkzeug(error) or problems.from_exception(error)
        if problem is None:
            self.log.failure("Defect while answering {uri}", failure, uri=_logged_uri(request))
            problem = problems.unexpected()
        return problem

    def _note_refusal(self, request: Any, problem: ApiError) -> None:
        """Tell the log and the audit of a command that was refused, unless they know already."""
        if request.method in _READING or request.attempt_is_told:
            return
        self._log_refusal(request, problem)
        attempt = self._attempt(request)
        if attempt is not None:
            attempt.refused(problem)

    def _log_command(self, request: BoundedRequest, status: int) -> None:
        self.log.info(
            "{client} {method} {uri} {status}",
            client=_client(request),
            method=request.method.decode("latin-1"),
            uri=_logged_uri(request),
            status=status,
        )

    def _log_refusal(self, request: BoundedRequest, problem: ApiError) -> None:
        request.attempt_is_told = True
        self.log.warn(
            "{client} {method} {uri} {status}: {detail}",
            client=_client(request),
            method=one_line(request.method.decode("latin-1")),
            uri=_logged_uri(request),
            status=problem.status,
            detail=one_line(problem.detail),
        )

    def _refuse(self, request: Request | IRequest, problem: ApiError) -> bytes:
        """Set the headers of a problem and give its body; a command that is refused is noted."""
        self._note_refusal(request, problem)
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


def _rule(endpoint: Endpoint[Any, Any, Any]) -> str:
    """Give a path as the router wants it.

    A field whose length is fixed takes only segments of that length: of ``/cron/{id}`` and
    ``/cron/refresh`` the second is not one of the first, whatever the method.
    """
    hints = get_type_hints(endpoint.query, include_extras=True)
    rule = endpoint.path
    for name in endpoint.in_path:
        lengths = {
            (meta.min_length, meta.max_length)
            for meta in getattr(hints[name], "__metadata__", ())
            if isinstance(meta, msgspec.Meta) and meta.min_length == meta.max_length is not None
        }
        converter = f"string(length={lengths.pop()[0]}):" if lengths else ""
        rule = rule.replace(f"{{{name}}}", f"<{converter}{name}>")
    return rule


class _Entrance(Resource):
    """The root of the site: all requests go to one function."""

    isLeaf = True

    def __init__(self, enter: Callable[[Any], Any]) -> None:
        super().__init__()
        self._enter = enter

    def render(self, request: IRequest) -> Any:
        """Answer a request, now or later."""
        return self._enter(request)


class _QuietSite(Site):
    """A site without an access log: reads are not logged, commands are, by ``_serve``."""

    noisy = False
    too_large: Callable[[BoundedRequest, ApiError], None]
    """Told of a request whose body is too large."""

    answered: Callable[[BoundedRequest], None]
    """Told of a request whose answer is on its way."""

    def log(self, request: Any) -> None:
        """Count it; there is no access log."""
        self.answered(request)


def _respond(request: Request, encoded: EncodedAnswer) -> bytes:
    """Set the headers of an answer to a query and give its body, or none (304)."""
    set_header = request.responseHeaders.setRawHeaders
    for name, values in encoded.headers:
        set_header(name, values)
    set_header(b"Cache-Control", _NO_CACHE)
    known = request.requestHeaders.getRawHeaders(b"if-none-match")
    if known is not None and _matches(b",".join(known), encoded.etag):
        set_header(b"Server", SERVER)
        set_header(b"Vary", _VARY)
        request.setResponseCode(304)
        return b""
    return _write_json(request, encoded)


def _write_json(request: Request, encoded: EncodedAnswer) -> bytes:
    """Set the headers that go with a body and give it, compressed if that is worth it."""
    set_header = request.responseHeaders.setRawHeaders
    set_header(b"Server", SERVER)
    set_header(b"Vary", _VARY)
    set_header(b"Content-Type", _JSON)
    set_header(b"X-Content-Type-Options", _NOSNIFF)
    body = encoded.body
    if encoded.worth_compressing and _takes_gzip(request):
        body = encoded.compressed
        set_header(b"Content-Encoding", _GZIP)
    set_header(b"Content-Length", [b"%d" % len(body)])
    return body


def _is_stream(request: Request) -> bool:
    return request.responseHeaders.getRawHeaders(b"content-type") == _EVENT_STREAM


def _matches(if_none_match: bytes, etag: bytes) -> bool:
    """Compare weakly (RFC 9110, 13.1.2): the mark of weakness does not count."""
    bare = etag.removeprefix(b"W/")
    return any(
        candidate == b"*" or candidate.removeprefix(b"W/") == bare
        for candidate in (part.strip() for part in if_none_match.split(b","))
    )


def _takes_gzip(request: Request) -> bool:
    taken = _taken(request.requestHeaders.getRawHeaders(b"accept-encoding", ()))
    return taken.get(b"gzip", taken.get(b"*", False))


def _check_accept(request: Request) -> None:
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


def _taken(lines: Iterable[bytes]) -> dict[bytes, bool]:
    """Tell of each name in an Accept header or its like whether it is taken: all but ``q=0``."""
    taken = {}
    for part in b",".join(lines).lower().split(b","):
        name, *parameters = (piece.strip() for piece in part.split(b";"))
        if name:
            taken[name] = not any(map(_REFUSING.fullmatch, parameters))
    return taken


def _check_path(request: Request) -> None:
    """Raise ApiError (404) for a path that is no text: Klein would answer it in its own way."""
    try:
        unquote_to_bytes(request.path).decode()
    except UnicodeDecodeError as error:
        raise _no_such_path() from error


def _guard(segment: bytes) -> bytes:
    """Give a decoded segment of a path so that a slash within it divides nothing.

    The router is handed the path in one piece; ``unquote`` undoes this for what it takes out.
    """
    return segment.replace(b"%", b"%25").replace(b"/", b"%2F")


def _from_werkzeug(error: BaseException) -> ApiError | None:
    """Give the problem for what the router raises."""
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return ApiError(
            405,
            "method-not-allowed",
            f"This path takes {allowed}.",
            headers={"Allow": allowed},
        )
    return _no_such_path() if isinstance(error, HTTPException) else None


def _closing() -> ApiError:
    return ApiError(
        503,
        "node-stopping",
        "The node is stopping, and takes no more commands.",
        headers={"Retry-After": "5"},
    )


def _no_such_path() -> ApiError:
    return ApiError(
        404, "not-found", f"There is no such path; {PREFIX}/openapi.json lists all there are."
    )


def _client(request: BoundedRequest) -> str:
    """Give who asks as the log shows it: the address, and the name where one is known."""
    caller = request.caller
    return caller.origin if caller.who == NOBODY else f"{caller.origin} {caller.who}"


def _logged_uri(request: Request | IRequest) -> str:
    return one_line(request.uri.decode("latin-1"))
