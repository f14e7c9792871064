"""Asks a node, by the contract, with treq."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar
from urllib.parse import urlencode

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

from etlmon.contract import PREFIX, Endpoint, Query
from etlmon.errors import EtlmonError
from etlmon.records.problem import Problem

if TYPE_CHECKING:
    from treq.response import _Response as Response
    from twisted.python.failure import Failure

Q = TypeVar("Q", bound=Query)
B = TypeVar("B")
A = TypeVar("A")

_TIMEOUT_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_KEPT_SECONDS = 30
"""How long an idle connection is kept: less than the node keeps it, so that it is not cut."""
_ADDRESS = re.compile(
    r"(?P<scheme>https?://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>(/[^\s?#]*)?)"
)
_NEXT = re.compile(rf'<({PREFIX}/[^>]*)>;\s*rel="next"')


class ClientError(EtlmonError):
    """A node did not give an answer; the text says which and why."""


class ProblemError(ClientError):
    """A node answered with a problem."""

    def __init__(self, address: str, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"{address}: {problem.detail}")


@dataclass(frozen=True)
class Reply(Generic[A]):
    """An answer: its value, the body it came in, and where the next page is."""

    value: A
    body: bytes
    next_page: str | None


class NodeClient:
    """Speaks with one node.

    ``address`` is ``http://host:8080``, ``https://...``, ``host:8080`` or ``unix:/path``;
    raises ClientError for anything else. Connections are kept and used again; ``close`` ends them.
    """

    def __init__(self, address: str, reactor: Any) -> None:
        self.address = address
        self._clock = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._pool.cachedConnectionTimeout = _KEPT_SECONDS
        self._asking: set[Deferred[Any]] = set()
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
        """Ask for an answer; ``page`` is the ``next_page`` of the reply before.

        Raises ProblemError where the node refuses, ClientError where no node answers.
        """
        target = page or PREFIX + endpoint.path + _query_string(query)
        content = None if body is None else msgspec.json.encode(body)
        status, headers, raw = await self._request(endpoint.method, target, content)
        if not 200 <= status < 300:
            raise self._problem(status, raw)
        try:
            value = msgspec.json.decode(raw, type=endpoint.answer)
        except msgspec.MsgspecError as error:
            raise self._foreign(f"its answer is not what an etlmon node gives ({error})") from error
        found = _NEXT.search(headers.get("link", ""))
        return Reply(value, raw, found[1] if found else None)

    async def close(self) -> None:
        """End the connections; a call under way fails with CancelledError."""
        for asking in list(self._asking):
            asking.cancel()
        await self._pool.closeCachedConnections()

    def _request(
        self, method: str, target: str, content: bytes | None
    ) -> Deferred[tuple[int, dict[str, str], bytes]]:
        asking = Deferred.fromCoroutine(self._ask(method, target, content))
        self._asking.add(asking)

        def done(result: Any) -> Any:
            self._asking.discard(asking)
            return result

        asking.addTimeout(_TIMEOUT_SECONDS, self._clock, self._late)
        return asking.addBoth(done)

    def _late(self, _result: object, seconds: float) -> NoReturn:
        raise ClientError(f"{self.address}: no answer in {seconds:.0f} s")

    async def _ask(
        self, method: str, target: str, content: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        headers: dict[bytes | str, bytes | str] = {"Accept": "application/json"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            response: Response = await self._http.request(
                method,
                self._base + target,
                data=content,
                headers=headers,
                allow_redirects=False,
                unbuffered=True,
            )
            body = _Body()
            response.deliverBody(body)
            raw = await body.whole
        except ConnectionRefusedError as error:
            raise ClientError(f"{self.address}: nothing listens there") from error
        except DNSLookupError as error:
            raise ClientError(f"{self.address}: no such host") from error
        except TimeoutError as error:
            raise ClientError(
                f"{self.address}: cannot connect: no answer in {_CONNECT_SECONDS:.0f} s"
            ) from error
        except ConnectError as error:
            reason = os.strerror(error.osError) if error.osError else _one_line(error)
            raise ClientError(f"{self.address}: cannot connect: {reason}") from error
        except (ResponseFailed, RequestTransmissionFailed) as error:
            if any(reason.check(CancelledError) for reason in error.reasons):
                raise CancelledError from error
            reasons = "; ".join(dict.fromkeys(map(_reason, error.reasons)))
            raise self._foreign(f"the connection broke ({reasons})") from error
        flat = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        return response.code, flat, raw

    def _problem(self, status: int, raw: bytes) -> ClientError:
        try:
            return ProblemError(self.address, msgspec.json.decode(raw, type=Problem))
        except msgspec.MsgspecError:
            return self._foreign(f"it answered with status {status} and no problem document")

    def _foreign(self, what: str) -> ClientError:
        return ClientError(f"{self.address}: {what}; is that an etlmon node?")


def base_url(address: str) -> str:
    """Give the URL of a node's address: ``host:8080`` is ``http://host:8080``.

    Raises ClientError for what is no address.
    """
    found = _ADDRESS.fullmatch(address)
    scheme, port = (found["scheme"], found["port"]) if found else (None, None)
    if found is None or (port is None and scheme is None) or int(port or 80) not in range(1, 65536):
        raise ClientError(f"{address!a} is not an address; write http://host:8080 or unix:/path")
    return ("" if scheme else "http://") + address.rstrip("/")


class _Body(Protocol):
    """Collects the body of a response; to cancel ``whole`` cuts the connection."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.whole: Deferred[bytes] = Deferred(self._cut)

    def dataReceived(self, data: bytes) -> None:
        """Keep a piece."""
        self._pieces.append(data)

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


def _query_string(query: Query | None) -> str:
    """Write the parameters that are not at their default."""
    if query is None:
        return ""
    given = {
        field.encode_name: value
        for field in msgspec.structs.fields(query)
        if (value := getattr(query, field.name)) != field.default and value is not None
    }
    plain = msgspec.to_builtins(given)
    texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in plain.items()}
    return "?" + urlencode(texts) if texts else ""
