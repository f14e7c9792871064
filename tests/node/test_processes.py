"""Processes through the whole node: from a child of the test to the database, and over restarts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor, task

from etlmon.config.loader import parse_node_config
from etlmon.config.node import NodeConfig
from etlmon.node.service import NodeService
from etlmon.store.tables import process_events, process_stats, process_watches
from tests.waiting import PATIENCE_SECONDS


def config(directory: Path, more: str) -> NodeConfig:
    node = f"node: {{listen: '127.0.0.1:0', db_path: {directory}/etlmon.db}}\n"
    return parse_node_config((node + "refresh: {disk: 1h, process: 1s}\n" + more).encode(), "x")


async def until(
    node: NodeService, read: Callable[[Any], Any], seconds: float = PATIENCE_SECONDS
) -> Any:
    """Wait until the database gives something true."""
    give_up_at = reactor.seconds() + seconds
    while not (value := await node.store.read(read)):
        assert reactor.seconds() < give_up_at, "it did not come about in time"
        await task.deferLater(reactor, 0.02)
    return value


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "77.5"], stdin=subprocess.DEVNULL) as process:
        yield process
        process.kill()


async def test_from_the_process_to_the_database_and_over_a_restart(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    watch = f"process_watch: [{{name: nap, pid: {sleeper.pid}}}]"
    node = NodeService(config(tmp_path, watch), reactor)
    node.startService()
    (sample,) = await until(node, process_stats.newest)
    assert (sample.pid, sample.status) == (sleeper.pid, "RUNNING")
    await node.stopService()
    sleeper.kill()
    sleeper.wait()
    node = NodeService(config(tmp_path, watch), reactor)
    node.startService()
    (event,) = await until(node, lambda cursor: process_events.newest(cursor, limit=9)[0])
    assert (event.event, event.pid, event.identity) == ("exited", sleeper.pid, sample.identity)
    assert "did not look" in (event.detail or "")
    await node.stopService()


async def test_watches_come_and_go(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    node = NodeService(config(tmp_path, ""), reactor)
    node.startService()
    assert sleeper.pid in [one.pid for one in await node.read_processes()]
    first = f"process_watch: [{{name: a, pid: {sleeper.pid}}}]"
    await node.reload(lambda: config(tmp_path, first))
    (sample,) = await until(node, process_stats.newest)
    assert sample.watch == "a"
    second = "process_watch: [{name: b, match: sleep 77.5}]\nredact: {patterns: ['77(.*)']}"
    await node.reload(lambda: config(tmp_path, second))
    await until(node, lambda cursor: [w for w in process_watches.newest(cursor) if w.watch == "b"])
    # Cron redacts too: like the watches it begins anew, and both come last.
    assert [one.name for one in node.health().collectors] == ["disk", "process", "cron"]
    live = {one.pid: one for one in await node.read_processes()}
    assert live[sleeper.pid].cmdline == "sleep 77[redacted]"
    await node.reload(lambda: config(tmp_path, ""))
    await until(node, lambda cursor: not process_watches.newest(cursor))
    assert await node.store.read(process_stats.newest) == []
    await node.stopService()
