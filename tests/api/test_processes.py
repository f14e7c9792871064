"""GET /processes and what is below it, over a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import pytest_twisted

from etlmon.errors import CollectError
from etlmon.records.process import (
    NewProcessEvent,
    ProcessesSeen,
    ProcessSample,
    ProcessUsage,
    ProcessWatchStatus,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def sample(pid: int, watch: str = "etl", **changes: Any) -> ProcessSample:
    return ProcessSample(
        **{
            "watch": watch,
            "pid": pid,
            "process_name": "load",
            "cmdline": "load",
            "start_time": NOW,
            "runtime_sec": 5.0,
            "cpu_seconds": 1.0,
            "mem_rss_bytes": 1,
            "status": "RUNNING",
            "state": "S",
            "threads": 1,
            "user": "etl",
            "parent_pid": 1,
            "visibility": "full",
            "identity": f"b:{pid}:7",
            "collected_at": NOW,
            **changes,
        }
    )


@pytest_twisted.async_fixture
async def asked(api):
    await api.store.write(
        [
            ProcessesSeen(collected_at=NOW),
            sample(7),
            sample(8),
            sample(7, "자료"),
            ProcessWatchStatus(
                watch="etl",
                state="low",
                reason="2 run, 3 or more expected",
                since=NOW,
                process_count=2,
                mem_rss_bytes=2,
                threads=2,
                visibility="full",
                collected_at=NOW,
            ),
            *(
                NewProcessEvent(
                    watch="etl", event="started", occurred_at=NOW + timedelta(seconds=n), pid=7
                )
                for n in range(5)
            ),
            ProcessUsage(
                watch="etl",
                collected_at=NOW - timedelta(hours=1),
                process_count=2,
                cpu_percent=None,
                cpu_share=None,
                mem_rss_bytes=2,
                threads=2,
            ),
        ]
    )

    async def ask(target: str) -> Any:
        return await api.ask(f"/api/v1/processes{target}")

    return ask


async def test_the_watched_ones(asked) -> None:
    answer = await asked("")
    assert [(one["watch"], one["pid"]) for one in answer.json] == [
        ("etl", 7),
        ("etl", 8),
        ("자료", 7),
    ]
    assert answer.headers["x-total-count"] == "3"
    assert answer.json[0]["cpu_percent"] is None
    assert [one["pid"] for one in (await asked(f"?watch={quote('자료')}")).json] == [7]


async def test_all_of_them_are_read_each_time_and_not_stored(asked, api) -> None:
    answer = await asked("?all=true&limit=4")
    assert [one["pid"] for one in answer.json] == [1, 2, 3, 4]
    assert answer.headers["x-total-count"] == "11"
    assert 'rel="next"' in answer.headers["link"]
    await asked("?all=true&limit=4")
    assert api.processes.reads == 2
    assert [one["pid"] for one in (await asked("?all=true&watch=etl")).json] == [12]
    assert len((await asked("")).json) == 3


async def test_a_host_that_cannot_be_read_is_told(asked, api) -> None:
    api.processes.error = CollectError("cannot read /proc: Permission denied")
    detail = (await asked("?all=true")).problem(503, "processes-unreadable")
    assert detail == "cannot read /proc: Permission denied."


async def test_one_process_with_its_watches_and_events(asked) -> None:
    found = (await asked("/7")).json
    assert (found["pid"], found["watches"]) == (7, ["etl", "자료"])
    assert [event["id"] for event in found["events"]] == [5, 4, 3, 2, 1]
    detail = (await asked("/9")).problem(404, "process-not-watched")
    assert "No watch selects a process 9" in detail


@pytest.mark.parametrize("pid", ["0", "-1", "x", "99999999999999999999"])
async def test_what_is_no_pid(asked, pid: str) -> None:
    assert "pid" in (await asked(f"/{pid}")).problem(400, "bad-parameter")


async def test_watches(asked) -> None:
    (found,) = (await asked("/watches")).json
    assert (found["watch"], found["state"], found["process_count"]) == ("etl", "low", 2)


async def test_events_in_pages(asked) -> None:
    answer = await asked("/events?limit=2&watch=etl")
    assert [event["id"] for event in answer.json] == [5, 4]
    assert answer.headers["x-total-count"] == "5"
    assert "offset=2" in answer.headers["link"]
    assert [event["id"] for event in (await asked("/events?after=3")).json] == [4, 5]
    since = quote((NOW + timedelta(seconds=4)).isoformat())
    assert [event["id"] for event in (await asked(f"/events?since={since}&pid=7")).json] == [5]


async def test_history(asked) -> None:
    (point,) = (await asked("/history?watch=etl")).json
    assert (point["pid"], point["mem_rss_bytes"]) == (None, 2)
    assert "the watch no" in (await asked("/history?watch=no")).problem(404, "watch-not-found")
    assert "pid 9" in (await asked("/history?watch=etl&pid=9")).problem(404, "watch-not-found")
    (await asked("/history")).problem(400, "bad-parameter")


async def test_a_commit_brings_a_new_answer(asked, api) -> None:
    assert len((await asked("")).json) == 3
    await api.store.write([ProcessesSeen(collected_at=NOW), sample(9)])
    assert [one["pid"] for one in (await asked("")).json] == [9]
