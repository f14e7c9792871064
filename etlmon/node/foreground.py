"""``etlmon node``: the daemon in the foreground."""

from __future__ import annotations

import signal

from etlmon.clock import make_monotonic
from etlmon.config.loader import load_node_config
from etlmon.config.node import NodeConfig
from etlmon.node.log import begin_logging
from etlmon.node.tap import DaemonService


def run_node(config_path: str | None) -> None:
    """Run the node until SIGTERM or SIGINT; raises ConfigError, exits with 1 if it cannot start."""
    from twisted.internet import reactor

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a node that can reload
    config = NodeConfig() if config_path is None else load_node_config(config_path)
    log = begin_logging(config.log)
    make_monotonic(reactor)
    node = DaemonService(config, config_path, reactor, node_log=log)
    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    reactor.run()
