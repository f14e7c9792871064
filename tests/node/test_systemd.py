"""What the node and systemd tell each other; the judge is a socket as systemd opens it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from twisted.internet import reactor, task
from twisted.web.resource import Resource
from twisted.web.server import Site

from etlmon.errors import EtlmonError
from etlmon.node.listen import ListeningService
from etlmon.node.systemd import (
    Notifier,
    Starting,
    SupervisedService,
    inherited_socket,
    listen_text,
)
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Any]:
    """Give what systemd has heard since the last time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)

        def words() -> list[list[str]]:
            found = []
            while True:
                try:
                    found.append(ear.recv(4096).decode().splitlines())
                except BlockingIOError:
                    return found

        yield words


class Running(task.Clock):
    """A reactor whose clock a test turns, and which runs when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.later: list[Any] = []

    def callWhenRunning(self, function: Any) -> None:
        self.later.append(function)


class Supervised:
    """A service, and how the node that it speaks for is."""

    def __init__(self, address: str, watchdog_seconds: float | None) -> None:
        self.reactor = Running()
        self.dead: str | None = None
        self.status = "ok; 2 collectors"
        self.service = SupervisedService(
            Notifier(address, watchdog_seconds),
            self.reactor,
            lambda: self.dead,
            lambda: self.status,
        )


@pytest.fixture
def supervised(tmp_path: Path, heard: Any) -> Iterator[Supervised]:
    made = Supervised(str(tmp_path / "notify"), 30.0)
    yield made
    if made.service.running:
        made.service.stopService()


def looks(tmp_path: Path, used: list[float]) -> Starting:
    """Give a start whose looks have found so much used of the processor."""
    seen = Event()
    times = iter(used)

    def cpu_seconds() -> float:
        found = next(times, None)
        if found is None:
            seen.set()
        return used[-1] if found is None else found

    notifier = Notifier(str(tmp_path / "notify"))
    starting = Starting(notifier, "opening it", cpu_seconds, 0.001)
    with starting:
        assert seen.wait(PATIENCE_SECONDS)
    notifier.close()
    return starting


def test_a_start_that_is_at_work_may_take_long(tmp_path: Path, heard: Any) -> None:
    starting = looks(tmp_path, [1.0, 1.2, 5.0, 9.0, 9.0, 9.1])
    assert heard() == [["EXTEND_TIMEOUT_USEC=900000000", "STATUS=opening it"]] * 2
    assert not starting._thread.is_alive()


def test_a_start_that_hangs_is_ended_in_its_time(tmp_path: Path, heard: Any) -> None:
    looks(tmp_path, [1.0, 1.1, 1.1, 1.2])
    assert heard() == []


def test_ready_comes_when_the_reactor_runs_and_before_the_watchdog(
    supervised: Supervised, heard: Any
) -> None:
    supervised.service.startService()
    assert heard() == []
    [begin] = supervised.reactor.later
    begin()
    assert heard() == [["READY=1", "STATUS=ok; 2 collectors"], ["WATCHDOG=1"]]


def test_the_watchdog_is_fed_three_times_in_its_time(supervised: Supervised, heard: Any) -> None:
    supervised.service.startService()
    supervised.reactor.later[0]()
    heard()
    supervised.reactor.pump([10.0] * 6)
    assert heard() == [["WATCHDOG=1"]] * 6


def test_a_dead_part_starves_it_and_is_told_once(
    supervised: Supervised, heard: Any, flush_logged_errors: Any
) -> None:
    supervised.service.startService()
    supervised.reactor.later[0]()
    heard()
    supervised.dead = "The writer"
    supervised.reactor.pump([10.0] * 3)
    assert heard() == []
    assert len(flush_logged_errors("The writer makes no progress; systemd will end this")) == 1
    supervised.dead = None
    supervised.reactor.advance(10.0)
    assert heard() == [["WATCHDOG=1"]]


def test_a_new_status_is_told(supervised: Supervised, heard: Any) -> None:
    supervised.service.startService()
    supervised.reactor.later[0]()
    heard()
    supervised.status = "degraded: path /srv\nREADY=0; 2 collectors"
    supervised.reactor.pump([10.0] * 2)
    told = [words for words in heard() if words != ["WATCHDOG=1"]]
    assert told == [["STATUS=degraded: path /srv\\nREADY=0; 2 collectors"]]


def test_reload_and_stop_are_told(supervised: Supervised, heard: Any) -> None:
    supervised.service.startService()
    supervised.reactor.later[0]()
    heard()
    supervised.service.reloading()
    supervised.service.ready()
    [[reloading, moment], [ready, _]] = heard()
    assert (reloading, ready) == ("RELOADING=1", "READY=1")
    assert moment.partition("=")[2].isdigit()
    supervised.service.stopService()
    assert heard() == [["STOPPING=1", "STATUS=stopping"]]
    assert supervised.reactor.getDelayedCalls() == []


def test_one_that_is_stopped_before_the_reactor_runs_is_never_ready(
    supervised: Supervised, heard: Any
) -> None:
    supervised.service.startService()
    supervised.service.stopService()
    heard()
    supervised.reactor.later[0]()
    assert heard() == []


def test_what_systemd_sets_is_taken_out_of_the_environment(heard: Any, tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000", "A": "b"}
    notifier = Notifier.from_environment(environ | {"WATCHDOG_PID": "7"}, 7)
    assert notifier.watchdog_seconds == 30.0
    assert Notifier.from_environment(environ | {"WATCHDOG_PID": "8"}, 7).watchdog_seconds is None
    notifier = Notifier.from_environment(environ, 7)
    assert environ == {"A": "b"}
    notifier.tell(READY=1)
    assert heard() == [["READY=1"]]
    notifier.close()


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        name = f"etlmon-test-{os.getpid()}"
        ear.bind("\0" + name)
        notifier = Notifier(f"@{name}")
        notifier.tell(WATCHDOG=1)
        notifier.close()
        assert ear.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", [None, "/nowhere/at/all"])
def test_nobody_hears_and_nothing_breaks(address: str | None) -> None:
    Notifier(address).tell(READY=1)


def test_no_socket_without_systemd() -> None:
    assert inherited_socket({}, 7) is None
    assert inherited_socket({"LISTEN_PID": "8", "LISTEN_FDS": "1"}, 7) is None


def test_two_sockets_are_one_too_many() -> None:
    with pytest.raises(EtlmonError, match="hands over 2 sockets"):
        inherited_socket({"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}, 7)


@pytest.mark.parametrize(
    ("family", "host", "text"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1:"),
        (socket.AF_INET6, "::1", "[::1]:"),
    ],
)
async def test_a_socket_that_listens_already(family: int, host: str, text: str) -> None:
    inherited = socket.create_server((host, 0), family=family)
    inherited.setblocking(False)
    port = inherited.getsockname()[1]
    assert listen_text(inherited) == f"{text}{port}"
    listening = ListeningService(listen_text(inherited), Site(Resource()), reactor, inherited)
    listening.startService()
    assert listening.address == f"http://{text}{port}"
    socket.create_connection((host, port), timeout=PATIENCE_SECONDS).close()
    await listening.stopService()


async def test_a_unix_socket_of_systemd_is_left_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    inherited = socket.socket(socket.AF_UNIX)
    inherited.bind(str(path))
    path.chmod(0o600)
    inherited.listen()
    inherited.setblocking(False)
    assert listen_text(inherited) == f"unix:{path}"
    listening = ListeningService(listen_text(inherited), Site(Resource()), reactor, inherited)
    listening.startService()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    await listening.stopService()
    assert path.exists()
