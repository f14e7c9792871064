"""The daemon as a service of systemd: what it tells, the socket it is given, its unit."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_SECONDS, free_port

Start = Callable[..., Any]
WriteConfig = Callable[..., Path]

DEBIAN = Path(__file__).parents[2] / "debian"
UNIT = DEBIAN / "etlmon.etlmon-node.service"
RIGHTS = sorted((DEBIAN / "rights").glob("*.conf"))
# For longer than two of the watchdog's turns the reactor does nothing else.
HANG = """
import socket, time
line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); line.connect({ear!r})
line.send(b"HANGS"); time.sleep(2.5); line.send(b"GOES ON")
"""


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket at which systemd would hear the daemon."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(PATIENCE_SECONDS)
        yield ear


@pytest.fixture(params=["etlmon node", "twistd"])
def command(request: pytest.FixtureRequest, etlmon: str, twistd: str) -> list[str]:
    if request.param == "twistd":
        return [twistd, "-n", "--pidfile=", "etlmon-node"]
    return [etlmon, "node"]


def test_it_tells_systemd_how_it_fares(
    start: Start, command: list[str], write_config: WriteConfig, ear: socket.socket
) -> None:
    """READY when its API answers, WATCHDOG, a reload from beginning to end, STOPPING."""
    environ = os.environ | {"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": "3000000"}
    node = start(*command, "-c", str(write_config()), env=environ)

    def hear_until(word: str) -> list[str]:
        heard: list[str] = []
        while word not in heard:
            heard += ear.recv(4096).decode().splitlines()
        return heard

    assert hear_until("READY=1")[0] == "READY=1"
    assert node.get("health")["node_name"] == "e2e"
    hear_until("WATCHDOG=1")
    hear_until("WATCHDOG=1")
    node.process.send_signal(signal.SIGHUP)
    hear_until("RELOADING=1")
    hear_until("READY=1")
    node.process.send_signal(signal.SIGTERM)
    hear_until("STOPPING=1")
    node.process.communicate(timeout=PATIENCE_SECONDS)


def test_a_node_whose_reactor_hangs_does_not_feed_the_watchdog(
    start: Start, etlmon: str, write_config: WriteConfig, ear: socket.socket, tmp_path: Path
) -> None:
    """The process lives, and all its other threads do: what feeds it each second is silent."""
    environ = os.environ | {"NOTIFY_SOCKET": ear.getsockname(), "WATCHDOG_USEC": "3000000"}
    config = write_config(f"manhole: {{socket: {tmp_path}/console}}\n")
    start(etlmon, "node", "-c", str(config), env=environ)
    while "WATCHDOG=1" not in ear.recv(4096).decode():
        pass
    with subprocess.Popen(
        [etlmon, "console", "--socket", f"{tmp_path}/console"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as console:
        assert console.stdin is not None
        console.stdin.write(HANG.format(ear=ear.getsockname()).encode())
        console.stdin.close()
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while ear.recv(4096) != b"HANGS":
            assert time.monotonic() < give_up_at
        assert ear.recv(4096) == b"GOES ON"
        while b"WATCHDOG=1" not in ear.recv(4096):
            pass


def test_it_takes_the_socket_that_systemd_has_opened(
    start: Start, command: list[str], write_config: WriteConfig
) -> None:
    """A client that comes before the node has begun is answered, too."""
    port = free_port()
    config = write_config(listen="127.0.0.1:1")  # which nobody but root may open
    listen = f"--listen=127.0.0.1:{port}"
    activated = start("systemd-socket-activate", listen, *command, "-c", str(config))
    activated.wait_for("Listening on")
    answer = subprocess.run(
        ["curl", "-sS", "--fail", "--max-time", "60", f"http://127.0.0.1:{port}/api/v1/health"],
        check=True,
        capture_output=True,
    ).stdout
    assert b'"node_name":"e2e"' in answer
    assert activated.address == f"http://127.0.0.1:{port}"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program in it that exists here."""
    unit = tmp_path / "units" / "etlmon-node.service"
    unit.parent.mkdir()
    unit.write_text(re.sub("(?m)^ExecStart=.*", "ExecStart=/bin/true", UNIT.read_text()))
    shutil.copy(DEBIAN / "etlmon.etlmon-node.socket", unit.with_suffix(".socket"))
    return unit


@pytest.mark.parametrize("right", [None, *RIGHTS], ids=lambda right: right.stem if right else "-")
def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path, right: Path | None) -> None:
    """`verify` ends with status 0 whatever it finds: it must say nothing."""
    if right is not None:
        drop_ins = unit.with_suffix(".service.d")
        drop_ins.mkdir()
        shutil.copy(right, drop_ins)
    command = ["systemd-analyze", "verify", str(unit), str(unit.with_suffix(".socket"))]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_the_unit_is_exposed_by_no_more_than_it_needs(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=25"]
    said = subprocess.run([*command, str(unit)], check=False, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout


def test_each_right_is_one_that_its_own_words_name() -> None:
    """Whoever turns one on gives the capability that the comment says, and no other."""
    for right in RIGHTS:
        comment, _, settings = right.read_text().partition("[Service]")
        assert set(re.findall(r"CAP_\w+", comment)) == set(re.findall(r"CAP_\w+", settings))
