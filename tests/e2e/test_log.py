"""The log of the real daemon: where it goes, in which form, and how logrotate turns it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_SECONDS

Start = Callable[..., Any]
WriteConfig = Callable[..., Path]


@pytest.fixture(params=["etlmon node", "twistd"])
def run_either(request: pytest.FixtureRequest, start: Start, etlmon: str, twistd: str) -> Start:
    """Start a node in each of the two ways."""
    if request.param == "twistd":
        return lambda config: start(twistd, "-n", "--pidfile=", "etlmon-node", "-c", str(config))
    return lambda config: start(etlmon, "node", "-c", str(config))


def wait_for(file: Path, text: str, seconds: float = PATIENCE_SECONDS) -> str:
    """Give the file's text as soon as ``text`` is in it."""
    give_up_at = time.monotonic() + seconds
    while text not in (found := file.read_text() if file.exists() else ""):
        assert time.monotonic() < give_up_at, f"no {text!r} in {found!r}"
        time.sleep(0.02)
    return found


def test_a_node_that_is_well_says_that_it_began_and_that_it_ended(
    run_either: Start, write_config: WriteConfig, tmp_path: Path
) -> None:
    """Four lines, whatever is collected meanwhile; and SIGUSR1 does no harm."""
    node = run_either(write_config(f"paths: [{{path: {tmp_path}, scan_interval: 1s}}]\n"))
    assert node.address
    node.get_until("health", lambda health: health["collectors"][1]["runs"] >= 2)
    node.process.send_signal(signal.SIGUSR1)
    node.wait_for("nothing to reopen")
    node.end()
    lines = [line.split(maxsplit=2) for line in node.said.splitlines()]
    assert [(level, text.split(":")[0]) for _, level, text in lines] == [
        ("info", "node.tap"),
        ("info", "node.log"),
        ("info", "node.tap"),
        ("info", "node.tap"),
    ]


def test_a_file_in_json_turned_by_logrotate(
    run_either: Start, write_config: WriteConfig, tmp_path: Path
) -> None:
    """`log:` holds under twistd too; logrotate renames the file and the node begins a new one."""
    logs = tmp_path / "log"
    logs.mkdir(mode=0o755)
    file = logs / "node.log"
    node = run_either(write_config(f"log: {{file: {file}, format: json}}\n"))
    wait_for(file, "listening on")
    rotate = tmp_path / "logrotate.conf"
    rotate.write_text(
        f"{file} {{\n  rotate 2\n  nocreate\n  delaycompress\n  postrotate\n"
        f"    kill -USR1 {node.process.pid}\n  endscript\n}}\n"
    )
    rotate.chmod(0o644)
    command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(rotate)]
    subprocess.run(command, check=True, capture_output=True)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not file.exists():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
    assert node.end() in (0, -signal.SIGTERM)
    assert "listening on" in (logs / "node.log.1").read_text()
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["message"].split(",")[0] for event in events] == [
        "etlmon stops.",
        "etlmon has stopped",
    ]
    assert node.said == ""


def test_the_level_changes_while_the_node_runs(
    run_either: Start, write_config: WriteConfig
) -> None:
    config = write_config("log: {level: error}\nrefresh: {disk: 1s}\n")
    node = run_either(config)
    # Quiet from the start: its port is known from nothing that it says.
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not Path(config.parent / "db" / "etlmon.db.lock").exists():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
    config.write_text(config.read_text().replace("error", "debug"))
    while "has been reloaded" not in node.said:  # SIGHUP is not heard before it has started
        assert time.monotonic() < give_up_at
        node.process.send_signal(signal.SIGHUP)
        node.say_more(0.2)
    assert "listening on" not in node.said
    node.wait_for("disk: [0-9]+ records in [0-9]+ ms")


def test_twistd_may_be_told_another_file(
    start: Start, write_config: WriteConfig, tmp_path: Path, twistd: str
) -> None:
    file = tmp_path / "twistd-says.log"
    config = write_config("log: {format: json}\n")
    start(twistd, "-n", "--pidfile=", f"--logfile={file}", "etlmon-node", "-c", str(config))
    said = wait_for(file, "listening on")
    assert json.loads(said.splitlines()[0])["level"] == "info"


def test_a_log_that_cannot_be_opened_is_one_clear_line(
    run_either: Start, write_config: WriteConfig, tmp_path: Path
) -> None:
    node = run_either(write_config(f"log: {{file: {tmp_path}/no/node.log}}\n"))
    said, _ = node.process.communicate(timeout=PATIENCE_SECONDS)
    assert node.process.returncode == 1
    text = f"etlmon: cannot open log.file {tmp_path}/no/node.log: No such file or directory"
    assert [text in line for line in said.decode().splitlines()] == [True]
