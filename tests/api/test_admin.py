"""The database over the API: its figures, and its compaction on command."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import reactor, task

COMPACT = "/api/v1/admin/db/compact"
JSON = {"Content-Type": "application/json"}


async def compacted(api: Any) -> dict[str, Any]:
    """Wait for the compaction under way, and give the job as the API tells it."""
    while True:
        job: dict[str, Any] = (await api.ask("/api/v1/admin/db")).json["compaction"]
        if job["state"] != "running":
            return job
        await task.deferLater(reactor, 0.005)


async def test_figures(api: Any) -> None:
    found = (await api.ask("/api/v1/admin/db")).json
    tables = {table["table"]: table for table in found["tables"]}
    assert tables["filesystem_usage"]["rows"] == 26
    assert tables["filesystem_usage"]["rows_last_day"] == 26
    assert tables["filesystem_usage"]["max_rows"] == 1_000_000
    assert tables["path_stats"]["rows"] == 2
    assert found["content_bytes"] + found["free_bytes"] == found["size_bytes"]
    assert (found["check"], found["backup"], found["compaction"]) == (None, None, None)


@pytest.mark.parametrize("full", [False, True])
async def test_a_confirmed_compaction_is_a_job(api: Any, full: bool) -> None:
    body = b'{"confirm": true, "full": true}' if full else b'{"confirm": true}'
    answer = await api.ask(COMPACT, "POST", JSON, body)
    assert answer.status == 202
    assert (answer.json["id"], answer.json["state"], answer.json["full"]) == (1, "running", full)
    job = await compacted(api)
    assert (job["state"], job["error_message"]) == ("done", None)
    assert job["size_after_bytes"] <= job["size_before_bytes"]


async def test_one_at_a_time(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.maintenance, "compact", lambda full: None)
    answer = await api.ask(COMPACT, "POST", JSON, b'{"confirm": true}')
    assert "GET /api/v1/admin/db" in answer.problem(409, "compaction-running")


async def test_a_full_one_without_room_is_refused(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def little() -> str:
        return "1000 bytes in /var/tmp, where there are 999"

    monkeypatch.setattr(api.maintenance, "lacking_room", little)
    answer = await api.ask(COMPACT, "POST", JSON, b'{"confirm": true, "full": true}')
    words = answer.problem(507, "not-enough-space")
    assert "1000 bytes" in words
    assert "999" in words
    assert api.maintenance.compaction is None


async def test_unconfirmed_it_is_refused(api: Any) -> None:
    answer = await api.ask(COMPACT, "POST", JSON, b"{}")
    answer.problem(400, "confirmation-required")
    assert api.maintenance.compaction is None


async def test_closed_commands(store: Any, make_api: Any) -> None:
    api = make_api(store, enabled=False)
    await api.start()
    answer = await api.ask(COMPACT, "POST", JSON, b'{"confirm": true}')
    answer.problem(403, "commands-disabled")
    await api.stop()
