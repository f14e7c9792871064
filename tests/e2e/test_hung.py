"""A file system that hangs makes its own rows stale, and nothing else slow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fsworker.conftest import HungFilesystem
from tests.waiting import PATIENCE_SECONDS

CONFIG = """
refresh: {{disk: 1s}}
disk: {{probe_timeout: 500ms}}
paths:
  - {{path: {well}, scan_interval: 1s, timeout: 1s}}
  - {{path: {hung}, scan_interval: {interval}, timeout: {timeout}}}
"""


@pytest.fixture
def hungfs(tmp_path: Path) -> Iterator[HungFilesystem]:
    """Give a mounted file system that hangs on command."""
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("mounting a FUSE file system needs root and /dev/fuse")
    point = tmp_path / "hung"
    point.mkdir()
    filesystem = HungFilesystem(point)
    yield filesystem
    filesystem.close()


@pytest.fixture
def node(
    start: Callable[..., Any],
    write_config: Callable[..., Path],
    etlmon: str,
    hungfs: HungFilesystem,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Any:
    """Give a node that watches a healthy tree and the file system that may hang."""
    well = tmp_path / "well"
    well.mkdir()
    interval, timeout = getattr(request, "param", ("1s", "1s"))
    text = CONFIG.format(well=well, hung=hungfs.point, interval=interval, timeout=timeout)
    config = write_config(text)
    node = start(etlmon, "node", "-c", str(config))
    node.get_until("paths", lambda rows: [row["status"] for row in rows] == ["OK", "OK"])
    node.get_until("fs", lambda rows: of(rows, hungfs)["state"] == "ok")
    return node


def of(rows: list[dict[str, Any]], hungfs: HungFilesystem) -> dict[str, Any]:
    return next(row for row in rows if row["mount_point"] == str(hungfs.point))


def assert_all_else_is_well(node: Any, hungfs: HungFilesystem) -> None:
    """New figures come of every other mount and path, and each answer at once."""
    slowest = 0.0
    before = node.get("fs")[0]["collected_at"]
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while node.get("fs")[0]["collected_at"] == before:
        began = time.monotonic()
        node.get("health")
        slowest = max(slowest, time.monotonic() - began)
        assert time.monotonic() < give_up_at
    assert slowest < 2  # with the time that curl takes to start; a blocked reactor never answers
    rows = node.get("fs")
    assert all(row["state"] == "ok" for row in rows if row is not of(rows, hungfs))
    well = next(row for row in node.get("paths") if row["path"].endswith("/well"))
    later = node.get_until("paths", lambda rows: rows[-1]["collected_at"] > well["collected_at"])
    assert next(row for row in later if row["path"].endswith("/well"))["file_count"] == 0


def assert_stuck_once(node: Any, hungfs: HungFilesystem) -> None:
    """One worker hangs; or two, of a scan and a probe that were on the mount in its last second."""
    stuck = node.get("health")["stuck_workers"]
    assert len(stuck) <= 2
    assert {worker["mount_point"] for worker in stuck} == {str(hungfs.point)}


def test_a_server_that_stands_still(node: Any, hungfs: HungFilesystem) -> None:
    """Its callers can be killed: the mount is stale until the server goes on."""
    hungfs.server.send_signal(signal.SIGSTOP)
    stale = node.get_until("fs", lambda rows: of(rows, hungfs)["state"] == "stale")
    assert of(stale, hungfs)["total_bytes"] == 1000 * 4096  # as last known
    assert_all_else_is_well(node, hungfs)
    assert node.get("health")["stuck_workers"] == []
    hungfs.server.send_signal(signal.SIGCONT)
    node.get_until("fs", lambda rows: of(rows, hungfs)["state"] == "ok")
    assert node.end() == 0


def test_a_server_that_hangs_in_its_handler(node: Any, hungfs: HungFilesystem) -> None:
    """Its callers cannot be killed: one of them is left, and the node ends in time all the same."""
    hungfs.tell("hang")
    node.get_until("fs", lambda rows: of(rows, hungfs)["state"] == "stale")
    health = node.get_until("health", lambda health: health["stuck_workers"])
    assert health["state"] == "degraded"
    assert_all_else_is_well(node, hungfs)
    assert_stuck_once(node, hungfs)

    hungfs.tell("release")
    node.get_until("fs", lambda rows: of(rows, hungfs)["state"] == "ok")
    node.get_until("health", lambda health: not health["stuck_workers"])

    hungfs.tell("hang")
    node.get_until("health", lambda health: health["stuck_workers"])
    began = time.monotonic()
    assert node.end() == 0
    assert time.monotonic() - began < 5
    assert "Traceback" not in node.said


@pytest.mark.parametrize("node", [("1h", "1h")], indirect=True)
def test_a_server_that_falls_silent_in_the_middle_of_a_scan(
    node: Any, hungfs: HungFilesystem
) -> None:
    """Its mount is stale long before the scan ends, and no more workers get stuck on it."""
    hungfs.tell("endless")
    assert node.post("paths/scan", {"paths": [str(hungfs.point)], "confirm": True})["started"]
    node.get_until("paths", lambda rows: any((row.get("scan_file_count") or 0) > 0 for row in rows))
    assert of(node.get("fs"), hungfs)["state"] == "ok"
    hungfs.tell("hang")
    node.get_until("fs", lambda rows: of(rows, hungfs)["state"] == "stale")
    scanned = next(row for row in node.get("paths") if row["path"] == str(hungfs.point))
    assert scanned["status"] == "SCANNING"
    answer = node.delete(f"paths/scan?confirm=true&path={hungfs.point}")
    assert answer["cancelled"] == [str(hungfs.point)]
    node.get_until("health", lambda health: health["stuck_workers"])
    assert_stuck_once(node, hungfs)
    hungfs.tell("release")
    node.get_until("health", lambda health: not health["stuck_workers"])
    node.get_until("fs", lambda rows: of(rows, hungfs)["state"] == "ok")
    assert node.end() == 0
