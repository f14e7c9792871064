"""``etlmon node``: the daemon in the foreground, its log on standard error."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from etlmon.clock import make_monotonic
from etlmon.config.loader import load_node_config
from etlmon.config.node import NodeConfig
from etlmon.errors import EtlmonError
from etlmon.node.tap import DaemonService

if TYPE_CHECKING:
    from typing import TextIO


def run_node(config_path: str | None) -> None:
    """Run the node until SIGTERM or SIGINT; raises ConfigError, exits with 1 if it cannot start."""
    from twisted.internet import reactor

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a node that can reload
    config = NodeConfig() if config_path is None else load_node_config(config_path)
    begin_logging(config)
    make_monotonic(reactor)
    node = DaemonService(config, config_path, reactor)
    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    reactor.run()


def begin_logging(config: NodeConfig) -> None:
    """Send the log to standard error or to ``log.file``, from ``log.level`` on."""
    least = LogLevelFilterPredicate(LogLevel.levelWithName(config.log.level))
    observer = FilteringLogObserver(textFileLogObserver(_log_file(config)), [least])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)


def _log_file(config: NodeConfig) -> TextIO:
    if config.log.file is None:
        return sys.stderr
    try:
        return open(config.log.file, "a", encoding="utf-8")  # noqa: PTH123 - stays open
    except OSError as error:
        raise EtlmonError(f"cannot open log.file {config.log.file}: {error.strerror}") from error
