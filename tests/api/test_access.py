"""The Host header: which names a node answers to."""

from __future__ import annotations

import pytest

from etlmon.api.access import HostCheck, the_host
from etlmon.errors import ApiError

LOOPBACK = ("localhost", "LocalHost", "localhost.", "127.0.0.1", "[::1]", "127.0.0.2", "[0::1]")
OWN = ("node-1", "NODE-1", "etl.example.org", "etl.example.org.")
ADDRESSES = ("10.0.0.7", "[2001:db8::7]", "192.168.1.1", "[::ffff:10.0.0.7]")
FOREIGN = (
    "",
    "evil.example",
    "localhost.evil.example",
    "evil.localhost",
    "127.0.0.1.evil.example",
    "node-1.evil.example",
    "localhost@evil.example",
    "[::1]evil.example",
    "[::1",
    "::1",
    "[]",
    "127.1",
    "0x7f000001",
    "2130706433",
    "localhost ",
    "localhost/",
    "localhost:80:80",
    "localhost:http",
    "localhost:123456",
    "löcalhost",
)


def allowed(host: str, *, loopback: bool) -> bool:
    check = HostCheck(loopback=loopback, names=("node-1", "ETL.example.org."))
    outcomes = set()
    for _ in range(2):  # the second time it is remembered
        try:
            check.check(host.encode("latin-1"))
            outcomes.add((200, "", True))
        except ApiError as error:
            outcomes.add((error.status, error.problem, "node.allowed_hosts" in error.detail))
    assert len(outcomes) == 1
    assert outcomes <= {(200, "", True), (421, "host-not-allowed", True)}
    return (200, "", True) in outcomes


@pytest.mark.parametrize("port", ["", ":", ":8080", ":65535"])
@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize("host", [*LOOPBACK, *OWN])
def test_own_names_are_taken_on_any_port(host: str, port: str, loopback: bool) -> None:
    assert allowed(host + port, loopback=loopback)


@pytest.mark.parametrize("port", ["", ":8080"])
@pytest.mark.parametrize("host", ADDRESSES)
def test_addresses_are_taken_on_the_network_only(host: str, port: str) -> None:
    assert allowed(host + port, loopback=False)
    assert not allowed(host + port, loopback=True)


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize("host", FOREIGN)
def test_others_are_refused(host: str, loopback: bool) -> None:
    assert not allowed(host, loopback=loopback)


def test_a_refusal_shows_the_name_without_what_drives_a_terminal() -> None:
    with pytest.raises(ApiError, match=r"'evil\\x1b\[2j'") as caught:
        HostCheck(loopback=True, names=()).check(b"evil\x1b[2J")
    assert caught.value.detail.isprintable()


def test_a_long_name_is_shown_in_part() -> None:
    with pytest.raises(ApiError) as caught:
        HostCheck(loopback=True, names=()).check(b"x" * 10_000)
    assert len(caught.value.detail) < 300


def test_what_is_remembered_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr("etlmon.api.access._MOST_REMEMBERED", 3)
    check = HostCheck(loopback=True, names=())
    for port in range(10):
        check.check(b"localhost:%d" % port)
    assert len(check._passed) == 3


def test_the_host_is_one() -> None:
    assert the_host([b"a"], b"HTTP/1.1") == b"a"
    assert the_host([], b"HTTP/1.0") is None
    for values, version in (([], b"HTTP/1.1"), ([b"a", b"a"], b"HTTP/1.1"), ([b"a"] * 2, b"")):
        with pytest.raises(ApiError) as caught:
            the_host(values, version)
        assert caught.value.status == 400
