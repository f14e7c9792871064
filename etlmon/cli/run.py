"""Commands that run until they are ended: the node, the demo, the terminal client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from etlmon.cli.base import NODE_CONFIG, errors

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@NODE_CONFIG
def node(config: str | None) -> None:
    """Run a node: watch this host and serve what is seen over HTTP.

    Without a file every mount is watched, the API listens on 127.0.0.1:8080, and the database
    is in the state directory (/var/lib/etlmon for root). SIGHUP re-reads the file, SIGTERM ends
    the node.
    """
    from etlmon.node.foreground import run_node

    with errors():
        run_node(config)


@click.command()
@click.option("-p", "--path", "paths", multiple=True, metavar="DIR", help="Count files here.")
def demo(paths: Sequence[str]) -> None:
    """Run a node on this host, on a free port and with a database of its own, and show it.

    Nothing is configured and nothing stays behind; a node that runs already is not disturbed.
    """
    from etlmon.node.demo import run_demo

    with errors():
        run_demo(paths)


@click.command()
@click.argument("addresses", nargs=-1, metavar="[URL]...")
@click.option("-c", "--config", metavar="FILE", help="The nodes to show, ui.yaml.")
def ui(addresses: Sequence[str], config: str | None) -> None:
    """Show nodes on this terminal: file systems, paths, and how the nodes are.

    Without a file and without addresses: $XDG_CONFIG_HOME/etlmon/ui.yaml (~/.config/etlmon) if it
    is there, else /etc/etlmon/ui.yaml, else the node on localhost:8080.
    """
    from etlmon.ui.start import choose_nodes, run_ui

    with errors():
        run_ui(choose_nodes(addresses, config))
