"""The whole of ui.yaml. Without the file, the UI goes to the node on this host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, field

from etlmon.config.addresses import NodeUrl
from etlmon.config.kinds import HomePath, ScreenInterval
from etlmon.config.mistakes import visible
from etlmon.config.section import Problem, Section, list_of
from etlmon.records.base import about


class NodeAuth(Section, frozen=True, kw_only=True):
    """How the UI identifies itself to a node."""

    token_file: Annotated[HomePath, about("File with the bearer token for this node.")]


class NodeAddress(Section, frozen=True, kw_only=True):
    """A node that the UI connects to."""

    name: Annotated[str, about("Its name on the screen.")]
    address: Annotated[
        NodeUrl, about("Where it answers: http://host:8080, https://, host:8080 or unix:/path.")
    ]
    auth: Annotated[NodeAuth | None, about("How to identify to it; else not at all.")] = None


class UiSection(Section, frozen=True, kw_only=True):
    """The screen."""

    refresh_interval: Annotated[
        ScreenInterval, about("Time from one question to a node to the next.")
    ] = 2.0
    default_node: Annotated[
        str | None, about("Name of the node that is shown first; else the first one.")
    ] = None


DEFAULT_NODES = (NodeAddress(name="localhost", address="http://localhost:8080"),)


class UiConfig(Section, frozen=True, kw_only=True):
    """Configuration of the etlmon terminal client."""

    nodes: Annotated[
        Annotated[tuple[NodeAddress, ...], Meta(min_length=1)],
        list_of("The nodes.", unique="name"),
    ] = DEFAULT_NODES
    ui: Annotated[UiSection, about("The screen.")] = field(default_factory=UiSection)

    def problems(self) -> Iterator[Problem]:
        """The node that is shown first must be one of them."""
        names = [node.name for node in self.nodes]
        if self.ui.default_node is not None and self.ui.default_node not in names:
            wrong, known = visible(self.ui.default_node), ", ".join(visible(name) for name in names)
            text = f'"{wrong}" is not one of the nodes; write {known}'
            yield Problem("ui.default_node", text, ("nodes", "ui.default_node"))
