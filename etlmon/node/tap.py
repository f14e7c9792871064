"""``twistd etlmon-node``: the options, and the service that they describe.

Everything is read and checked here, and nothing is opened: twistd forks afterwards.
"""

from __future__ import annotations

import resource
import signal
import sys
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python import usage

from etlmon.clock import make_monotonic
from etlmon.config.loader import load_node_config
from etlmon.config.node import LogSettings, NodeConfig
from etlmon.errors import ConfigError, EtlmonError
from etlmon.node.service import NodeService

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


_DESCRIPTORS = 65_536


class Options(usage.Options):
    """The command line of ``twistd etlmon-node``."""

    synopsis = "[-c node.yaml]"
    longdesc = (
        "Watches this host and serves what is seen over HTTP. Without a file: every mount, "
        "on 127.0.0.1:8080, the database in the state directory. SIGHUP re-reads the file."
    )
    optParameters = (("config", "c", None, "The node's configuration, node.yaml."),)
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.yaml")})

    def __init__(self) -> None:
        super().__init__()
        self.config = NodeConfig()

    def postOptions(self) -> None:
        """Read and check the file. Raises UsageError with every mistake in it."""
        path = self["config"]
        if path is not None:
            try:
                self.config = load_node_config(path)
            except ConfigError as error:
                raise usage.UsageError(str(error)) from error


class DaemonService(NodeService):
    """The node as a daemon.

    It re-reads its file on SIGHUP, and ends the process if it cannot start, with one line that
    says why.
    """

    log = Logger()

    def __init__(
        self,
        config: NodeConfig,
        config_path: str | None,
        reactor: Any,
        *,
        in_background: bool = False,
    ) -> None:
        super().__init__(config, reactor)
        self._config_path = config_path
        self._in_background = in_background

    def startService(self) -> None:
        """Start the node; if it cannot be, exit with status 1 and one line on standard error."""
        try:
            super().startService()
        except EtlmonError as error:
            if self._in_background:
                raise  # twistd tells its parent, which waits for word, of no other end than this
            # twistd sends standard error to its log; either way it is one line, told once.
            sys.exit(f"etlmon: {error}")
        signal.signal(signal.SIGHUP, self._hung_up)
        _raise_descriptor_limit()

    def stopService(self) -> Deferred[None]:
        """Stop the node (see NodeService)."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return super().stopService()

    def _hung_up(self, *_: object) -> None:
        self._reactor.callFromThread(self._reread)

    def _reread(self) -> None:
        path = self._config_path
        if path is None:
            self.log.warn("SIGHUP: there is no configuration file to read again.")
            return
        self.reload(lambda: load_node_config(path)).addErrback(
            lambda failure: self.log.failure("The reload failed.", failure)
        )


def _raise_descriptor_limit() -> None:
    """Allow this process the descriptors that its administrator allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def makeService(options: Options) -> DaemonService:
    """Give the node that the options describe; nothing is opened yet."""
    from twisted.internet import reactor

    make_monotonic(reactor)
    if options.config.log != LogSettings():
        Logger().warn(
            "log: is without effect under twistd, which has --logfile and a log of its own."
        )
    parent = options.parent
    in_background = parent is not None and not parent["nodaemon"]
    return DaemonService(options.config, options["config"], reactor, in_background=in_background)
