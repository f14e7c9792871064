"""Asks a node, by the contract, with treq."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar

import msgspec
from OpenSSL import SSL
from service_identity import VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectionRefusedError,  # noqa: A004
    DNSLookupError,
    TimeoutError,  # noqa: A004
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from etlmon.config.addresses import read_node_url
from etlmon.contract.endpoint import PREFIX, Endpoint
from etlmon.contract.query import Query
from etlmon.errors import EtlmonError
from etlmon.records.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from treq.response import _Response as Response
    from twisted.python.failure import Failure

Q = TypeVar("Q", bound=Query)
B = TypeVar("B")
A = TypeVar("A")
T = TypeVar("T")

_TIMEOUT_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_KEPT_SECONDS = 30
"""How long an idle connection is kept: less than the node keeps it, so that it is not cut."""
_MOST_BODY_BYTES = 64 << 20
_MOST_KNOWN = 64
"""How many answers are remembered, to be told that they have not changed."""
_FORBIDDEN = (401, 403, 421)
_LINK = re.compile(rf'<({PREFIX}/[^>]*)>;\s*rel="(next|prev)"')


Headers = dict[bytes | str, bytes | str]
FailureKind = Literal[
    "refused",
    "no such host",
    "unreachable",
    "timeout",
    "broken",
    "bad certificate",
    "not an etlmon node",
    "forbidden",
    "server error",
    "problem",
    "busy",
]


class ClientError(EtlmonError):
    """A node did not give an answer; the text says which and why, ``kind`` names the failure."""

    def __init__(self, text: str, kind: FailureKind) -> None:
        self.kind: FailureKind = kind
        super().__init__(text)


class ProblemError(ClientError):
    """A node answered with a problem."""

    def __init__(self, address: str, problem: Problem) -> None:
        self.problem = problem
        kind: FailureKind = (
            "forbidden"
            if problem.status in _FORBIDDEN
            else "server error"
            if problem.status >= 500
            else "problem"
        )
        super().__init__(f"{address}: {' '.join(problem.detail.split())}", kind)


@dataclass(frozen=True)
class Reply(Generic[A]):
    """An answer: its value, the body it came in, and where the next page is."""

    value: A
    body: bytes
    next_page: str | None
    previous_page: str | None = None
    """Where older items are, of a list that is in order and begins with the newest."""


class NodeClient:
    """Speaks with one node.

    ``address`` is ``http://host:8080``, ``https://...``, ``host:8080`` or ``unix:/path``;
    raises EtlmonError for anything else. ``token`` is sent as a bearer token. Connections are kept
    and used again; ``close`` ends them.
    """

    def __init__(self, address: str, reactor: Any, token: str | None = None) -> None:
        self.address = address
        self._clock = reactor
        self._token = token
        self._pool = HTTPConnectionPool(reactor)
        self._pool.cachedConnectionTimeout = _KEPT_SECONDS
        self._asking: set[Deferred[Any]] = set()
        self._known: dict[str, tuple[str, Reply[Any]]] = {}
        if address.startswith("unix:/"):
            self._base = "http://localhost"
            factory = _UnixEndpoints(reactor, address.removeprefix("unix:"))
            agent = Agent.usingEndpointFactory(reactor, factory, pool=self._pool)
        else:
            self._base = base_url(address)
            agent = Agent(reactor, connectTimeout=_CONNECT_SECONDS, pool=self._pool)
        self._http = HTTPClient(agent)

    async def call(
        self,
        endpoint: Endpoint[Q, B, A],
        query: Q | None = None,
        body: B | None = None,
        *,
        page: str | None = None,
    ) -> Reply[A]:
        """Ask for an answer; ``page`` is the next or previous page of the reply before.

        An answer that has not changed since it was last asked for is the same Reply again. Raises
        ProblemError where the node refuses, ClientError where no node answers.
        """
        target = page or endpoint.target(query)
        headers: Headers = {"Accept": "application/json"}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        known = self._known.get(target) if endpoint.method == "GET" else None
        if known is not None:
            headers["If-None-Match"] = known[0]
        status, told, raw = await self._bounded(
            self._ask(endpoint.method, target, content, headers)
        )
        if status == 304 and known is not None:
            return known[1]
        if not 200 <= status < 300:
            raise self._problem(status, raw)
        try:
            value = msgspec.json.decode(raw, type=endpoint.answer)
        except msgspec.MsgspecError as error:
            raise self._foreign(f"its answer is not what an etlmon node gives ({error})") from error
        pages = {relation: page for page, relation in _LINK.findall(told.get("link", ""))}
        reply = Reply(value, raw, pages.get("next"), pages.get("prev"))
        if endpoint.method == "GET" and "etag" in told:
            self._remember(target, told["etag"], reply)
        return reply

    def open_stream(self, target: str, last_event_id: str) -> Deferred[Response]:
        """Ask for a stream of events below ``/api/v1``, after ``last_event_id`` if it is not empty.

        Fires with a response whose body is the stream; fails as ``call`` does.
        """
        headers: Headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        return self._bounded(self._open(PREFIX + target, headers))

    def _remember(self, target: str, etag: str, reply: Reply[Any]) -> None:
        self._known.pop(target, None)
        self._known[target] = (etag, reply)
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]

    async def close(self) -> None:
        """End the connections; a call under way fails with CancelledError."""
        for asking in list(self._asking):
            asking.cancel()
        await self._pool.closeCachedConnections()

    def _bounded(self, asking_for: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Run a request that ends by its deadline, and with ``close``."""
        asking = Deferred.fromCoroutine(asking_for)
        self._asking.add(asking)

        def done(result: Any) -> Any:
            self._asking.discard(asking)
            return result

        asking.addTimeout(_TIMEOUT_SECONDS, self._clock, self._late)
        return asking.addBoth(done)

    def _late(self, _result: object, seconds: float) -> NoReturn:
        raise ClientError(f"{self.address}: no answer in {seconds:.0f} s", "timeout")

    async def _ask(
        self, method: str, target: str, content: bytes | None, headers: Headers
    ) -> tuple[int, dict[str, str], bytes]:
        with self._in_words():
            response = await self._send(method, target, content, headers)
            raw = await self._read(response)
        told = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        return response.code, told, raw

    async def _open(self, target: str, headers: Headers) -> Response:
        with self._in_words():
            response = await self._send("GET", target, None, headers)
            if response.code != 200:
                raise self._problem(response.code, await self._read(response))
        media_type = response.headers.getRawHeaders(b"content-type", [b""])[-1]
        if not media_type.startswith(b"text/event-stream"):
            body = _Body()
            response.deliverBody(body)
            body.whole.addErrback(lambda _: None)
            body.whole.cancel()  # it may never end
            raise self._foreign("it gave no stream of events")
        return response

    async def _send(
        self, method: str, target: str, content: bytes | None, headers: Headers
    ) -> Response:
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return await self._http.request(
            method,
            self._base + target,
            data=content,
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
        )

    async def _read(self, response: Response) -> bytes:
        body = _Body()
        response.deliverBody(body)
        try:
            return await body.whole
        except _TooLargeError as error:
            text = f"its answer is larger than {_MOST_BODY_BYTES >> 20} MiB"
            raise self._foreign(text) from error

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Turn what goes wrong on the way into a ClientError."""
        try:
            yield
        except ConnectionRefusedError as error:
            raise ClientError(f"{self.address}: nothing listens there", "refused") from error
        except DNSLookupError as error:
            raise ClientError(f"{self.address}: no such host", "no such host") from error
        except TimeoutError as error:
            text = f"{self.address}: cannot connect: no answer in {_CONNECT_SECONDS:.0f} s"
            raise ClientError(text, "timeout") from error
        except ConnectError as error:
            reason = os.strerror(error.osError) if error.osError else _one_line(error)
            text = f"{self.address}: cannot connect: {reason}"
            raise ClientError(text, "unreachable") from error
        except (ResponseFailed, RequestTransmissionFailed) as error:
            if any(reason.check(CancelledError) for reason in error.reasons):
                raise CancelledError from error
            reasons = "; ".join(dict.fromkeys(map(_reason, error.reasons)))
            by_tls = any(reason.check(SSL.Error, VerificationError) for reason in error.reasons)
            kind: FailureKind = "bad certificate" if by_tls else "broken"
            raise self._foreign(f"the connection broke ({reasons})", kind) from error

    def _problem(self, status: int, raw: bytes) -> ClientError:
        try:
            return ProblemError(self.address, msgspec.json.decode(raw, type=Problem))
        except msgspec.MsgspecError:
            return self._foreign(f"it answered with status {status} and no problem document")

    def _foreign(self, what: str, kind: FailureKind = "not an etlmon node") -> ClientError:
        return ClientError(f"{self.address}: {what}; is that an etlmon node?", kind)


def base_url(address: str) -> str:
    """Give the URL of a node's address: ``host:8080`` is ``http://host:8080``.

    Raises EtlmonError for what is no address.
    """
    try:
        return read_node_url(address)
    except ValueError as error:
        text = f"{address!a} is not an address; write http://host:8080 or unix:/path"
        raise EtlmonError(text) from error


class _TooLargeError(Exception):
    """A body is larger than any that a node gives."""


class _Body(Protocol):
    """Collects the body of a response; to cancel ``whole`` cuts the connection."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self.whole: Deferred[bytes] = Deferred(self._cut)

    def dataReceived(self, data: bytes) -> None:
        """Keep a piece."""
        self._size += len(data)
        if self._size <= _MOST_BODY_BYTES:
            self._pieces.append(data)
        elif not self.whole.called:
            self._cut(None)
            self.whole.errback(_TooLargeError())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give the whole, or what went wrong."""
        if self.whole.called:
            return
        # PotentialDataLoss: the end was told by nothing but the connection's.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._pieces))
        else:
            self.whole.errback(reason)

    def _cut(self, _whole: object) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _reason(failure: Failure) -> str:
    """Put into words what broke a connection."""
    error = failure.value
    if isinstance(error, SSL.Error):
        told = error.args[0] if error.args else ()
        return f"TLS: {'; '.join(entry[-1] for entry in told) or 'it was closed'}"
    if isinstance(error, VerificationError):
        return "TLS: its certificate is for another host"
    return _one_line(failure.getErrorMessage())


def _one_line(text: object) -> str:
    return " ".join(str(text).split()).removesuffix(".")


@implementer(IAgentEndpointFactory)
class _UnixEndpoints:
    """Lets an Agent reach a unix socket, whatever the URL's host."""

    def __init__(self, reactor: Any, path: str) -> None:
        self._reactor = reactor
        self._path = path

    def endpointForURI(self, _uri: Any) -> UNIXClientEndpoint:
        return UNIXClientEndpoint(self._reactor, self._path, timeout=_CONNECT_SECONDS)
