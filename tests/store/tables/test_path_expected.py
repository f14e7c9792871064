"""What is expected below paths: since when it is there, the day before, and the worst of them."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from etlmon.records.path import (
    ExpectationsChecked,
    PathExpected,
    PathScanStarted,
    PathsConfigured,
    path_id,
)
from etlmon.store.tables import path_expected, path_stats
from etlmon.units import utc

A = path_id("/a")
STARTED = PathScanStarted(path="/a", scan_started_at=utc(1), next_scan_at=utc(2))


def expected(state: str, at: int, place: int = 0, **fields: Any) -> PathExpected:
    """Give an expectation of day 0 or 1, looked at ``at``."""
    fields = {
        "path_id": A,
        "place": place,
        "pattern": "in",
        "glob": "in",
        "due_at": utc(1000),
        "since": utc(0),
        "min_count": 1,
        "min_bytes": 1,
        "arrived_at": utc(at) if state == "arrived" else None,
    } | fields
    return PathExpected(state=state, checked_at=utc(at), **fields)


class Stored:
    """The tables, and what is in them."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.cursor = cursor

    def check(self, *found: PathExpected) -> None:
        checked = ExpectationsChecked(path="/a", expected=list(found))
        path_expected.TABLE.inserts[ExpectationsChecked](self.cursor, [checked])

    def scan(self) -> None:
        path_stats.TABLE.inserts[PathScanStarted](self.cursor, [STARTED])

    @property
    def rows(self) -> list[PathExpected]:
        return path_expected.expected(self.cursor, A) or []

    @property
    def worst(self) -> str | None:
        return path_stats.newest(self.cursor)[0].expectation_state


@pytest.fixture
def stored(cursor: sqlite3.Cursor) -> Stored:
    return Stored(cursor)


def arrived_at(stored: Stored) -> Any:
    return stored.rows[0].arrived_at


def test_what_has_arrived_keeps_the_time_when_it_first_had(stored: Stored) -> None:
    stored.check(expected("arrived", 900))
    stored.check(expected("arrived", 950))
    assert arrived_at(stored) == utc(900)
    stored.check(expected("unknown", 960))
    assert (stored.rows[0].state, arrived_at(stored)) == ("unknown", utc(900))
    stored.check(expected("arrived", 970))
    assert arrived_at(stored) == utc(900)
    stored.check(expected("waiting", 980))
    assert arrived_at(stored) is None
    stored.check(expected("arrived", 990))
    assert arrived_at(stored) == utc(990)


def test_a_new_day_begins_anew_and_keeps_what_became_of_the_last(stored: Stored) -> None:
    stored.check(expected("late", 1010))
    assert (stored.rows[0].previous_state, stored.rows[0].previous_due_at) == (None, None)
    stored.check(expected("arrived", 1900, due_at=utc(2000)))
    stored.check(expected("arrived", 1950, due_at=utc(2000)))
    (row,) = stored.rows
    assert (row.previous_state, row.previous_due_at) == ("late", utc(1000))
    assert row.arrived_at == utc(1900)


def test_another_pattern_in_its_place_inherits_nothing(stored: Stored) -> None:
    stored.check(expected("arrived", 900))
    stored.check(expected("arrived", 1900, due_at=utc(2000), pattern="out"))
    (row,) = stored.rows
    assert (row.arrived_at, row.previous_state) == (utc(1900), None)


def test_the_worst_stands_in_the_row_of_the_path(stored: Stored) -> None:
    stored.check(expected("arrived", 900), expected("waiting", 900, place=1))
    stored.scan()  # the row of the path comes later than the first look
    assert stored.worst == "waiting"
    stored.check(expected("arrived", 1020), expected("late", 1020, place=1))
    assert stored.worst == "late"
    stored.check(expected("arrived", 1030))
    assert (stored.worst, len(stored.rows)) == ("arrived", 1)


def test_what_is_no_longer_expected_is_forgotten(stored: Stored) -> None:
    stored.scan()
    stored.check(expected("late", 1010))
    configure = path_stats.TABLE.inserts[PathsConfigured]
    configure(stored.cursor, [PathsConfigured(paths=("/a",), expecting=("/a",))])
    assert stored.worst == "late"
    configure(stored.cursor, [PathsConfigured(paths=("/a",))])
    assert (stored.worst, path_expected.expected(stored.cursor, A)) == (None, [])
    configure(stored.cursor, [PathsConfigured(paths=())])
    assert path_expected.expected(stored.cursor, A) is None
