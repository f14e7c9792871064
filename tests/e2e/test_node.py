"""The real daemon, started as its users start it, and asked with real programs."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_SECONDS

Start = Callable[..., Any]
WriteConfig = Callable[..., Path]

PATHS = """
refresh: {{disk: 1s}}
paths:
  - {{path: "{tree}", scan_interval: 1s}}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with something of everything."""
    root = tmp_path / "tree with space"
    for name in ("a", "a/b", "c"):
        (root / name).mkdir(parents=True)
        for number in range(7):
            (root / name / f"file {number}").touch()
    (root / "link").symlink_to("a")
    os.mkfifo(root / "fifo")
    return root


def find_count(root: Path, *test: str) -> int:
    command = ["find", "-H", str(root), "-xdev", *test, "-printf", "x"]
    return len(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.fixture
def run(start: Start, etlmon: str) -> Start:
    """Start a node with ``etlmon node``."""
    return lambda config: start(etlmon, "node", "-c", str(config))


@pytest.fixture(params=["etlmon node", "twistd"])
def run_either(request: pytest.FixtureRequest, start: Start, etlmon: str, twistd: str) -> Start:
    """Start a node in each of the two ways."""
    if request.param == "twistd":
        return lambda config: start(twistd, "-n", "--pidfile=", "etlmon-node", "-c", str(config))
    return lambda config: start(etlmon, "node", "-c", str(config))


def test_from_the_host_to_json(run_either: Start, write_config: WriteConfig, tree: Path) -> None:
    """A node counts what find counts, and its API says so within a second or two."""
    node = run_either(write_config(PATHS.format(tree=tree)))
    [counts] = node.get_until("paths", lambda rows: rows and rows[0]["status"] == "OK")
    assert counts["path"] == str(tree)
    assert counts["file_count"] == find_count(tree, "-type", "f") == 21
    assert counts["dir_count"] == find_count(tree, "-mindepth", "1", "-type", "d") == 3
    assert counts["other_count"] == 2
    assert {row["file_count"] for row in node.get(f"paths/{counts['id']}/history")} == {21}
    health = node.get_until("health", lambda health: health["state"] == "ok")
    assert health["node_name"] == "e2e"
    assert {collector["name"] for collector in health["collectors"]} == {"disk", "path", "cron"}


def test_usage_agrees_with_df(run: Start, write_config: WriteConfig) -> None:
    """Total and place of each mount are those of df; what moves lies between two runs of df."""

    def df() -> dict[str, tuple[int, int]]:
        command = ["df", "--block-size=1", "--output=target,size,used"]
        lines = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        rows = [line.rsplit(maxsplit=2) for line in lines.splitlines()[1:]]
        return {target: (int(size), int(used)) for target, size, used in rows}

    def differences() -> list[Any]:
        """Look once with df around it; give what of the node's rows df does not say."""
        before = df()
        first = node.get("fs")[0]["collected_at"]
        found = node.get_until("fs", lambda rows: rows[0]["collected_at"] > first)
        after = df()
        shown = {row["mount_point"]: row for row in found if row["state"] == "ok"}
        differ = [] if "/" in shown else [found]  # on a busy machine it may answer late
        for mount_point, row in shown.items():
            (size, low), (_, high) = (at.get(mount_point, (-1, -1)) for at in (before, after))
            slack = 64 << 20  # other programs write and delete between the two
            between = min(low, high) - slack <= row["used_bytes"] <= max(low, high) + slack
            if row["total_bytes"] != size or not between:
                differ.append((row, before.get(mount_point), after.get(mount_point)))
        return differ

    node = run(write_config("refresh: {disk: 1s}\n"))
    node.get_until("fs", bool)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while differ := differences():  # other tests mount, and fill a disk and free it, meanwhile
        assert time.monotonic() < give_up_at, differ


def test_get_prints_a_table_and_json(
    run: Start, write_config: WriteConfig, tree: Path, etlmon: str
) -> None:
    """What ``etlmon get`` prints is what the API answers."""
    node = run(write_config(PATHS.format(tree=tree)))
    node.get_until("paths", lambda rows: rows and rows[0]["status"] == "OK")

    def get(*arguments: str) -> str:
        command = [etlmon, "get", *arguments, "--node", node.address]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    table = get("paths").splitlines()
    assert table[0].split()[:3] == ["PATH", "FILE", "COUNT"]
    assert str(tree) in table[1]
    assert '"file_count": 21' in get("paths", "--json")


def test_a_taken_port_is_one_clear_line(run_either: Start, write_config: WriteConfig) -> None:
    """The node ends with status 1 and says what is in the way, without a traceback."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        node = run_either(write_config(listen=f"127.0.0.1:{port}"))
        said, _ = node.process.communicate(timeout=PATIENCE_SECONDS)
    assert node.process.returncode == 1
    complaint = f"etlmon: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert sum(complaint in line for line in said.decode().splitlines()) == 1
    assert "Traceback" not in said.decode()


def test_a_database_in_use_is_one_clear_line(
    run: Start, run_either: Start, write_config: WriteConfig
) -> None:
    """A second node on one database is refused, and told which process has it."""
    config = write_config()
    first = run(config)
    assert first.address
    second = run_either(config)
    said, _ = second.process.communicate(timeout=PATIENCE_SECONDS)
    assert second.process.returncode == 1
    assert f"is in use by another node (pid {first.process.pid})" in said.decode()
    assert "Traceback" not in said.decode()
    assert first.end() == 0


def test_every_mistake_in_the_file_is_named(run_either: Start, write_config: WriteConfig) -> None:
    """Bad values stop the node before it starts, each with its line and what to write."""
    config = write_config('paths:\n  - path: /etc\n    scan_interval: "5 parsecs"\nrefrsh: {}\n')
    node = run_either(config)
    said, _ = node.process.communicate(timeout=PATIENCE_SECONDS)
    assert node.process.returncode == os.EX_CONFIG, "systemd does not try again, by its unit"
    assert f'{config}:4: paths[0].scan_interval: "5 parsecs" is not a duration' in said.decode()
    assert f"{config}:5: " in said.decode()
    assert "refresh" in said.decode()
    assert all(line.startswith("etlmon: ") for line in said.decode().splitlines())
    assert "Traceback" not in said.decode()


def test_sigterm_ends_it_even_while_a_scan_runs(
    run: Start, write_config: WriteConfig, tree: Path, tmp_path: Path
) -> None:
    """With status 0, no traceback, and the database is whole. The scan would never have ended."""
    node = run(write_config(f'paths: [{{path: "{tree}", scan_interval: 1h, timeout: 2h}}]\n'))
    node.get_until("paths", lambda rows: rows and rows[0]["complete"])
    for pid in node.workers():
        os.kill(pid, signal.SIGSTOP)
    node.scan_now()
    node.get_until("paths", lambda rows: rows[0]["status"] == "SCANNING")
    assert node.end() == 0
    assert "Traceback" not in node.said
    assert_whole(tmp_path / "db" / "etlmon.db")


def test_sigint_ends_it_too(run: Start, write_config: WriteConfig) -> None:
    """^C at the terminal ends it in order."""
    node = run(write_config())
    assert node.address
    assert node.end(signal.SIGINT) == 0


def test_further_signals_while_it_stops_are_no_error(run: Start, write_config: WriteConfig) -> None:
    """Impatience is no defect: they change nothing, and the log has no traceback."""
    node = run(write_config())
    assert node.address
    # All of them wait while it is stopped, and none is merged with one of its own kind.
    node.process.send_signal(signal.SIGSTOP)
    node.process.send_signal(signal.SIGTERM)
    node.process.send_signal(signal.SIGINT)
    node.process.send_signal(signal.SIGCONT)
    node.process.send_signal(signal.SIGTERM)
    assert node.end(signal.SIGINT) == 0
    assert "Traceback" not in node.said
    assert "critical" not in node.said.lower()


def test_signals_that_come_at_the_very_end_are_no_error(
    run: Start, write_config: WriteConfig
) -> None:
    """Not even when it has stopped, and Python has given up its handlers."""
    node = run(write_config())
    assert node.address
    node.process.send_signal(signal.SIGTERM)
    node.wait_for("etlmon has stopped")
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while node.process.poll() is None:
        assert time.monotonic() < give_up_at
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            node.process.send_signal(number)
        time.sleep(0.001)
    assert node.process.returncode == 0
    assert "Traceback" not in node.said


def test_kill_9_and_start_again(run: Start, write_config: WriteConfig, tree: Path) -> None:
    """After a kill the database is whole, and the next node goes on with what was stored."""
    config = write_config(PATHS.format(tree=tree))
    for _ in range(3):
        node = run(config)
        node.get_until("paths", lambda rows: rows and rows[0]["complete"])
        node.end(signal.SIGKILL)
        assert_whole(config.parent / "db" / "etlmon.db")
    node = run(config)
    assert node.get("paths")[0]["last_complete_file_count"] == 21


def test_sighup_takes_what_can_change_and_names_the_rest(
    run: Start, write_config: WriteConfig, tree: Path
) -> None:
    """A path is added while the node runs; a change that needs a restart is named."""
    config = write_config(PATHS.format(tree=tree))
    node = run(config)
    node.get_until("paths", lambda rows: rows and rows[0]["complete"])
    text = config.read_text()

    config.write_text(text.replace("node_name: e2e", "node_name: other") + "  - path: /etc\n")
    node.process.send_signal(signal.SIGHUP)
    rows = node.get_until("paths", lambda rows: len(rows) == 2 and rows[0]["complete"])
    assert [row["path"] for row in rows] == sorted(["/etc", str(tree)])
    node.wait_for("node: a change here needs a restart")

    config.write_text("paths: 7\n")
    node.process.send_signal(signal.SIGHUP)
    node.wait_for("node.yaml:1: paths: .*\n(.*\n)*.*nothing has changed")
    assert len(node.get("paths")) == 2

    config.write_text(text)
    node.process.send_signal(signal.SIGHUP)
    node.get_until("paths", lambda rows: [row["path"] for row in rows] == [str(tree)])
    assert node.end() == 0


def test_scan_now(run: Start, write_config: WriteConfig, tree: Path) -> None:
    """A confirmed command scans a path whose turn would come in an hour."""
    config = write_config(f'paths: [{{path: "{tree}", scan_interval: 1h}}]\n')
    node = run(config)
    [before] = node.get_until("paths", lambda rows: rows and rows[0]["complete"])
    (tree / "new").touch()
    assert node.scan_now(paths=[str(tree)]) == {"started": [str(tree)], "skipped": []}
    [after] = node.get_until("paths", lambda rows: rows[0]["file_count"] == 22)
    assert after["collected_at"] > before["collected_at"]


def test_a_long_scan_is_cancelled(run: Start, write_config: WriteConfig, tree: Path) -> None:
    """The path keeps its complete counts, and the next scan is whole.

    The scan would last two hours: its worker has been stopped by a signal.
    """
    path = f'{{path: "{tree}", scan_interval: 1h, timeout: 2h}}'
    node = run(write_config(f"refresh: {{disk: 1h}}\npaths: [{path}]\n"))
    node.get_until("fs", bool)
    [before] = node.get_until("paths", lambda rows: rows and rows[0]["complete"])
    for pid in node.workers():
        os.kill(pid, signal.SIGSTOP)
    node.scan_now()
    node.get_until("paths", lambda rows: rows[0]["status"] == "SCANNING")
    answer = node.delete("paths/scan?confirm=true")  # comes when the scan has ended
    assert answer == {"cancelled": [str(tree)], "not_running": []}
    [after] = node.get_until("paths", lambda rows: rows[0]["status"] != "SCANNING")
    assert (after["status"], after["error_message"]) == ("PARTIAL", "cancelled")
    assert (after["file_count"], after["last_complete_file_count"]) == (None, 21)
    assert after["last_complete_at"] == before["collected_at"]
    assert node.delete("paths/scan?confirm=true")["not_running"] == [str(tree)]

    health = node.get("health")
    [counted] = [one for one in health["collectors"] if one["name"] == "path"]
    assert (health["state"], counted["cancelled"], counted["errors"]) == ("ok", 1, 0)
    node.scan_now()
    [again] = node.get_until("paths", lambda rows: rows[0]["status"] == "OK")
    assert again["collected_at"] > before["collected_at"]


def test_commands_open_to_a_network_are_told(run: Start, write_config: WriteConfig) -> None:
    """On another address than the loopback the node warns, in its log and in /health."""
    node = run(write_config(listen="0.0.0.0:0"))
    node.wait_for("Commands are open to everyone who reaches 0.0.0.0:0")
    assert any("control.enabled" in warning for warning in node.get("health")["warnings"])


def test_a_daemon_of_twistd(
    start: Start, write_config: WriteConfig, tmp_path: Path, twistd: str
) -> None:
    """In the background too: twistd forks, the database is opened after that."""
    config = write_config(PATHS.format(tree=tmp_path))
    pidfile, log = tmp_path / "twistd.pid", tmp_path / "node.log"
    command = (twistd, f"--pidfile={pidfile}", f"--logfile={log}", "etlmon-node", "-c", str(config))
    launcher = start(*command)
    assert launcher.process.wait(timeout=PATIENCE_SECONDS) == 0
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while "listening on" not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    pid = int(pidfile.read_text())
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        while pidfile.exists():
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
    finally:
        os.close(descriptor)
    assert "Traceback" not in log.read_text()
    assert_whole(tmp_path / "db" / "etlmon.db")


def test_demo_without_a_terminal_says_where_it_listens(start: Start, etlmon: str) -> None:
    """It takes a free port and a database of its own, and stays until it is told to end."""
    node = start(etlmon, "demo", "--path", "/etc")
    address = node.wait_for(r"listens on (http://127\.0\.0\.1:\d+)/api/v1")[1]
    assert node.process.poll() is None
    health = subprocess.run(
        [etlmon, "get", "health", "--node", address], check=True, capture_output=True, text=True
    ).stdout
    database = next(line for line in health.splitlines() if line.startswith("path "))
    assert Path(database.split()[1]).exists()
    assert node.end() == 0
    assert not Path(database.split()[1]).parent.exists()


def assert_whole(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_daemon_that_cannot_start_says_so_to_who_started_it(
    start: Start, write_config: WriteConfig, tmp_path: Path, twistd: str
) -> None:
    """Twistd's parent waits for word of its child: it must get one."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        config = write_config(listen=f"127.0.0.1:{other.getsockname()[1]}")
        log = tmp_path / "node.log"
        command = (twistd, f"--pidfile={tmp_path}/p", f"--logfile={log}", "etlmon-node", "-c")
        launcher = start(*command, str(config))
        said, _ = launcher.process.communicate(timeout=PATIENCE_SECONDS)
    assert launcher.process.returncode == 1
    assert "cannot listen on" in said.decode()
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while (tmp_path / "p").exists():  # the child has told its parent first
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_a_demo_whose_terminal_is_closed_leaves_nothing(start: Start, etlmon: str) -> None:
    node = start(etlmon, "demo", "--path", "/etc")
    address = node.wait_for(r"listens on (http://127\.0\.0\.1:\d+)/api/v1")[1]
    health = subprocess.run(
        [etlmon, "get", "health", "--json", "--node", address], check=True, capture_output=True
    ).stdout
    database = Path(json.loads(health)["database"]["path"])
    assert database.exists()
    assert node.end(signal.SIGHUP) == 0
    assert not database.parent.exists()


def test_more_connections_than_are_good_for_the_collectors_are_refused(
    run: Start, write_config: WriteConfig
) -> None:
    node = run(write_config("refresh: {disk: 1s}\n"))
    port = int(node.address.rpartition(":")[2])
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(
                closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS))
            )
        # The others were closed at once; who is let in keeps what he has.
        with pytest.raises(subprocess.CalledProcessError):
            node.get("health")
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:  # until it has noticed that they are gone
        assert time.monotonic() < give_up_at
        with suppress(subprocess.CalledProcessError):
            node.get("health")
            break
    health = node.get_until("health", lambda health: health["collectors"][0]["runs"] >= 2)
    assert health["collectors"][0]["errors"] == 0
