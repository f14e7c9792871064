"""HTTP as the API speaks it: one way in, and one form of answer to every mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from etlmon.api.answers import Answer
from etlmon.api.route import Route
from etlmon.contract.all import ENDPOINTS
from etlmon.contract.endpoint import PREFIX, Endpoint
from etlmon.contract.health import HEALTH
from etlmon.contract.pages import PLAIN_PAGES
from etlmon.contract.query import Query
from etlmon.errors import StoreError

FS = "/api/v1/fs"


# --- methods --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", [FS, FS + "?limit=0", "/nope", "/api/v1/health", "/api/v1/paths/scan", "/%FF"]
)
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_head_has_the_headers_of_get_and_no_body(api, target: str, encoding: str) -> None:
    get = await api.ask(target, headers={"Accept-Encoding": encoding})
    head = await api.ask(target, "HEAD", {"Accept-Encoding": encoding})
    assert head.body == b""
    assert head.status == get.status
    assert head.headers.pop("date")
    assert get.headers.pop("date")
    assert head.headers == get.headers


@pytest.mark.parametrize(
    "path",
    [
        *(f"{PREFIX}{endpoint.path}" for endpoint in ENDPOINTS if endpoint.method == "GET"),
        *(path for page in PLAIN_PAGES for path in page.paths),
    ],
)
async def test_head_of_each_path_has_the_headers_of_get(api, path: str) -> None:
    target = re.sub(r"{\w+}", "0123456789abcdef", path)
    get, head = await api.ask(target), await api.ask(target, "HEAD")
    assert head.headers.keys() == get.headers.keys()
    for own in ("date", "content-length", "etag"):  # some answers are another one each time
        get.headers.pop(own, None)
        head.headers.pop(own, None)
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


async def test_head_of_an_unchanged_answer_is_304(api) -> None:
    tag = (await api.ask(FS)).headers["etag"]
    assert (await api.ask(FS, "HEAD", {"If-None-Match": tag})).status == 304


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("POST", FS, "GET, HEAD"),
        ("DELETE", FS, "GET, HEAD"),
        ("OPTIONS", FS, "GET, HEAD"),
        ("TRACE", FS, "GET, HEAD"),
        ("BREW", FS, "GET, HEAD"),
        ("GET", "/api/v1/paths/scan", "DELETE, POST"),
        ("PUT", "/api/v1/paths/scan", "DELETE, POST"),
    ],
)
async def test_another_method_is_405_and_allow_tells(
    api, method: str, target: str, allowed: str
) -> None:
    answer = await api.ask(target, method)
    assert answer.headers["allow"] == allowed
    assert answer.problem(405, "method-not-allowed") == f"This path takes {allowed}."
    assert "access-control-allow-origin" not in answer.headers


async def test_a_body_on_get_does_not_matter(api) -> None:
    assert (await api.ask(FS, body=b"{not json")).status == 200


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api/v1",
        "/api/v1/",
        "/api/v1/fs/",
        "/api//v1/fs",
        "/api/v1/../v1/fs",
        "/api/v1/fs/../../../etc/passwd",
        "/api/v1/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1/fs%00",
        "/api/v1/fs%FF",
        "/api/v1%2Ffs",
        "/api/v1/fs\xb0",
        "/API/v1/fs",
        "/api/v1/<script>",
        "/" + "a" * 10_000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_any_other_path_is_a_404_problem(api, target: str, method: str) -> None:
    answer = await api.ask(target, method)
    assert "openapi.json" in answer.problem(404, "not-found")
    assert answer.json["instance"].isascii()


@pytest.mark.parametrize("target", ["//api/v1/fs", "/%61pi/v1/fs"])
async def test_other_spellings_of_a_path(api, target: str) -> None:
    answer = await api.ask(target)
    assert (answer.status, len(answer.json)) == (200, 25)


class NameQuery(Query, frozen=True, kw_only=True):
    name: str
    times: int = 1


async def echo(query: NameQuery, _body: None) -> Answer:
    return Answer([query.name] * query.times)


@pytest_twisted.async_yield_fixture
async def named_api(store, make_api):
    """Has a path that holds a name, which it answers."""
    endpoint = Endpoint(
        name="echo",
        method="GET",
        path="/names/{name}/echo",
        summary="",
        query=NameQuery,
        body=type(None),
        answer=list[str],
    )
    api = make_api(store, [Route(endpoint, echo, tables=("path_stats",))])
    await api.start()
    yield api
    await api.stop()


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("a", "a"),
        ("a%2Fb", "a/b"),
        ("%2f", "/"),
        ("%252F", "%2F"),
        ("a%20b+c", "a b+c"),
        ("%C3%BC%ED%95%9C", "ü한"),
        ("%25", "%"),
        ("..", ".."),
        ("%0A%00", "\n\0"),
        ("a;b=c", "a;b=c"),
    ],
)
async def test_a_segment_of_the_path_is_decoded_once(named_api, segment: str, name: str) -> None:
    answer = await named_api.ask(f"/api/v1/names/{segment}/echo?times=2")
    assert answer.json == [name, name]


async def test_an_answer_is_kept_for_each_path(named_api) -> None:
    for name in ("a", "b", "a"):
        assert (await named_api.ask(f"/api/v1/names/{name}/echo")).json == [name]
    assert named_api.server.kept.get(b"/api/v1/names/a/echo") is not None


@pytest.mark.parametrize(
    "target", ["names//echo", "names/a/b/echo", "names/a/echo/", "names/a", "names/%FF/echo"]
)
async def test_a_path_with_another_number_of_segments_is_404(named_api, target: str) -> None:
    (await named_api.ask(f"/api/v1/{target}")).problem(404, "not-found")


async def test_paths_that_hold_a_name_are_checked_as_all_are(named_api) -> None:
    target = "/api/v1/names/a/echo"
    (await named_api.ask(target, headers={"Host": "evil.example"})).problem(421, "host-not-allowed")
    (await named_api.ask(target, headers={"Accept": "text/html"})).problem(406, "not-acceptable")
    (await named_api.ask(target, "POST")).problem(405, "method-not-allowed")
    (await named_api.ask(f"{target}?name=b")).problem(400, "bad-parameter")
    (await named_api.ask(f"{target}?times=x")).problem(400, "bad-parameter")


# --- what is no good HTTP -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 501 + b"\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_what_is_no_request_is_400_and_the_connection_ends(api, raw: bytes) -> None:
    wire = await api.connect()
    wire.transport.write(raw)
    assert (await wire.closed).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert (await api.ask(FS)).status == 200


async def test_twisted_itself_answers_for_the_server_as_a_whole(api) -> None:
    answer = await api.ask("*")
    assert (answer.status, answer.body) == (405, b"")


async def test_a_long_address_within_the_limit_is_answered(api) -> None:
    answer = await api.ask(f"{FS}?mount={'a' * 15_000}")
    assert "mount" in answer.problem(400, "unknown-parameter")
    assert len(answer.body) < 500


async def test_many_headers_within_the_limit_are_taken(api) -> None:
    assert (await api.ask(FS, headers={f"X-{n}": "y" for n in range(400)})).status == 200


async def test_pipelined_requests_are_answered_in_their_order(api) -> None:
    targets = [FS, "/api/v1/paths", "/nope", FS + "?limit=0", FS + "?limit=1", "/api/v1/health"]
    raw = b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % t.encode() for t in targets)
    raw += b"HEAD /api/v1/fs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answers = await api.send(raw, ["GET"] * len(targets) + ["HEAD"])
    assert [answer.status for answer in answers] == [200, 200, 404, 400, 200, 200, 200]
    assert [len(answer.json) for answer in answers[:2]] == [25, 2]


async def test_http_1_0_without_host_is_answered(api) -> None:
    (answer,) = await api.send(b"GET /api/v1/fs HTTP/1.0\r\n\r\n")
    assert (answer.status, len(answer.json)) == (200, 25)


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
async def test_http_1_1_has_one_host(api, hosts: list[str]) -> None:
    lines = ["GET /api/v1/fs HTTP/1.1", *(f"Host: {h}" for h in hosts), "Connection: close"]
    (answer,) = await api.send("\r\n".join([*lines, "", ""]).encode())
    answer.problem(400, "bad-host")


@pytest.mark.parametrize("target", [FS, "/nope", "/%FF", "/api/v1/paths/scan"])
@pytest.mark.parametrize("host", ["evil.example", "a..b", "\xff", "x" * 300, "localhost:x", ""])
async def test_a_foreign_host_is_421_wherever_it_asks(api, target: str, host: str) -> None:
    answer = await api.ask(target, headers={"Host": host})
    assert "node.allowed_hosts" in answer.problem(421, "host-not-allowed")


@pytest.mark.parametrize("host", ["evil.example", "a..b", "\xff", "x" * 300])
async def test_no_host_is_foreign_on_a_unix_socket(api, host: str) -> None:
    api.server.hosts = None  # as NodeService has it for unix:/path
    assert (await api.ask("/api/v1/health", headers={"Host": host})).status == 200
    (await api.ask("/nope", headers={"Host": host})).problem(404, "not-found")


# --- when things go wrong -------------------------------------------------------------------------


def broken(error: BaseException) -> Route:
    async def fail(_query: Any, _body: None) -> Answer:
        raise error

    return Route(replace(HEALTH, name="get_broken", path="/broken"), fail)


@pytest.fixture
def serve(store, make_api):
    """Serve further routes while a function asks for them."""

    async def serve(ask: Callable[[Any], Any], *routes: Route) -> Any:
        api = make_api(store, routes)
        await api.start()
        try:
            return await ask(api)
        finally:
            await api.stop()

    return serve


async def test_a_defect_is_a_500_without_internals_and_a_logged_failure(
    serve, flush_logged_errors
) -> None:
    secret = KeyError("/home/secret")
    answer = await serve(lambda api: api.ask("/api/v1/broken?x"), broken(secret))
    assert answer.status == 400  # the parameters come first
    answer = await serve(lambda api: api.ask("/api/v1/broken"), broken(secret))
    answer.problem(500, "internal-error")
    assert b"secret" not in answer.body
    assert b"KeyError" not in answer.body
    (event,) = flush_logged_errors(KeyError)
    assert event["log_failure"].value is secret


async def test_a_defect_that_is_asked_for_again_and_again_fills_no_log(
    serve, flush_logged_errors, log_lines
) -> None:
    async def many(api) -> None:
        for _ in range(30):
            (await api.ask("/api/v1/broken")).problem(500, "internal-error")

    await serve(many, broken(KeyError("x")))
    assert len(flush_logged_errors(KeyError)) == 20
    what = "Requests that met a defect: "
    told = [line.removeprefix(what) for line in log_lines if line.startswith(what)]
    assert told == [
        "too many to write each; they are counted.",
        "10 more came and were not written.",
    ]


async def test_a_store_error_is_a_503_that_says_when_to_come_again(serve) -> None:
    answer = await serve(
        lambda api: api.ask("/api/v1/broken"), broken(StoreError("the disk is full"))
    )
    assert answer.problem(503, "database-unavailable") == "the disk is full"
    assert int(answer.headers["retry-after"]) > 0


async def test_a_closed_store_is_a_503_and_health_answers_still(api, store) -> None:
    await store.stopService()
    (await api.ask(FS)).problem(503, "database-unavailable")
    assert (await api.ask("/api/v1/health")).status == 200


class HangingStore:
    """Never answers; notes who gave up waiting."""

    def __init__(self) -> None:
        self.reads: list[Deferred[Any]] = []

    def read(self, _query: object) -> Deferred[Any]:
        self.reads.append(Deferred())
        return self.reads[-1]

    def write(self, _records: object) -> Deferred[None]:
        return Deferred()

    def on_commit(self, _listener: object) -> None: ...

    def on_records(self, _listener: object) -> None: ...


async def test_a_store_that_hangs_does_not_hang_others(make_api) -> None:
    hanging = HangingStore()
    api = make_api(hanging)
    await api.start()
    wires = [await api.connect() for _ in range(20)]
    for wire in wires:
        wire.transport.write(b"GET /api/v1/fs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await api.ask("/api/v1/health")).status == 200
    assert (await api.ask("/api/v1/openapi.json")).status == 200
    assert (await api.command(b'{"confirm": true}')).status == 202
    assert len(hanging.reads) == 1  # one query for all twenty
    for wire in wires[1:]:
        wire.transport.abortConnection()
        await wire.closed
    hanging.reads[0].callback([])
    await wires[0].until(lambda received: received.endswith(b"[]"))
    wires[0].transport.loseConnection()
    await wires[0].closed
    await api.stop()
