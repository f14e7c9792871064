"""A whole node, with a timer of 10 ms in its reactor whose lateness is told at the end.

Run as ``python late_node.py NODE_YAML FILE``, ended by SIGTERM. The file gets one number: the
lateness that one call of a thousand exceeds, ms, from two seconds after the start on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench_limits import Lateness
from twisted.internet import reactor

from etlmon.clock import make_monotonic
from etlmon.config.loader import load_node_config
from etlmon.node.service import NodeService

_BEGIN_SECONDS = 2.0


def main() -> None:
    make_monotonic(reactor)
    node = NodeService(load_node_config(sys.argv[1]), reactor)
    node.startService()
    timers: list[Lateness] = []
    reactor.callLater(_BEGIN_SECONDS, lambda: timers.append(Lateness(reactor)))
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: Path(sys.argv[2]).write_text(str(timers[0].stop()))
    )
    reactor.run()


if __name__ == "__main__":
    main()
