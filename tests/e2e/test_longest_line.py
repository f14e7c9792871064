"""The longest lines that a log may have, of what is longest in JSON: all who follow take them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from etlmon.config.kinds import LONGEST_LINE_BYTES
from tests.e2e.terminal import Terminal

CONTROL = "\x01"
"""Six bytes in JSON."""


def test_it_comes_to_all_who_follow(
    start: Callable[..., Any],
    terminal: Callable[..., Terminal],
    etlmon: str,
    write_config: Callable[..., Path],
    tmp_path: Path,
) -> None:
    # The name of the file comes with each line: this is as long as one can be.
    directory = tmp_path
    while len(bytes(directory)) < 3_800:
        directory /= CONTROL * 250
        directory.mkdir()
    config = write_config(
        "logs: [{name: app, max_line_bytes: 1MiB, multiline: {}, start: beginning,"
        f" path: '{tmp_path}/**/app.log'}}]\n"
    )
    alone, joined = CONTROL * LONGEST_LINE_BYTES, f" {CONTROL * 1_022}\n" * 1_024
    file = (directory.parent / "app.log").open("w")
    with file:  # a name that is this long cannot be opened as a whole from elsewhere
        file.write(f"{alone}\n{CONTROL}{alone}\n{joined}last\nmore\n")
    node = start(etlmon, "node", "-c", str(config))
    node.get_until("logs", lambda files: files and files[0]["lines_total"] >= 4)
    command = [etlmon, "get", "logs", "app", "--json", "--follow", "--node", node.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        heard = [json.loads(follower.stdout.readline()) for _ in range(4)]
        follower.send_signal(signal.SIGINT)
    assert [one["line"] for one in heard] == [alone, alone, joined.rstrip("\n"), "last"]
    assert [one["length_bytes"] for one in heard] == [None, len(alone) + 1, None, None]
    ui = terminal("ui", node.address)
    ui.wait("q quit")
    ui.type("\t" * 5)  # past Paths, Processes, Events and Audit
    ui.wait(r"app +✓ following")
    ui.type("\r")
    ui.wait("last\n")
    ui.type("q")
    assert ui.end() == 0
