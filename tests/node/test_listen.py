"""Where the API listens, and what is said when it cannot."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from etlmon.config.addresses import is_loopback
from etlmon.node.listen import CannotListen, ListeningService
from tests.waiting import PATIENCE_SECONDS


def service(listen: str) -> ListeningService:
    return ListeningService(listen, Site(Resource()), reactor)


async def test_a_free_port_is_taken_and_told() -> None:
    listening = service("127.0.0.1:0")
    listening.startService()
    port = int(listening.address.rpartition(":")[2])
    assert listening.address == f"http://127.0.0.1:{port}"
    socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS).close()
    await listening.stopService()
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", port))  # so that nobody else does; it does not listen
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


async def test_ipv6() -> None:
    listening = service("[::1]:0")
    listening.startService()
    assert listening.address.startswith("http://[::1]:")
    await listening.stopService()


@pytest.mark.parametrize(
    ("listen", "address"),
    [("0.0.0.0:81", "http://127.0.0.1:81"), ("[::]:81", "http://[::1]:81")],
)
def test_everywhere_is_reached_by_the_loopback(listen: str, address: str) -> None:
    assert service(listen).address == address


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    listening = service(f"unix:{path}")
    listening.startService()
    assert listening.address == f"unix:{path}"
    assert path.stat().st_mode & 0o777 == 0o660
    await listening.stopService()
    assert not path.exists()


def test_a_taken_port_is_named() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(
            CannotListen, match=f"cannot listen on {listen}: Address already in use"
        ):
            service(listen).startService()


def test_an_address_that_is_not_of_this_host_is_named() -> None:
    with pytest.raises(CannotListen, match="Cannot assign requested address"):
        service("192.0.2.1:81").startService()


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("unix:/run/x", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("host:1", False),
    ],
)
def test_what_is_a_loopback(listen: str, loopback: bool) -> None:
    assert is_loopback(listen) is loopback
