"""How the node is, told from memory."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import pytest
from twisted.internet import reactor

from etlmon.api.metrics.node import NodeMetrics
from etlmon.node.service import NodeService
from tests.node.conftest import config, until


async def test_health_tells_of_every_part(node: NodeService) -> None:
    health = node.health()
    assert (health.node_name, health.state, health.warnings) == ("test", "ok", [])
    assert [(one.name, one.runs, one.errors) for one in health.collectors] == [
        ("disk", 1, 0),
        ("path", 1, 0),
    ]
    assert health.database.state == "ok"
    assert health.database.commits >= 2


async def test_health_tells_how_much_is_in_the_database(node: NodeService) -> None:
    assert node.health().database.content is None
    await node.maintenance.figures(None)
    database = node.health().database
    assert database.content is not None
    assert {one.table for one in database.content.tables} >= {"path_stats", "log_lines"}
    assert database.free_bytes is not None


async def test_a_write_ahead_log_that_somebody_lets_grow_is_told(
    node: NodeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forgotten sqlite3 shell does: nothing is wrong with the node."""
    checkpoints = node.store._checkpoints
    assert node.health().warnings == []
    monkeypatch.setattr(checkpoints, "warning", "the write-ahead log has grown to 50.0 MiB")
    assert node.health().warnings == ["The write-ahead log has grown to 50.0 MiB."]


async def test_metrics_tell_how_often_changes_were_not_heard_of(node: NodeService) -> None:
    node.watches.overflows = 3
    samples = {
        sample.name: sample.value
        for metric in NodeMetrics(node.state.figures).snapshot()()
        for sample in metric.samples
    }
    assert samples["etlmon_inotify_overflows_total"] == 3


@pytest.mark.parametrize("part", ["store", "retention.room", "retention", "backups"])
async def test_the_warning_of_each_part_is_passed_on(
    node: NodeService, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    kind = type(attrgetter(part)(node))
    monkeypatch.setattr(kind, "warning", property(lambda _: f"Look at {part}."))
    assert node.health().warnings == [f"Look at {part}."]


@pytest.mark.parametrize(
    ("is_put_back", "why", "words"),
    [
        (True, None, "only indexes were damaged"),
        (False, None, "puts a copy back"),
        (False, "/x has 1 bytes free", "could not be found out: /x has 1 bytes free. When that"),
    ],
)
async def test_a_damaged_database_is_told_with_what_is_in_its_place(
    node: NodeService,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_put_back: bool,
    why: str | None,
    words: str,
) -> None:
    monkeypatch.setattr(node.store._current.aside, "why_not_put_back", why)
    monkeypatch.setattr(node.store._current.aside, "kept", Path("/x/y.corrupt-z"))
    monkeypatch.setattr(node.store._current.aside, "is_put_back", is_put_back)
    (warning,) = node.health().warnings
    assert warning.startswith("The database was damaged: it is kept as /x/y.corrupt-z, and ")
    assert words in warning


async def test_a_node_is_ready_while_its_parts_do_their_work(
    node: NodeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that fails is no reason: it is one that tells so."""
    ready = {"node": True, "database": True, "collectors": True}
    assert node.state.readiness() == ready
    monkeypatch.setattr(node.collectors[1], "_last_error", node.collectors[1]._last)
    assert node.health().state == "degraded"
    assert node.state.readiness() == ready
    monkeypatch.setattr(node.collectors[1], "_due", reactor.seconds() - 61)
    assert node.state.readiness() == ready | {"collectors": False}
    monkeypatch.undo()
    assert node.store._writer is not None
    monkeypatch.setattr(node.store._writer.trouble, "failing", True)
    assert node.state.readiness() == ready | {"database": False}
    monkeypatch.undo()
    stopped = node.stopService()
    assert node.state.readiness() == ready | {"node": False}
    await stopped


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


async def test_a_part_that_makes_no_progress_is_named(
    node: NodeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog is fed while there is none."""
    assert node.state.dead_part() is None
    with monkeypatch.context() as patch:
        patch.setattr(type(node.collectors[0]), "overdue_seconds", 61.0)
        assert node.state.dead_part() == "The timer of the collector disk"
    with monkeypatch.context() as patch:
        patch.setattr(type(node.store), "committing_seconds", 901.0)
        assert node.state.dead_part() == "The writer"


async def test_systemd_is_told_in_a_line_how_the_node_is(tmp_path: Path, tree: Path) -> None:
    more = f"paths: [{{path: {tree}/later, scan_interval: 1h}}]\nrefresh: {{disk: 1h}}\n"
    service = NodeService(config(tmp_path, more), reactor)
    service.startService()
    await until(lambda: all(one.runs for one in service.health().collectors))
    assert service.state.status() == f"degraded: path {tree}/later; 2 collectors"
    await service.stopService()


async def test_what_is_told_every_few_seconds_has_no_disk_looked_at(
    node: NodeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each commit does that; a probe or the line for systemd would wake a thread for nothing."""
    await until(lambda: not node.store._looking)
    asked: list[object] = []
    monkeypatch.setattr(node.store, "_in_thread", asked.append)
    assert node.state.status() == "ok; 2 collectors"
    assert node.state.readiness()["database"]
    assert asked == []
