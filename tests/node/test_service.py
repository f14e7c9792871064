"""The node as a whole, within the test's own reactor."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed

from etlmon.config.loader import parse_node_config
from etlmon.config.node import NodeConfig
from etlmon.errors import ApiError, ConfigError, StoreError
from etlmon.node.listen import CannotListen
from etlmon.node.service import NodeService
from etlmon.records.path import path_id
from etlmon.store.tables import path_expected
from tests.node.conftest import config, paths_of, until
from tests.waiting import PATIENCE_SECONDS

Logs = Callable[..., list[dict[str, Any]]]


async def test_metrics_tell_of_every_collector_and_of_what_it_saw(
    node: NodeService, tree: Path
) -> None:
    page = (await node.metrics.write(openmetrics=False, compressed=False)).decode()
    path = tree / "a"
    for line in (
        "etlmon_healthy 1.0",
        'etlmon_collector_up{collector="disk",subject=""} 1.0',
        f'etlmon_collector_up{{collector="path",subject="{path}"}} 1.0',
        f'etlmon_path_files{{path="{path}"}} 1.0',
        f'etlmon_path_scans_total{{path="{path}",status="OK"}} 1.0',
        "etlmon_database_up 1.0",
        'etlmon_worker_limit{lane="scan"} 2.0',
        'etlmon_metrics_left_out{kind="path"} 0.0',
    ):
        assert f"\n{line}\n" in page, line
    assert "etlmon_filesystem_size_bytes{mount_point=" in page
    assert "process_resident_memory_bytes " in page


async def test_parts_stop_one_after_the_other_and_the_store_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one part has not ended, the next one is not told to."""
    service = NodeService(config(tmp_path), reactor)
    service.startService()
    slow: Deferred[None] = Deferred()
    told: list[str] = []
    stop_workers, stop_store = service.workers.stop, service.store.stopService

    def workers() -> Deferred[None]:
        told.append("workers")
        return stop_workers().addCallback(lambda _: slow)

    def store() -> Deferred[None]:
        told.append("store")
        return stop_store()

    service._started = [
        (what, {"the workers": workers, "the store": store}.get(what, stop))
        for what, stop in service._started
    ]
    stopped = service.stopService()
    await until(lambda: told == ["workers"])
    assert not stopped.called
    slow.callback(None)
    await stopped
    assert told == ["workers", "store"]


async def test_a_thread_that_works_to_the_last_ends_before_the_node_has(tmp_path: Path) -> None:
    service = NodeService(config(tmp_path), reactor)
    service.startService()
    working: list[threading.Thread] = []
    has_begun = threading.Event()

    def work() -> None:
        working.append(threading.current_thread())
        has_begun.set()
        time.sleep(0.1)

    def last_work() -> Deferred[None]:
        service.in_thread(work)
        assert has_begun.wait(PATIENCE_SECONDS)
        return succeed(None)

    service._started.insert(1, ("the last work", last_work))  # the threads are the first, begun
    await service.stopService()
    (thread,) = working
    assert not thread.is_alive()


async def test_a_part_that_cannot_stop_does_not_keep_the_others(
    tmp_path: Path, flush_logged_errors: Logs
) -> None:
    service = NodeService(config(tmp_path), reactor)
    service.startService()

    def broken() -> Deferred[None]:
        raise ZeroDivisionError

    service._started.append(("the broken part", broken))
    await service.stopService()
    assert len(flush_logged_errors(ZeroDivisionError)) == 1
    with pytest.raises(StoreError):
        await service.store.write([])


async def test_systemd_is_told_while_the_database_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To bring it to a new schema may take long; nothing is awaited by systemd besides."""
    node = NodeService(config(tmp_path), reactor)
    told: list[object] = []

    @contextmanager
    def starting(status: str) -> Iterator[None]:
        told.extend((status, node.store.is_open))
        yield
        told.append(node.store.is_open)

    monkeypatch.setattr(node.supervised, "starting", starting)
    node.startService()
    assert told == [f"opening the database {tmp_path}/etlmon.db", False, True]
    await node.stopService()


async def test_a_start_that_fails_is_undone(tmp_path: Path) -> None:
    """The port is taken: the database is given up again, and nothing is left running."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        more = f"node: {{listen: '127.0.0.1:{other.getsockname()[1]}', db_path: {tmp_path}/x.db}}"
        taken = parse_node_config(more.encode(), "node.yaml")
        with pytest.raises(CannotListen):
            NodeService(taken, reactor).startService()
    second = NodeService(config(tmp_path), reactor)
    second.startService()
    await second.stopService()


async def test_the_largest_are_looked_for_on_command(node: NodeService, tree: Path) -> None:
    (tree / "a" / "large").write_bytes(b"x" * 10_000)
    of = path_id(f"{tree}/a")
    assert node.tops.start(of, 1).state == "running"
    job = await until(lambda: (job := node.tops.job(of)).ended_at and job)
    assert (job.state, job.error_message) == ("done", None)
    (largest,) = job.files_by_apparent
    assert (largest.path, largest.apparent_bytes) == ("large", 10_000)


async def test_files_that_are_expected_are_seen(tmp_path: Path, tree: Path) -> None:
    """By real workers: what is there, what is not, what is empty, and a path that is gone."""
    noon = datetime.now(UTC).replace(hour=12, minute=0).timestamp()
    (tree / "b" / "in_1.csv").write_bytes(b"x")
    os.utime(tree / "b" / "in_1.csv", (noon - 30,) * 2)
    os.utime(tree / "b" / "file", (noon - 30,) * 2)
    expect = "within: 26h, by: '23:59', timezone: UTC"
    more = f"""
refresh: {{disk: 1h}}
paths:
  - path: {tree}/b
    expect:
      - {{pattern: "in_*.csv", {expect}}}
      - {{pattern: "out_*.csv", {expect}}}
      - {{pattern: "file", {expect}}}
  - path: {tree}/gone
    expect: [{{pattern: "x", {expect}}}]
"""
    service = NodeService(config(tmp_path, more), reactor, wall_clock=lambda: noon)
    service.startService()
    await until(lambda: all(one.runs for one in service.health().collectors))
    await service.store.run(lambda cursor: None)
    rows = await paths_of(service)
    of = path_id(f"{tree}/b")
    found = await service.store.read(lambda cursor: path_expected.expected(cursor, of))
    assert found is not None
    assert [one.state for one in found] == ["arrived", "waiting", "empty"]
    assert (found[0].newest_path, found[0].newest_bytes) == ("in_1.csv", 1)
    assert rows[f"{tree}/b"].expectation_state == "empty"
    assert rows[f"{tree}/gone"].expectation_state == "unknown"

    # A scan on command looks for them too.
    (tree / "b" / "out_1.csv").write_bytes(b"x")
    os.utime(tree / "b" / "out_1.csv", (noon - 30,) * 2)
    service.scans.scan_now([f"{tree}/b"])
    looking = service.collectors.named("arrival")[f"{tree}/b"]
    await until(lambda: looking.health().runs == 2)
    await service.store.run(lambda cursor: None)
    found = await service.store.read(lambda cursor: path_expected.expected(cursor, of))
    assert found is not None
    assert found[1].state == "arrived"
    await service.stopService()


class TestReload:
    """A new configuration for a node that runs."""

    async def test_paths_come_and_go(self, node: NodeService, tmp_path: Path, tree: Path) -> None:
        disk = node.collectors[0]
        more = f"paths: [{{path: {tree}/b}}]\nrefresh: {{disk: 1h}}\n"
        await node.reload(lambda: config(tmp_path, more))
        await until(lambda: node.health().collectors[-1].runs == 1)
        rows = await paths_of(node)
        assert {path: row.file_count for path, row in rows.items()} == {f"{tree}/b": 1}
        assert node.collectors[0] is disk

    async def test_what_is_unchanged_runs_on(
        self, node: NodeService, tmp_path: Path, tree: Path
    ) -> None:
        before = list(node.collectors)
        await node.reload(lambda: node.config)
        assert list(node.collectors) == before
        assert [one.runs for one in node.health().collectors] == [1, 1]

    async def test_a_changed_interval_or_threshold_begins_anew(
        self, node: NodeService, tmp_path: Path, tree: Path
    ) -> None:
        more = f"paths: [{{path: {tree}/a, scan_interval: 2h}}]\ndisk: {{warn_percent: 1}}\n"
        await node.reload(lambda: config(tmp_path, more))
        await until(lambda: all(one.runs == 1 for one in node.health().collectors))
        assert [one.interval_seconds for one in node.health().collectors] == [15, 7200]

    async def test_commands_are_closed_and_opened(
        self, node: NodeService, tmp_path: Path, tree: Path
    ) -> None:
        await node.reload(lambda: config(tmp_path, "control: {enabled: false}\n"))
        with pytest.raises(ApiError, match=r"control\.enabled is false"):
            node.policy.check_open()
        await node.reload(lambda: config(tmp_path))
        node.policy.check_open()

    async def test_what_needs_a_restart_stays_as_it_is_and_is_named_each_time(
        self, node: NodeService, tmp_path: Path, log_lines: list[str]
    ) -> None:
        before, disk = node.config, node.collectors[0]
        text = "log: {format: json, level: debug}\nworkers: {processes: 1}\n"
        changed = config(tmp_path, f"{text}disk: {{warn_percent: 1}}\n")
        changed = replace(changed, node=replace(changed.node, node_name="other", timezone="UTC"))
        for _ in range(2):
            await node.reload(lambda: changed)
            told = [line.partition(":")[0] for line in log_lines if "needs a restart" in line]
            assert told == ["node", "workers", "log.format"]
            log_lines.clear()
        assert node.health().node_name == before.node.node_name
        assert (node.config.node, node.config.workers) == (before.node, before.workers)
        assert (node.config.log.format, node.config.log.level) == ("text", "debug")
        assert node.collectors[0] is not disk, "what can be taken is"
        await node.reload(lambda: before)
        assert not [line for line in log_lines if "needs a restart" in line]

    async def test_a_file_with_mistakes_changes_nothing(
        self, node: NodeService, flush_logged_errors: Logs
    ) -> None:
        def load() -> NodeConfig:
            raise ConfigError(["node.yaml:1: one", "node.yaml:2: two"])

        before = list(node.collectors)
        await node.reload(load)
        told = [event["log_format"] for event in flush_logged_errors(".*")]
        assert len(told) == 3
        assert list(node.collectors) == before

    async def test_reloads_come_one_after_the_other(
        self, node: NodeService, tmp_path: Path, tree: Path
    ) -> None:
        """Of many that come at once the last one holds."""
        reloads = [
            node.reload(lambda: config(tmp_path, f"paths: [{{path: {tree}/b}}]\n")),
            node.reload(lambda: config(tmp_path)),
            node.reload(lambda: config(tmp_path, f"paths: [{{path: {tree}}}]\n")),
        ]
        for reload in reloads:
            await reload
        assert [one.instance for one in node.health().collectors] == ["", str(tree)]
        await until(lambda: node.health().collectors[-1].runs == 1)
        assert set(await paths_of(node)) == {str(tree)}


async def test_a_stopped_node_takes_no_new_configuration(tmp_path: Path) -> None:
    service = NodeService(config(tmp_path), reactor)
    service.startService()
    await service.stopService()
    await service.reload(lambda: config(tmp_path, "paths: [{path: /etc}]\n"))
    assert [one.collector.name for one in service.collectors] == ["disk"]


def test_a_stop_before_the_start_does_nothing(tmp_path: Path) -> None:
    outcome: list[Any] = []
    NodeService(config(tmp_path), reactor).stopService().addBoth(outcome.append)
    assert outcome == [None]
