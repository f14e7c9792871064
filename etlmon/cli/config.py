"""Commands about configuration files: check one, and try out a watch."""

from __future__ import annotations

from pathlib import Path

import click

from etlmon.cli.base import errors, json_text
from etlmon.errors import EtlmonError


@click.command()
@click.argument("file", required=False)
@click.option("--ui", "for_ui", is_flag=True, help="The file is a ui.yaml.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file instead.")
def check_config(file: str | None, for_ui: bool, schema: bool) -> None:
    """Check a configuration file and name every mistake in it: file, line, what to write."""
    from etlmon.config import loader

    if schema:
        from etlmon.config.schema import node_config_schema, ui_config_schema

        click.echo(json_text(ui_config_schema() if for_ui else node_config_schema()))
        return
    if file is None:
        raise click.UsageError("Name the file to check.")
    with errors():
        if for_ui:
            loader.load_ui_config(file)
        else:
            loader.load_node_config(file)
        click.echo(f"{file}: good")


@click.command()
@click.argument("pattern", required=False)
@click.option("--comm", metavar="NAME", help="The kernel's name of it, 15 bytes.")
@click.option("--exe", metavar="FILE", help="The program's file, absolute.")
@click.option("--user", metavar="USER", help="The user that it runs as.")
@click.option("--cgroup", metavar="GROUP", help="Control group, or systemd unit.")
@click.option("--pid", metavar="PID", help="The number.")
@click.option("--with-children", is_flag=True, help="The processes below it, too.")
@click.option("-c", "--config", metavar="FILE", help="Redact as this node.yaml says.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def match(config: str | None, as_json: bool, with_children: bool, **criteria: str | None) -> None:
    """Show which processes of this host a watch would select now.

    PATTERN is the `match` of a process_watch, the options are its other criteria; a process must
    meet all that are given. A node never selects its own processes. Exit status 1: none.

    \b
    etlmon match etl_load
    etlmon match 'python.*load' --user etl --with-children
    """  # noqa: D301
    import time

    from etlmon.collectors.process.preview import preview
    from etlmon.config import loader
    from etlmon.config.node import RedactSection
    from etlmon.ui.format import text_table
    from etlmon.ui.plain import as_json as json_text

    criteria["match"] = criteria.pop("pattern")
    given = {name: text for name, text in criteria.items() if text is not None}
    if not given:
        raise click.UsageError("Give a PATTERN, or one of the other criteria.")
    with errors():
        redact = loader.load_node_config(config).redact if config else RedactSection()
        watch = loader.read_watch(given, with_children=with_children)
        found = preview(watch, redact, Path("/proc"), time.time)
        if as_json:
            click.echo(json_text(found.samples))
        elif found.samples:
            columns = ("pid", "process_name", "user", "parent_pid", "is_child", "cmdline")
            click.echo(text_table(found.samples, columns))
        if not found.sees_all:
            click.echo("Some processes are hidden from you: root may see more.", err=True)
        elif found.untold:
            text = f"Of {found.untold} processes it cannot be read whether they meet the criteria"
            click.echo(f"{text}: root may see more.", err=True)
        if not found.samples:
            why = "" if found.lacking is None else f": {found.lacking}"
            raise EtlmonError(f"none of the {found.processes} processes is selected{why}")
