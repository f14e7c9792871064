"""Commands: in which order they are checked, what counts, and what the log says of them."""

from __future__ import annotations

import pytest
import pytest_twisted

from etlmon.records.path import path_id

SCAN = "/api/v1/paths/scan"
CONFIRMED = b'{"confirm": true}'


@pytest_twisted.async_yield_fixture
async def slow_api(store, make_api):
    """Takes two scans a minute."""
    api = make_api(store, scans_per_minute=2)
    await api.start()
    yield api
    await api.stop()


async def test_a_confirmed_scan_is_202_and_tells_what_began(api) -> None:
    answer = await api.command(CONFIRMED)
    assert answer.status == 202
    assert answer.json == {"started": ["/data", "/logs"], "skipped": []}
    assert answer.headers["content-type"] == "application/json"
    assert api.scans.begun == ["/data", "/logs"]


async def test_some_paths_may_be_named(api) -> None:
    answer = await api.command(b'{"confirm": true, "paths": ["/logs"]}')
    assert answer.json["started"] == ["/logs"]


async def test_a_command_is_never_answered_with_304(api) -> None:
    answer = await api.command(CONFIRMED, **{"If-None-Match": "*"})
    assert answer.status == 202
    assert "etag" not in answer.headers


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "The body is not JSON: Input data was truncated."),
        (b"\xff", "The body is not JSON"),
        (b'{"confirm": NaN}', "The body is not JSON"),
        (b"confirm=true", "The body is not JSON"),
        (b"null", "Expected object, got null."),
        (b"[]", "Expected object, got array."),
        (b'{"confirm": 1}', "confirm: Expected bool, got int."),
        (b'{"confirm": "true"}', "confirm: Expected bool, got str."),
        (b'{"confirm": true, "paths": "/data"}', "paths: Expected array | null, got str."),
        (b'{"confirm": true, "paths": [1]}', "paths[0]: Expected str, got int."),
        (b'{"confirm": true, "path": ["/data"]}', "Object contains unknown field path."),
        (b'{"x":' * 200_000, "Object contains unknown field x."),
        (b'{"paths":' * 100_000, "paths: Expected array | null, got object."),
        (b"[" * 1_000_000, "Expected object, got array."),
        (b'{"paths":' + b"[" * 900_000, "paths[0]: Expected str, got array."),
        (b'{"confirm": true, "paths": ["\\ud800"]}', "The body is not JSON"),
    ],
)
async def test_a_body_that_is_wrong_is_400_and_names_the_field(api, body: bytes, says: str) -> None:
    assert says in (await api.command(body)).problem(400, "bad-body")
    assert api.scans.begun == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"confirm": false}', b'{"paths": ["/data"]}'])
async def test_a_command_without_confirmation_is_400(api, body: bytes) -> None:
    assert '{"confirm": true}' in (await api.command(body)).problem(400, "confirmation-required")
    assert api.scans.begun == []


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
async def test_another_content_type_is_415(api, content_type: str) -> None:
    """A page in a browser can send these without asking first (CORS), and no JSON."""
    answer = await api.command(CONFIRMED, **{"Content-Type": content_type})
    answer.problem(415, "unsupported-media-type")
    assert answer.headers["accept"] == "application/json"
    assert api.scans.begun == []


@pytest.mark.parametrize("content_type", ["Application/JSON", "application/json; charset=utf-8"])
async def test_json_by_another_spelling_is_taken(api, content_type: str) -> None:
    assert (await api.command(CONFIRMED, **{"Content-Type": content_type})).status == 202


async def test_unknown_parameters_are_refused(api) -> None:
    fields = {"Content-Type": "application/json"}
    answer = await api.ask(SCAN + "?confirm=true", "POST", fields, b"{}")
    assert "this call takes none" in answer.problem(400, "unknown-parameter")


# --- the order: host, Accept, 403, parameters, 415, the body, 400, 429, 404 ----------------------


async def test_closed_commands_are_403_whatever_comes(store, make_api) -> None:
    api = make_api(store, enabled=False)
    await api.start()
    for body, content_type in ((CONFIRMED, "application/json"), (b"{", "text/plain")):
        answer = await api.command(body, **{"Content-Type": content_type})
        assert "control.enabled" in answer.problem(403, "commands-disabled")
    foreign = await api.command(CONFIRMED, Host="evil.example")
    foreign.problem(421, "host-not-allowed")
    html = await api.command(CONFIRMED, Accept="text/html")
    html.problem(406, "not-acceptable")
    (await api.ask(SCAN)).problem(405, "method-not-allowed")
    await api.stop()
    assert api.scans.begun == []


async def test_no_scans_at_all_is_403_and_names_the_key(store, make_api) -> None:
    api = make_api(store, scans_per_minute=0)
    await api.start()
    answer = await api.command(CONFIRMED)
    assert "control.scans_per_minute is 0" in answer.problem(403, "commands-disabled")
    await api.stop()


async def test_an_unknown_path_is_404_before_anything_begins(api) -> None:
    answer = await api.command(b'{"confirm": true, "paths": ["/data", "/nope"]}')
    assert "/nope" in answer.problem(404, "path-not-configured")
    assert api.scans.begun == []


async def test_over_the_rate_is_429_and_retry_after_is_true(slow_api) -> None:
    for _ in range(2):
        assert (await slow_api.command(CONFIRMED)).status == 202
    refused = await slow_api.command(CONFIRMED)
    wait = int(refused.headers["retry-after"])
    assert wait == 30
    assert "control.scans_per_minute" in refused.problem(429, "too-many-commands")
    slow_api.clock.advance(wait - 1)
    (await slow_api.command(CONFIRMED)).problem(429, "too-many-commands")
    slow_api.clock.advance(1)
    assert (await slow_api.command(CONFIRMED)).status == 202
    assert len(slow_api.scans.begun) == 6


async def test_what_is_refused_does_not_count(slow_api) -> None:
    for _ in range(5):
        for body in (b"{", b"{}", b'{"confirm": true, "paths": ["/nope"]}'):
            assert (await slow_api.command(body)).status in (400, 404)
        assert (await slow_api.command(CONFIRMED, Accept="text/html")).status == 406
    for _ in range(2):
        assert (await slow_api.command(CONFIRMED)).status == 202


# --- DELETE: a command without a body ------------------------------------------------------------


async def test_a_cancellation_tells_what_was_ended_and_what_was_not_running(api) -> None:
    answer = await api.ask(f"{SCAN}?confirm=true", "DELETE")
    assert (answer.status, answer.json) == (
        200,
        {"cancelled": ["/logs"], "not_running": ["/data"]},
    )
    answer = await api.ask(f"{SCAN}?path=%2Fdata&confirm=true", "DELETE")
    assert answer.json == {"cancelled": [], "not_running": ["/data"]}
    assert api.scans.ended == ["/logs"]


async def test_a_cancellation_of_an_unknown_path_is_404(api) -> None:
    answer = await api.ask(f"{SCAN}?path=/nope&confirm=true", "DELETE")
    assert "/nope" in answer.problem(404, "path-not-configured")


@pytest.mark.parametrize(
    ("query", "body"),
    [("", None), ("?confirm=false", None), ("?path=/logs", None), ("", CONFIRMED)],
)
async def test_a_cancellation_is_confirmed_in_its_query(
    api, query: str, body: bytes | None
) -> None:
    fields = {"Content-Type": "application/json"} if body else {}
    answer = await api.ask(SCAN + query, "DELETE", fields, body)
    assert "confirm=true in the query" in answer.problem(400, "confirmation-required")
    assert api.scans.ended == []


async def test_what_a_cancellation_carries_besides_is_not_read(api) -> None:
    answer = await api.ask(f"{SCAN}?confirm=true", "DELETE", {"Content-Type": "x"}, b"{")
    assert answer.status == 200


@pytest.mark.parametrize(
    ("query", "kind"), [("confirm=1", "bad-parameter"), ("paths=/logs", "unknown-parameter")]
)
async def test_a_bad_parameter_of_a_cancellation_is_400(api, query: str, kind: str) -> None:
    (await api.ask(f"{SCAN}?{query}", "DELETE")).problem(400, kind)


async def test_a_cancellation_passes_the_same_checks_as_other_commands(store, make_api) -> None:
    target = f"{SCAN}?confirm=true"
    for settings in ({"enabled": False}, {"scans_per_minute": 0}):
        api = make_api(store, **settings)
        await api.start()
        (await api.ask(target, "DELETE")).problem(403, "commands-disabled")
        foreign = {"Host": "evil.example"}
        (await api.ask(target, "DELETE", foreign)).problem(421, "host-not-allowed")
        await api.stop()
        assert api.scans.ended == []


async def test_cancellations_count_with_the_scans(slow_api) -> None:
    assert (await slow_api.command(CONFIRMED)).status == 202
    assert (await slow_api.ask(f"{SCAN}?confirm=true", "DELETE")).status == 200
    refused = await slow_api.ask(f"{SCAN}?confirm=true", "DELETE")
    refused.problem(429, "too-many-commands")
    assert refused.headers["retry-after"] == "30"


# --- the log --------------------------------------------------------------------------------------


LOGS = f"/api/v1/paths/{path_id('/logs')}/top"
DATA = f"/api/v1/paths/{path_id('/data')}/top"
JSON = {"Content-Type": "application/json"}


async def test_a_search_for_the_largest_is_202_and_gives_the_job(api) -> None:
    answer = await api.ask(DATA, "POST", JSON, b'{"confirm": true, "count": 5}')
    assert (answer.status, answer.json["state"]) == (202, "running")
    assert api.tops.begun == [(path_id("/data"), 5)]


async def test_a_search_that_runs_is_409_told_and_ended(api) -> None:
    again = await api.ask(LOGS, "POST", JSON, CONFIRMED)
    again.problem(409, "search-running")
    assert (await api.ask(LOGS)).json["state"] == "running"
    assert (await api.ask(f"{LOGS}?confirm=true", "DELETE")).json["state"] == "cancelled"
    assert (await api.ask(DATA)).json["state"] == "none"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{}", "confirm"),
        (b'{"confirm": true, "count": 0}', "count: Expected int >= 1."),
        (b'{"confirm": true, "count": 101}', "count: Expected int <= 100."),
    ],
)
async def test_a_search_that_is_asked_for_wrongly_is_400(api, body: bytes, says: str) -> None:
    answer = await api.ask(DATA, "POST", JSON, body)
    assert (answer.status, says in answer.json["detail"]) == (400, True)
    assert (await api.ask(LOGS, "DELETE")).problem(400, "confirmation-required")
    assert api.tops.begun == []


async def test_searches_count_with_the_scans(slow_api) -> None:
    await slow_api.ask(DATA, "POST", JSON, CONFIRMED)
    await slow_api.ask(f"{LOGS}?confirm=true", "DELETE")
    (await slow_api.ask(DATA, "POST", JSON, CONFIRMED)).problem(429, "too-many-commands")


async def test_the_log_has_a_line_for_each_command_and_none_for_queries(api, log_lines) -> None:
    await api.ask("/api/v1/fs")
    await api.ask("/nope")
    await api.command(CONFIRMED)
    await api.command(b"{}")
    await api.ask(f"{SCAN}?confirm=true&path=/logs", "DELETE")
    lines = [line for line in log_lines if "127.0.0.1 " in line]
    assert lines == [
        "127.0.0.1 POST /api/v1/paths/scan 202",
        '127.0.0.1 POST /api/v1/paths/scan 400: A command must be confirmed: send {"confirm": '
        "true} in its body, or confirm=true in the query of a DELETE.",
        "127.0.0.1 DELETE /api/v1/paths/scan?confirm=true&path=/logs 200",
    ]


async def test_nobody_can_forge_a_line_of_the_log(api, log_lines) -> None:
    await api.ask("/api/v1/paths/scan\x9b2J\x85", "POST")
    await api.command(
        b'{"confirm": true, "paths": ["x\\n2026-11-24 forged\\r\\u001b[2J\\u202e\\\\"]}'
    )
    one, other = (line for line in log_lines if line.startswith("127.0.0.1 POST"))
    assert r"/api/v1/paths/scan\x9b2J\x85 404: " in one
    assert r"404: x\n2026-11-24 forged\r\x1b[2J\u202e\\ is not a configured path." in other
    assert one.isprintable()
    assert other.isprintable()


async def test_nobody_can_fill_the_log(api, log_lines) -> None:
    await api.command(b'{"confirm": true, "paths": ["%s"]}' % (b"x" * 100_000))
    (line,) = (line for line in log_lines if line.startswith("127.0.0.1 POST"))
    assert len(line) < 700
    assert line.endswith("x...")


async def test_many_refused_commands_fill_no_log(api, log_lines) -> None:
    """The answers go on to tell why; of the lines the beginning and the end are written."""
    for _ in range(30):
        (await api.command(b"{}")).problem(400, "confirmation-required")
    refused = [line for line in log_lines if "efused" in line or " 400: " in line]
    assert len(refused) == 21
    assert refused[-1] == "Refused commands: too many to write each; they are counted."
    api.clock.advance(60)
    api.clock.advance(60)
    assert log_lines[-1] == "Refused commands: 10 more came and were not written."
