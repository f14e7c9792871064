"""Commands: done one way, whoever gives them, and told to the log and to the audit."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from etlmon.api.answers import Answer, EncodedAnswer
from etlmon.api.requests import BoundedRequest, parse_body, parse_query
from etlmon.api.respond import write_json
from etlmon.contract.endpoint import PREFIX
from etlmon.control.flood import Flood
from etlmon.errors import ApiError
from etlmon.records.audit import NOBODY
from etlmon.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etlmon.api.route import Route
    from etlmon.contract.endpoint import Endpoint
    from etlmon.control.audit import Attempt, AuditLog
    from etlmon.control.policy import Policy

READING = (b"GET", b"HEAD")


class Commands:
    """The commands of the API. ``problem_of`` gives what the client is told of an exception."""

    log = Logger()

    def __init__(
        self,
        endpoints: Iterable[Endpoint[Any, Any, Any]],
        policy: Policy,
        audit: AuditLog | None,
        problem_of: Callable[[BoundedRequest, Failure], ApiError],
        clock: Any,
    ) -> None:
        self._endpoints = [endpoint for endpoint in endpoints if endpoint.is_command]
        self._policy = policy
        self._audit = audit
        self._problem_of = problem_of
        self._lines = Flood("Commands", self.log, clock, at_once=100, per_minute=60)
        self._refusals = Flood("Refused commands", self.log, clock)
        self._running: set[Deferred[Any]] = set()
        self._is_closing = False

    def begin(self, route: Route, request: BoundedRequest, guarded: dict[str, str]) -> Any:
        """Do a command; fires with the body of its answer, or fails with what prevented it.

        A client that leaves, which cancels what it waits for, does not end the command.
        """
        if self._audit is not None:
            name, target = route.endpoint.name, _target(request)
            request.attempt = self._audit.attempt(request.caller, name, target)
        running = Deferred.fromCoroutine(self._do_and_tell(route, request, guarded))
        self._running.add(running)
        waiting: Deferred[bytes] = Deferred()

        def ended(result: Any) -> None:
            self._running.discard(running)
            waiting.callback(result)

        running.addBoth(ended)
        return waiting

    async def finish(self) -> None:
        """Take no more commands; come back when those under way are over, and in the audit."""
        self._is_closing = True
        while self._running:
            await gatherResults(list(self._running), consumeErrors=True)
        self._lines.stop()
        self._refusals.stop()
        if self._audit is not None:
            self._audit.stop()

    def refused(self, request: BoundedRequest, problem: ApiError) -> None:
        """Tell the log and the audit of a command that was refused, unless they know already."""
        if request.method in READING or request.attempt_is_told:
            return
        self._log_refusal(request, problem)
        attempt = self._attempt(request)
        if attempt is not None:
            attempt.refused(problem)

    async def _do_and_tell(
        self, route: Route, request: BoundedRequest, guarded: dict[str, str]
    ) -> bytes:
        """Do a command; the log and the audit hear how it went, whoever still listens."""
        attempt, status = request.attempt, route.endpoint.status
        try:
            answer = await self._do(route, request, guarded)
        except Exception as error:
            problem = self._problem_of(request, Failure(error))
            self._log_refusal(request, problem)
            if attempt is not None:
                await attempt.refused(problem)
            raise problem from error
        self._log_command(request, status)
        if attempt is not None:
            await attempt.done(status, answer.summary)
        request.setResponseCode(status)
        return write_json(request, EncodedAnswer(answer))

    async def _do(self, route: Route, request: BoundedRequest, guarded: dict[str, str]) -> Answer:
        if self._is_closing:
            raise ApiError(
                503,
                "node-stopping",
                "The node is stopping, and takes no more commands.",
                headers={"Retry-After": "5"},
            )
        attempt, query, body = request.attempt, None, None
        unreadable: ApiError | None = None
        try:
            query, body = _asked(route.endpoint, request, guarded)
        except ApiError as error:
            unreadable = error
        else:
            if attempt is not None:  # what those wanted who may not is worth knowing, too
                attempt.asks(query, body)
        request.caller.check_operator()
        self._policy.check_open()
        if unreadable is not None:
            raise unreadable
        return await route.handler(query, body, *([attempt] if route.takes_attempt else []))

    def _attempt(self, request: BoundedRequest) -> Attempt | None:
        """Give what the audit is to hear of a request; None if it is no command of the API."""
        if self._audit is None or request.method in READING:
            return None
        method, target = request.method.decode("latin-1"), _target(request)
        for endpoint in self._endpoints:
            if endpoint.method == method and endpoint.segments(target) is not None:
                return self._audit.attempt(request.caller, endpoint.name, target)
        return None

    def _log_command(self, request: BoundedRequest, status: int) -> None:
        if not self._lines.admits():
            return
        self.log.info(
            "{client} {method} {uri} {status}",
            client=_client(request),
            method=request.method.decode("latin-1"),
            uri=one_line(request.uri.decode("latin-1")),
            status=status,
        )

    def _log_refusal(self, request: BoundedRequest, problem: ApiError) -> None:
        request.attempt_is_told = True
        if not self._refusals.admits():
            return
        self.log.warn(
            "{client} {method} {uri} {status}: {detail}",
            client=_client(request),
            method=one_line(request.method.decode("latin-1")),
            uri=one_line(request.uri.decode("latin-1")),
            status=problem.status,
            detail=one_line(problem.detail),
        )


def _asked(
    endpoint: Endpoint[Any, Any, Any], request: BoundedRequest, guarded: dict[str, str]
) -> tuple[Any, Any]:
    """Give the query and the body of a command; raise ApiError where they are wrong."""
    query = parse_query(request, endpoint.query, guarded)
    if endpoint.body is NoneType:
        return query, None
    content = request.content.read() if request.content is not None else b""
    return query, parse_body(content, request.getHeader(b"content-type"), endpoint.body)


def _target(request: BoundedRequest) -> str:
    """Give the path of a request below ``/api/v1``, as it was sent; empty if it is not below it.

    Each segment is compared as the router does it, decoded: ``/%61pi/v1`` is ``/api/v1``.
    """
    words = request.uri.partition(b"?")[0].decode("latin-1").split("/")
    above = PREFIX.split("/")
    if [unquote(word) for word in words[: len(above)]] != above:
        return ""
    return "/".join(["", *words[len(above) :]])


def _client(request: BoundedRequest) -> str:
    """Give who asks as the log shows it: the address, and the name where one is known."""
    caller = request.caller
    return caller.origin if caller.who == NOBODY else f"{caller.origin} {caller.who}"
