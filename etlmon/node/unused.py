"""What a configuration asks for and this version does not do: it is checked, kept, and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig


def without_effect(config: NodeConfig) -> list[str]:
    """Give the settings that have no effect in this version, as paths in node.yaml."""
    idle: list[str] = []
    return idle
