"""The way in over SSH: public keys only, sessions only, on loopback."""

from __future__ import annotations

import struct
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from twisted.conch.avatar import ConchUser
from twisted.conch.error import ValidPublicKey
from twisted.conch.interfaces import IConchUser, ISession
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.connection import (
    MSG_CHANNEL_OPEN_FAILURE,
    OPEN_ADMINISTRATIVELY_PROHIBITED,
    SSHConnection,
)
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.session import SSHSession
from twisted.conch.ssh.transport import SSHServerTransport
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ISSHPrivateKey
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from zope.interface import implementer

from etlmon.control.callers import Caller
from etlmon.node.manhole.keys import KeyTrouble, authorized_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.conch.ssh.keys import Key
    from twisted.internet.defer import Deferred

    from etlmon.node.manhole.visit import Visit, Visitors

_CONCH = Logger(namespace="twisted.conch")
_THEIRS = property(lambda _: _CONCH)
"""What conch remarks in a class of ours is still conch's, and is kept out of the node's log."""
_LOGIN_SECONDS = 30
_MOST_CONNECTIONS = 16


@implementer(ICredentialsChecker)
class KeyChecker:
    """Lets in whoever has the private half of a key in the file; the user's name says nothing.

    The file is read at each attempt, in a thread: a key that is taken out of it is out.
    """

    credentialInterfaces = (ISSHPrivateKey,)

    def __init__(
        self,
        path: str,
        in_thread: Callable[[Callable[[], list[tuple[Key, str]]]], Deferred[list[tuple[Key, str]]]],
        tell: Callable[[str | None], None],
    ) -> None:
        """``tell`` is told why the file cannot be used, at each attempt; None: it can."""
        self._path = path
        self._in_thread = in_thread
        self._tell = tell

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """Give whose key it is; fails with UnauthorizedLogin."""
        known = self._in_thread(partial(authorized_keys, self._path))
        return known.addCallbacks(self._check, self._unreadable, callbackArgs=(credentials,))

    def _unreadable(self, failure: Any) -> Any:
        failure.trap(KeyTrouble)
        self._tell(str(failure.value))
        raise UnauthorizedLogin("no keys")

    def _check(self, known: list[tuple[Key, str]], credentials: Any) -> bytes:
        self._tell(None)
        for key, name in known:
            if key.blob() == credentials.blob:
                if not credentials.signature:
                    raise ValidPublicKey
                if key.verify(credentials.signature, credentials.sigData):
                    return name.encode()
        raise UnauthorizedLogin("not a key that is let in")


class User(ConchUser):
    """Somebody who has been let in. There are sessions and nothing else: no forwarding, no sftp."""

    def __init__(self, name: str, visitors: Visitors, target: str) -> None:
        super().__init__()
        self.name = name
        self.visitors = visitors
        self.target = target
        self.channelLookup[b"session"] = Channel


@implementer(IRealm)
class Realm:
    """Makes users of names."""

    def __init__(self, visitors: Visitors, target: str) -> None:
        self._visitors = visitors
        self._target = target

    def requestAvatar(self, avatarId: Any, mind: object, *_: object) -> Any:
        """Give the user."""
        return IConchUser, User(avatarId.decode(), self._visitors, self._target), lambda: None


class Channel(SSHSession):
    """A session's channel."""

    _log = _THEIRS

    def request_subsystem(self, data: bytes) -> int:
        """There is none."""
        return 0

    @cached_property
    def _session(self) -> ISession:
        session: ISession = Shell(self)
        self.session = session
        return session


class _Pipe(ProcessProtocol):
    """Takes what comes from the client."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def write(self, data: bytes) -> None:
        self._visit.received(data)

    def loseConnection(self) -> None:
        self._visit.end()


@implementer(ISession)
class Shell:
    """What one channel asks for: a terminal, a script on its input, or a command."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._on_terminal = False
        self._visit: Visit | None = None
        self._closed = False

    def getPty(self, _term: bytes, _size: object, _modes: object) -> None:
        """Be a terminal."""
        self._on_terminal = True

    def openShell(self, client: Any) -> None:
        """Begin a session."""
        self._begin(client, on_terminal=self._on_terminal)

    def execCommand(self, client: Any, command: bytes) -> None:
        """Run one command."""
        self._begin(client, on_terminal=False)
        assert self._visit is not None
        self._visit.received(command + b"\n")
        self._visit.input_ended()

    def _begin(self, client: Any, *, on_terminal: bool) -> None:
        user: Any = self._channel.avatar
        peer = user.conn.transport.transport.getPeer()
        caller = Caller(f"key:{user.name}", str(getattr(peer, "host", "-")))
        self._visit = user.visitors.let_in(caller, user.target, self)
        if self._visit is None:
            raise RuntimeError("there are too many sessions already")
        client.makeConnection(_Pipe(self._visit))
        self._visit.begin(on_terminal=on_terminal)

    def write(self, data: bytes) -> None:
        """Send to the client."""
        if not self._closed:
            self._channel.write(data)

    def loseConnection(self) -> None:
        """Close the channel, with status 0."""
        if self._closed:
            return
        self._closed = True
        connection = self._channel.conn
        if connection is not None:
            connection.sendRequest(self._channel, b"exit-status", struct.pack(">L", 0))
        SSHSession.loseConnection(self._channel)

    def windowChanged(self, _size: object) -> None:
        """The line editor does not wrap lines itself."""

    def eofReceived(self) -> None:
        """The client has sent all."""
        if self._visit is not None:
            self._visit.input_ended()

    def closed(self) -> None:
        """The channel is gone."""
        self._closed = True
        if self._visit is not None:
            self._visit.end()


class _Sessions(SSHConnection):
    _log = _THEIRS
    transport: Any

    def ssh_CHANNEL_OPEN(self, packet: bytes) -> None:
        kind, rest = getNS(packet)
        if kind == b"session":
            super().ssh_CHANNEL_OPEN(packet)
            return
        refusal = rest[:4] + struct.pack(">L", OPEN_ADMINISTRATIVELY_PROHIBITED)
        told = refusal + NS(b"there are sessions only") + NS(b"")
        self.transport.sendPacket(MSG_CHANNEL_OPEN_FAILURE, told)


class _Login(SSHUserAuthServer):
    _log = _THEIRS
    transport: Any
    loginTimeout = _LOGIN_SECONDS
    attemptsBeforeDisconnect = 6

    def serviceStarted(self) -> None:
        super().serviceStarted()
        self.transport.login = self


class _Transport(SSHServerTransport):
    """A connection; one that ends without having been let in is told."""

    _log = _THEIRS
    login: Any = None
    factory: Any
    transport: Any

    def connectionMade(self) -> None:
        """Begin; who does not identify in time is cut off."""
        super().connectionMade()
        self._late = self.factory.clock.callLater(_LOGIN_SECONDS, self._too_late)

    def _too_late(self) -> None:
        if not hasattr(self, "avatar"):
            self.transport.abortConnection()

    def receiveError(self, reasonCode: int, description: bytes) -> None:
        """Take note that the client goes: that is how each of them ends, and no error."""
        _CONCH.info("the client goes: {description}", description=description)

    def connectionLost(self, reason: Any = None) -> None:
        """Note who has tried in vain."""
        if self._late.active():
            self._late.cancel()
        self.factory.connections -= 1
        login = self.login
        if not hasattr(self, "avatar") and login is not None and login.user is not None:
            user = login.user.decode("utf-8", "replace")
            peer = str(getattr(self.transport.getPeer(), "host", "-"))
            self.factory.refused(Caller("-", peer), f"no key of ssh user {user} is let in")
        super().connectionLost(reason)


class ConsoleFactory(SSHFactory):
    """Makes the connections of the SSH port."""

    _log = _THEIRS
    noisy = False
    protocol = _Transport
    primes = None

    def __init__(
        self,
        visitors: Visitors,
        target: str,
        key: Key,
        checker: KeyChecker,
    ) -> None:
        self.portal = Portal(Realm(visitors, target), [checker])
        self.services = {b"ssh-userauth": _Login, b"ssh-connection": _Sessions}
        name = key.sshType()
        self.privateKeys = {name: key}
        self.publicKeys = {name: key.public()}
        self.clock = visitors.clock
        self.connections = 0
        self._visitors = visitors
        self._target = target

    def buildProtocol(self, addr: Any) -> Any:
        """Give the protocol of a new connection, None to close it at once."""
        if self.connections >= _MOST_CONNECTIONS:
            return None
        self.connections += 1
        return super().buildProtocol(addr)

    def refused(self, caller: Caller, why: str) -> None:
        """Note that somebody has not been let in."""
        self._visitors.refuse(caller, self._target, why)
