"""A node with ``auth``: nothing without a token, no command without an operator's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import pytest_twisted

from etlmon.records.log import LogBlock

LINES = "/api/v1/logs/app?follow=true"
FS = "/api/v1/fs"
SCAN = "/api/v1/paths/scan"
CONFIRMED = b'{"confirm": true}'
VIEWER = {"Authorization": "Bearer viewer-token"}
OPERATOR = {"Authorization": "Bearer operator-token"}


def block(text: str) -> LogBlock:
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    return LogBlock(
        log_name="app", log_path="/a", source_inode=7, created_at=at, lines=[text], marks={}
    )


class Two:
    trouble = None

    def find(self, token: str):
        return {
            "viewer-token": ("vera", "viewer"),
            "operator-token": ("otto", "operator"),
        }.get(token)


@pytest_twisted.async_yield_fixture
async def closed(store, make_api):
    api = make_api(store, tokens=Two())
    await api.start()
    yield api
    await api.stop()


@pytest.mark.parametrize(
    "target",
    [FS, "/api/v1/health", "/api/v1/openapi.json", "/api/v1/audit", "/nope", "/", "/%FF"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "BREW"])
async def test_without_a_token_there_is_nothing_to_see(closed, target: str, method: str) -> None:
    answer = await closed.ask(target, method)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="etlmon"'
    if method != "HEAD":
        answer.problem(401, "token-needed")


async def test_an_answer_that_is_kept_is_not_given_away(closed) -> None:
    assert (await closed.ask(FS, headers=VIEWER)).status == 200
    assert closed.server.kept.get(FS.encode()) is not None
    tag = (await closed.ask(FS, headers=VIEWER)).headers["etag"]
    (await closed.ask(FS)).problem(401, "token-needed")
    (await closed.ask(FS, headers={"If-None-Match": tag})).problem(401, "token-needed")


async def test_a_foreign_host_learns_nothing_of_tokens(closed) -> None:
    (await closed.ask(FS, headers={"Host": "evil.example"})).problem(421, "host-not-allowed")


async def test_a_viewer_reads_and_commands_nothing(closed) -> None:
    assert (await closed.ask(FS, headers=VIEWER)).status == 200
    assert (await closed.ask("/api/v1/audit", headers=VIEWER)).status == 200
    answer = await closed.command(CONFIRMED, **VIEWER)
    assert "vera may read only" in answer.problem(403, "operator-needed")
    (await closed.ask(f"{SCAN}?confirm=true", "DELETE", VIEWER)).problem(403, "operator-needed")
    assert closed.scans.begun == closed.scans.ended == []


async def test_an_operator_commands(closed) -> None:
    assert (await closed.command(CONFIRMED, **OPERATOR)).status == 202
    assert (await closed.ask(FS, headers=OPERATOR)).status == 200


async def test_the_audit_and_the_log_name_the_token_and_never_show_it(closed, log_lines) -> None:
    await closed.command(CONFIRMED)
    await closed.command(CONFIRMED, Authorization="Bearer wrong-token")
    await closed.command(CONFIRMED, **VIEWER)
    await closed.command(CONFIRMED, **OPERATOR)
    rows = await closed.audited(4)
    assert [(row.who, row.outcome, row.problem) for row in rows] == [
        ("-", "refused", "token-needed"),
        ("-", "refused", "token-needed"),
        ("vera", "refused", "operator-needed"),
        ("otto", "done", None),
    ]
    lines = [line for line in log_lines if "POST" in line]
    assert [line.partition(" POST")[0] for line in lines] == [
        "127.0.0.1",
        "127.0.0.1",
        "127.0.0.1 vera",
        "127.0.0.1 otto",
    ]
    shown = "\n".join(log_lines) + str(rows)
    assert not any(secret in shown for secret in ("viewer-", "operator-token", "wrong-"))


async def test_a_body_that_is_too_large_names_its_sender(closed, monkeypatch) -> None:
    monkeypatch.setattr("etlmon.api.requests._LINGER_SECONDS", 0.05)
    answer = await closed.command(b"", **OPERATOR, **{"Content-Length": str(2 << 20)})
    answer.problem(413, "body-too-large")
    (row,) = await closed.audited(1)
    assert (row.who, row.problem) == ("otto", "body-too-large")


@pytest.mark.parametrize("by", ["what comes next", "the heartbeat"])
async def test_a_stream_ends_when_its_token_is_removed(store, make_api, by: str) -> None:
    tokens = Two()
    api = make_api(store, tokens=tokens)
    await api.start()
    await store.write([block("before")])
    wire = await api.connect()
    head = f"GET {LINES} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer viewer-token\r\n\r\n"
    wire.transport.write(head.encode())
    await wire.until(lambda received: b"before" in received)
    tokens.find = lambda _token: None
    if by == "the heartbeat":
        api.clock.advance(15)
    else:
        await store.write([block("after")])
    assert b"after" not in await wire.closed
    assert len(api.server.streams) == 0
    await api.stop()
