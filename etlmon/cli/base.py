"""What all commands share: how they fail, and where the configuration comes from."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from etlmon.errors import EtlmonError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etlmon.config.node import NodeConfig

NODE_CONFIG = click.option(
    "-c", "--config", metavar="FILE", help="The node's configuration, node.yaml."
)


class Failed(click.ClickException):
    """One clear line (or one for each mistake) on standard error, and exit status 1."""

    def show(self, file: Any = None) -> None:
        """Write it."""
        from etlmon.ui.format import visible

        for line in self.message.splitlines():
            click.echo(f"etlmon: {visible(line)}", err=True, file=file)


class Problem(Failed):
    """The same, where status 1 says that there are no more than warnings."""

    exit_code = 2


@contextmanager
def errors(failed: type[Failed] = Failed) -> Iterator[None]:
    """Turn the errors of ours into clear lines and an exit status: 1, unless said otherwise."""
    try:
        yield
    except EtlmonError as error:
        raise failed(str(error)) from error


def node_config(path: str | None) -> NodeConfig:
    """Read the node's configuration, or give that of a node without a file. Raises ConfigError."""
    from etlmon.config.loader import load_node_config
    from etlmon.config.node import NodeConfig

    return NodeConfig() if path is None else load_node_config(path)


def json_text(document: Any) -> str:
    """Give a document as JSON that people can read, too."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
