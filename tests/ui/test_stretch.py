"""Lines of a log that follow each other: in order, and no more than memory should hold."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.records.log import LogLine
from etlmon.ui import stretch
from etlmon.ui.stretch import Stretch

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def line(number: int, text: str | None = "x") -> LogLine:
    return LogLine(id=number, log_name="app", log_path="/a", created_at=NOW, line=text)


def lines(first: int, last: int) -> list[LogLine]:
    return [line(number) for number in range(first, last + 1)]


def ids(found: Stretch) -> list[int]:
    return [one.id for one in found.lines]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "MOST_LINES", 10)
    monkeypatch.setattr(stretch, "_AT_ONCE", 2)
    monkeypatch.setattr(stretch, "MOST_CHARACTERS", 100)


def test_an_empty_one_has_no_ends() -> None:
    none = Stretch()
    assert (none.first_id, none.last_id, none.is_full) == (None, None, False)
    assert not none.holds(1)
    assert none.place(1) == 0


def test_places_are_found_by_id_though_ids_have_holes() -> None:
    found = Stretch([line(3), line(5), line(9)])
    assert [found.place(number) for number in (1, 3, 4, 9, 10)] == [0, 0, 1, 2, 3]
    assert [number for number in range(12) if found.holds(number)] == [3, 5, 9]


@pytest.mark.usefixtures("small")
def test_newer_lines_take_the_place_of_the_oldest() -> None:
    found = Stretch(lines(1, 10))
    assert found.is_full
    for number in range(11, 31):
        found.add(line(number))
        assert len(found.lines) <= 12
    assert ids(found)[-10:] == list(range(21, 31))
    assert ids(found) == list(range(ids(found)[0], 31)), "no hole"


@pytest.mark.usefixtures("small")
def test_older_lines_take_the_place_of_the_newest() -> None:
    found = Stretch(lines(11, 20))
    found.add_before(lines(6, 10))
    assert ids(found) == list(range(6, 16))


@pytest.mark.usefixtures("small")
def test_much_text_counts_as_many_lines() -> None:
    found = Stretch()
    for number in range(1, 9):
        found.add(line(number, "x" * 40))
    assert ids(found) == [7, 8]
    found.add(line(9, "x" * 1_000))
    assert ids(found) == [9], "one is kept, however long"
    found.add(line(10, None))
    assert ids(found) == [10]


def test_lines_that_are_there_are_not_added_again() -> None:
    found = Stretch(lines(1, 5))
    found.add_after(lines(3, 7))
    assert ids(found) == list(range(1, 8))


def test_a_copy_goes_its_own_way() -> None:
    found = Stretch(lines(1, 3))
    other = found.copy()
    found.add(line(4))
    assert (ids(found), ids(other)) == ([1, 2, 3, 4], [1, 2, 3])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=40))
def test_it_is_bounded_and_without_holes(steps: list[tuple[bool, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretch, "MOST_LINES", 10)
        patch.setattr(stretch, "_AT_ONCE", 2)
        patch.setattr(stretch, "MOST_CHARACTERS", 100)
        found = Stretch([line(1_000)])
        for is_newer, length in steps:
            if is_newer:
                found.add(line((found.last_id or 0) + 1, "x" * length))
            else:
                found.add_before([line((found.first_id or 0) - 1, "x" * length)])
            assert ids(found) == list(range(ids(found)[0], ids(found)[-1] + 1))
            assert len(found.lines) <= 12
            characters = sum(len(one.line or "") for one in found.lines)
            assert characters <= 100 or len(found.lines) == 1
            assert found._characters == characters
