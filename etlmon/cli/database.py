"""Copies of the node's database: made, and put back."""

from __future__ import annotations

from pathlib import Path

import click

from etlmon.cli.base import NODE_CONFIG, errors, node_config

_MOST_SHOWN = 10


@click.command()
@NODE_CONFIG
@click.option("--to", "target", metavar="FILE", help="Where the copy goes; it must not exist.")
def backup(config: str | None, target: str | None) -> None:
    """Copy the node's database, also while the node runs, and check the copy.

    Without --to it goes to the directory of `backup`, or else beside the database.
    """
    import time

    from etlmon.node.places import backup_path, database_path
    from etlmon.store.backup import back_up_for_root

    with errors():
        settings = node_config(config)
        path = backup_path(settings, time.time()) if target is None else Path(target)
        copied = back_up_for_root(database_path(settings), path, time.time())
        mended = (
            "; an index of the database is damaged, all were made anew in the copy"
            if copied.is_mended
            else ""
        )
        click.echo(f"{path}: {copied.size_bytes} bytes, checked{mended}")


@click.command()
@click.argument("copy", metavar="FILE")
@NODE_CONFIG
def restore(copy: str, config: str | None) -> None:
    """Put a copy in the place of the node's database. The node must be stopped.

    The copy is checked first, and stays; the database that was there is kept beside it. What is not
    of etlmon in the copy, such as a trigger, stays out.
    """
    import time

    from etlmon.node.places import database_path
    from etlmon.store.restore import restore as put_back

    with errors():
        path = database_path(node_config(config))
        done = put_back(Path(copy), path, time.time())
        kept = "" if done.kept is None else f"; the old database is kept as {done.kept}"
        click.echo(f"{path}: restored from {copy}{kept}")
        if done.left_out:
            shown = ", ".join(done.left_out[:_MOST_SHOWN])
            more = len(done.left_out) - _MOST_SHOWN
            others = f" and {more} more" if more > 0 else ""
            click.echo(f"left out, for it is not of etlmon: {shown}{others}", err=True)
