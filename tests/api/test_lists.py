"""Lists: pages, the headers about them, and parameters that are refused by name."""

from __future__ import annotations

import re

import pytest

from etlmon.records.path import (
    ChildrenCounted,
    ExpectationsChecked,
    PathChild,
    PathExpected,
    PathsConfigured,
    path_id,
)
from etlmon.units import utc

LINK = re.compile(r'<([^>]*)>; rel="next"')


async def test_a_list_is_a_bare_array(api) -> None:
    answer = await api.ask("/api/v1/fs")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-total-count"] == "25"
    assert answer.headers["last-modified"] == "Tue, 24 Nov 2026 12:00:00 GMT"
    assert "link" not in answer.headers
    assert len(answer.json) == 25
    assert answer.json[0]["collected_at"] == "2026-11-24T12:00:00Z"


async def test_link_leads_through_all_pages_and_keeps_the_other_parameters(api) -> None:
    seen, target = [], "/api/v1/fs?all=true&limit=10"
    while target:
        answer = await api.ask(target)
        assert answer.headers["x-total-count"] == "26"
        seen += [item["mount_point"] for item in answer.json]
        found = LINK.search(answer.headers.get("link", ""))
        target = found[1] if found else ""
        assert not found or "all=true" in target
    assert len(seen) == len(set(seen)) == 26
    assert "/mnt/0099" in seen


async def test_an_offset_beyond_the_end_gives_nothing(api) -> None:
    answer = await api.ask("/api/v1/fs?offset=1000")
    assert (answer.json, answer.headers["x-total-count"]) == ([], "25")
    assert "link" not in answer.headers
    assert "last-modified" in answer.headers


async def test_a_limit_is_capped_and_link_leads_on(api, store, mount) -> None:
    await store.write([mount(number, mount_point=f"/m/{number}") for number in range(1001)])
    answer = await api.ask("/api/v1/fs?limit=999999&all=true")
    assert len(answer.json) == 1000
    following = LINK.search(answer.headers["link"])
    assert following is not None
    rest = await api.ask(following[1])
    assert len(rest.json) == int(answer.headers["x-total-count"]) - 1000


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("limit=0", "limit: Expected int >= 1."),
        ("limit=-1", "limit: Expected int >= 1."),
        ("offset=-1", "offset: Expected int >= 0."),
        ("limit=abc", "limit: must be a whole number."),
        ("limit=1e9", "limit: must be a whole number."),
        ("limit=1.0", "limit: must be a whole number."),
        ("limit=%D9%A3", "limit: must be a whole number."),
        ("limit=", "limit: must be a whole number."),
        ("limit=" + "9" * 40, "limit: must be a whole number."),
        ("offset=" + "9" * 4000, "offset: must be a whole number."),
        ("limit=1&limit=1", "The parameter limit is given twice."),
        ("all=yes", "all: must be true or false."),
        ("all=%FF", "all: must be true or false."),
        ("limti=5", "There is no parameter limti here; did you mean limit?"),
        ("zzz=5", "There is no parameter zzz here; there are limit, offset, all."),
        ("%1b%5b=5", r"There is no parameter \x1b[ here; there are limit, offset, all."),
        ("%FF=5", r"There is no parameter \udcff here; there are limit, offset, all."),
        ("limit", "The query string cannot be read: bad query field: 'limit'."),
        ("&".join(["limit=1"] * 101), "Max number of fields exceeded"),
    ],
)
async def test_a_bad_parameter_is_named(api, query: str, says: str) -> None:
    answer = await api.ask(f"/api/v1/fs?{query}")
    kind = answer.json["type"].removeprefix("urn:etlmon:problem:")
    assert kind in ("bad-parameter", "unknown-parameter", "bad-query")
    assert says in answer.problem(400, kind)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "The parameter mount_point is missing."),
        ("mount_point=%FF", "mount_point: must be UTF-8."),
        ("mount_point=\xb0", "mount_point: must be UTF-8."),
        ("mount_point=/&since=1", "since: must be a moment"),
        ("mount_point=/&since=null", "since: must be a moment"),
        ("mount_point=/&until=0001-01-01T00:00:00Z", "until: must be a moment from 1970 on"),
        ("mount_point=/&since=2026-01-01T00:00:00", "since: Expected datetime with a timezone"),
        (
            "mount_point=/&since=2026-01-01T00:00:00+01:00",
            "since: Invalid RFC3339 encoded datetime. A + stands for a space in a URL; write %2B",
        ),
        ("mount_point=/&since=2026-13-01T00:00:00Z", "since: Invalid RFC3339"),
        ("mount_point=/&points=1001", "points: Expected int <= 1000."),
        (
            "mount_point=/&since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z",
            "since: must be before until.",
        ),
    ],
)
async def test_a_bad_parameter_of_the_history_is_named(api, query: str, says: str) -> None:
    answer = await api.ask(f"/api/v1/fs/history?{query}")
    assert says in answer.problem(400, "bad-parameter")


@pytest.mark.parametrize(
    "until", ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59"]
)
async def test_the_ends_of_time_are_no_defect(api, until: str) -> None:
    answer = await api.ask(f"/api/v1/fs/history?mount_point=/mnt/0001&until={until}")
    assert answer.status == 200


async def test_history_of_an_unknown_mount_is_named(api) -> None:
    answer = await api.ask("/api/v1/fs/history?mount_point=/nope%0A")
    assert "the mount /nope\n;" in answer.problem(404, "mount-not-found")


async def test_the_history_of_a_path_is_found_by_its_id(api, store) -> None:
    paths = {item["path"]: item["id"] for item in (await api.ask("/api/v1/paths")).json}
    target = f"/api/v1/paths/{paths['/data']}/history"
    answer = await api.ask(target)
    assert answer.json == [
        {
            "collected_at": "2026-11-24T12:00:00Z",
            "file_count": 10,
            "dir_count": 2,
            "other_count": 1,
            "partial_file_count": None,
            "complete": True,
            "status": "OK",
            "scan_duration_ms": 5,
        }
    ]
    assert answer.headers["last-modified"] == "Tue, 24 Nov 2026 12:00:00 GMT"
    etag = {"If-None-Match": answer.headers["etag"]}
    assert (await api.ask(target, headers=etag)).status == 304
    await store.write([PathsConfigured(paths=("/logs",))])
    (await api.ask(target, headers=etag)).problem(404, "path-not-found")


async def test_the_history_of_a_path_outside_of_what_is_stored_is_empty(api) -> None:
    answer = await api.ask(f"/api/v1/paths/{path_id('/data')}/history?until=2026-11-01T00:00:00Z")
    assert (answer.status, answer.json) == (200, [])


@pytest.mark.parametrize(("segment", "name"), [("%2Fdata", "/data"), ("n%20o", "n o")])
async def test_the_history_of_an_unknown_path_is_404_and_names_it(
    api, segment: str, name: str
) -> None:
    answer = await api.ask(f"/api/v1/paths/{segment}/history")
    assert f"No path has the id {name};" in answer.problem(404, "path-not-found")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("points=0", "points: Expected int >= 1."),
        ("since=1", "since: must be a moment"),
        ("until=2026-01-01T00:00:00Z&since=2026-01-01T00:00:00Z", "since: must be before until."),
        ("id=a", "The parameter id is given twice."),
        ("limit=5", "There is no parameter limit here;"),
    ],
)
async def test_a_bad_parameter_of_a_paths_history_is_named(api, query: str, says: str) -> None:
    answer = await api.ask(f"/api/v1/paths/{path_id('/data')}/history?{query}")
    kind = answer.json["type"].removeprefix("urn:etlmon:problem:")
    assert says in answer.problem(400, kind)


async def test_the_children_of_a_path_are_pages(api, store) -> None:
    target = f"/api/v1/paths/{path_id('/data')}/children"
    assert (await api.ask(target)).json == []
    rows = [
        PathChild(
            path_id=path_id("/data"),
            place=place,
            kind="directory",
            name=f"{place}",
            directory_count=1,
            file_count=9 - place,
            dir_count=0,
            other_count=0,
            collected_at=utc(100),
        )
        for place in range(3)
    ]
    await store.write([ChildrenCounted(path="/data", children=rows)])
    answer = await api.ask(f"{target}?limit=2")
    assert [(row["name"], row["file_count"]) for row in answer.json] == [("0", 9), ("1", 8)]
    assert answer.headers["x-total-count"] == "3"
    assert answer.headers["link"] == f'<{target}?limit=2&offset=2>; rel="next"'
    unknown = await api.ask("/api/v1/paths/nope/children")
    assert "nope" in unknown.problem(404, "path-not-found")


async def test_what_is_expected_below_a_path_is_listed_and_its_worst_told(api, store) -> None:
    target = f"/api/v1/paths/{path_id('/data')}/expectations"
    assert (await api.ask(target)).json == []
    late = PathExpected(
        path_id=path_id("/data"),
        place=0,
        pattern="in_%d",
        glob="in_24",
        state="late",
        due_at=utc(100),
        since=utc(0),
        min_count=1,
        min_bytes=1,
        checked_at=utc(110),
    )
    await store.write([ExpectationsChecked(path="/data", expected=[late])])
    (one,) = (await api.ask(target)).json
    assert (one["glob"], one["state"]) == ("in_24", "late")
    paths = {row["path"]: row["expectation_state"] for row in (await api.ask("/api/v1/paths")).json}
    assert paths["/data"] == "late"
    (await api.ask("/api/v1/paths/nope/expectations")).problem(404, "path-not-found")


async def test_percent_encoded_parameters_are_read(api) -> None:
    answer = await api.ask("/api/v1/fs?%6cimit=%32")
    assert len(answer.json) == 2
