"""The way in through a unix socket: for root, and for the user that the node runs as."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from etlmon.control.callers import Caller
from etlmon.node.manhole.terminal import ON_TERMINAL

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress
    from twisted.python.failure import Failure

    from etlmon.node.manhole.visit import Visit, Visitors

_CREDENTIALS = struct.Struct("3i")


@implementer(IHalfCloseableProtocol)
class SocketLine(Protocol):
    """One connection. It is a script unless it begins with the word of ``etlmon console``."""

    transport: Any
    factory: Any

    def __init__(self) -> None:
        self._visit: Visit | None = None
        self._first: bytes | None = b""

    def connectionMade(self) -> None:
        """Let in whom the kernel says may come."""
        raw = self.transport.getHandle().getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
        pid, uid, _ = _CREDENTIALS.unpack(raw)
        caller = Caller(f"uid:{uid}", f"unix pid {pid}")
        factory = self.factory
        if uid not in factory.uids:
            factory.visitors.refuse(caller, factory.target, f"uid {uid} may not use the console")
            self.transport.abortConnection()
            return
        self._visit = factory.visitors.let_in(caller, factory.target, self.transport)
        if self._visit is None:
            self.transport.write(b"etlmon: there are too many sessions already\r\n")
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Find out what is at the other end, and hand on what it sends."""
        visit = self._visit
        if visit is None:
            return
        if self._first is None:
            visit.received(data)
            return
        self._first += data
        if self._first != ON_TERMINAL and ON_TERMINAL.startswith(self._first):
            return
        first, self._first = self._first, None
        visit.begin(on_terminal=first.startswith(ON_TERMINAL))
        visit.received(first.removeprefix(ON_TERMINAL))

    def readConnectionLost(self) -> None:
        """The other end sends no more; it may still read."""
        if self._visit is None:
            self.transport.loseConnection()
            return
        if self._first is not None:
            first, self._first = self._first, None
            self._visit.begin(on_terminal=False)
            self._visit.received(first)
        self._visit.input_ended()

    def writeConnectionLost(self) -> None:
        """Nobody reads any more."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Note the end."""
        if self._visit is not None:
            self._visit.end()


class SocketFactory(Factory[SocketLine]):
    """Makes the connections of the socket ``path``; only ``uids`` are let in."""

    noisy = False

    def __init__(self, visitors: Visitors, path: str) -> None:
        self.visitors = visitors
        self.target = f"unix:{path}"
        self.uids = frozenset((0, os.geteuid()))

    def buildProtocol(self, addr: IAddress | None) -> SocketLine:
        """Give the protocol of a new connection."""
        line = SocketLine()
        line.factory = self
        return line
