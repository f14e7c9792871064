"""The disk under the database is full."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# As the first process of a mount namespace of its own: what it mounts goes with it.
IN_PRIVATE = """
mount -t tmpfs -o size=600k tmpfs "$1" &&
cd "$1" && exec "$2" node -c "$3"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_the_node_ends_while_nothing_can_be_written(
    start: Callable[..., Any], tmp_path: Path, etlmon: str
) -> None:
    """Neither the collectors' batches nor retention's steps keep it."""
    small = tmp_path / "small"
    small.mkdir()
    config = tmp_path / "node.yaml"
    config.write_text(
        f"node: {{listen: '127.0.0.1:0', db_path: {small}/etlmon.db}}\nrefresh: {{disk: 1s}}\n"
    )
    private = ("unshare", "--mount", "--propagation", "private", "sh", "-c", IN_PRIVATE, "sh")
    node = start(*private, str(small), etlmon, str(config))
    node.get_until("fs", bool)
    inside = f"/proc/{node.process.pid}/root{small}/fill"
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={inside}", "bs=1k"], capture_output=True, check=False
    )
    health = node.get_until("health", lambda health: health["database"]["state"] == "degraded")
    assert health["state"] == "degraded"
    began = time.monotonic()
    assert node.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 3
    assert "Traceback" not in node.said
