"""Searches find exactly what a look at each line finds, quickly, and stop when they are told."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from etlmon.patterns import Pattern
from etlmon.records.log import LineMark, LogBlock
from etlmon.store import search as module
from etlmon.store.open import prepare
from etlmon.store.search import Found, Wanted, search
from etlmon.store.tables import log_lines
from etlmon.store.tables.log_lines import Part

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def cursor(path: Path) -> Iterator[sqlite3.Cursor]:
    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
    with closing(sqlite3.connect(path, isolation_level=None)) as one:
        cursor = one.cursor()
        cursor.execute("BEGIN")
        yield cursor


def store(cursor: sqlite3.Cursor, *texts: str | None, name: str = "app") -> None:
    marks = {place: LineMark(flags=("gap",)) for place, one in enumerate(texts) if one is None}
    block = LogBlock(log_name=name, log_path="/a", created_at=AT, lines=list(texts), marks=marks)
    log_lines.TABLE.inserts[LogBlock](cursor, [block])


def find(
    cursor: sqlite3.Cursor,
    wanted: Wanted,
    most: int = 1_000,
    part: Part | None = None,
    **more: bool,
) -> Found:
    newest = more.get("newest", True)
    part = part or Part("app")
    return search(cursor, part, wanted, most, newest=newest, give_up=lambda: False)


def ids(found: Found) -> list[int]:
    return [one.id for one in found.lines]


PATTERNS = [
    "a",
    "^a",
    "b$",
    "^$",
    "^.$",
    "a.*b",
    "a[^x]*b",
    r"\Aa",
    r"b\z",
    r"\A\z",
    r"(?-m)^a",
    r"(?s)a.*b",
    r"(?s-m:a.b$)",
    r"\Q\A\E",
    r"\\A",
    r"\ba\b",
    r"\B",
    "(?i)É",
    "[^a]$",
    "a|^b",
    r"[(?-m:]",
    r"\n",
    r"a\nb",
    "",
]
CHARACTERS = "ab\n\\A é.(?-m:x"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.one_of(st.none(), st.text(CHARACTERS, max_size=6)), max_size=30),
    text=st.one_of(st.none(), st.text(CHARACTERS, max_size=2)),
)
@pytest.mark.parametrize("pattern", [*PATTERNS, None])
@example(texts=["a", "b", "xa", "bx", ""] * 5, text=None)
def test_it_finds_what_a_look_at_each_line_finds(
    cursor: sqlite3.Cursor, pattern: str | None, texts: list[str | None], text: str | None
) -> None:
    cursor.execute("DELETE FROM log_lines")
    cursor.execute("DELETE FROM log_blocks")
    first = log_lines.last_id(cursor) + 1
    store(cursor, *texts)
    regex = None if pattern is None else Pattern(pattern)
    expected = [
        number
        for number, line in enumerate(texts, first)
        if line is not None
        and (text is None or text in line)
        and (regex is None or regex.finds(line.encode()))
    ]
    wanted = Wanted(text, pattern)
    for newest in (True, False):
        assert ids(find(cursor, wanted, newest=newest)) == expected
        some = find(cursor, wanted, 2, newest=newest)
        assert ids(some) == (expected[-2:] if newest else expected[:2])


def test_pages_lead_through_all_matches(cursor: sqlite3.Cursor) -> None:
    """Among other logs, in blocks of all lengths; the rest begins exactly where it ended."""
    rng = random.Random(2)
    for turn in range(120):
        count = rng.choice([1, 3, 40, 700])
        store(cursor, *(f"{turn} {rng.randint(0, 50)}" for _ in range(count)))
        store(cursor, "x 7", name="other")
    expected = [
        number
        for number, line in cursor.execute(
            "SELECT id, line FROM log_lines WHERE log_name = 'app' ORDER BY id"
        )
        if re.search(" 7$", line)
    ]
    assert len(expected) > 100
    for newest in (True, False):
        pages: list[list[int]] = []
        rest: Part | None = Part("app")
        while rest is not None:
            found = find(cursor, Wanted(regex=" 7$"), 11, rest, newest=newest)
            pages.append(ids(found))
            rest = found.rest
        assert all(len(page) == 11 for page in pages[:-1])
        ordered = reversed(pages) if newest else pages
        assert [number for page in ordered for number in page] == expected


def test_it_gives_up_after_a_piece(cursor: sqlite3.Cursor) -> None:
    """And goes on there, with nothing left out."""
    store(cursor, "wanted", *("x" * 100 for _ in range(10_000)))
    looks: list[bool] = []

    def give_up() -> bool:
        looks.append(True)
        return True

    found = search(cursor, Part("app"), Wanted("wanted"), 5, newest=True, give_up=give_up)
    assert (found.lines, looks) == ([], [True])
    assert found.rest == Part("app", before=10_001 - module._FIRST + 1)
    assert ids(find(cursor, Wanted("wanted"), part=found.rest)) == [1]


def test_long_lines_are_handed_over_few_at_a_time(
    cursor: sqlite3.Cursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(cursor, *("x" * 60_000 for _ in range(600)))
    sizes: list[int] = []
    joined = module._joined

    def note(cursor: sqlite3.Cursor, piece: Part) -> bytes:
        found = joined(cursor, piece)
        assert found is not None
        sizes.append(len(found))
        return found

    monkeypatch.setattr(module, "_joined", note)
    assert find(cursor, Wanted("y")).lines == []
    assert sum(sizes) > 600 * 60_000 - 600
    assert max(sizes[1:]) < 1 << 20


def test_what_is_found_is_bounded_in_size(cursor: sqlite3.Cursor) -> None:
    store(cursor, *("x" * (1 << 20) for _ in range(6)))
    found = find(cursor, Wanted("x"))
    assert ids(found) == [3, 4, 5, 6]
    assert found.rest is not None
    assert ids(find(cursor, Wanted("x"), part=found.rest)) == [1, 2]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("(", "missing"), (r"(a)\1", "escape"), ("(?=a)", "perl"), ("a{9999}", "repetition")],
)
def test_what_is_no_pattern(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Wanted(regex=pattern).check()


def test_a_pattern_that_hangs_other_engines(cursor: sqlite3.Cursor) -> None:
    store(cursor, *("a" * 60_000 + "b" for _ in range(16)))
    assert find(cursor, Wanted(regex="(a+)+$")).lines == []
