"""The node as a whole, within the test's own reactor."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from etlmon.collectors.base import Batch, CollectorContext, Kind
from etlmon.config.loader import parse_node_config
from etlmon.config.node import NodeConfig
from etlmon.errors import ApiError, ConfigError, StoreError
from etlmon.node.listen import CannotListen
from etlmon.node.service import NodeService
from etlmon.records.cron import CronRefreshAnswer
from etlmon.records.log import LogSaved, LogSwitchAnswer
from etlmon.records.path import ScanAnswer, ScanCancelAnswer, ScanSkipped, path_id
from etlmon.store.tables import path_expected, path_stats

Logs = Callable[..., list[dict[str, Any]]]


def config(directory: Path, more: str = "") -> NodeConfig:
    node = f"node: {{listen: '127.0.0.1:0', db_path: {directory}/etlmon.db, node_name: test}}\n"
    if "cron:" not in more:  # what the host's cron is like is not looked at here
        more += "cron: {enabled: false}\n"
    return parse_node_config((node + more).encode(), "node.yaml")


async def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
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


async def test_health_tells_of_every_part(node: NodeService) -> None:
    health = node.health()
    assert (health.node_name, health.state, health.warnings) == ("test", "ok", [])
    assert [(one.name, one.runs, one.errors) for one in health.collectors] == [
        ("disk", 1, 0),
        ("path", 1, 0),
    ]
    assert health.database.state == "ok"
    assert health.database.commits >= 2


async def test_a_node_is_ready_while_its_parts_do_their_work(
    node: NodeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that fails is no reason: it is one that tells so."""
    ready = {"node": True, "database": True, "collectors": True}
    assert node.readiness() == ready
    monkeypatch.setattr(node.collectors[1], "_last_error", node.collectors[1]._last)
    assert node.health().state == "degraded"
    assert node.readiness() == ready
    monkeypatch.setattr(node.collectors[1], "_due", reactor.seconds() - 61)
    assert node.readiness() == ready | {"collectors": False}
    monkeypatch.undo()
    assert node.store._writer is not None
    monkeypatch.setattr(node.store._writer.state, "failing", True)
    assert node.readiness() == ready | {"database": False}
    monkeypatch.undo()
    stopped = node.stopService()
    assert node.readiness() == ready | {"node": False}
    await stopped


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


async def test_a_trouble_lasts_until_a_run_has_ended_well(tmp_path: Path, tree: Path) -> None:
    """While the next run is going, the node is as the last one left it."""
    more = f"paths: [{{path: {tree}/later, scan_interval: 1h}}]\nrefresh: {{disk: 1h}}\n"
    service = NodeService(config(tmp_path, more), reactor)
    service.startService()
    await until(lambda: all(one.runs for one in service.health().collectors))
    assert service.health().state == "degraded"
    (tree / "later").mkdir()
    service.scans.scan_now(None)
    assert service.health().collectors[1].state == "running"
    assert service.health().state == "degraded"
    await until(lambda: service.health().collectors[1].runs == 2)
    assert service.health().state == "ok"
    await service.stopService()


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


async def test_scans_on_command(node: NodeService, tree: Path) -> None:
    path = f"{tree}/a"
    assert node.scans.scan_now([path]) == ScanAnswer(started=[path], skipped=[])
    running = [ScanSkipped(path=path, reason="a scan of it is running")]
    assert node.scans.scan_now(None) == ScanAnswer(started=[], skipped=running)
    await until(lambda: node.health().collectors[1].runs == 2)
    with pytest.raises(ApiError, match="/nowhere is not a configured path"):
        node.scans.scan_now([path, "/nowhere"])
    assert node.health().collectors[1].state == "ok"


async def test_scans_are_cancelled_on_command(node: NodeService, tree: Path) -> None:
    path = f"{tree}/a"
    before = (await paths_of(node))[path]
    node.scans.scan_now(None)
    assert await node.scans.cancel_scans(path) == ScanCancelAnswer(cancelled=[path], not_running=[])
    assert await node.scans.cancel_scans(None) == ScanCancelAnswer(cancelled=[], not_running=[path])
    await node.store.run(lambda cursor: None)  # in the writer's queue behind what happened
    after = (await paths_of(node))[path]
    assert (after.status, after.error_message) == ("ERROR", "the scan was cancelled")
    assert (after.file_count, after.last_complete_at) == (1, before.last_complete_at)
    health = node.health()
    assert (health.state, health.collectors[1].state) == ("ok", "ok")
    assert (health.collectors[1].runs, health.collectors[1].cancelled) == (1, 1)
    with pytest.raises(ApiError, match="/nowhere is not a configured path"):
        await node.scans.cancel_scans("/nowhere")


async def test_cron_is_looked_at_on_command(tmp_path: Path) -> None:
    service = NodeService(config(tmp_path, "cron: {interval: 1h}\n"), reactor)
    service.startService()
    cron = await until(lambda: [one for one in service.health().collectors if one.runs][1:])
    assert [(one.name, one.runs) for one in cron] == [("cron", 1)]
    assert service.refresh_cron() == CronRefreshAnswer(started=True)
    assert service.refresh_cron().reason == "a look at them is under way"
    await until(lambda: service.health().collectors[-1].runs == 2)
    await service.reload(lambda: config(tmp_path))
    with pytest.raises(ApiError, match=r"cron\.enabled is false"):
        service.refresh_cron()
    await service.stopService()


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
    (tree / "b" / "in_1.csv").write_bytes(b"x")
    os.utime(tree / "b" / "in_1.csv", (time.time() - 30,) * 2)
    os.utime(tree / "b" / "file", (time.time() - 30,) * 2)
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
    service = NodeService(config(tmp_path, more), reactor)
    service.startService()
    await until(lambda: all(one.runs for one in service.health().collectors))
    await service.store.run(lambda cursor: None)
    rows = await paths_of(service)
    of = path_id(f"{tree}/b")
    found = await service.store.read(lambda cursor: path_expected.expected(cursor, of))
    assert found is not None
    waiting = "waiting" if datetime.now(UTC).strftime("%H:%M") < "23:59" else "late"
    assert [one.state for one in found] == ["arrived", waiting, "empty"]
    assert (found[0].newest_path, found[0].newest_bytes) == ("in_1.csv", 1)
    assert rows[f"{tree}/b"].expectation_state == "empty"
    assert rows[f"{tree}/gone"].expectation_state == "unknown"
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
        assert node.collectors == before
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

    async def test_a_file_with_mistakes_changes_nothing(
        self, node: NodeService, flush_logged_errors: Logs
    ) -> None:
        def load() -> NodeConfig:
            raise ConfigError(["node.yaml:1: one", "node.yaml:2: two"])

        before = list(node.collectors)
        await node.reload(load)
        told = [event["log_format"] for event in flush_logged_errors(".*")]
        assert len(told) == 3
        assert node.collectors == before

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


async def test_a_part_that_makes_no_progress_is_named(
    node: NodeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog is fed while there is none."""
    assert node.dead_part() is None
    with monkeypatch.context() as patch:
        patch.setattr(type(node.collectors[0]), "overdue_seconds", 61.0)
        assert node.dead_part() == "The timer of the collector disk"
    with monkeypatch.context() as patch:
        patch.setattr(type(node.store), "committing_seconds", 901.0)
        assert node.dead_part() == "The writer"


async def test_systemd_is_told_in_a_line_how_the_node_is(tmp_path: Path, tree: Path) -> None:
    more = f"paths: [{{path: {tree}/later, scan_interval: 1h}}]\nrefresh: {{disk: 1h}}\n"
    service = NodeService(config(tmp_path, more), reactor)
    service.startService()
    await until(lambda: all(one.runs for one in service.health().collectors))
    assert service._status() == f"degraded: path {tree}/later; 2 collectors"
    await service.stopService()


# --- logs -----------------------------------------------------------------------------------------


class FakeLog:
    """A collector of a log: tells what it was told, and reads nothing."""

    name = "log"
    instance = "app"
    interval_seconds = 3600.0
    settings = None

    def __init__(self, context: CollectorContext) -> None:
        self.context = context
        self.told: list[str] = []

    async def collect(self, next_run_at: Any) -> AsyncGenerator[Batch, None]:
        (saved,) = await self.context.saved(LogSaved, "app")
        self.told.append(f"run, paused: {saved.paused}")
        yield Batch([])

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")


async def test_a_log_is_paused_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stored before the collector hears of it, which then runs."""
    built: list[FakeLog] = []

    def build(_config: NodeConfig, context: CollectorContext) -> list[FakeLog]:
        built.append(FakeLog(context))
        return built[-1:]

    monkeypatch.setattr("etlmon.node.service.KINDS", (Kind("log", build),))
    more = "logs: [{name: app, path: /var/log/app.log, buffer_lines: 7}]\n"
    service = NodeService(config(tmp_path, more), reactor)
    service.startService()
    await until(lambda: built[0].told)
    assert (service.buffer_lines("app"), service.buffer_lines("nope")) == (7, None)
    assert await service.switch_log("app", paused=True) == LogSwitchAnswer(name="app", paused=True)
    await until(lambda: len(built[0].told) == 3)
    assert await service.switch_log("app", paused=False) == LogSwitchAnswer(
        name="app", paused=False
    )
    await until(lambda: len(built[0].told) == 5)
    assert built[0].told == [
        "run, paused: None",
        "pause",
        "run, paused: True",
        "resume",
        "run, paused: False",
    ]
    with pytest.raises(ApiError, match="nope is not a configured log"):
        await service.switch_log("nope", paused=True)
    await service.stopService()
