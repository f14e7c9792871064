"""``etlmon get``: what is wrong before the network, and what a real node tells."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import termios
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.cli.conftest import ETLMON, invoke, run
from tests.waiting import PATIENCE_SECONDS, free_port


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Iterator[str]:
    """The address of a real node that counts files, with its first counts made."""
    directory = tmp_path_factory.mktemp("node")
    (directory / "data").mkdir()
    (directory / "data" / "a\x1b[2Jb\x9b").write_text("")
    config = directory / "node.yaml"
    config.write_text(
        "node: {listen: '127.0.0.1:0', node_name: node-1, "
        f"db_path: {directory}/etlmon.db}}\npaths: [{{path: {directory}/data}}]\n"
        f"logs: [{{name: app, path: {directory}/app.log}}]\n"
    )
    process = subprocess.Popen(
        [ETLMON, "node", "-c", str(config)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    address = ""
    for line in process.stderr:
        if "listening on " in line:
            address = line.partition("listening on ")[2].partition(",")[0]
            break
    assert address, "the node did not start"
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    for resource, counted in (("fs", bool), ("paths", lambda rows: rows and rows[0]["complete"])):
        while True:
            with urllib.request.urlopen(f"{address}/api/v1/{resource}") as answer:
                if counted(json.load(answer)):
                    break
            assert time.monotonic() < give_up_at, f"{resource} tells nothing"
            time.sleep(0.05)
    yield address
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("path",), 1, "etlmon: There is no resource path; did you mean paths?\n"),
        (("zzz",), 1, "etlmon: There is no resource zzz; there are fs, fs/history, paths"),
        (("fs", "limit=abc"), 1, "etlmon: limit: must be a whole number.\n"),
        (("fs", "limit=0"), 1, "etlmon: limit: Expected int >= 1.\n"),
        (("fs", "limti=5"), 1, "did you mean limit?\n"),
        (("fs", "limit=1", "limit=2"), 1, "etlmon: The parameter limit is given twice.\n"),
        (("fs/history",), 1, "etlmon: The parameter mount_point is missing.\n"),
        (
            ("logs", "a", "since=today+1"),
            1,
            "since: must be a moment from 1970 on, such as 2026-01-31T12:00:00Z or "
            "2026-01-31T13:00:00+01:00.\n",
        ),
        (("paths/a/history", "id=b"), 1, "etlmon: The parameter id is given twice.\n"),
        (("fs", "limit"), 2, "limit: write NAME=VALUE, for example limit=10."),
        ((), 2, "Missing argument 'RESOURCE'."),
        (("fs", "--nope"), 2, "No such option"),
        (("logs", "a", "b"), 2, "a: write NAME=VALUE, for example limit=10."),
        (("fs", "--follow"), 2, "fs cannot be followed; logs NAME and xferlog can."),
        (("logs", "a", "-f", "follow=true"), 1, "The parameter follow is given twice."),
    ],
)
def test_what_is_asked_wrongly_is_told(arguments: tuple[str, ...], status: int, says: str) -> None:
    result = invoke("get", *arguments)
    assert result.exit_code == status
    assert says in result.stderr
    if status == 1:
        assert len(result.stderr.splitlines()) == 1


def test_every_resource_is_a_text_and_json(node: str) -> None:
    text = run("get", "fs", "--node", node).stdout
    assert text.startswith("MOUNT POINT")
    assert "node-1" in run("get", "health", "--node", node).stdout
    assert json.loads(run("get", "openapi.json", "--node", node).stdout)["openapi"] == "3.1.0"
    mounts = json.loads(run("get", "fs", "all=true", "--json", "--node", node).stdout)
    point = f"mount_point={mounts[0]['mount_point']}"
    assert isinstance(
        json.loads(run("get", "fs/history", point, "--json", "--node", node).stdout), list
    )
    (path,) = json.loads(run("get", "paths", "--json", "--node", node).stdout)
    assert path["path"].endswith("/data")
    history = run("get", f"paths/{path['id']}/history", "points=5", "--node", node).stdout
    assert history.startswith("COLLECTED AT")
    assert path["path"] in run("get", "paths", "limit=5", "--node", node).stdout


def test_a_terminal_is_given_a_table_as_wide_as_it_is(node: str) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 60, 0, 0))
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [ETLMON, "get", "fs", "limit=1", "--node", node]
    with open(master, encoding="utf-8", closefd=True) as screen:  # noqa: PTH123 - a descriptor
        subprocess.run(command, stdout=slave, env=env, timeout=PATIENCE_SECONDS, check=True)
        os.close(slave)
        lines = [screen.readline().rstrip() for _ in range(4)]
    assert lines[0].startswith("MOUNT POINT")
    assert lines[1].startswith("    ")
    assert all(len(line) <= 60 for line in lines)


def test_lines_of_a_log(node: str) -> None:
    assert run("get", "logs", "app", "--node", node).stdout == "Nothing there yet.\n"
    assert run("get", "logs/app", "lines=5", "--json", "--node", node).stdout == "[]\n"
    for arguments in ((), ("--follow",)):
        done = run("get", "logs", "n/o", *arguments, "--node", node, status=1)
        assert done.stderr.startswith(f"etlmon: {node}: There is no log n/o;")
        assert len(done.stderr.splitlines()) == 1


def test_what_the_node_refuses_is_told(node: str) -> None:
    done = run("get", "fs/history", "mount_point=/nope", "--node", node, status=1)
    assert done.stderr.startswith(f"etlmon: {node}: Nothing is stored of the mount /nope;")
    assert len(done.stderr.splitlines()) == 1
    done = run("get", "paths/n o%2Fpe/history", "--node", node, status=1)
    assert done.stderr.startswith(f"etlmon: {node}: No path has the id n o/pe;")


def test_what_a_node_says_drives_no_terminal(node: str) -> None:
    done = run("get", "fs/history", "mount_point=/a\n\x1b[2J\u202e", "--node", node, status=1)
    assert done.stderr.startswith(f"etlmon: {node}: Nothing is stored of the mount /a ␛[2J\\u202e;")
    assert len(done.stderr.splitlines()) == 1


def test_a_pipe_that_closes_early_is_no_trouble(node: str) -> None:
    done = subprocess.run(
        f"{ETLMON} get openapi.json --node {node} | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_a_node_that_is_down_is_a_line() -> None:
    address = f"127.0.0.1:{free_port()}"
    done = run("get", "fs", "--json", "--node", address, status=1)
    assert done.stderr == f"etlmon: {address}: nothing listens there\n"
    assert done.stdout == ""


def test_a_bad_address_is_a_line() -> None:
    done = run("get", "fs", "--node", "ftp://x", status=1)
    assert "'ftp://x' is not an address" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_interrupted_while_it_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [ETLMON, "get", "fs", "--node", address], stderr=subprocess.PIPE, text=True
        )
        connection, _ = silent.accept()
        assert connection.recv(10)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        connection.close()
    assert process.returncode == 1
    assert errors.strip() == "Aborted!"


def test_a_stream_is_followed_until_an_interrupt() -> None:
    item = {
        "id": 1,
        "log_name": "app",
        "log_path": "/a",
        "line": "x\x1b",
        "created_at": "2026-01-31T12:00:00Z",
    }
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        process = subprocess.Popen(
            [ETLMON, "get", "logs", "app", "--follow", "--node", address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = server.accept()
        with connection.makefile("rb") as asked:
            assert asked.readline() == b"GET /api/v1/logs/app?follow=true HTTP/1.1\r\n"
            while asked.readline() != b"\r\n":
                pass
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            b"id: 1\ndata: %s\n\n" % json.dumps(item).encode()
        )
        assert process.stdout is not None
        assert process.stdout.readline().endswith(":00.000  x␛\n")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE_SECONDS) == ("", "")
        connection.close()
    assert process.returncode == 0
