"""Answers as plain text: all pages of a list, and JSON that cannot drive a terminal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from etlmon.client.http import Reply
from etlmon.contract import OPENAPI, PATHS, SCAN_PATHS, Page, Query
from etlmon.records.path import PathStats, ScanAnswer
from etlmon.ui.plain import fetch_json, fetch_text


class FakeClient:
    """Gives pages, one after the other, and notes which were asked for."""

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)
        self.asked: list[str | None] = []

    async def call(self, _endpoint: Any, _query: Any = None, *, page: str | None = None) -> Reply:
        self.asked.append(page)
        value = self.pages.pop(0)
        return Reply(value, b"", f"/next/{len(self.pages)}" if self.pages else None)


def stats(path: str) -> PathStats:
    return PathStats(id="1", path=path, status="OK")


async def test_all_pages_of_a_list_are_fetched() -> None:
    client = FakeClient([stats("/a")], [stats("/b")], [stats("/c")])
    text = await fetch_json(client, PATHS, Page())
    assert [item["path"] for item in msgspec.json.decode(text)] == ["/a", "/b", "/c"]
    assert client.asked == [None, "/next/2", "/next/1"]


async def test_a_limit_gives_one_page() -> None:
    client = FakeClient([stats("/a")], [stats("/b")])
    text = await fetch_text(client, PATHS, Page(limit=1))
    assert "/a" in text
    assert "/b" not in text


async def test_an_empty_list_is_said_in_words_and_is_an_array_for_programs() -> None:
    assert await fetch_text(FakeClient([]), PATHS, Page()) == "Nothing there yet."
    assert await fetch_json(FakeClient([]), PATHS, Page()) == "[]"


async def test_a_table_has_the_columns_of_the_contract() -> None:
    text = await fetch_text(FakeClient([stats("/a")]), PATHS, Page())
    assert text.split("\n")[0].startswith("PATH  FILE COUNT  FILE COUNT CHANGE  DIR COUNT")


async def test_a_record_and_any_other_value() -> None:
    answer = ScanAnswer(started=["/a"], skipped=[])
    assert "started  /a" in await fetch_text(FakeClient(answer), SCAN_PATHS, Query())
    assert msgspec.json.decode(await fetch_text(FakeClient({"a": 1}), OPENAPI, Query())) == {"a": 1}


@pytest.mark.parametrize(
    "path", ["/a\x1b\x7f\x9b2J\u202e\u200b\u2028", "/한국 é 👍", "/\U000e0041"]
)
async def test_json_is_the_same_and_drives_no_terminal(path: str) -> None:
    text = await fetch_json(FakeClient([stats(path)]), PATHS, Page())
    assert msgspec.json.decode(text)[0]["path"] == path
    assert all(character.isprintable() or character == "\n" for character in text)
    assert ("한국" in path) == ("한국" in text)
