"""The client on real sockets: against the real API, and against all that is no etlmon node."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue

from etlmon.api.access import HostCheck
from etlmon.api.answers import Answer
from etlmon.api.paging import page
from etlmon.api.route import Route
from etlmon.api.server import ApiServer
from etlmon.client import http
from etlmon.client.http import ClientError, NodeClient, ProblemError, base_url
from etlmon.config.node import ControlSection
from etlmon.contract.endpoint import Endpoint
from etlmon.contract.fs import FILESYSTEM_HISTORY, FilesystemHistoryQuery
from etlmon.contract.paths import PATHS, SCAN_PATHS
from etlmon.contract.query import Page, Query
from etlmon.control.policy import Policy
from etlmon.errors import ApiError, EtlmonError
from etlmon.records.path import PathStats, ScanAnswer, ScanRequest
from tests.waiting import PATIENCE_SECONDS, free_port

_TLS = b"\x16"
"""What a handshake begins with."""


class Counting(Factory):
    """Passes connections on to another factory and knows which are open."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.made = 0
        self.open: dict[Any, Any] = {}

    def buildProtocol(self, addr: Any) -> Any:
        protocol = self.inner.buildProtocol(addr)
        lose, make = protocol.connectionLost, protocol.makeConnection

        def make_connection(transport: Any) -> None:
            self.made += 1
            self.open[protocol] = transport
            make(transport)

        def connection_lost(reason: Any) -> None:
            self.open.pop(protocol, None)
            lose(reason)

        protocol.makeConnection, protocol.connectionLost = make_connection, connection_lost
        return protocol

    async def all_closed(self) -> None:
        give_up_at = reactor.seconds() + PATIENCE_SECONDS
        while self.open:
            assert reactor.seconds() < give_up_at, "left open"
            await deferLater(reactor, 0.005)


class Hearing(Protocol):
    """Hears requests without a body, each as a whole, whatever the pieces in which it comes."""

    _come = b""

    def dataReceived(self, data: bytes) -> None:
        self._come += data
        if self._come.endswith(b"\r\n\r\n") or self._come.startswith(_TLS):
            asked, self._come = self._come, b""
            self.heard(asked)

    def heard(self, asked: bytes) -> None:
        raise NotImplementedError


class Saying(Hearing):
    """Answers whatever comes with ``text``, and closes if told to."""

    def __init__(self, text: bytes, closes: bool) -> None:
        self.text, self.closes = text, closes

    def heard(self, asked: bytes) -> None:
        self.transport.write(self.text)
        if self.closes:
            self.transport.loseConnection()


class Somebody:
    """Listens for one test, and makes clients of what listens there."""

    def __init__(self) -> None:
        self.ports: list[Any] = []
        self.clients: list[NodeClient] = []
        self.factory: Counting

    def listen(self, factory: Any, *, unix: str = "", tls: Any = None) -> NodeClient:
        self.factory = Counting(factory)
        if unix:
            self.ports.append(reactor.listenUNIX(unix, self.factory))
            return self.client(f"unix:{unix}")
        port = (
            reactor.listenSSL(0, self.factory, tls, interface="127.0.0.1")
            if tls
            else reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        )
        self.ports.append(port)
        return self.client(f"http://127.0.0.1:{port.getHost().port}")

    def says(self, text: bytes, *, closes: bool = True) -> NodeClient:
        return self.listen(Factory.forProtocol(lambda: Saying(text, closes)))

    def client(self, address: str) -> NodeClient:
        self.clients.append(NodeClient(address, reactor))
        return self.clients[-1]

    async def end(self) -> None:
        for client in self.clients:
            await client.close()
        for port in self.ports:
            await port.stopListening()
        if self.ports:
            await self.factory.all_closed()


@pytest_twisted.async_yield_fixture
async def somebody():
    somebody = Somebody()
    yield somebody
    await somebody.end()


def sample(number: int) -> PathStats:
    return PathStats(id=f"{number}", path=f"/data/{number}", status="OK")


class NameQuery(Query, frozen=True, kw_only=True):
    name: str


ECHO = Endpoint(
    name="echo",
    method="GET",
    path="/names/{name}/echo",
    summary="",
    query=NameQuery,
    body=type(None),
    answer=list[str],
)


def api_site(items: int = 7) -> Any:
    async def list_paths(query: Page, _body: None) -> Answer:
        return page(PATHS, query, [sample(n) for n in range(items)], [])

    async def history(query: FilesystemHistoryQuery, _body: None) -> Answer:
        raise ApiError(404, "mount-not-found", msgspec.json.encode(query).decode())

    async def scan(_query: Any, body: ScanRequest) -> Answer:
        return Answer(ScanAnswer(started=[*(body.paths or ()), str(body.confirm)], skipped=[]))

    async def echo(query: NameQuery, _body: None) -> Answer:
        return Answer([query.name])

    routes = [
        Route(ECHO, echo),
        Route(PATHS, list_paths, tables=("path_stats",)),
        Route(FILESYSTEM_HISTORY, history),
        Route(SCAN_PATHS, scan),
    ]
    policy = Policy(ControlSection(), reactor.seconds)
    return ApiServer(routes, HostCheck(loopback=True, names=()), policy, reactor).site()


async def failure(asked: Any) -> str:
    with pytest.raises(ClientError) as caught:
        await asked
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 300
    return said


# --- a node ---------------------------------------------------------------------------------------


async def test_pages_are_typed_records_and_lead_on(somebody) -> None:
    client = somebody.listen(api_site())
    reply = await client.call(PATHS, Page(limit=3))
    pages = [reply]
    while reply.next_page is not None:
        reply = await client.call(PATHS, page=reply.next_page)
        pages.append(reply)
    assert [len(one.value) for one in pages] == [3, 3, 1]
    assert [item for one in pages for item in one.value] == [sample(n) for n in range(7)]
    assert msgspec.json.decode(pages[0].body)[0]["path"] == "/data/0"


async def test_a_large_answer_comes_compressed_and_whole(somebody) -> None:
    client = somebody.listen(api_site(1000))
    assert len((await client.call(PATHS, Page(limit=1000))).value) == 1000


async def test_commands_carry_their_body(somebody) -> None:
    client = somebody.listen(api_site())
    reply = await client.call(SCAN_PATHS, body=ScanRequest(paths=["/ü"], confirm=True))
    assert reply.value == ScanAnswer(started=["/ü", "True"], skipped=[])


async def test_a_query_arrives_as_it_was_meant(somebody) -> None:
    client = somebody.listen(api_site())
    query = msgspec.convert(
        {"mount_point": "/a b&c=d/é%/+", "since": "2026-01-01T00:00:00+01:00", "points": 5},
        FilesystemHistoryQuery,
    )
    with pytest.raises(ProblemError) as caught:
        await client.call(FILESYSTEM_HISTORY, query)
    problem = caught.value.problem
    assert (problem.status, problem.type) == (404, "urn:etlmon:problem:mount-not-found")
    assert msgspec.json.decode(problem.detail, type=FilesystemHistoryQuery) == query


@pytest.mark.parametrize(
    "name", ["a/b", "a b+c", "ü한\U0001f600", "%2F%", "?&#", "..", "\n\0", "'"]
)
async def test_a_name_in_the_path_arrives_as_it_was_meant(somebody, name: str) -> None:
    client = somebody.listen(api_site())
    assert (await client.call(ECHO, NameQuery(name=name))).value == [name]


async def test_the_node_refuses_by_a_problem_with_its_words(somebody) -> None:
    client = somebody.listen(api_site())
    with pytest.raises(ProblemError, match=r"limit: Expected int >= 1\.$"):
        await client.call(PATHS, msgspec.convert({"offset": 0}, Page), page="/api/v1/paths?limit=0")


async def test_fields_that_it_does_not_know_are_ignored(somebody) -> None:
    body = b'[{"id": "1", "path": "/x", "status": "OK", "new_in_1.9": [1]}]'
    text = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-New: 1\r\n\r\n%s" % (len(body), body)
    reply = await somebody.says(text).call(PATHS)
    assert reply.value[0].path == "/x"


async def test_a_connection_is_used_again(somebody) -> None:
    client = somebody.listen(api_site())
    for _ in range(5):
        await client.call(PATHS)
    await failure(client.call(FILESYSTEM_HISTORY, FilesystemHistoryQuery(mount_point="/")))
    await client.call(SCAN_PATHS, body=ScanRequest())
    assert somebody.factory.made == 1


async def test_close_leaves_nothing(somebody) -> None:
    client = somebody.listen(api_site())
    await client.call(PATHS)
    assert len(somebody.factory.open) == 1
    await client.close()
    await somebody.factory.all_closed()


async def test_close_ends_a_call_under_way(somebody) -> None:
    client = somebody.says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", closes=False)
    asked = Deferred.fromCoroutine(client.call(PATHS))
    while not somebody.factory.open:
        await deferLater(reactor, 0.005)
    await client.close()
    with pytest.raises(CancelledError):
        await asked
    await somebody.factory.all_closed()


async def test_a_node_that_closed_in_between_is_asked_on_a_new_connection(somebody) -> None:
    client = somebody.listen(api_site())
    await client.call(PATHS)
    for transport in somebody.factory.open.values():
        transport.loseConnection()
    await somebody.factory.all_closed()
    await client.call(PATHS)
    assert somebody.factory.made == 2


async def test_a_unix_socket(somebody, tmp_path: Path) -> None:
    client = somebody.listen(api_site(), unix=str(tmp_path / "s"))
    for _ in range(2):
        assert len((await client.call(PATHS)).value) == 7
    assert somebody.factory.made == 1


async def test_an_address_with_a_path_goes_through_a_proxy(somebody) -> None:
    asked: list[bytes] = []

    class Proxy(Hearing):
        def heard(self, request: bytes) -> None:
            asked.append(request.split(b" ")[1])
            link = b'</api/v1/paths?offset=1>; rel="next"'
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLink: %s\r\n\r\n[]" % link
            )

    address = somebody.listen(Factory.forProtocol(Proxy)).address
    client = somebody.client(address + "/etl-01/")
    reply = await client.call(PATHS)
    await client.call(PATHS, page=reply.next_page)
    assert asked == [b"/etl-01/api/v1/paths", b"/etl-01/api/v1/paths?offset=1"]


@pytest.mark.parametrize("link", ["http://evil/api/v1/", "@evil/", "//evil/api/v1/paths", ""])
async def test_a_next_page_elsewhere_is_not_followed(somebody, link: str) -> None:
    text = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLink: <%s>; rel="next"\r\n\r\n[]'
    assert (await somebody.says(text % link.encode()).call(PATHS)).next_page is None


# --- no node --------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            OK + b"Content-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            "is not what an etlmon",
        ),
        (OK + b"Content-Length: 2\r\n\r\n{}", "Expected `array`, got `object`"),
        (OK + b'Content-Length: 9\r\n\r\n[{"a":1}]', "is not what an etlmon node gives"),
        (OK + b"Content-Length: 0\r\n\r\n", "is not what an etlmon node gives"),
        (OK + b"\r\n", "is not what an etlmon node gives"),
        (OK + b"Content-Length: 4\r\n\r\n\xff\xfe\x1b[", "is not what an etlmon node gives"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "is not what an etlmon node gives"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", "status 404 and no problem"),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\n<p>", "status 502 and no problem"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n", "status 302"),
        (OK + b"Content-Length: 100\r\n\r\n[", "the connection broke"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n[", "the connection broke"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "is not what an etlmon"),
        (OK + b"Content-Le", "the connection broke"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the connection broke"),
        (b"220 \x1b[2J ftp\r\n", "the connection broke"),
        (b"", "the connection broke"),
    ],
)
async def test_who_is_no_etlmon_node_is_told_so(somebody, text: bytes, says: str) -> None:
    client = somebody.says(text)
    said = await failure(client.call(PATHS))
    assert said.startswith(client.address + ": ")
    assert says in said
    assert said.endswith("is that an etlmon node?")


async def test_an_answer_whose_end_is_the_connections_is_taken(somebody) -> None:
    assert (await somebody.says(b"HTTP/1.0 200 OK\r\n\r\n[]").call(PATHS)).value == []


async def test_nobody_listens(somebody) -> None:
    port = free_port()
    said = await failure(somebody.client(f"127.0.0.1:{port}").call(PATHS))
    assert said == f"127.0.0.1:{port}: nothing listens there"


async def test_no_such_host(somebody) -> None:
    said = await failure(somebody.client("http://no-such-host.invalid:1").call(PATHS))
    assert said == "http://no-such-host.invalid:1: no such host"


async def test_no_such_socket(somebody, tmp_path: Path) -> None:
    said = await failure(somebody.client(f"unix:{tmp_path}/none").call(PATHS))
    assert said == f"unix:{tmp_path}/none: cannot connect: No such file or directory"


@pytest.mark.parametrize("text", [b"", OK + b"Content-Length: 9\r\n\r\n[", OK])
async def test_no_answer_in_time_cuts_the_connection(somebody, text: bytes, monkeypatch) -> None:
    monkeypatch.setattr(http, "_TIMEOUT_SECONDS", 0.05)
    client = somebody.says(text, closes=False)
    assert await failure(client.call(PATHS)) == f"{client.address}: no answer in 0 s"
    await somebody.factory.all_closed()


SCRIPT = ("-c", "from etlmon.cli.main import main; main()")


def certificate(address: str = "127.0.0.1") -> PrivateCertificate:
    """A certificate for an address, that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return PrivateCertificate.loadPEM(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


async def test_https_where_nobody_speaks_tls(somebody) -> None:
    address = somebody.says(b"HTTP/1.1 400 Bad Request\r\n\r\n").address.replace("http:", "https:")
    said = await failure(somebody.client(address).call(PATHS))
    assert "TLS: wrong version number" in said or "TLS: packet length too long" in said


async def test_https_with_a_certificate_that_nobody_vouches_for(somebody) -> None:
    address = somebody.listen(api_site(), tls=certificate().options()).address
    said = await failure(somebody.client(address.replace("http:", "https:")).call(PATHS))
    assert "TLS: certificate verify failed" in said


async def test_a_certificate_for_another_host_is_a_line_at_the_command_line(somebody) -> None:
    address = somebody.listen(api_site(), tls=certificate("10.0.0.1").options()).address
    _, errors, status = await getProcessOutputAndValue(
        sys.executable,
        [*SCRIPT, "get", "fs", "--node", address.replace("http:", "https:")],
        dict(os.environ),
    )
    assert status == 1
    assert len(errors.decode().splitlines()) == 1
    assert b": the connection broke (TLS: " in errors


async def test_http_where_tls_is_spoken(somebody) -> None:
    client = somebody.listen(api_site(), tls=certificate().options())
    assert "the connection broke" in await failure(client.call(PATHS))


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("etl-01:8080", "http://etl-01:8080"),
        ("http://etl-01:8080/", "http://etl-01:8080"),
        ("https://etl.example.org", "https://etl.example.org"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("10.0.0.1:1", "http://10.0.0.1:1"),
        ("http://proxy/etl-01/", "http://proxy/etl-01"),
    ],
)
def test_addresses(address: str, url: str) -> None:
    assert base_url(address) == url


@pytest.mark.parametrize(
    "address",
    [
        "",
        "etl-01",
        "http://",
        "http://:8080",
        "ftp://etl-01:21",
        "etl-01:0",
        "etl-01:65536",
        "etl-01:http",
        "http://[::1",
        "::1:8080",
        "http://user:secret@etl-01:8080",
        "http://etl 01:8080",
        "http://etl-01:8080/?x",
        "unix:relative",
        "unix:",
        "etl-01:8080\x1b[2J",
        "etl-01:8080\n",
    ],
)
async def test_what_is_no_address_is_told_at_once(address: str) -> None:
    with pytest.raises(EtlmonError, match=r"write http://host:8080 or unix:/path") as caught:
        NodeClient(address, reactor)
    assert str(caught.value).isprintable()
