"""``etlmon get``: what a node tells, as a table or as JSON, once or as it comes."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from etlmon.cli.base import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from etlmon.contract.endpoint import Endpoint

_DEFAULT_NODE = "http://localhost:8080"


@click.command(name="get")
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

    with errors():
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


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f"{text}: write NAME=VALUE, for example limit=10.")
    return name, value


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
    # Programs that read a table want a line for each row.
    most_width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    try:
        if as_json:
            return await fetch_json(client, endpoint, query)
        return await fetch_text(client, endpoint, query, most_width)
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
