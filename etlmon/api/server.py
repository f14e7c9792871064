"""The Klein application: a route for each endpoint of the contract, and one way through it.

Every request comes in by ``_enter`` and every route is made by ``_serve``, so none can leave out
the Host check, the token, the policy, the errors, the audit or the log. Resources give values;
HTTP is spoken here and beside this module: ``requests`` and ``negotiate`` read it, ``respond``
writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Site

from etlmon.api import problems
from etlmon.api.access import the_host, who_connected
from etlmon.api.answers import EncodedAnswer, KeptAnswers
from etlmon.api.commands import READING, Commands
from etlmon.api.metrics.traffic import Traffic
from etlmon.api.negotiate import check_accept, takes_gzip
from etlmon.api.pages import check_method, send
from etlmon.api.requests import BoundedRequest, check_path, guard, parse_query
from etlmon.api.respond import is_stream, respond, write_problem
from etlmon.api.route import rule
from etlmon.api.site import Entrance, QuietSite
from etlmon.api.sse import Streams
from etlmon.contract.endpoint import PREFIX
from etlmon.control.callers import Caller, Gate
from etlmon.control.flood import Flood
from etlmon.errors import ApiError
from etlmon.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twisted.web.http import Request
    from twisted.web.iweb import IRequest

    from etlmon.api.access import HostCheck
    from etlmon.api.pages import PageRoute
    from etlmon.api.route import Route
    from etlmon.api.sse import Source
    from etlmon.control.audit import AuditLog
    from etlmon.control.policy import Policy

_IDLE_SECONDS = 60


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
        self._gate = gate or Gate()
        self._commands = Commands(
            (route.endpoint for route in routes), policy, audit, self._problem, clock
        )
        self._clock = clock
        self._defects = Flood("Requests that met a defect", self.log, clock)
        self._pages = {path.encode(): route for route in pages for path in route.page.paths}
        self._traffic = traffic or Traffic()
        self._app = Klein()
        self._app.url_map.merge_slashes = False
        self._app.handle_errors(Exception)(self._failed)
        for route in routes:
            self._app.route(
                PREFIX + rule(route.endpoint),
                methods=[route.endpoint.method],
                endpoint=route.endpoint.name,
                strict_slashes=True,
            )(self._serve(route))
        self._router = self._app.resource()

    def site(self) -> Site:
        """Give the factory that serves the API: bounded bodies, idle connections closed."""
        site = QuietSite(
            Entrance(self._enter), requestFactory=BoundedRequest, timeout=_IDLE_SECONDS
        )
        site.displayTracebacks = False
        site.too_large = self._too_large
        site.unread = lambda problem: self._traffic.answered("", problem.status, None)
        site.answered = self._answered
        return site

    def committed(self, tables: frozenset[str], stored: Sequence[Any]) -> None:
        """Drop the answers that come from these tables, and let streams of them go on."""
        self.kept.forget(tables)
        self.streams.committed(tables, stored)

    async def finish(self) -> None:
        """Take no more commands; come back when those under way are over, and in the audit."""
        await self._commands.finish()
        self._defects.stop()

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
            check_accept(request)
            check_path(request)
        except ApiError as error:
            body = self._refuse(request, error)
        else:
            kept = self.kept.get(request.uri) if request.method in READING else None
            if kept is None:
                request.postpath = [*map(guard, request.postpath or ())]
                return self._router.render(request)
            request.endpoint = kept.endpoint
            body = respond(request, kept)
        request.write(body)
        request.finish()
        return NOT_DONE_YET

    def _enter_page(self, request: BoundedRequest, route: PageRoute) -> Any:
        """Answer with a page that is no JSON; one that supervises may have no token."""
        request.endpoint = route.page.name
        if route.page.needs_token:
            self._identify(request)
        check_method(request)
        return send(route, request, takes_gzip=takes_gzip(request), failed=self._failed)

    def _answered(self, request: BoundedRequest) -> None:
        """Count a request whose answer is on its way; how long a stream lasted says nothing."""
        began = request.began
        seconds = None if began is None or is_stream(request) else self._clock.seconds() - began
        self._traffic.answered(request.endpoint, request.code, seconds)

    def _serve(self, route: Route) -> Callable[[BoundedRequest], Any]:
        endpoint = route.endpoint

        def answer_query(request: BoundedRequest, **guarded: str) -> Any:
            request.endpoint = endpoint.name
            query = parse_query(request, endpoint.query, guarded)
            if route.source is not None and query.follow:
                return self._stream(request, route.source(query))
            is_live = route.is_live is not None and route.is_live(query)
            tables = () if is_live else route.tables
            made = self.kept.make(request.uri, tables, lambda: route.handler(query, None))
            return made.addCallback(respond_to, request)

        def respond_to(encoded: EncodedAnswer, request: BoundedRequest) -> bytes:
            encoded.endpoint = endpoint.name
            return respond(request, encoded)

        def answer_command(request: BoundedRequest, **guarded: str) -> Any:
            request.endpoint = endpoint.name
            return self._commands.begin(route, request, guarded)

        return answer_command if endpoint.is_command else answer_query

    def _identify(self, request: BoundedRequest) -> None:
        """Note who asks; raise ApiError (401) for one who must say so and does not."""
        origin, peer = who_connected(request)
        values = request.requestHeaders.getRawHeaders(b"authorization", ())
        request.caller = self._gate.identify(values, origin, peer)

    def _is_let_in(self, request: BoundedRequest) -> bool:
        """Whether who asked would be let in again: tokens may have changed since."""
        if not self._gate.asks:
            return True
        try:
            self._identify(request)
        except ApiError:
            return False
        return True

    def _too_large(self, request: BoundedRequest, problem: ApiError) -> None:
        """Hear of a request that was refused for its body, before it could be answered here."""
        request.caller = Caller(origin=who_connected(request)[0])
        with suppress(ApiError):
            self._identify(request)
        self._commands.refused(request, problem)
        self._traffic.answered("", problem.status, None)

    async def _stream(
        self, request: BoundedRequest, finding: Coroutine[Deferred[Any], Any, Source]
    ) -> bytes:
        """Send a stream."""
        return await self.streams.serve(request, await finding, lambda: self._is_let_in(request))

    def _check_host(self, request: Request) -> None:
        values = request.requestHeaders.getRawHeaders(b"host", ())
        host = the_host(values, request.clientproto)
        if self.hosts is not None and host is not None:
            self.hosts.check(host)

    def _failed(self, request: IRequest, failure: Failure) -> bytes:
        """Turn an exception into a problem."""
        return self._refuse(request, self._problem(request, failure))

    def _problem(self, request: Any, failure: Failure) -> ApiError:
        """Give what the client is told of an exception; log the unexpected."""
        problem = problems.from_exception(failure.value or Exception())
        if problem is None:
            if self._defects.admits():
                uri = one_line(request.uri.decode("latin-1"))
                self.log.failure("Defect while answering {uri}", failure, uri=uri)
            problem = problems.unexpected()
        return problem

    def _refuse(self, request: Any, problem: ApiError) -> bytes:
        """Set the headers of a problem and give its body; a command that is refused is noted."""
        self._commands.refused(request, problem)
        return write_problem(request, problem)
