"""Transfers over HTTP: the newest, those after an id, filters, sums, and how far logs are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
import pytest_twisted

from etlmon.api.resources import xferlog
from etlmon.records.xferlog import XferlogBlock, XferlogFileRead, XferlogLine
from etlmon.units import to_millis

LINK = re.compile(r'<([^>]*)>; rel="next"')
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def line(number: int, **changes: object) -> XferlogLine:
    fields: dict[str, object] = dict.fromkeys(XferlogLine._fields)
    fields |= {
        "log_time_ms": to_millis(NOW) - 1_000 * (100 - number),
        "remote_host": "10.0.0.1",
        "username": "etl",
        "filename": f"/in/{number}.csv",
        "bytes": number,
        "transfer_time_sec": 1,
        "direction": "upload",
        "status": "complete",
        "ts_quality": "exact",
        "flags": "[]",
        "offset": number,
    }
    return XferlogLine(**(fields | changes))  # type: ignore[arg-type]


@pytest_twisted.async_yield_fixture
async def transfers(store):
    lines = [line(number) for number in range(1, 31)]
    lines[4] = line(5, username="한글/&=", direction="download", status="incomplete")
    lines[9] = line(10, direction=None, status="unparsed", line="\x1b[2J", reason="no date")
    await store.write(
        [
            XferlogBlock(log_path="/var/log/xferlog", source_inode=1, created_at=NOW, lines=lines),
            XferlogFileRead(
                path="/var/log/xferlog",
                state="following",
                lines=30,
                transfers=29,
                unparsed=1,
                updated_at=NOW,
                cursor=None,
            ),
        ]
    )
    yield store


async def ids(api, target: str) -> list[int]:
    answer = await api.ask(f"/api/v1/xferlog{target}")
    assert answer.status == 200, answer.body
    return [entry["id"] for entry in answer.json]


async def test_the_newest_come_first(api, transfers) -> None:
    answer = await api.ask("/api/v1/xferlog?limit=2")
    assert [entry["id"] for entry in answer.json] == [30, 29]
    assert answer.json[0] | {"created_at": None} == {
        "id": 30,
        "log_time": "2026-11-24T11:58:50Z",
        "remote_host": "10.0.0.1",
        "username": "etl",
        "filename": "/in/30.csv",
        "bytes": 30,
        "transfer_time_sec": 1,
        "direction": "upload",
        "status": "complete",
        "landing": None,
        "landing_reason": None,
        "landed_path": None,
        "landed_bytes": None,
        "landing_checked_at": None,
        "transfer_type": None,
        "action_flags": None,
        "access_mode": None,
        "service": None,
        "auth_method": None,
        "auth_user": None,
        "pid": None,
        "rate_bytes_per_second": None,
        "log_format": None,
        "time_text": None,
        "ts_quality": "exact",
        "flags": [],
        "reason": None,
        "line": None,
        "log_path": "/var/log/xferlog",
        "source_inode": 1,
        "offset": 30,
        "created_at": None,
    }
    assert answer.headers["last-modified"] == "Tue, 24 Nov 2026 12:00:00 GMT"
    assert "x-total-count" not in answer.headers


@pytest.mark.parametrize("target", ["?limit=7", "?limit=7&after=0"])
async def test_link_leads_through_all_of_them(api, transfers, target: str) -> None:
    seen: list[int] = []
    target = f"/api/v1/xferlog{target}"
    while target:
        answer = await api.ask(target)
        seen += [entry["id"] for entry in answer.json]
        found = LINK.search(answer.headers.get("link", ""))
        target = found[1] if found else ""
    assert sorted(seen) == list(range(1, 31))
    assert seen in (sorted(seen), sorted(seen)[::-1])


async def test_after_an_id_come_the_later_ones(api, transfers) -> None:
    assert await ids(api, "?after=28") == [29, 30]
    assert await ids(api, "?after=30") == []
    assert await ids(api, "?before=3") == [2, 1]
    assert await ids(api, "?after=3&before=6") == [4, 5]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("user=%ED%95%9C%EA%B8%80%2F%26%3D", [5]),
        ("direction=download", [5]),
        ("status=incomplete", [5]),
        ("status=unparsed", [10]),
        ("filename=7.csv", [7]),
        ("filename=/in/3*", [30, 3]),
        ("host=::ffff:10.0.0.1&filename=7.csv", [7]),
        ("host=10.0.0.2", []),
        ("since=2026-11-24T11:58:49Z", [30, 29]),
        ("until=2026-11-24T11:58:22Z", [2, 1]),
    ],
)
async def test_filters(api, transfers, query: str, found: list[int]) -> None:
    assert await ids(api, f"?{query}") == found


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("direction=sideways", "direction: must be one of upload, download, delete."),
        ("direction=upload%0A", "direction: must be one of upload, download, delete."),
        ("status=fine", "status: must be one of complete, incomplete"),
        ("landing=x", "landing: must be one of pending"),
        ("filename=", "filename: Expected str of length >= 1."),
        (f"filename={'a' * 256}", "filename: Expected str of length <= 255."),
        ("after=-1", "after: Expected int >= 0."),
    ],
)
async def test_bad_filters_are_named(api, query: str, says: str) -> None:
    answer = await api.ask(f"/api/v1/xferlog?{query}")
    assert says in answer.problem(400, "bad-parameter")


async def test_new_entries_show_at_once(api, transfers) -> None:
    assert (await ids(api, "?limit=1")) == [30]
    await transfers.write(
        [XferlogBlock(log_path="/x", source_inode=1, created_at=NOW, lines=[line(31)])]
    )
    assert (await ids(api, "?limit=1")) == [31]


async def test_a_summary_adds_up_the_last_day(api, transfers) -> None:
    answer = await api.ask("/api/v1/xferlog/summary")
    assert answer.headers["x-total-count"] == "2"
    assert answer.json == [
        {
            "hour": "2026-11-24T11:00:00Z",
            "username": "etl",
            "remote_host": "10.0.0.1",
            "direction": "upload",
            "count": 28,
            "failures": 0,
            "bytes": sum(range(1, 31)) - 5 - 10,
            "transfer_time_sec": 28,
            "last_arrival_at": "2026-11-24T11:58:50Z",
        },
        {
            "hour": "2026-11-24T11:00:00Z",
            "username": "한글/&=",
            "remote_host": "10.0.0.1",
            "direction": "download",
            "count": 1,
            "failures": 1,
            "bytes": 5,
            "transfer_time_sec": 1,
            "last_arrival_at": "2026-11-24T11:58:25Z",
        },
    ]


async def test_a_summary_by_less_in_pages(api, transfers) -> None:
    answer = await api.ask("/api/v1/xferlog/summary?by=user&limit=1")
    assert [(one["username"], one["hour"]) for one in answer.json] == [("etl", None)]
    found = LINK.search(answer.headers["link"])
    assert found is not None
    rest = await api.ask(found[1])
    assert [one["username"] for one in rest.json] == ["한글/&="]
    assert "link" not in rest.headers
    none = await api.ask("/api/v1/xferlog/summary?until=2026-11-20T00:00:00Z")
    assert none.json == []


@pytest.mark.parametrize("by", ["", "size", "user,", "user,host,direction,hour,user"])
async def test_a_summary_by_what_there_is_not(api, by: str) -> None:
    answer = await api.ask(f"/api/v1/xferlog/summary?by={by}")
    assert "by: Expected str matching regex" in answer.problem(400, "bad-parameter")


async def test_how_far_logs_are_read(api, transfers) -> None:
    (found,) = (await api.ask("/api/v1/xferlog/files")).json
    assert (found["path"], found["state"]) == ("/var/log/xferlog", "following")
    assert (found["lines_total"], found["unparsed_total"]) == (30, 1)
    assert "cursor" not in found


# --- streams --------------------------------------------------------------------------------------

STREAM = "/api/v1/xferlog?follow=true"


def block(*lines: XferlogLine) -> XferlogBlock:
    return XferlogBlock(
        log_path="/var/log/xferlog", source_inode=1, created_at=NOW, lines=list(lines)
    )


def came(stream) -> list[int]:
    return [int(event.last_id) for event in stream.events() if event.kind == "message"]


async def test_some_that_are_stored_then_what_comes(api, transfers) -> None:
    stream = await api.stream(f"{STREAM}&limit=3")
    await stream.until(3)
    assert came(stream) == [28, 29, 30]
    await transfers.write([block(line(31), line(32))])
    await stream.until(5)
    assert came(stream) == [28, 29, 30, 31, 32]
    assert b'"filename":"/in/32.csv"' in stream.body
    await stream.close()


async def test_a_stream_resumes_without_gap_or_repeat(api, transfers) -> None:
    await transfers.write([block(*map(line, range(31, 1_031)))])
    stream = await api.stream(f"{STREAM}&limit=1", last_id="7")
    await stream.until(1_023)
    assert came(stream) == list(range(8, 1_031))
    await stream.close()
    after = await api.stream(f"{STREAM}&after=1028")
    await after.until(2)
    assert came(after) == [1_029, 1_030]
    await after.close()


async def test_a_stream_of_some_users_and_files(api, transfers) -> None:
    stream = await api.stream(f"{STREAM}&user=ann&filename=*.csv&after=0")
    await stream.wire.until(lambda received: b"retry" in received)
    await transfers.write(
        [block(line(31, username="ann"), line(32), line(33, username="ann", filename="/in/x"))]
    )
    await transfers.write([block(line(34, username="ann"))])
    await stream.until(2)
    assert came(stream) == [31, 34]
    await stream.close()


async def test_a_filter_is_looked_for_piece_by_piece(api, transfers, monkeypatch) -> None:
    monkeypatch.setattr(xferlog, "_LOOKED_AT", 4)
    stream = await api.stream(f"{STREAM}&after=0&direction=download")
    await stream.until(1)
    assert came(stream) == [5]
    await transfers.write([block(line(31, direction="download"))])
    api.clock.advance(0.05)  # it has found nothing many times
    await stream.until(2)
    assert came(stream) == [5, 31]
    await stream.close()


async def test_an_id_of_another_database_is_told(api, transfers) -> None:
    stream = await api.stream(STREAM, last_id="500")
    (first,) = await stream.until(1)
    assert (first.kind, first.last_id) == ("resync", "30")
    assert "new database" in first.data
    await stream.close()


async def test_entries_that_are_not_stored_any_more_are_told(api, transfers) -> None:
    await transfers.run(lambda cursor: cursor.execute("DELETE FROM xferlog_entries WHERE id < 28"))
    stream = await api.stream(STREAM, last_id="3")
    first, *_ = await stream.until(4)
    assert (first.kind, first.last_id) == ("resync", "27")
    assert came(stream) == [28, 29, 30]
    await stream.close()


async def test_a_stream_of_an_empty_table_begins_with_the_first(api, store) -> None:
    stream = await api.stream(STREAM)
    await stream.wire.until(lambda received: b"retry" in received)
    await store.write([block(line(1))])
    await stream.until(1)
    assert came(stream) == [1]
    await stream.close()


@pytest.mark.parametrize("query", ["before=7", "until=2026-11-24T12:00:00Z"])
async def test_a_stream_has_no_end(api, query: str) -> None:
    told = (await api.ask(f"{STREAM}&{query}")).problem(400, "bad-parameter")
    assert told.startswith(query.partition("=")[0])
    assert "a stream has no end" in told
