"""A file system that hangs makes its own rows stale, and nothing else slow."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fsworker.conftest import HungFilesystem

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
    nothing = {"state": "not told yet"}
    return next((row for row in rows if row["mount_point"] == str(hungfs.point)), nothing)


def well(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return next(row for row in rows if row["path"].endswith("/well"))


def assert_all_else_is_well(node: Any, hungfs: HungFilesystem) -> None:
    """New figures come of every other mount and path; a blocked reactor would never answer.

    On a busy machine one that is well may be late, too, and is well again at its next turn.
    """
    before = node.get("fs")[0]["collected_at"]

    def are_new_and_well(rows: list[dict[str, Any]]) -> bool:
        others = [row for row in rows if row is not of(rows, hungfs)]
        is_new = all(row["collected_at"] > before for row in others)
        return is_new and all(row["state"] == "ok" for row in others)

    node.get_until("fs", are_new_and_well)
    began = well(node.get("paths"))["collected_at"]

    def is_scanned_again(rows: list[dict[str, Any]]) -> bool:
        row = well(rows)
        return row["collected_at"] > began and row["complete"] and row["file_count"] == 0

    node.get_until("paths", is_scanned_again)


def assert_stuck_once(node: Any, hungfs: HungFilesystem) -> None:
    """One worker hangs; or two, of a scan and a probe that were on the mount in its last second."""
    mount = str(hungfs.point)

    def of_it_alone(health: dict[str, Any]) -> bool:
        return {worker["mount_point"] for worker in health["stuck_workers"]} == {mount}

    assert len(node.get_until("health", of_it_alone)["stuck_workers"]) <= 2


def test_a_server_that_stands_still(node: Any, hungfs: HungFilesystem) -> None:
    """Its callers can be killed: the mount is stale until the server goes on."""
    hungfs.stop()
    stale = node.get_until("fs", lambda rows: of(rows, hungfs)["state"] == "stale")
    assert of(stale, hungfs)["total_bytes"] == 1000 * 4096  # as last known
    assert_all_else_is_well(node, hungfs)
    node.get_until("health", lambda health: not health["stuck_workers"])
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
    assert node.end() == 0
    assert "Traceback" not in node.said


@pytest.mark.parametrize("node", [("1h", "1h")], indirect=True)
def test_a_server_that_falls_silent_in_the_middle_of_a_scan(
    node: Any, hungfs: HungFilesystem
) -> None:
    """Its mount is stale long before the scan ends, and no more workers get stuck on it."""
    hungfs.tell("endless")
    node.scan_now(paths=[str(hungfs.point)])
    node.get_until("paths", lambda rows: any((row.get("scan_file_count") or 0) > 0 for row in rows))
    node.get_until("fs", lambda rows: of(rows, hungfs)["state"] == "ok")
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


def test_copies_of_the_database_that_go_there(
    start: Callable[..., Any],
    write_config: Callable[..., Path],
    etlmon: str,
    hungfs: HungFilesystem,
) -> None:
    """The child that makes them cannot be killed; the node answers, and ends in time."""
    hungfs.tell("hang")
    config = write_config(
        f"backup: {{directory: {hungfs.point}}}\ndisk: {{probe_timeout: 500ms}}\n"
    )
    node = start(etlmon, "node", "-c", str(config))
    health = node.get_until("health", lambda health: health["database"]["commits"])
    hungfs.expect("parked")
    assert health["database"]["state"] == "ok"
    assert node.get("admin/db")["backup"]["state"] == "running"
    assert node.end() == 0
    assert "Traceback" not in node.said
