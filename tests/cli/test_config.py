"""Configurations are checked, and watches tried out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import invoke
from tests.waiting import PATIENCE_SECONDS, wait_asleep

CONF = Path(__file__).parents[2] / "conf"
BACKGROUND = f"sleep 98765.{os.getpid()} & wait"
"""What a shell is told; no other test's is."""


def test_good_configurations() -> None:
    for arguments in (("conf/node.yaml",), ("--ui", "conf/ui.yaml")):
        path = str(CONF.parent / arguments[-1])
        result = invoke("check-config", *arguments[:-1], path)
        assert (result.exit_code, result.output) == (0, f"{path}: good\n")


def test_every_mistake_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text("refresh: {disk: 15}\nnode: {listne: x}\n")
    result = invoke("check-config", str(path))
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"etlmon: {path}") for line in lines)
    assert result.stdout == ""


def test_a_missing_file_is_a_line(tmp_path: Path) -> None:
    result = invoke("check-config", str(tmp_path / "none.yaml"))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "none.yaml" in result.stderr


def test_the_schema_is_json() -> None:
    schema = json.loads(invoke("check-config", "--schema").output)
    assert "node" in schema.get("properties", schema)


def test_no_file_is_a_mistake_of_usage() -> None:
    result = invoke("check-config")
    assert result.exit_code == 2
    assert "Name the file to check." in result.stderr


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def programs(pids: list[str]) -> list[str]:
    """Give what each was begun as; empty while it is being begun."""
    return [Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0] for pid in pids]


@pytest.fixture
def shell() -> Iterator[subprocess.Popen[bytes]]:
    """Give a shell whose child has become another program: until then it is called the same."""
    with subprocess.Popen(["sh", "-c", BACKGROUND], process_group=0) as process:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        try:
            while programs(children(process.pid)) != ["sleep"]:
                assert time.monotonic() < give_up_at
                time.sleep(0.001)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_watch_can_be_tried_out(shell) -> None:
    plain = invoke("match", BACKGROUND, "--comm", "sh")
    assert plain.exit_code == 0
    (title, line) = plain.output.splitlines()
    assert title.split()[0] == "PID"
    assert line.replace(",", "").split()[0] == str(shell.pid)
    found = json.loads(
        invoke("match", BACKGROUND, "--with-children", "--pid", str(shell.pid), "--json").output
    )
    assert [one["is_child"] for one in found] == [False, True]
    assert found[1]["parent_pid"] == shell.pid


def test_what_is_tried_out_shows_no_secrets(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()", "--password=hunter2", "--pin=4711"],
        stdin=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        wait_asleep(process.pid)
        config = tmp_path / "node.yaml"
        config.write_text("redact: {patterns: ['pin=([0-9]+)']}")
        shown = invoke("match", "--pid", str(process.pid), "-c", str(config)).output
        process.stdin.close()
    assert "--password=[redacted] --pin=[redacted]" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "Give a PATTERN"),
        (("(",), 1, 'the command line:1: match: "(" is no regular expression that RE2 takes'),
        (("--exe", "sh"), 1, 'exe: "sh" is not an absolute path'),
        (("--pid", "x"), 1, 'pid: "x" is not a whole number'),
        (("no such process anywhere",), 1, "processes is selected\n"),
        (("x", "--user", "nosuch"), 1, "is selected: there is no user nosuch on this host"),
        (("x", "--exe", "/no/such"), 1, "is selected: there is no file /no/such on this host"),
    ],
)
def test_a_watch_that_selects_nothing(arguments: tuple[str, ...], status: int, says: str) -> None:
    result = invoke("match", *arguments)
    assert result.exit_code == status
    assert says in result.output + (result.stderr if result.stderr_bytes else "")
