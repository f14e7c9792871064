"""A writer on a clock and a fake pool, and what the tests of it write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from etlmon.records.base import Record
from etlmon.records.health import CollectorRun
from etlmon.store.tables.base import Table
from etlmon.store.writer import Writer
from etlmon.units import utc


class Row(Record, frozen=True, kw_only=True):
    number: int


class Sample(Record, frozen=True, kw_only=True):
    number: int
    text: str = ""


class Other(Record, frozen=True, kw_only=True):
    number: int
    names: tuple[str, ...] = ()
    within: tuple[Sample, ...] = ()


class FakeCursor:
    """Remembers what was inserted; a negative number is a batch at fault."""

    def __init__(self) -> None:
        self.inserted: list[int] = []
        self.connection = self
        self.counted = 0
        """How often the pages of the file were asked for."""

    def cursor(self) -> FakeCursor:
        return self

    def execute(self, statement: str) -> FakeCursor:
        assert statement == "BEGIN IMMEDIATE" or statement.startswith("PRAGMA ")
        self.counted += statement == "PRAGMA page_count"
        return self

    def fetchone(self) -> tuple[int]:
        return (0,)

    def commit(self) -> None:
        """The pool does it."""

    def close(self) -> None:
        """There is nothing to close."""


def insert(cursor: Any, rows: Any) -> list[int]:
    for row in rows:
        if row.number < 0:
            raise sqlite3.IntegrityError("NOT NULL constraint failed")
        cursor.inserted.append(row.number)
    return [row.number for row in rows]


def trouble(code: int = sqlite3.SQLITE_BUSY, text: str = "database is locked") -> Exception:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class FakePool:
    """Does transactions when told to, or at once; keeps those that were committed."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.at_once = True
        self.attempts: list[int] = []  # works of each
        self.committed: list[list[int]] = []
        self.counted = 0
        """In how many transactions the pages of the file were asked for."""
        self._waiting: Callable[[], None] | None = None

    def runWithConnection(self, function: Any, do: Any, works: Any) -> Deferred[Any]:
        self.attempts.append(len(works))
        if self.broken is not None:
            return fail(self.broken)
        cursor = FakeCursor()
        try:
            result = function(cursor, do, works)
        except Exception:
            return fail()
        self.counted += cursor.counted
        if self.at_once:
            self.committed.append(cursor.inserted)
            return succeed(result)
        answer: Deferred[Any] = Deferred()

        def finish() -> None:
            self.committed.append(cursor.inserted)
            answer.callback(result)

        assert self._waiting is None, "two transactions at one time"
        self._waiting = finish
        return answer

    def run_here(self, function: Any, do: Any, works: Any) -> Any:
        """Do a transaction in the thread that calls."""
        assert self._waiting is None, "two transactions at one time"
        self.attempts.append(len(works))
        if self.broken is not None:
            raise self.broken
        cursor = FakeCursor()
        result = function(cursor, do, works)
        self.counted += cursor.counted
        self.committed.append(cursor.inserted)
        return result

    @property
    def rows(self) -> list[int]:
        return list(chain.from_iterable(self.committed))

    def finish(self) -> None:
        assert self._waiting is not None
        waiting, self._waiting = self._waiting, None
        waiting()


class Bench:
    """A writer on a clock and a fake pool, and everything that it told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pool = FakePool()
        self.told: list[str] = []
        self.stored: list[list[int]] = []
        """What the inserts of each commit gave."""
        self.rows: dict[type[Record], int] = {Row: 1}
        tables = [
            Table("rows", {Row: insert}, rows={Row: lambda _: self.rows[Row]}),
            Table("others", {Other: insert}),
            Table("samples", {Sample: insert}, may_be_held=True),
        ]
        self.writer = Writer(
            self.pool,  # type: ignore[arg-type]
            tables,
            self.clock,
            lambda: 1000 + self.clock.seconds(),
            self._committed,
        )

    def _committed(self, names: frozenset[str], stored: Sequence[Any]) -> None:
        self.told.append("+".join(sorted(names)))
        self.stored.append(list(stored))

    def write(self, *numbers: int, kind: type[Any] = Row) -> Deferred[None]:
        name = ",".join(map(str, numbers))
        done = self.writer.write([kind(number=number) for number in numbers])
        done.addCallbacks(
            lambda _: self.told.append(name), lambda f: self.told.append(f"{name}: {f.value}")
        )
        return done

    def run(self, seconds: float) -> None:
        """Let time pass, a millisecond at a time."""
        self.clock.pump([0.001] * round(seconds * 1000))


def run_of(number: int, instance: str = "") -> CollectorRun:
    return CollectorRun(
        collector="test",
        instance=instance,
        started_at=utc(number),
        duration_ms=0,
        state="ok",
        records=number,
    )
