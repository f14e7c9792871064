"""The command line. Each command imports what it needs when it is called: start is quick."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from etlmon import __version__
from etlmon.errors import EtlmonError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from etlmon.config.node import NodeConfig
    from etlmon.contract.endpoint import Endpoint

_DEFAULT_NODE = "http://localhost:8080"


class _Failed(click.ClickException):
    """One clear line (or one for each mistake) on standard error, and exit status 1."""

    def show(self, file: Any = None) -> None:
        from etlmon.ui.format import visible

        for line in self.message.splitlines():
            click.echo(f"etlmon: {visible(line)}", err=True, file=file)


class _Problem(_Failed):
    """The same, where status 1 says that there are no more than warnings."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Watch the hosts that run ETL jobs.

    \b
    A first look at this host:         etlmon demo
    A node with your configuration:    etlmon node -c node.yaml
    What that node sees:               etlmon get fs    etlmon get paths
    """  # noqa: D301


@main.command()
@click.option("-c", "--config", metavar="FILE", help="The node's configuration, node.yaml.")
def node(config: str | None) -> None:
    """Run a node: watch this host and serve what is seen over HTTP.

    Without a file every mount is watched, the API listens on 127.0.0.1:8080, and the database
    is in the state directory (/var/lib/etlmon for root). SIGHUP re-reads the file, SIGTERM ends
    the node.
    """
    from etlmon.node.foreground import run_node

    with _errors():
        run_node(config)


@main.command()
@click.option("-p", "--path", "paths", multiple=True, metavar="DIR", help="Count files here.")
def demo(paths: Sequence[str]) -> None:
    """Run a node on this host, on a free port and with a database of its own, and show it.

    Nothing is configured and nothing stays behind; a node that runs already is not disturbed.
    """
    from etlmon.node.demo import run_demo

    with _errors():
        run_demo(paths)


@main.command()
@click.argument("addresses", nargs=-1, metavar="[URL]...")
@click.option("-c", "--config", metavar="FILE", help="The nodes to show, ui.yaml.")
def ui(addresses: Sequence[str], config: str | None) -> None:
    """Show nodes on this terminal: file systems, paths, and how the nodes are.

    Without a file and without addresses: $XDG_CONFIG_HOME/etlmon/ui.yaml (~/.config/etlmon) if it
    is there, else /etc/etlmon/ui.yaml, else the node on localhost:8080.
    """
    from etlmon.ui.start import choose_nodes, run_ui

    with _errors():
        run_ui(choose_nodes(addresses, config))


@main.command(name="get")
@click.argument("resource")
@click.argument("parameters", nargs=-1, metavar="[NAME] [NAME=VALUE]...")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--node", "address", default=_DEFAULT_NODE, metavar="URL", show_default=True)
@click.option("--token-file", metavar="FILE", help="The token, for a node that asks for one.")
def get_resource(
    resource: str,
    parameters: Sequence[str],
    as_json: bool,
    follow: bool,
    address: str,
    token_file: str | None,
) -> None:
    """Print what a node tells: a table for people, JSON for programs.

    \b
    etlmon get fs                              usage of every mount
    etlmon get fs all=true                     hidden ones too
    etlmon get fs/history mount_point=/        how one went
    etlmon get paths                           file counts, and the id of each path
    etlmon get paths/ID/history points=24      how one went
    etlmon get logs                            logs, and how far they have been read
    etlmon get logs app match=ERROR lines=20   lines of one
    etlmon get logs app --follow               and what comes
    etlmon get xferlog user=etl limit=20       newest transfers
    etlmon get xferlog --follow                and each that comes
    etlmon get xferlog/summary by=user         what they add up to
    etlmon get cron                            jobs, the next one to run first
    etlmon get cron user=etl command=load      some of them
    etlmon get cron/files                      what cron ignores, and why
    etlmon get health                          the node itself
    etlmon get admin/db                        its database in figures
    etlmon get audit who=alice                 which commands were given, and what came of them

    A token is read from a file, never from the command line, where everybody on this host could
    read it.
    """  # noqa: D301
    from etlmon.client.token import read_token_file
    from etlmon.contract.wire import read_query

    with _errors():
        endpoint, segments, pairs = _wanted(resource, parameters)
        if follow:
            if not endpoint.follows:
                raise click.UsageError(f"{resource} cannot be followed; logs NAME and xferlog can.")
            pairs.append(("follow", "true"))
        query = read_query(pairs, endpoint.query, segments)
        token = None if token_file is None else read_token_file(token_file, "--token-file")
        if getattr(query, "follow", False):
            with suppress(click.Abort):  # Ctrl-C is how it ends
                _in_reactor(
                    lambda reactor: _follow(reactor, address, token, endpoint, query, as_json)
                )
            return
        click.echo(
            _in_reactor(lambda reactor: _fetch(reactor, address, token, endpoint, query, as_json))
        )


@main.command()
@click.argument("file", required=False)
@click.option("--ui", "for_ui", is_flag=True, help="The file is a ui.yaml.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file instead.")
def check_config(file: str | None, for_ui: bool, schema: bool) -> None:
    """Check a configuration file and name every mistake in it: file, line, what to write."""
    from etlmon.config import loader

    if schema:
        from etlmon.config.schema import node_config_schema, ui_config_schema

        click.echo(_json(ui_config_schema() if for_ui else node_config_schema()))
        return
    if file is None:
        raise click.UsageError("Name the file to check.")
    with _errors():
        if for_ui:
            loader.load_ui_config(file)
        else:
            loader.load_node_config(file)
        click.echo(f"{file}: good")


@main.group()
def token() -> None:
    """Say who may use the API of a node: make, list and remove its tokens.

    The node must be told of the file: auth: {tokens_file: /etc/etlmon/tokens} in node.yaml. It
    takes changes of the file within two seconds.
    """


_TOKENS_FILE = click.option(
    "--file",
    "path",
    default="/etc/etlmon/tokens",
    show_default=True,
    metavar="FILE",
    help="The node's auth.tokens_file.",
)


@token.command(name="add")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator"]),
    required=True,
    help="viewer: may read. operator: may give commands, too.",
)
@_TOKENS_FILE
def add_token(name: str, role: Literal["viewer", "operator"], path: str) -> None:
    """Make a token for NAME and print it: it is shown this once, the file keeps only its hash.

    \b
    umask 077; etlmon token add alice --role operator > token-of-alice
    """  # noqa: D301
    from datetime import UTC, datetime

    from etlmon.control import tokens

    with _errors():
        is_new = not os.path.lexists(path)
        click.echo(tokens.add(Path(path), name, role, datetime.now(UTC)))
        if is_new:
            click.echo(
                f"etlmon: {path} was made, and only uid {os.geteuid()} can read it; if the node "
                f"runs as another user: chown USER {path}",
                err=True,
            )


@token.command(name="list")
@_TOKENS_FILE
def list_tokens(path: str) -> None:
    """Show whose tokens there are: name, role, when it was made."""
    from etlmon.control import tokens

    with _errors():
        found = tokens.read(Path(path))
        if not found:
            click.echo("Nothing there yet.")
        width = max((len(one.name) for one in found), default=0)
        for one in found:
            click.echo(f"{one.name:{width}}  {one.role:8}  {one.made_at:%Y-%m-%dT%H:%M:%SZ}")


@token.command(name="remove")
@click.argument("name")
@_TOKENS_FILE
def remove_token(name: str, path: str) -> None:
    """Remove the token of NAME: the node lets nobody in with it after two seconds."""
    from etlmon.control import tokens

    with _errors():
        tokens.remove(Path(path), name)


@main.command()
@click.option("-c", "--config", metavar="FILE", help="The node's configuration, node.yaml.")
@click.option("--to", "target", metavar="FILE", help="Where the copy goes; it must not exist.")
def backup(config: str | None, target: str | None) -> None:
    """Copy the node's database, also while the node runs, and check the copy.

    Without --to it goes to the directory of `backup`, or else beside the database.
    """
    import time

    from etlmon.node.places import backup_path, database_path
    from etlmon.store.backup import back_up

    with _errors():
        settings = _node_config(config)
        path = backup_path(settings, time.time()) if target is None else Path(target)
        size = back_up(database_path(settings), path)
        click.echo(f"{path}: {size} bytes, checked")


@main.command()
@click.argument("copy", metavar="FILE")
@click.option("-c", "--config", metavar="FILE", help="The node's configuration, node.yaml.")
def restore(copy: str, config: str | None) -> None:
    """Put a copy in the place of the node's database. The node must be stopped.

    The copy is checked first, and stays; the database that was there is kept beside it.
    """
    import time

    from etlmon.node.places import database_path
    from etlmon.store.backup import restore as put_back

    with _errors():
        path = database_path(_node_config(config))
        old = put_back(Path(copy), path, time.time())
        kept = "" if old is None else f"; the old database is kept as {old}"
        click.echo(f"{path}: restored from {copy}{kept}")


@main.command()
@click.option("-c", "--config", metavar="FILE", help="The node's configuration, node.yaml.")
@click.option("--user", metavar="USER", help="Check what this user may; for root.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def doctor(config: str | None, user: str | None, as_json: bool) -> None:
    """Check whether this host gives the node what its configuration asks for.

    Rights on everything configured, the database's place, ports, limits, cron's logging, the
    clock: a line for each, with the remedy. Nothing is changed. Without -c it is
    /etc/etlmon/node.yaml if that is there. Exit status 0: all well, 1: warnings, 2: problems.

    \b
    sudo etlmon doctor --user etlmon
    """  # noqa: D301
    from etlmon.node.doctor.examine import examine, exit_status, host_for
    from etlmon.node.places import CONFIG_FILE
    from etlmon.ui.format import visible

    with _errors(_Problem):
        if config is None and Path(CONFIG_FILE).exists():
            config = CONFIG_FILE
        host = host_for(user)
        findings = examine(host, _node_config(config))
        status = exit_status(findings)
        if as_json:
            click.echo(_json(findings))
        else:
            for one in findings:
                click.echo(visible(f"{one.level:8} {one.check:9} {one.what}"))
                if one.remedy is not None:
                    click.echo(visible(f"{'':8} {'':9} -> {one.remedy}"))
            bad = sum(one.level == "problem" for one in findings)
            warned = sum(one.level == "warning" for one in findings)
            click.echo(
                f"{bad} problems, {warned} warnings, {len(findings) - bad - warned} ok, for the "
                f"user {visible(host.user)} and {visible(config or 'no configuration file')}"
            )
    raise SystemExit(status)


@main.command()
@click.option("-c", "--config", metavar="FILE", help="The node's configuration, node.yaml.")
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

    with _errors():
        if path is None:
            config = CONFIG_FILE if config is None else config
            section = _node_config(config).manhole
            if section is None or section.socket is None:
                raise EtlmonError(
                    f"{config}: manhole.socket is not set, so the node has no console; write "
                    "manhole: {socket: /run/etlmon/manhole.sock} and restart the node"
                )
            path = section.socket
        run_console(path)


@main.command()
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
    with _errors():
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
            raise EtlmonError(f"none of the {found.processes} processes is selected")


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(f"etlmon {__version__}")


async def _fetch(
    reactor: Any,
    address: str,
    token: str | None,
    endpoint: Endpoint[Any, Any, Any],
    query: Any,
    as_json: bool,
) -> str:
    from etlmon.client.http import NodeClient
    from etlmon.ui.plain import fetch_json, fetch_text

    client = NodeClient(address, reactor, token)
    try:
        return await (fetch_json if as_json else fetch_text)(client, endpoint, query)
    finally:
        await client.close()


async def _follow(
    reactor: Any,
    address: str,
    token: str | None,
    endpoint: Endpoint[Any, Any, Any],
    query: Any,
    as_json: bool,
) -> str:
    from etlmon.client.http import NodeClient
    from etlmon.ui.format import visible
    from etlmon.ui.plain import follow_items

    def tell(text: str) -> None:
        click.echo(f"etlmon: {visible(text)}", err=True)

    client = NodeClient(address, reactor, token)
    try:
        await follow_items(
            client, endpoint, query, reactor, as_json=as_json, write=click.echo, tell=tell
        )
    finally:
        await client.close()
    return ""


def _wanted(
    resource: str, words: Sequence[str]
) -> tuple[Endpoint[Any, Any, Any], dict[str, str], list[tuple[str, str]]]:
    """Give the endpoint that is asked for, the fields in its path, and the other parameters.

    ``logs app`` is ``logs/app``: a word without a = goes on with the path.
    """
    from urllib.parse import quote

    from etlmon.contract.all import find_query
    from etlmon.errors import ApiError

    below = [quote(word, safe="") for word in words if "=" not in word]
    pairs = [_pair(word) for word in words if "=" in word]
    try:
        return *find_query("/".join([resource, *below])), pairs
    except ApiError:
        if below and find_query(resource):
            _pair(next(word for word in words if "=" not in word))
        raise


def _in_reactor(work: Callable[[Any], Coroutine[Any, Any, str]]) -> str:
    """Run the reactor until ``work`` is done; give its result or raise its error."""
    from twisted.internet import reactor as global_reactor
    from twisted.internet.defer import Deferred
    from twisted.logger import globalLogBeginner
    from twisted.python.failure import Failure

    reactor: Any = global_reactor
    outcome: list[Any] = []

    working: list[Deferred[Any]] = []

    def begin() -> None:
        working.append(Deferred.fromCoroutine(work(reactor)).addBoth(end))

    def end(result: Any) -> None:
        if not outcome:
            outcome.append(result)
            reactor.stop()

    def interrupted() -> None:
        if not outcome:
            outcome.append(Failure(click.Abort()))
            for one in working:
                one.cancel()  # so that nothing takes the end for a loss, and tells of it

    # Without an observer Twisted writes what it finds critical, with a traceback, to the terminal.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("before", "shutdown", interrupted)
    reactor.run()
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return str(outcome[0])


def _node_config(path: str | None) -> NodeConfig:
    from etlmon.config.loader import load_node_config
    from etlmon.config.node import NodeConfig

    return NodeConfig() if path is None else load_node_config(path)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f"{text}: write NAME=VALUE, for example limit=10.")
    return name, value


def _json(document: Any) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


@contextmanager
def _errors(failed: type[_Failed] = _Failed) -> Iterator[None]:
    """Turn the errors of ours into clear lines and an exit status: 1, unless said otherwise."""
    try:
        yield
    except EtlmonError as error:
        raise failed(str(error)) from error
