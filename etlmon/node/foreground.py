"""``etlmon node``: the daemon in the foreground."""

from __future__ import annotations

import signal
import sys

from etlmon.clock import make_monotonic
from etlmon.config.loader import load_node_config
from etlmon.config.node import NodeConfig
from etlmon.errors import ConfigError, EtlmonError
from etlmon.node.log import begin_logging, end_unconfigured, last_words
from etlmon.node.tap import DaemonService


def run_node(config_path: str | None) -> None:
    """Run the node until SIGTERM or SIGINT.

    Exits with a line for each mistake and status 78 (EX_CONFIG) for a configuration that has some,
    with one line and status 1 if the node cannot start.
    """
    from twisted.internet import reactor

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a node that can reload
    try:
        config = NodeConfig() if config_path is None else load_node_config(config_path)
        log = begin_logging(config.log)
        make_monotonic(reactor)
        node = DaemonService(config, config_path, reactor, node_log=log)
    except ConfigError as error:
        end_unconfigured(error)
    except EtlmonError as error:
        sys.exit(last_words(error))
    node.startService()
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    reactor.run()
    # Python gives up its handlers before it has ended: a signal that comes then would kill it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
