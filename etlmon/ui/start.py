"""``etlmon ui``: which nodes, the log, and the reactor around the program."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from etlmon.clock import make_monotonic
from etlmon.config.addresses import read_node_url
from etlmon.config.loader import load_ui_config
from etlmon.config.ui import NodeAddress, UiConfig
from etlmon.errors import EtlmonError
from etlmon.ui.app import App
from etlmon.ui.terminal import Terminal

_HOSTS_FILE = Path("/etc/etlmon/ui.yaml")
"""For all users of this host; the Debian package puts it there."""


def choose_nodes(
    addresses: Sequence[str],
    config_path: str | None,
    environ: Mapping[str, str] = os.environ,
    hosts_file: Path = _HOSTS_FILE,
) -> UiConfig:
    """Give the nodes to show: those named, those of the file, of the user's file, the host's.

    Where there is neither, it is the node on localhost.

    Raises ConfigError for a file with mistakes, EtlmonError for an address that is none.
    """
    if addresses:
        nodes = tuple(NodeAddress(name=a.split("://")[-1], address=_url(a)) for a in addresses)
        return UiConfig(nodes=tuple(dict.fromkeys(nodes)))
    if config_path is not None:
        return load_ui_config(config_path)
    base = environ.get("XDG_CONFIG_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".config"
    own = root / "etlmon" / "ui.yaml"
    for path in (own, hosts_file):
        if path.exists():
            return load_ui_config(path)
    return UiConfig()


def _url(address: str) -> str:
    try:
        return read_node_url(address)
    except ValueError as error:
        raise EtlmonError(
            f"{address} is not the address of a node; write http://10.0.0.11:8080, "
            "etl-01:8080 or unix:/run/etlmon.sock"
        ) from error


def run_ui(config: UiConfig) -> None:
    """Run the terminal program until the user quits; raises EtlmonError without a terminal."""
    from twisted.internet import reactor

    make_monotonic(reactor)
    failures = begin_ui(config, reactor)
    reactor.run()
    if failures:
        failures[0].raiseException()


def begin_ui(config: UiConfig, reactor: Any) -> list[Failure]:
    """Show nodes as soon as the reactor runs, and stop it when the user quits.

    What ended the program, if not the user, will be in the list that is given back. Raises
    EtlmonError without a terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise EtlmonError(
            "the screen needs a terminal; `etlmon get fs` prints what a node tells without one"
        )
    begin_logging(log_path(os.environ))
    app = App(config, reactor, Terminal())
    failures: list[Failure] = []

    def begin() -> None:
        running = Deferred.fromCoroutine(app.run())
        running.addErrback(failures.append)
        running.addBoth(end)
        # SIGTERM and ^C stop the reactor: the terminal must be given back before it is gone.
        reactor.addSystemEventTrigger("before", "shutdown", _give_back, app, running)

    def end(_: object) -> None:
        # If it is being stopped already, it was the signal that ended the program.
        with suppress(ReactorNotRunning):
            reactor.stop()

    # A window that is closed, and ^\: the terminal must be given back then, too.
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: reactor.callFromThread(app.quit))
    reactor.callWhenRunning(begin)
    return failures


def _give_back(app: App, running: Deferred[Any]) -> Deferred[Any]:
    app.quit()
    return running


def begin_logging(path: Path) -> None:
    """Send warnings and worse to a file: the terminal is taken."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError:
        file = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open
    grave = LogLevelFilterPredicate(LogLevel.warn)
    observer = FilteringLogObserver(textFileLogObserver(file), [grave])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)
    logging.basicConfig(stream=file, level=logging.WARNING)  # urwid's own


def log_path(environ: Mapping[str, str]) -> Path:
    """Give where the terminal program logs: ``ui.log`` in the user's XDG state directory."""
    base = environ.get("XDG_STATE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return root / "etlmon" / "ui.log"
