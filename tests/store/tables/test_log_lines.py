"""Lines of logs: numbered without holes, found by their blocks, counted with their file."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from etlmon.records.log import LineMark, LogBlock, LogLine
from etlmon.store.tables import log_files, log_lines
from etlmon.store.tables.log_lines import Part, lines
from etlmon.units import to_millis

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
Plans = Callable[[Callable[[], object]], dict[str, list[str]]]
Effort = Callable[[Callable[[], object]], int]


def store(cursor: sqlite3.Cursor, *blocks: LogBlock) -> None:
    log_lines.TABLE.inserts[LogBlock](cursor, blocks)


def block(*texts: str | None, name: str = "app", path: str = "/a", at: datetime = AT) -> LogBlock:
    marks = {
        place: LineMark(flags=("gap",), length_bytes=7, detail="gone")
        for place, text in enumerate(texts)
        if text is None
    }
    return LogBlock(log_name=name, log_path=path, created_at=at, lines=list(texts), marks=marks)


def numbered(first: int, count: int, **more: str) -> LogBlock:
    return block(*(f"line {number}" for number in range(first, first + count)), **more)


def texts(found: list[LogLine]) -> list[str | None]:
    return [one.line for one in found]


def test_a_block_of_ordinary_and_marked_lines(cursor: sqlite3.Cursor) -> None:
    store(
        cursor,
        LogBlock(
            log_name="app",
            log_path="/a",
            source_inode=3,
            created_at=AT,
            lines=["one", None, "thre", "four", ""],
            marks={
                2: LineMark(flags=("partial", "cut"), length_bytes=500),
                1: LineMark(flags=("truncated",), detail="it shrank"),
            },
            logged_at_ms=[to_millis(AT), None, to_millis(AT) + 1, None, 0],
        ),
    )
    found = lines(cursor, Part("app"), 10, newest=True)
    same = {"log_name": "app", "log_path": "/a", "source_inode": 3, "created_at": AT}
    assert found == [
        LogLine(id=1, line="one", logged_at=AT, **same),
        LogLine(id=2, flags=["truncated"], detail="it shrank", **same),
        LogLine(
            id=3,
            line="thre",
            flags=["partial", "cut"],
            length_bytes=500,
            logged_at=AT + timedelta(milliseconds=1),
            **same,
        ),
        LogLine(id=4, line="four", **same),
        LogLine(id=5, line="", logged_at=datetime(1970, 1, 1, tzinfo=UTC), **same),
    ]


@pytest.mark.parametrize("has_times", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 63, 64, 257, 1000, 1365])
def test_blocks_of_any_length(cursor: sqlite3.Cursor, count: int, has_times: bool) -> None:
    wanted = [f"{number} é" for number in range(count)]
    times = [number if number % 3 else None for number in range(count)] if has_times else None
    store(
        cursor,
        LogBlock(log_name="a", log_path="/a", created_at=AT, lines=wanted, logged_at_ms=times),
    )
    rows = cursor.execute("SELECT id, line, logged_at, flags FROM log_lines ORDER BY id").fetchall()
    assert [row[:2] for row in rows] == list(enumerate(wanted, 1))
    assert [row[2] for row in rows] == (times or [None] * count)
    assert {row[3] for row in rows} <= {"[]"}


def test_numbers_have_no_holes_and_are_never_given_again(connection: sqlite3.Connection) -> None:
    cursor = connection.cursor()
    store(cursor, numbered(1, 300))
    cursor.execute("BEGIN")
    store(cursor, numbered(301, 300))
    cursor.execute("ROLLBACK")
    cursor.execute("DELETE FROM log_lines")
    assert (log_lines.last_id(cursor), log_lines.oldest_id(cursor)) == (300, 301)
    store(cursor, numbered(301, 2))
    assert cursor.execute("SELECT id FROM log_lines").fetchall() == [(301,), (302,)]
    assert (log_lines.last_id(cursor), log_lines.oldest_id(cursor)) == (302, 301)


def test_an_empty_table(cursor: sqlite3.Cursor) -> None:
    assert (log_lines.last_id(cursor), log_lines.oldest_id(cursor)) == (0, 1)
    assert lines(cursor, Part("app"), 5, newest=True) == []
    assert not log_lines.is_known(cursor, "app")


def test_blocks_grow_while_one_file_is_written_alone(cursor: sqlite3.Cursor) -> None:
    for number in range(3):
        store(cursor, block("a", at=AT + timedelta(seconds=-number)))
    store(cursor, block("b", path="/b"))
    store(cursor, block("a"))
    store(cursor, numbered(0, 6_000), block("x"))
    at = to_millis(AT)
    assert cursor.execute("SELECT * FROM log_blocks").fetchall() == [
        (1, 3, "app", "/a", at - 2000, at),
        (4, 4, "app", "/b", at, at),
        (5, 5, "app", "/a", at, at),
        (6, 6005, "app", "/a", at, at),
        (6006, 6006, "app", "/a", at, at),
    ]


def test_newest_and_oldest_of_a_part(cursor: sqlite3.Cursor) -> None:
    """Whatever is asked for, it is what a plain look through all rows gives."""
    rng = random.Random(5)
    cursor.execute("BEGIN")
    for turn in range(60):
        name, path = rng.choice(["a", "b"]), rng.choice(["/1", "/2"])
        at = AT + timedelta(seconds=turn + rng.randint(-5, 5))
        store(cursor, block(*("x" * rng.randint(1, 9)), name=name, path=path, at=at))
    every = [
        (one.id, one) for name in "ab" for one in lines(cursor, Part(name), 1_000, newest=False)
    ]
    total = cursor.execute("SELECT count(*) FROM log_lines").fetchone()[0]
    assert len(every) == total == log_lines.last_id(cursor)
    for _ in range(400):
        since = AT + timedelta(seconds=rng.randint(-9, 70))
        part = Part(
            rng.choice("ab"),
            log_path=rng.choice([None, "/1"]),
            after=rng.choice([0, rng.randint(0, total)]),
            before=rng.choice([1 << 62, rng.randint(1, total + 2)]),
            since=rng.choice([None, since]),
            until=rng.choice([None, since + timedelta(seconds=20)]),
        )
        wanted = [
            number
            for number, one in sorted(every)
            if one.log_name == part.log_name
            and part.log_path in (None, one.log_path)
            and part.after < number < part.before
            and (part.since is None or one.created_at >= part.since)
            and (part.until is None or one.created_at <= part.until)
        ]
        most = rng.randint(1, 12)
        newest = lines(cursor, part, most, newest=True)
        oldest = lines(cursor, part, most, newest=False)
        assert [one.id for one in newest] == wanted[-most:], part
        assert [one.id for one in oldest] == wanted[:most], part


def test_an_answer_ends_when_it_holds_a_lot(cursor: sqlite3.Cursor) -> None:
    store(cursor, block(*("x" * (1 << 20) for _ in range(6))))
    assert [one.id for one in lines(cursor, Part("app"), 6, newest=True)] == [3, 4, 5, 6]
    assert [one.id for one in lines(cursor, Part("app"), 6, newest=False)] == [1, 2, 3, 4]


@pytest.fixture
def many(cursor: sqlite3.Cursor) -> sqlite3.Cursor:
    """Give a table in which one log has many lines, and another few among them."""
    cursor.execute("BEGIN")
    for turn in range(20):
        store(cursor, numbered(turn * 1000, 1000), block("rare", name="rare", path="/r"))
    return cursor


@pytest.mark.parametrize("newest", [True, False])
def test_nothing_is_sorted(many: sqlite3.Cursor, plans: Plans, newest: bool) -> None:
    part = Part("app", after=50, before=15_000, since=AT, until=AT, log_path="/a")
    for steps in plans(lambda: lines(many, part, 10, newest=newest)).values():
        assert any("log_blocks_by_name" in step for step in steps), steps
        assert any("l USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in step for step in steps)
        assert not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.parametrize(
    "part",
    [Part("app"), Part("rare"), Part("app", after=20_010), Part("app", before=10_000)],
    ids=str,
)
def test_the_effort_is_that_of_the_answer(many: sqlite3.Cursor, effort: Effort, part: Part) -> None:
    """Not that of the table: also where the part begins or ends within a long block."""
    assert effort(lambda: lines(many, part, 10, newest=True)) < 1_500
    if part.after or part.before < 1 << 62:
        assert effort(lambda: lines(many, part, 10, newest=False)) < 1_500


def test_lines_are_counted_with_their_file(cursor: sqlite3.Cursor) -> None:
    store(cursor, block("a", None, "c"), block("x", path="/b"))
    store(cursor, block(None, at=AT + timedelta(seconds=9)))
    found = {one.path: one for one in log_files.listed(cursor)}
    assert (found["/a"].lines_total, found["/a"].gaps, found["/a"].last_line_at) == (2, 2, AT)
    assert (found["/b"].lines_total, found["/b"].gaps) == (1, 0)


def test_what_is_no_text_is_refused(cursor: sqlite3.Cursor) -> None:
    with pytest.raises(UnicodeEncodeError):
        store(cursor, block("\udcff"))


@pytest.mark.parametrize("has_times", [False, True])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 63, 64, 65, 81, 255, 256, 257, 600])
def test_every_number_of_lines(cursor: sqlite3.Cursor, count: int, has_times: bool) -> None:
    """One statement inserts some of them; where its width changes none is lost or misplaced."""
    store(cursor, numbered(0, 3))
    one = numbered(0, count)
    times = [to_millis(AT) + place for place in range(count)] if has_times else None
    stored = log_lines.TABLE.inserts[LogBlock](cursor, [replace(one, logged_at_ms=times)])
    assert [part.first_id for part in stored or ()] == [4]
    found = lines(cursor, Part("app", after=3), 1_000, newest=False)
    assert texts(found) == one.lines
    assert [line.id for line in found] == [*range(4, count + 4)]
    if times:
        assert [to_millis(line.logged_at) for line in found if line.logged_at] == times


@pytest.mark.parametrize("odd", [0, 7, 19])
def test_a_marked_line_at_either_end_is_numbered_as_the_others(
    cursor: sqlite3.Cursor, odd: int
) -> None:
    one = block(*(None if place == odd else f"line {place}" for place in range(20)))
    (stored,) = log_lines.TABLE.inserts[LogBlock](cursor, [one]) or ()
    assert (stored.first_id, stored.last_id) == (1, 20)
    assert texts(lines(cursor, Part("app"), 100, newest=False)) == one.lines


def test_a_block_is_not_extended_over_a_hole(cursor: sqlite3.Cursor) -> None:
    store(cursor, numbered(0, 5))
    cursor.execute("UPDATE log_blocks SET last_id = 4")
    store(cursor, numbered(5, 5))
    found = cursor.execute("SELECT first_id, last_id FROM log_blocks ORDER BY first_id")
    assert found.fetchall() == [(1, 4), (6, 10)]
