"""What a client takes: validators, compression, the form of the answer."""

from __future__ import annotations

import gzip

import pytest

FS = "/api/v1/fs"


@pytest.mark.parametrize(
    "tags",
    ["{0}", "W/{0}", '"other", W/{0}', "nonsense ,,{0}", "*", '"a", *'],
)
async def test_an_unchanged_answer_is_304_with_its_validators_and_no_body(api, tags: str) -> None:
    full = await api.ask(FS)
    strong = full.headers["etag"].removeprefix("W/")
    answer = await api.ask(FS, headers={"If-None-Match": tags.format(strong)})
    assert (answer.status, answer.body) == (304, b"")
    for name in ("etag", "last-modified", "x-total-count", "vary", "cache-control"):
        assert answer.headers[name] == full.headers[name]
    assert "content-type" not in answer.headers
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("tags", ['"other"', "", ",", '"', "W/", '"\xff"', "W/*"])
async def test_another_etag_gets_the_whole_answer(api, tags: str) -> None:
    answer = await api.ask(FS, headers={"If-None-Match": tags})
    assert answer.status == 200
    assert len(answer.json) == 25


async def test_several_if_none_match_lines_count_as_one_list(api) -> None:
    tag = (await api.ask(FS)).headers["etag"]
    raw = (
        f"GET {FS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f'If-None-Match: "a"\r\nIf-None-Match: {tag}\r\n\r\n'
    )
    (answer,) = await api.send(raw.encode())
    assert answer.status == 304


async def test_the_etag_changes_with_the_answer(api, store, mount) -> None:
    before = (await api.ask(FS)).headers["etag"]
    await store.write([mount(number, used_percent=51.0) for number in range(25)])
    after = await api.ask(FS, headers={"If-None-Match": before})
    assert after.status == 200


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("br, GZIP ;q=0.5", True),
        ("*", True),
        ("gzip;q=0.001", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*, gzip;q=0", False),
        ("*;q=0", False),
        ("br", False),
        ("", False),
    ],
)
async def test_gzip_is_used_only_where_it_is_accepted(api, accepted: str, compressed: bool) -> None:
    plain = await api.ask(FS)
    answer = await api.ask(FS, headers={"Accept-Encoding": accepted})
    assert (answer.headers.get("content-encoding") == "gzip") is compressed
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["etag"] == plain.headers["etag"]
    body = gzip.decompress(answer.body) if compressed else answer.body
    assert body == plain.body
    assert (len(answer.body) < len(plain.body)) is compressed


async def test_small_answers_are_not_compressed(api) -> None:
    answer = await api.ask(FS + "?limit=1", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/json", 200),
        ("APPLICATION/JSON;charset=utf-8", 200),
        ("text/html, application/*;q=0.1", 200),
        ("text/html, */*;q=0.8", 200),
        ("", 200),
        ("text/html", 406),
        ("*/*, application/json;q=0", 406),
        ("*/*;q=0", 406),
        ("garbage", 406),
    ],
)
async def test_accept_decides(api, accept: str, status: int) -> None:
    for _ in range(2):  # made, and kept
        answer = await api.ask(FS, headers={"Accept": accept})
        assert answer.status == status
    if status == 406:
        assert "application/json" in answer.problem(406, "not-acceptable")
