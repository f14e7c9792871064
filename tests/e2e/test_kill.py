"""A kill through a real node, asked with curl: what becomes of the process, and of the audit."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["etl_sleeper", "600"], executable="/bin/sleep")
    yield process
    process.kill()
    process.wait()


def command(node: Any, pid: int, body: dict[str, Any]) -> tuple[int, Any]:
    """Give the status and the answer of a kill command."""
    run = subprocess.run(
        [
            *("curl", "-sS", "--max-time", f"{PATIENCE_SECONDS:g}", "-w", "\n%{http_code}"),
            *("-H", "Content-Type: application/json", "-d", json.dumps(body)),
            f"{node.address}/api/v1/processes/{pid}/kill",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    answer, _, status = run.stdout.rpartition("\n")
    return int(status), json.loads(answer)


def test_from_the_command_to_the_signal_and_the_audit(
    start: Callable[..., Any],
    etlmon: str,
    write_config: Callable[..., Path],
    sleeper: subprocess.Popen[bytes],
) -> None:
    more = "process_watch: [{name: sleepers, match: etl_sleeper}]\nrefresh: {process: 1s}\n"
    node = start(etlmon, "node", "-c", str(write_config(more)))
    pid = sleeper.pid
    seen = node.get_until("processes", lambda seen: pid in {one["pid"] for one in seen})
    identity = next(one["identity"] for one in seen if one["pid"] == pid)
    boot, _, ticks = identity.rpartition(":")
    confirmed = {"signal": "SIGTERM", "confirm": True, "reason": "stuck"}

    status, said = command(node, pid, {"signal": "SIGTERM", "identity": identity})
    assert (status, said["type"]) == (400, "urn:etlmon:problem:confirmation-required")
    earlier = f"{boot}:{int(ticks) - 1}"
    status, said = command(node, pid, confirmed | {"identity": earlier})
    assert (status, said["type"]) == (409, "urn:etlmon:problem:identity-changed")
    status, said = command(node, pid, confirmed | {"signal": "SIGHUP"})
    assert (status, said["type"]) == (403, "urn:etlmon:problem:signal-not-allowed")
    assert sleeper.poll() is None

    status, said = command(node, pid, confirmed | {"identity": identity})
    assert (status, said["outcome"], said["signals"]) == (200, "exited", ["SIGTERM"])
    assert said["message"].startswith("exited ")
    assert sleeper.wait(PATIENCE_SECONDS) == -signal.SIGTERM

    rows = node.get("audit")
    assert [(row["outcome"], row["status"], row["problem"]) for row in rows] == [
        ("done", 200, None),
        ("refused", 403, "signal-not-allowed"),
        ("refused", 409, "identity-changed"),
        ("refused", 400, "confirmation-required"),
    ]
    done = rows[0]
    assert (done["command"], done["target"]) == ("kill_process", f"/processes/{pid}/kill")
    assert (done["who"], done["origin"], done["reason"]) == ("-", "127.0.0.1", "stuck")
    assert f"SIGTERM to pid {pid} (" in done["detail"]
    assert identity in done["detail"]
    node.get_until(
        f"processes/events?pid={pid}", lambda events: "exited" in {one["event"] for one in events}
    )
