"""The command line: in this process where no reactor runs, else as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from etlmon import __version__
from etlmon.cli import main

ETLMON = str(Path(sys.executable).with_name("etlmon"))
CONF = Path(__file__).parent.parent / "conf"


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [ETLMON, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    return done


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
    yield address
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)
    assert process.returncode == 0


# --- help -----------------------------------------------------------------------------------------


def test_help_leads_a_newcomer_to_the_first_look() -> None:
    text = invoke("--help").output
    for word in ("etlmon demo", "etlmon node -c node.yaml", "etlmon get fs", "check-config"):
        assert word in text
    assert invoke("-h").output == text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("node", ("127.0.0.1:8080", "SIGHUP", "SIGTERM", "/var/lib/etlmon")),
        ("demo", ("--path", "nothing stays behind")),
        ("get", ("etlmon get paths", "all=true", "--json", "http://localhost:8080")),
        ("check-config", ("--ui", "--schema")),
        ("version", ("version",)),
    ],
)
def test_each_command_has_help(command: str, words: tuple[str, ...]) -> None:
    text = invoke(command, "--help").output
    for word in words:
        assert word in text


def test_version() -> None:
    assert invoke("version").output == f"etlmon {__version__}\n"


# --- check-config ---------------------------------------------------------------------------------


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


@pytest.fixture
def shell() -> Iterator[subprocess.Popen[bytes]]:
    script = "sleep 98765.4 & echo; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, process_group=0) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def test_a_watch_can_be_tried_out(shell) -> None:
    plain = invoke("match", "98765.4 & echo", "--comm", "sh")
    assert plain.exit_code == 0
    (title, line) = plain.output.splitlines()
    assert title.split()[0] == "PID"
    assert line.replace(",", "").split()[0] == str(shell.pid)
    found = json.loads(
        invoke(
            "match", "98765.4 & echo", "--with-children", "--pid", str(shell.pid), "--json"
        ).output
    )
    assert [one["is_child"] for one in found] == [False, True]
    assert found[1]["parent_pid"] == shell.pid


def test_what_is_tried_out_shows_no_secrets(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()", "--password=hunter2", "--pin=4711"],
        stdin=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
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
        (("no such process anywhere",), 1, "processes is selected"),
    ],
)
def test_a_watch_that_selects_nothing(arguments: tuple[str, ...], status: int, says: str) -> None:
    result = invoke("match", *arguments)
    assert result.exit_code == status
    assert says in result.output + (result.stderr if result.stderr_bytes else "")


def test_no_file_is_a_mistake_of_usage() -> None:
    result = invoke("check-config")
    assert result.exit_code == 2
    assert "Name the file to check." in result.stderr


# --- get: before the network ----------------------------------------------------------------------


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


# --- get: a real node -----------------------------------------------------------------------------


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
        timeout=30,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_a_node_that_is_down_is_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
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
        _, errors = process.communicate(timeout=15)
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
        assert connection.recv(1_000).startswith(b"GET /api/v1/logs/app?follow=true HTTP/1.1")
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            b"id: 1\ndata: %s\n\n" % json.dumps(item).encode()
        )
        assert process.stdout is not None
        assert process.stdout.readline().endswith(":00.000  x␛\n")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=15) == ("", "")
        connection.close()
    assert process.returncode == 0


def test_a_node_without_its_configuration_is_a_line(tmp_path: Path) -> None:
    done = run("node", "-c", str(tmp_path / "none.yaml"), status=1)
    assert "none.yaml" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_command_is_slow_to_start() -> None:
    """What a command does not need it does not import."""
    code = "import sys, etlmon.cli; print(sorted({'twisted', 'yaml', 'treq'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout == "[]\n"


# --- tokens ---------------------------------------------------------------------------------------


def test_a_token_is_made_listed_and_removed(tmp_path: Path) -> None:
    file = str(tmp_path / "tokens")
    made = run("token", "add", "alice", "--role", "operator", "--file", file)
    secret = made.stdout.strip()
    assert secret.startswith("etlmon_")
    assert secret not in made.stderr
    assert f"chown USER {file}" in made.stderr
    assert "alice  operator  20" in invoke("token", "list", "--file", file).output
    assert secret not in Path(file).read_text()
    assert invoke("token", "remove", "alice", "--file", file).output == ""
    assert invoke("token", "list", "--file", file).output == "Nothing there yet.\n"
    refused = run("token", "remove", "alice", "--file", file, status=1)
    assert refused.stderr == f"etlmon: {file}: there is no token alice; there are none\n"


@pytest.mark.parametrize("role", ["admin", ""])
def test_a_role_is_one_of_two(role: str, tmp_path: Path) -> None:
    result = invoke("token", "add", "a", "--role", role, "--file", str(tmp_path / "tokens"))
    assert result.exit_code == 2
    assert "'viewer', 'operator'" in result.output


def test_a_node_with_tokens_answers_those_who_have_one(tmp_path: Path) -> None:
    file, mine = tmp_path / "tokens", tmp_path / "mine"
    config = tmp_path / "node.yaml"
    config.write_text(
        f"node: {{listen: 'unix:{tmp_path}/s', db_path: {tmp_path}/etlmon.db}}\n"
        f"auth: {{tokens_file: {file}}}\n"
    )
    refused = run("node", "-c", str(config), status=1)
    assert f"{file}: not there; make it by `etlmon token add" in refused.stderr
    secret = run("token", "add", "me", "--role", "viewer", "--file", str(file)).stdout
    mine.touch(0o600)
    mine.write_text(secret)
    ask = ("get", "health", "--node", f"unix:{tmp_path}/s")
    with subprocess.Popen(
        [ETLMON, "node", "-c", str(config)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = []
        try:
            for line in process.stderr:
                lines.append(line)
                if "listening on" in line:
                    break
            assert "ask" not in run(*ask, "--token-file", str(mine)).stderr
            assert "asks for a token" in run(*ask, status=1).stderr
        finally:
            process.terminate()
            lines += process.stderr.readlines()
    assert secret.strip() not in "".join(lines)
