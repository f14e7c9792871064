"""Pages that are no JSON: whether the node lives, whether it is ready, and its metrics."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
import pytest_twisted
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from etlmon.api.metrics.exposition import prefers_openmetrics
from etlmon.contract.pages import PLAIN_PAGES
from tests.api.conftest import NOW
from tests.scanned import scanned

PAGES = ("/livez", "/readyz", "/metrics", "/api/v1/metrics")
OPEN = ("/livez", "/readyz")
METRICS = ("/metrics", "/api/v1/metrics")
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


class One:
    trouble: str | None = None

    def find(self, token: str) -> Any:
        return ("prometheus", "viewer") if token == "viewer-token" else None


@pytest_twisted.async_yield_fixture
async def closed(store: Any, make_api: Any) -> Any:
    api = make_api(store, tokens=One())
    await api.start()
    yield api
    await api.stop()


def samples(text: str, parse: Any = plain) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_the_contract_has_them() -> None:
    assert tuple(path for page in PLAIN_PAGES for path in page.paths) == PAGES


async def test_a_reactor_that_answers_lives(api: Any) -> None:
    answer = await api.ask("/livez")
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["server"].startswith("etlmon/")


async def test_ready_is_who_has_all_parts(api: Any) -> None:
    answer = await api.ask("/readyz")
    assert (answer.status, answer.body) == (200, b"node: ok\ndatabase: ok\ncollectors: ok\n")
    api.readiness["database"] = False
    answer = await api.ask("/readyz")
    assert (answer.status, answer.body) == (503, b"node: ok\ndatabase: not ok\ncollectors: ok\n")


@pytest.mark.parametrize("path", METRICS)
async def test_metrics_tell_what_the_store_was_given(api: Any, path: str) -> None:
    await api.store.write([scanned(NOW, "/data", file_count=11)])
    answer = await api.ask(path)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert samples(answer.body.decode())["etlmon_path_files", "/data"] == 11


async def test_openmetrics_is_given_to_who_prefers_it(api: Any) -> None:
    answer = await api.ask("/metrics", headers={"Accept": PROMETHEUS})
    expected = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.headers["content-type"] == expected
    assert "Accept" in answer.headers["vary"]
    assert answer.body.endswith(b"# EOF\n")
    assert samples(answer.body.decode(), openmetrics)["etlmon_metrics_left_out", "path"] == 0


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        (PROMETHEUS, True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=0.3, text/plain;q=0.6", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;version=x;q=much", False),
        ("APPLICATION/OpenMetrics-Text ; q=1", True),
        (";;,;q=;", False),
    ],
)
def test_what_accept_prefers(accept: str, wanted: bool) -> None:
    assert prefers_openmetrics(accept) is wanted


async def test_metrics_are_compressed_for_who_takes_it(api: Any) -> None:
    answer = await api.ask("/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert b"etlmon_metrics_left_out" in gzip.decompress(answer.body)


@pytest.mark.parametrize("path", PAGES)
async def test_head_gives_no_body_and_other_methods_nothing(api: Any, path: str) -> None:
    head = await api.ask(path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    answer = await api.ask(path, "POST", body=b"{}")
    answer.problem(405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", PAGES)
async def test_the_host_check_holds_for_them_too(api: Any, path: str) -> None:
    (await api.ask(path, headers={"Host": "evil.example"})).problem(421, "host-not-allowed")


@pytest.mark.parametrize("path", OPEN)
async def test_supervisors_need_no_token(closed: Any, path: str) -> None:
    assert (await closed.ask(path)).status == 200
    assert (await closed.ask(path, headers={"Authorization": "Bearer wrong"})).status == 200


@pytest.mark.parametrize("path", METRICS)
async def test_metrics_need_the_token_of_a_viewer(closed: Any, path: str) -> None:
    (await closed.ask(path)).problem(401, "token-needed")
    (await closed.ask(path, headers={"Authorization": "Bearer wrong"})).problem(401, "token-needed")
    answer = await closed.ask(path, headers={"Authorization": "Bearer viewer-token"})
    assert answer.status == 200


async def test_requests_are_counted_by_where_they_came_to(api: Any) -> None:
    for target in ("/api/v1/fs", "/api/v1/fs", "/api/v1/fs?limit=x", "/nope", "/livez"):
        await api.ask(target)
    await api.ask("/api/v1/fs", headers={"Host": "evil.example"})
    kept = await api.ask("/api/v1/fs")
    await api.ask("/api/v1/fs", headers={"If-None-Match": kept.headers["etag"]})
    await api.command(b"{}")
    await api.send(
        b"POST /api/v1/paths/scan HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n",
        ["POST"],
    )
    found = samples((await api.ask("/metrics")).body.decode())
    counted = {key[1:]: value for key, value in found.items() if key[0].endswith("requests_total")}
    assert counted == {
        ("200", "list_filesystems"): 3,
        ("304", "list_filesystems"): 1,
        ("400", "list_filesystems"): 1,
        ("400", "scan_paths"): 1,
        ("404", "other"): 1,
        ("413", "other"): 1,
        ("421", "other"): 1,
        ("200", "get_liveness"): 1,
    }
    assert found["etlmon_http_request_duration_seconds_count", "list_filesystems"] == 5


async def test_nothing_is_read_from_the_database(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the database was asked")

    for name in ("read", "run", "write", "saved"):
        monkeypatch.setattr(api.store, name, refuse)
    for path in PAGES:
        assert (await api.ask(path)).status == 200


async def test_who_asks_while_it_is_written_gets_the_same(api: Any) -> None:
    begun: list[Deferred[bytes]] = []

    def in_thread(_work: Any) -> Deferred[bytes]:
        begun.append(Deferred())
        return begun[-1]

    api.metrics._in_thread = in_thread
    first = api.metrics.write(openmetrics=False, compressed=False)
    second = api.metrics.write(openmetrics=False, compressed=False)
    other = api.metrics.write(openmetrics=True, compressed=False)
    assert len(begun) == 2
    begun[0].callback(b"text")
    begun[1].callback(b"openmetrics")
    assert (await first, await second, await other) == (b"text", b"text", b"openmetrics")


async def test_a_defect_is_a_problem_and_the_next_one_is_answered(
    api: Any, flush_logged_errors: Any
) -> None:
    class Broken:
        def snapshot(self) -> Any:
            raise ZeroDivisionError

    api.metrics._parts.append(Broken())
    (await api.ask("/metrics")).problem(500, "internal-error")
    assert len(flush_logged_errors(ZeroDivisionError)) == 1
    api.metrics._parts.pop()
    assert (await api.ask("/metrics")).status == 200


async def test_a_client_that_leaves_takes_nobody_with_it(api: Any) -> None:
    writing: Deferred[bytes] = Deferred()
    begun: Deferred[None] = Deferred()

    def in_thread(_work: Any) -> Deferred[bytes]:
        begun.callback(None)
        return writing

    api.metrics._in_thread = in_thread
    wire = await api.connect()
    wire.transport.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await begun
    wire.transport.abortConnection()
    await wire.closed
    await deferLater(reactor, 0.02)
    waiting = api.metrics.write(openmetrics=False, compressed=False)
    writing.callback(b"page")
    assert await waiting == b"page"
