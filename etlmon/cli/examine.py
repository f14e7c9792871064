"""Commands that look into what is not as it should be: the host, and a running node."""

from __future__ import annotations

from pathlib import Path

import click

from etlmon.cli.base import NODE_CONFIG, Problem, errors, json_text, node_config
from etlmon.errors import EtlmonError


@click.command()
@NODE_CONFIG
@click.option("--user", metavar="USER", help="Check what this user may; for root.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def doctor(config: str | None, user: str | None, as_json: bool) -> None:
    """Check whether this host gives the node what its configuration asks for.

    Rights on everything configured, the database's place, ports, limits, cron's logging, the
    clock: a line for each, with the remedy. Nothing is changed. Without -c it is
    /etc/etlmon/node.yaml, if that is there. That file is judged for the user of the service
    etlmon-node, and only root can look as that user does; who is neither sees a part of it.
    Exit status 0: all well, 1: warnings, 2: problems.

    \b
    sudo etlmon doctor
    """  # noqa: D301
    from etlmon.node.doctor.base import turn_on
    from etlmon.node.doctor.examine import examine, exit_status, host_for
    from etlmon.node.places import CONFIG_FILE
    from etlmon.ui.format import visible

    with errors(Problem):
        if config is None and Path(CONFIG_FILE).exists():
            config = CONFIG_FILE
        of_unit = config is not None and Path(config).resolve() == Path(CONFIG_FILE).resolve()
        host = host_for(user, of_unit=of_unit)
        findings = examine(host, node_config(config))
        status = exit_status(findings)
        if as_json:
            click.echo(json_text(findings))
        else:
            for one in findings:
                click.echo(visible(f"{one.level:8} {one.check:9} {one.what}"))
                if one.remedy is not None:
                    click.echo(visible(f"{'':8} {'':9} -> {one.remedy}"))
            command = turn_on(findings)
            if command is not None:
                click.echo(f"{'drop-ins':8} {'':9} are turned on by, without those not wanted:")
                click.echo(f"{'':8} {'':9} -> {command}")
            bad = sum(one.level == "problem" for one in findings)
            warned = sum(one.level == "warning" for one in findings)
            click.echo(
                f"{bad} problems, {warned} warnings, {len(findings) - bad - warned} ok, for the "
                f"user {visible(host.user)} and {visible(config or 'no configuration file')}"
            )
    raise SystemExit(status)


@click.command()
@NODE_CONFIG
@click.option("--socket", "path", metavar="PATH", help="The node's manhole.socket.")
def console(config: str | None, path: str | None) -> None:
    """Open a Python console in the running node of this host, for debugging.

    The node must have it: manhole: {socket: /run/etlmon/manhole.sock} in node.yaml. Only root and
    the node's own user are let in. Without an option /etc/etlmon/node.yaml says where it is.
    Ctrl-D ends the session; Ctrl-] leaves it even if the node hangs.

    \b
    etlmon console
    echo 'collectors' | etlmon console
    """  # noqa: D301
    from etlmon.node.manhole.terminal import run_console
    from etlmon.node.places import CONFIG_FILE

    with errors():
        if path is None:
            config = CONFIG_FILE if config is None else config
            section = node_config(config).manhole
            if section is None or section.socket is None:
                raise EtlmonError(
                    f"{config}: manhole.socket is not set, so the node has no console; write "
                    "manhole: {socket: /run/etlmon/manhole.sock} and restart the node"
                )
            path = section.socket
        run_console(path)
