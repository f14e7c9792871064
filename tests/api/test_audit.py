"""The audit: every command has its row, whoever gave it and however it was refused."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, UNIXServerEndpoint, connectProtocol

from etlmon.api import requests
from etlmon.api.answers import Answer
from etlmon.api.requests import MOST_BODY_BYTES
from etlmon.api.route import Route
from etlmon.contract.paths import SCAN_PATHS
from etlmon.control import audit as control_audit

SCAN = "/api/v1/paths/scan"
AUDIT = "/api/v1/audit"
CONFIRMED = b'{"confirm": true}'
TOKEN = "etlmon_" + "x" * 43


async def the_row(api: Any) -> Any:
    (row,) = await api.audited(1)
    return row


async def test_a_command_that_was_done_is_in_the_audit_when_the_answer_comes(api) -> None:
    await api.command(b'{"confirm": true, "paths": ["/logs"]}')
    (row,) = (await api.ask(AUDIT)).json
    assert row.pop("duration_ms") >= 0
    assert row == {
        "id": 1,
        "requested_at": "2026-11-24T12:00:00Z",
        "who": "-",
        "origin": "127.0.0.1",
        "command": "scan_paths",
        "target": "/paths/scan",
        "arguments": '{"paths":["/logs"]}',
        "reason": None,
        "outcome": "done",
        "status": 202,
        "problem": None,
        "detail": None,
        "attempts": 1,
    }


@pytest.mark.parametrize(
    ("headers", "body", "status", "problem"),
    [
        ({}, b"{}", 400, "confirmation-required"),
        ({}, b"{", 400, "bad-body"),
        ({}, b'{"confirm": true, "paths": ["/nope"]}', 404, "path-not-configured"),
        ({"Content-Type": "text/plain"}, CONFIRMED, 415, "unsupported-media-type"),
        ({"Accept": "text/html"}, CONFIRMED, 406, "not-acceptable"),
        ({"Host": "evil.example"}, CONFIRMED, 421, "host-not-allowed"),
        ({"Content-Length": str(MOST_BODY_BYTES + 1)}, b"", 413, "body-too-large"),
    ],
)
async def test_each_refusal_has_a_row(
    api, monkeypatch, headers: dict[str, str], body: bytes, status: int, problem: str
) -> None:
    monkeypatch.setattr(requests, "_LINGER_SECONDS", 0.05)
    (await api.command(body, **headers)).problem(status, problem)
    row = await the_row(api)
    assert (row.command, row.target, row.origin) == ("scan_paths", "/paths/scan", "127.0.0.1")
    assert (row.outcome, row.status, row.problem) == ("refused", status, problem)
    assert row.detail


@pytest.mark.parametrize(
    "path", ["/api/v1/paths/%73can", "/api/v%31/paths/scan", "/%61p%69/v1/path%73/scan"]
)
@pytest.mark.parametrize(
    ("body", "outcome"), [(CONFIRMED, "done"), (b"{}", "refused"), (b"{", "refused")]
)
async def test_a_path_that_is_written_otherwise_has_a_row_too(
    api, path: str, body: bytes, outcome: str
) -> None:
    await api.command(body, path)
    row = await the_row(api)
    assert (row.command, row.outcome, row.origin) == ("scan_paths", outcome, "127.0.0.1")


@pytest.mark.parametrize("path", ["/api/v1/paths/%73can", "/%61pi/v1/paths/scan"])
async def test_so_has_one_that_is_refused_at_the_door(api, path: str) -> None:
    await api.command(CONFIRMED, path, Host="evil.example")
    row = await the_row(api)
    assert (row.command, row.problem) == ("scan_paths", "host-not-allowed")


async def test_a_refused_cancellation_has_a_row_with_what_was_asked_for(api) -> None:
    await api.ask(f"{SCAN}?path=/nope&confirm=true", "DELETE")
    row = await the_row(api)
    assert (row.command, row.arguments) == ("cancel_scans", '{"path":"/nope"}')
    assert row.problem == "path-not-configured"


@pytest.mark.parametrize(
    "settings", [{"enabled": False}, {"scans_per_minute": 0}, {"scans_per_minute": 1}]
)
async def test_closed_and_too_many_have_rows(store, make_api, settings: dict[str, Any]) -> None:
    api = make_api(store, **settings)
    await api.start()
    for _ in range(2):
        last = await api.command(CONFIRMED)
    rows = await api.audited(2)
    assert (rows[-1].outcome, rows[-1].status) == ("refused", last.status)
    await api.stop()


async def test_what_is_no_command_has_none(api) -> None:
    await api.ask("/api/v1/fs")
    await api.ask("/api/v1/nope", "POST")
    await api.ask("/api/v1/fs", "POST")
    await api.ask(SCAN, "PUT")
    await api.ask(SCAN)
    await api.command(CONFIRMED)
    assert (await the_row(api)).outcome == "done"


@pytest_twisted.async_yield_fixture
async def slow(store, make_api):
    """Has a command that acts and then waits for the test to say how it ends."""

    class Slow:
        ends: Deferred[Any]

    async def act(_query: Any, _body: Any, attempt: Any) -> Answer:
        await attempt.acts("SIGTERM to 5")
        Slow.ends = Deferred()
        return Answer(1, summary=await Slow.ends)

    route = Route(replace(SCAN_PATHS, name="act", path="/act"), act, takes_attempt=True)
    api = make_api(store, [route])
    await api.start()
    wire = await api.connect()
    wire.transport.write(
        b"POST /api/v1/act HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 17\r\nConnection: close\r\n\r\n" + CONFIRMED
    )
    await api.audited(1)
    Slow.wire = wire
    Slow.api = api
    yield Slow
    if not Slow.ends.called:
        Slow.ends.callback("late")
    await api.stop()
    wire.transport.abortConnection()


async def test_what_cannot_be_undone_is_stored_before_it_is_done(slow) -> None:
    row = await the_row(slow.api)
    assert (row.outcome, row.detail, row.status) == ("begun", "SIGTERM to 5", None)
    slow.ends.callback("exited")
    await slow.wire.closed
    row = await the_row(slow.api)
    assert (row.outcome, row.detail, row.status) == ("done", "exited", 202)


async def test_a_client_that_leaves_ends_no_command(slow) -> None:
    slow.wire.transport.abortConnection()
    await slow.wire.closed
    slow.ends.callback("exited")
    await slow.api.server.finish()
    row = await the_row(slow.api)
    assert (row.outcome, row.detail) == ("done", "exited")


async def test_a_defect_is_failed_and_its_words_stay_in_the_log(slow, flush_logged_errors) -> None:
    slow.ends.errback(ZeroDivisionError("/home/secret"))
    await slow.wire.closed
    row = await the_row(slow.api)
    assert (row.outcome, row.status, row.problem) == ("failed", 500, "internal-error")
    assert "secret" not in row.detail
    assert len(flush_logged_errors(ZeroDivisionError)) == 1


async def test_a_node_that_stops_waits_for_commands_and_takes_no_more(slow) -> None:
    finished = Deferred.fromCoroutine(slow.api.server.finish())
    (await slow.api.command(CONFIRMED)).problem(503, "node-stopping")
    assert not finished.called
    slow.ends.callback("exited")
    await finished


async def test_a_node_that_was_killed_says_so_in_the_row(slow, store, tmp_path) -> None:
    from etlmon.store.open import prepare

    prepare(store.path, now_ms=0, network_filesystem_allowed=True, proc=tmp_path)
    row = await the_row(slow.api)
    assert row.outcome == "interrupted"
    assert row.detail == "SIGTERM to 5; the node ended before this command did"


# --- masses ---------------------------------------------------------------------------------------


async def test_refusals_in_masses_are_counted_and_push_nothing_out(
    store, make_api, monkeypatch
) -> None:
    monkeypatch.setattr(control_audit, "_REFUSALS_AT_ONCE", 3)
    api = make_api(store)
    await api.start()
    for _ in range(10):
        await api.command(b"{}")
    await api.command(CONFIRMED)  # what is done is never counted only
    await api.command(b"{")
    await api.audited(4)
    await api.stop()
    rows = await api.audited(6)
    assert sum(row.attempts for row in rows) == 12
    assert [(row.problem, row.attempts) for row in rows[4:]] == [
        ("confirmation-required", 7),
        ("bad-body", 1),
    ]
    assert len({row.id for row in rows}) == 6
    assert [row.id for row in rows] == list(range(1, 7))


async def test_refusals_of_other_targets_are_not_said_to_be_of_the_first(
    store, make_api, monkeypatch
) -> None:
    monkeypatch.setattr(control_audit, "_REFUSALS_AT_ONCE", 0)
    api = make_api(store)
    await api.start()
    for name in ("a", "a", "b", "c", "a"):
        await api.command(b"{}", f"/api/v1/logs/{name}/pause")
    for _ in range(2):
        await api.command(b"{}")
    await api.stop()
    rows = await api.audited(2)
    assert [(row.target, row.attempts) for row in rows] == [
        ("/logs/a/pause and others", 5),
        ("/paths/scan", 2),
    ]


# --- secrets --------------------------------------------------------------------------------------


async def test_no_token_comes_into_the_audit_or_the_log(api, log_lines) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    await api.command(b'{"confirm": true, "paths": ["/%s"]}' % TOKEN.encode(), **headers)
    await api.ask(f"{SCAN}?confirm=true&path=/{TOKEN}", "DELETE")
    await api.ask(f"{SCAN}?token={TOKEN}", "DELETE")
    await api.ask(f"{SCAN}/{TOKEN}", "POST")
    await api.audited(3)
    assert "etlmon_..." in (await api.ask(AUDIT)).body.decode()
    assert TOKEN.encode() not in (await api.ask(AUDIT)).body
    assert TOKEN not in "\n".join(log_lines)
    assert TOKEN.encode() not in api.store.path.read_bytes()
    wal = api.store.path.with_name(api.store.path.name + "-wal")
    assert TOKEN.encode() not in wal.read_bytes()


async def test_what_is_stored_of_others_is_bounded(api) -> None:
    await api.command(b'{"confirm": true, "paths": ["%s"]}' % (b"x" * 900_000))
    row = await the_row(api)
    assert len(row.arguments) < 1_100
    assert len(row.detail) < 1_100


# --- who ------------------------------------------------------------------------------------------


async def test_the_peer_of_a_unix_socket_is_known_by_its_user(api, tmp_path) -> None:
    path = str(tmp_path / "socket")
    port = await UNIXServerEndpoint(reactor, path).listen(api.server.site())
    plain = await api.connect()
    plain.transport.abortConnection()
    await plain.closed
    wire = await connectProtocol(UNIXClientEndpoint(reactor, path), type(plain)())
    wire.transport.write(
        b"DELETE /api/v1/paths/scan?confirm=true HTTP/1.1\r\nHost: localhost\r\n"
        b"Connection: close\r\n\r\n"
    )
    await wire.closed
    row = await the_row(api)
    assert (row.who, row.origin) == (f"uid:{os.geteuid()}", f"unix pid {os.getpid()}")
    await port.stopListening()


def test_credentials_are_as_the_kernel_gives_them() -> None:
    assert struct.calcsize("iII") == 12


# --- reading --------------------------------------------------------------------------------------


@pytest_twisted.async_yield_fixture
async def rows(api):
    for body in (CONFIRMED, b"{}", CONFIRMED, b"{}", b"{"):
        await api.command(body)
    await api.audited(5)
    yield api


async def ids(api: Any, query: str = "") -> list[int]:
    return [row["id"] for row in (await api.ask(AUDIT + query)).json]


async def test_the_newest_come_first_and_after_gives_the_oldest(rows) -> None:
    assert await ids(rows) == [5, 4, 3, 2, 1]
    assert await ids(rows, "?after=0") == [1, 2, 3, 4, 5]
    assert await ids(rows, "?after=3") == [4, 5]
    assert await ids(rows, "?before=3") == [2, 1]
    assert await ids(rows, "?after=1&before=4") == [2, 3]
    assert await ids(rows, "?offset=4") == [1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?outcome=done", [3, 1]),
        ("?outcome=refused", [5, 4, 2]),
        ("?command=scan_paths", [5, 4, 3, 2, 1]),
        ("?command=kill_process", []),
        ("?who=-", [5, 4, 3, 2, 1]),
        ("?who=alice", []),
        ("?since=2026-11-24T12:00:00Z", [5, 4, 3, 2, 1]),
        ("?since=2026-11-24T12:00:01Z", []),
        ("?until=2026-11-24T11:59:59Z", []),
        ("?outcome=done&since=2026-11-24T12:00:00Z&limit=1", [3]),
    ],
)
async def test_filters(rows, query: str, expected: list[int]) -> None:
    assert await ids(rows, query) == expected


async def test_pages_lead_on_by_id_so_that_new_rows_move_nothing(rows) -> None:
    answer = await rows.ask(f"{AUDIT}?limit=2&outcome=refused")
    assert [row["id"] for row in answer.json] == [5, 4]
    assert answer.headers["x-total-count"] == "3"
    following = answer.headers["link"].partition(">")[0].removeprefix("<")
    await rows.command(b"{}")
    await rows.audited(6)
    answer = await rows.ask(following)
    assert [row["id"] for row in answer.json] == [2]
    assert "link" not in answer.headers


async def test_an_unchanged_audit_is_304(rows) -> None:
    tag = (await rows.ask(AUDIT)).headers["etag"]
    assert (await rows.ask(AUDIT, headers={"If-None-Match": tag})).status == 304
    await rows.command(CONFIRMED)
    assert (await rows.ask(AUDIT, headers={"If-None-Match": tag})).status == 200
