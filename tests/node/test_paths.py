"""Scans on command, and what they find."""

from __future__ import annotations

from pathlib import Path

import pytest

from etlmon.errors import ApiError
from etlmon.node.service import NodeService
from etlmon.records.path import ScanAnswer, ScanCancelAnswer, ScanSkipped
from tests.node.conftest import paths_of, until


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
    assert (after.status, after.error_message) == ("PARTIAL", "cancelled")
    assert (after.last_complete_file_count, after.last_complete_at) == (1, before.collected_at)
    health = node.health()
    assert (health.state, health.collectors[1].state) == ("ok", "ok")
    assert (health.collectors[1].runs, health.collectors[1].cancelled) == (1, 1)
    with pytest.raises(ApiError, match="/nowhere is not a configured path"):
        await node.scans.cancel_scans("/nowhere")
