"""Cron by the API: jobs, files, one job, and a look on command."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from etlmon.records.cron import CronEntry, CronFile

REFRESH = "/api/v1/cron/refresh"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def entries(now_of_api) -> list[CronEntry]:
    return [
        CronEntry(
            job_id=f"00000000job{number}",
            schedule="5 * * * *",
            command=f"load {number}",
            user="etl" if number % 2 else "root",
            source="cron.d",
            file="/etc/cron.d/etl",
            line=number,
            next_run=now_of_api + timedelta(minutes=30 - number),
            next_run_kind="exact",
            timezone="UTC",
            file_status="active",
            dialect="debian",
            last_checked=now_of_api,
        )
        for number in range(5)
    ]


async def test_jobs_come_by_their_next_run(api, store, entries) -> None:
    await store.write(entries)
    answer = await api.ask("/api/v1/cron?limit=2")
    assert [job["job_id"] for job in answer.json] == ["00000000job4", "00000000job3"]
    assert answer.headers["x-total-count"] == "5"
    assert answer.json[0]["next_run"] == "2026-11-24T12:26:00Z"
    assert answer.json[0]["last_start"] is None


async def test_jobs_are_filtered(api, store, entries) -> None:
    await store.write(entries)
    answer = await api.ask("/api/v1/cron?user=etl&command=LOAD%203&source=cron.d")
    assert [job["job_id"] for job in answer.json] == ["00000000job3"]
    for query in ("source=bogus", "source=", "source=cronxd", "source=cron.d%0A"):
        problem = (await api.ask(f"/api/v1/cron?{query}")).problem(400, "bad-parameter")
        assert "crontab, cron.d, user, run-parts, anacron, timer" in problem
    answer = await api.ask("/api/v1/cron?usr=etl")
    assert "did you mean user?" in answer.problem(400, "unknown-parameter")


@pytest.mark.parametrize("part", ["STRASSE", "straße", "ÉTL", "étl/STRAẞE"])
async def test_a_part_of_a_command_is_found_in_any_case(api, store, entries, part) -> None:
    await store.write([replace(entries[0], command="/opt/Étl/Straße --x"), *entries[1:]])
    answer = await api.ask(f"/api/v1/cron?command={quote(part)}")
    assert [job["job_id"] for job in answer.json] == ["00000000job0"]


async def test_one_job_is_found_by_its_id(api, store, entries) -> None:
    await store.write(entries)
    assert (await api.ask("/api/v1/cron/00000000job1")).json["command"] == "load 1"
    answer = await api.ask("/api/v1/cron/000000000000")
    assert "GET /api/v1/cron lists them" in answer.problem(404, "job-not-found")
    (await api.ask("/api/v1/cron/nope")).problem(404, "not-found")
    answer = await api.ask(REFRESH, "GET")
    assert answer.headers["allow"] == "POST"


async def test_files_tell_why_they_are_ignored(api, store, now_of_api) -> None:
    file = CronFile(
        path="/etc/cron.d/a.sh",
        source="cron.d",
        dialect="debian",
        status="ignored",
        reason="a dot",
        last_checked=now_of_api,
    )
    await store.write([file])
    (found,) = (await api.ask("/api/v1/cron/files")).json
    assert (found["path"], found["status"], found["reason"]) == (
        "/etc/cron.d/a.sh",
        "ignored",
        "a dot",
    )


async def test_a_refresh_must_be_confirmed(api) -> None:
    answer = await api.ask(REFRESH, "POST", JSON, b"{}")
    answer.problem(400, "confirmation-required")
    answer = await api.ask(REFRESH, "POST", JSON, b'{"confirm": true}')
    assert (answer.status, answer.json) == (202, {"started": True, "reason": None})
    assert api.refreshes.begun == 1


async def test_a_refresh_counts_as_a_scan(store, make_api) -> None:
    api = make_api(store, scans_per_minute=1)
    await api.start()
    assert (await api.ask(REFRESH, "POST", JSON, b'{"confirm": true}')).status == 202
    again = await api.ask(REFRESH, "POST", JSON, b'{"confirm": true}')
    again.problem(429, "too-many-commands")
    await api.stop()
