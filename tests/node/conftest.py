"""A whole node within the test's own reactor, and what tests wait for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task

from etlmon.config.loader import parse_node_config
from etlmon.config.node import NodeConfig
from etlmon.node.service import NodeService
from etlmon.store.tables import path_stats
from tests.waiting import PATIENCE_SECONDS


def config(directory: Path, more: str = "") -> NodeConfig:
    node = f"node: {{listen: '127.0.0.1:0', db_path: {directory}/etlmon.db, node_name: test}}\n"
    if "cron:" not in more:  # what the host's cron is like is not looked at here
        more += "cron: {enabled: false}\n"
    return parse_node_config((node + more).encode(), "node.yaml")


async def until(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until the condition holds and give its value; fail after ``seconds``."""
    give_up_at = reactor.seconds() + seconds
    while not (value := condition()):
        assert reactor.seconds() < give_up_at, "it did not come about in time"
        await task.deferLater(reactor, 0.01)
    return value


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        (tmp_path / "tree" / name / "file").touch()
    return tmp_path / "tree"


@pytest_twisted.async_yield_fixture
async def node(tmp_path: Path, tree: Path) -> Any:
    """Give a running node that watches ``tree/a``; its first runs have ended."""
    more = f"paths: [{{path: {tree}/a, scan_interval: 1h}}]\nrefresh: {{disk: 1h}}\n"
    service = NodeService(config(tmp_path, more), reactor)
    service.startService()
    await until(lambda: all(one.state == "ok" for one in service.health().collectors))
    yield service
    await service.stopService()


async def paths_of(node: NodeService) -> dict[str, Any]:
    return {row.path: row for row in await node.store.read(path_stats.newest)}
