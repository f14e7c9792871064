"""``etlmon``: all its commands."""

from __future__ import annotations

import click

from etlmon import __version__
from etlmon.cli.config import check_config, match
from etlmon.cli.database import backup, restore
from etlmon.cli.examine import console, doctor
from etlmon.cli.get import get_resource
from etlmon.cli.run import demo, node, ui
from etlmon.cli.tokens import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Watch the hosts that run ETL jobs.

    \b
    A first look at this host:         etlmon demo
    A node with your configuration:    etlmon node -c node.yaml
    What that node sees:               etlmon get fs    etlmon get paths
    """  # noqa: D301


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"etlmon {__version__}")


for _command in (
    node,
    demo,
    ui,
    get_resource,
    check_config,
    token,
    backup,
    restore,
    doctor,
    console,
    match,
    version,
):
    main.add_command(_command)
