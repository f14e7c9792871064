"""``twistd etlmon-node``: the options, and the service that they describe.

Everything is read and checked here, and nothing is opened: twistd forks afterwards.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, Logger
from twisted.python import usage

from etlmon.clock import make_monotonic
from etlmon.config.loader import load_node_config
from etlmon.config.node import LogSettings, NodeConfig
from etlmon.errors import ConfigError, EtlmonError
from etlmon.node.log import NodeLog, end_unconfigured, last_words, node_log
from etlmon.node.service import NodeService
from etlmon.node.systemd import Notifier, first_environment, inherited_socket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.defer import Deferred


_DESCRIPTORS = 65_536


class Options(usage.Options):
    """The command line of ``twistd etlmon-node``."""

    synopsis = "[-c node.yaml]"
    longdesc = (
        "Watches this host and serves what is seen over HTTP. Without a file: every mount, "
        "on 127.0.0.1:8080, the database in the state directory. SIGHUP re-reads the file, SIGUSR1 "
        "reopens the log. The log is as `log:` in the file says; twistd's own --logfile names "
        "another file, --syslog and --logger take it over."
    )
    optParameters = (("config", "c", None, "The node's configuration, node.yaml."),)
    compData = usage.Completions(optActions={"config": usage.CompleteFiles("*.yaml")})

    def __init__(self) -> None:
        super().__init__()
        self.config = NodeConfig()

    def postOptions(self) -> None:
        """Read and check the file; exits with status 78, naming every mistake, if it has some."""
        path = self["config"]
        if path is not None:
            try:
                self.config = load_node_config(path)
            except ConfigError as error:
                end_unconfigured(error)


class DaemonService(NodeService):
    """The node as a daemon.

    It re-reads its file on SIGHUP, and ends the process if it cannot start, with one line that
    says why. It is systemd's service where systemd has started it.
    """

    log = Logger()

    def __init__(
        self,
        config: NodeConfig,
        config_path: str | None,
        reactor: Any,
        *,
        in_background: bool = False,
        node_log: NodeLog | None = None,
    ) -> None:
        super().__init__(
            config,
            reactor,
            notifier=Notifier.from_environment(os.environ, os.getpid()),
            inherited=inherited_socket(first_environment(), os.getpid()),
        )
        self._config_path = config_path
        self._in_background = in_background
        self._node_log = node_log

    def startService(self) -> None:
        """Start the node; if it cannot be, exit with status 1 and one line on standard error."""
        try:
            super().startService()
        except EtlmonError as error:
            if self._node_log is not None and self._node_log.is_file:
                self.log.error("The node cannot start: {error}", error=str(error))
            if self._in_background:
                raise  # twistd tells its parent, which waits for word, of no other end than this
            # twistd sends standard error to its log; either way it is one line, told once.
            sys.exit(last_words(error))
        signal.signal(signal.SIGHUP, self._hung_up)
        _stop_once(self._reactor)
        if self._node_log is not None:
            self._node_log.reopen_on_signal(self._reactor)
        _raise_descriptor_limit()

    def stopService(self) -> Deferred[None]:
        """Stop the node (see NodeService)."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return super().stopService()

    def _apply(self, config: NodeConfig) -> None:
        super()._apply(config)
        if self._node_log is not None:
            self._node_log.level = config.log.level

    def _hung_up(self, *_: object) -> None:
        self._reactor.callFromThread(self._reread)

    def _reread(self) -> None:
        path = self._config_path
        if path is None:
            self.log.warn("SIGHUP: there is no configuration file to read again.")
            return
        self.supervised.reloading()
        reloaded = self.reload(lambda: load_node_config(path))
        reloaded.addErrback(lambda failure: self.log.failure("The reload failed.", failure))
        reloaded.addBoth(lambda _: self.supervised.ready())


def _stop_once(reactor: Any) -> None:
    """Let a second SIGTERM or ^C be no error: Twisted would log that the reactor stops already."""
    stop = reactor.stop

    def stop_once() -> None:
        with suppress(ReactorNotRunning):
            stop()

    reactor.stop = stop_once


def _raise_descriptor_limit() -> None:
    """Allow this process the descriptors that its administrator allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class TwistdService(DaemonService):
    """The node as twistd runs it: twistd takes the log from the application it is part of."""

    def setServiceParent(self, parent: Any) -> None:
        """Become part of twistd's application, and hand it the log."""
        if self._node_log is not None:
            parent.setComponent(ILogObserver, self._node_log)
        super().setServiceParent(parent)


def makeService(options: Options) -> TwistdService:
    """Give the node that the options describe; nothing is opened yet but its log.

    Exits with status 1 and one line if that cannot be: twistd would show a traceback.
    """
    from twisted.internet import reactor

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a node that can reload
    make_monotonic(reactor)
    parent = {} if options.parent is None else options.parent
    try:
        return TwistdService(
            options.config,
            options["config"],
            reactor,
            in_background=_in_background(parent),
            node_log=_log_of(parent, options.config.log),
        )
    except EtlmonError as error:
        sys.exit(last_words(error))


def _log_of(twistd: Mapping[str, Any], settings: LogSettings) -> NodeLog | None:
    """Give the log that twistd's options and ``settings`` ask for; None if it is not ours."""
    if twistd.get("syslog") or twistd.get("logger"):
        if settings != LogSettings():
            Logger().warn("log: is without effect, for twistd was told where to log.")
        return None
    named = twistd.get("logfile")
    if named == "-":  # in the background twistd refuses it
        return None if _in_background(twistd) else node_log(settings, descriptor=1)
    if not named and _in_background(twistd) and settings.file is None:
        named = "twistd.log"  # as twistd itself does: it has no standard error any more
    if named:
        settings = structs.replace(settings, file=str(Path(named).absolute()))
    return node_log(settings)


def _in_background(twistd: Mapping[str, Any]) -> bool:
    return bool(twistd) and not twistd["nodaemon"]
