"""``etlmon demo``: a node on this host that needs no configuration and leaves nothing behind."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from etlmon.clock import make_monotonic
from etlmon.config.node import LogSettings, NodeConfig, NodeSection, PathSection, RefreshSection
from etlmon.config.ui import NodeAddress, UiConfig
from etlmon.node.log import begin_logging
from etlmon.node.places import node_name
from etlmon.node.service import NodeService

_PATHS = ("/etc", "/usr", "/var")


def run_demo(paths: Sequence[str]) -> None:
    """Run a node until it is told to stop, or until the user quits the screen that shows it.

    Without a terminal there is no screen: the node says where it listens, and stays.
    """
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    with tempfile.TemporaryDirectory(prefix="etlmon-demo-") as directory:
        config = demo_config(Path(directory), paths or [p for p in _PATHS if Path(p).is_dir()])
        make_monotonic(reactor)
        node = NodeService(config, reactor)
        failures = []
        if on_terminal:
            node.startService()
            failures = _show(node, reactor)
        else:
            begin_logging(config.log)
            node.startService()
            # A terminal that is closed: the database goes, too.
            signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(_stop, reactor))
            reactor.callWhenRunning(_say_where, node)
        reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
        reactor.run()
        for failure in failures:
            failure.raiseException()


def demo_config(directory: Path, paths: Sequence[str]) -> NodeConfig:
    """Give the configuration of a demonstration whose database is in ``directory``."""
    return NodeConfig(
        node=NodeSection(listen="127.0.0.1:0", db_path=str(directory / "etlmon.db")),
        refresh=RefreshSection(disk=5.0),
        paths=tuple(PathSection(path=str(Path(p).absolute()), scan_interval=60.0) for p in paths),
        log=LogSettings(level="warn"),
    )


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()


def _say_where(node: NodeService) -> None:
    click.echo(f"etlmon listens on {node.listening.address}/api/v1 (^C ends it)")


def _show(node: NodeService, reactor: Any) -> list[Any]:
    """Show the node on this terminal."""
    from etlmon.ui.start import begin_ui

    address = NodeAddress(name=node_name(node.config), address=node.listening.address)
    return begin_ui(UiConfig(nodes=(address,)), reactor)
