"""``etlmon token``: who may use the API of a node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import click

from etlmon.cli.base import errors
from etlmon.text import shell_word


@click.group()
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

    with errors():
        is_new = not os.path.lexists(path)
        click.echo(tokens.add(Path(path), name, role, datetime.now(UTC)))
        if is_new:
            owner = os.lstat(path).st_uid  # not ours, in a directory of the node's user
            click.echo(
                f"etlmon: {path} was made, and only uid {owner} can read it; if the node "
                f"runs as another user: chown USER {shell_word(path)}",
                err=True,
            )


@token.command(name="list")
@_TOKENS_FILE
def list_tokens(path: str) -> None:
    """Show whose tokens there are: name, role, when it was made."""
    from etlmon.control import tokens

    with errors():
        found = tokens.read(Path(path), administers=True)
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

    with errors():
        tokens.remove(Path(path), name)
