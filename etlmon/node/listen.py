"""Where the API listens: ``node.listen`` as an endpoint, and the port that came of it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.error import CannotListenError
from twisted.internet.unix import Port as UnixPort
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from etlmon.config.addresses import UnixAddress, parse_listen
from etlmon.errors import EtlmonError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IListeningPort
    from twisted.web.server import Site

_SOCKET_MODE = 0o660
_MOST_CONNECTIONS = 256
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


class CannotListen(EtlmonError):
    """The address cannot be listened on: taken, not this host's, or not allowed."""


class _AtMost(WrappingFactory[ProtocolWrapper]):
    """So many connections and no more: the collectors need descriptors, too."""

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Give the protocol of a new connection, None to close it at once."""
        if len(self.protocols) >= _MOST_CONNECTIONS:
            return None
        return super().buildProtocol(addr)


class ListeningService(Service):
    """Listens from start to stop. Starting raises CannotListen; it is synchronous.

    ``inherited`` is a socket that listens already: it is taken over, and ``listen`` only says
    where it is.
    """

    name = "api"

    def __init__(
        self, listen: str, site: Site, reactor: Any, inherited: socket.socket | None = None
    ) -> None:
        self.listen = listen
        self._inherited = inherited
        self._where = parse_listen(listen)
        self._site = site
        self._reactor = reactor
        self._port: IListeningPort | None = None

    def startService(self) -> None:
        """Listen. Raises CannotListen."""
        if self._inherited is not None:
            taken, self._inherited = self._inherited, None
            with taken:  # the port has a duplicate
                self._port = _take_over(taken, _AtMost(self._site), self._reactor)
            super().startService()
            return
        listening: Deferred[IListeningPort] = self._endpoint().listen(_AtMost(self._site))
        outcome: list[Any] = []
        listening.addBoth(outcome.append)
        if not hasattr(outcome[0], "check"):
            self._port = outcome[0]
            super().startService()
            return
        error = outcome[0].value
        if isinstance(error, CannotListenError):
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            raise CannotListen(
                f"cannot listen on {self.listen}: {reason}; stop what is there, "
                "or name another node.listen"
            )
        raise CannotListen(f"cannot listen on {self.listen}: {error}")

    def stopService(self) -> Deferred[None]:
        """Listen no more, and end the connections that idle; fires when the port is closed."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop_listening())

    async def _stop_listening(self) -> None:
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)

    @property
    def address(self) -> str:
        """The base URL by which a client on this host reaches the node."""
        if isinstance(self._where, UnixAddress):
            return self.listen
        host, port = self._where.host, self._where.port
        if self._port is not None:
            port = self._port.getHost().port  # type: ignore[attr-defined]
        host = _EVERYWHERE.get(host, host)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _endpoint(self) -> Any:
        where = self._where
        if isinstance(where, UnixAddress):
            return UNIXServerEndpoint(self._reactor, where.path, mode=_SOCKET_MODE, wantPID=1)
        if ":" in where.host:
            return TCP6ServerEndpoint(self._reactor, where.port, interface=where.host)
        return TCP4ServerEndpoint(self._reactor, where.port, interface=where.host)


def _take_over(listening: socket.socket, factory: Any, reactor: Any) -> Any:
    if listening.family != socket.AF_UNIX:
        return reactor.adoptStreamPort(listening.fileno(), listening.family, factory)
    port = UnixPort._fromListeningDescriptor(reactor, listening.fileno(), factory)
    # Twisted would open it to everybody and remove it at the end; mode and name are systemd's.
    # It leaves those alone whose name is in no file system.
    port._bindPath = b"\0" + port._bindPath
    port.startListening()
    return port
