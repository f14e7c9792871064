"""Where a node keeps things when nobody says otherwise."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from etlmon.config.node import NodeConfig, NodeSection
from etlmon.node.places import database_path, node_name, state_directory


@pytest.mark.parametrize(
    ("environ", "uid", "place"),
    [
        ({"XDG_STATE_HOME": "/state"}, 0, "/var/lib/etlmon"),
        ({"XDG_STATE_HOME": "/state"}, 1000, "/state/etlmon"),
        ({"XDG_STATE_HOME": "relative"}, 1000, "~/.local/state/etlmon"),
        ({}, 1000, "~/.local/state/etlmon"),
    ],
)
def test_the_state_directory(environ: dict[str, str], uid: int, place: str) -> None:
    assert state_directory(environ, uid) == Path(place).expanduser()


def test_what_is_configured_counts() -> None:
    config = NodeConfig(node=NodeSection(db_path="/data/x.db", node_name="prod"))
    assert database_path(config) == Path("/data/x.db")
    assert node_name(config) == "prod"


def test_the_defaults() -> None:
    assert database_path(NodeConfig()).name == "etlmon.db"
    assert node_name(NodeConfig()) == socket.gethostname()
