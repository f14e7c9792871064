"""Where the node keeps things when nobody says otherwise."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.store.rotation import backup_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etlmon.config.node import NodeConfig

CONFIG_FILE = "/etc/etlmon/node.yaml"
"""The configuration of the node that the Debian package runs."""


def state_directory(environ: Mapping[str, str], uid: int) -> Path:
    """Give ``/var/lib/etlmon`` for root, the user's XDG state directory for anybody else."""
    if uid == 0:
        return Path("/var/lib/etlmon")
    base = environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(base) / "etlmon"


def database_path(config: NodeConfig) -> Path:
    """Give where the database of this configuration is."""
    if config.node.db_path is not None:
        return Path(config.node.db_path)
    return state_directory(os.environ, os.geteuid()) / "etlmon.db"


def backup_path(config: NodeConfig, wall_seconds: float) -> Path:
    """Give where a copy of the database goes that is made at a moment."""
    place = None if config.backup is None else Path(config.backup.directory)
    return (place or database_path(config).parent) / backup_name(node_name(config), wall_seconds)


def node_name(config: NodeConfig) -> str:
    """Give the node's name: the configured one, or the host's."""
    return config.node.node_name or socket.gethostname()
