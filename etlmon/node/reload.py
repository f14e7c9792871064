"""What of a new configuration a running node takes, and what waits for a restart."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig

_NEEDS_RESTART = ("node", "workers", "auth", "log.file", "log.format", "manhole")


def as_running(wanted: NodeConfig, present: NodeConfig) -> tuple[NodeConfig, list[str]]:
    """Give the configuration that a node which runs by ``present`` goes by from now on.

    It is ``wanted``, but for the settings that a running node cannot change: these stay as they
    are, and are named beside it, if they differ.
    """
    taken: Any = wanted
    waiting = []
    for name in _NEEDS_RESTART:
        is_so = attrgetter(name)(present)
        if attrgetter(name)(wanted) == is_so:
            continue
        waiting.append(name)
        section, _, setting = name.partition(".")
        kept = replace(getattr(taken, section), **{setting: is_so}) if setting else is_so
        taken = replace(taken, **{section: kept})
    return taken, waiting
