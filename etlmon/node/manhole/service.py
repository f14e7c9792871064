"""Opens the console and closes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from etlmon.config.addresses import TcpAddress, parse_listen
from etlmon.errors import EtlmonError
from etlmon.node.manhole.unix import SocketFactory
from etlmon.node.manhole.visit import Visitors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.interfaces import IListeningPort

    from etlmon.config.node import ManholeSection
    from etlmon.control.audit import AuditLog

HOST_KEY = "console_host_key"
"""The name of the key beside the database."""


class ManholeService(Service):
    """The console of a node, from start to stop.

    A way in that cannot be opened is a warning and no reason not to watch the host. Stopping ends
    the sessions; the store must still be open then, for their ends stand in the audit.
    """

    name = "console"
    log = Logger()

    def __init__(
        self,
        section: ManholeSection,
        audit: AuditLog,
        namespace: Callable[[], Mapping[str, Any]],
        key_directory: Path,
        reactor: Any,
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
    ) -> None:
        self._section = section
        self._key_path = key_directory / HOST_KEY
        self._reactor = reactor
        self._in_thread = in_thread
        self._visitors = Visitors(audit, namespace)
        self._ports: list[IListeningPort] = []
        self._why_no_keys: str | None = None
        self.warnings: list[str] = []
        """Which way in could not be opened, and why."""

    def startService(self) -> None:
        """Open the ways in."""
        super().startService()
        section = self._section
        if section.socket is not None:
            # 0600 from bind on would need a umask of the whole process; the peer's uid counts.
            self._open(
                f"unix:{section.socket}",
                lambda: UNIXServerEndpoint(
                    self._reactor, section.socket, mode=0o600, wantPID=1
                ).listen(SocketFactory(self._visitors, str(section.socket))),
            )
        if section.ssh is not None:
            self._open(section.ssh, self._listen_for_ssh)

    def _listen_for_ssh(self) -> Any:
        from etlmon.node.manhole.keys import authorized_keys, host_key
        from etlmon.node.manhole.ssh import ConsoleFactory, KeyChecker

        listen, keys = str(self._section.ssh), str(self._section.authorized_keys)
        authorized_keys(keys)
        checker = KeyChecker(keys, self._in_thread, self._no_keys)
        factory = ConsoleFactory(self._visitors, f"ssh:{listen}", host_key(self._key_path), checker)
        where = parse_listen(listen)
        assert isinstance(where, TcpAddress)
        endpoint = TCP6ServerEndpoint if ":" in where.host else TCP4ServerEndpoint
        return endpoint(self._reactor, where.port, interface=where.host).listen(factory)

    def _no_keys(self, why: str | None) -> None:
        before, self._why_no_keys = self._why_no_keys, why
        if why == before:
            return
        if why is None:
            self.log.info("The console lets in over SSH again.")
        else:
            self.log.warn("The console lets nobody in over SSH: {why}", why=why)

    def _open(self, where: str, listen: Callable[[], Deferred[IListeningPort]]) -> None:
        outcome: list[Any] = []
        maybeDeferred(listen).addBoth(outcome.append)
        found = outcome[0]
        if not hasattr(found, "check"):
            self._ports.append(found)
            self.log.info("The console is at {where}.", where=where)
            return
        error = found.value
        if isinstance(error, CannotListenError):
            why = getattr(error.socketError, "strerror", None) or str(error.socketError)
        elif isinstance(error, (EtlmonError, OSError)):
            why = str(error)
        else:
            self.log.failure("The console failed.", found)
            why = f"{type(error).__name__}: {error}"
        self.warnings.append(f"There is no console at {where}: {why}.")

    @property
    def ssh_port(self) -> int | None:
        """The port that SSH came to listen on."""
        hosts = [port.getHost() for port in self._ports]
        return next((host.port for host in hosts if hasattr(host, "port")), None)

    def stopService(self) -> Deferred[None]:
        """Close the ways in and end the sessions; fires when their ends are stored."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)
        await self._visitors.end_all()
