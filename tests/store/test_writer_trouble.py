"""The writer: what becomes of batches when one is at fault, or the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.store.writer_bench import Bench, Row, Sample, trouble

Flush = Callable[..., list[Any]]


# --- a batch at fault -----------------------------------------------------------------------------


def test_batch_at_fault_is_refused_alone(bench: Bench) -> None:
    for number in (1, 2, -3, 4, -5, 6):
        bench.write(number)
    bench.run(0.2)
    assert bench.pool.committed == [[1], [2], [4], [6]]
    assert [text for text in bench.told if text != "rows"] == [
        "1",
        "2",
        "-3: not stored: NOT NULL constraint failed",
        "4",
        "-5: not stored: NOT NULL constraint failed",
        "6",
    ]
    assert not bench.writer.trouble.failing
    assert bench.writer.state.last_error == "NOT NULL constraint failed"


def test_batches_that_come_meanwhile_stay_behind(bench: Bench) -> None:
    for number in (1, -2, 3):
        bench.write(number)
    bench.clock.advance(0)
    bench.write(4)
    bench.run(0.2)
    assert bench.pool.rows == [1, 3, 4]


def test_error_that_is_not_sqlites_is_the_batchs(bench: Bench) -> None:
    answer = bench.writer.run(lambda cursor: 1 // 0)
    bench.clock.advance(0)
    answer.addErrback(lambda failure: bench.told.append(str(failure.value)))
    assert bench.told == ["not stored: integer division or modulo by zero"]


# --- the database at fault ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_BUSY_SNAPSHOT,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
    ],
)
def test_trouble_of_the_database_is_waited_out(
    bench: Bench, code: int, flush_logged_errors: Flush
) -> None:
    bench.pool.broken = trouble(code, "no luck")
    bench.write(1)
    bench.write(2)
    bench.clock.advance(0)
    assert bench.writer.trouble.failing
    assert bench.writer.state.last_error == "no luck"
    assert bench.writer.state.last_error_at == 1000
    assert bench.writer.pending == 2
    bench.write(3)
    bench.run(1)
    bench.pool.broken = None
    bench.run(5)
    assert bench.pool.committed == [[1, 2, 3]]
    assert not bench.writer.trouble.failing
    assert bench.told == ["rows", "1", "2", "3"]
    assert len(flush_logged_errors("takes no writes: no luck")) == 1


def test_on_the_brink_it_is_one_trouble(bench: Bench, flush_logged_errors: Flush) -> None:
    """Of a disk that is nearly full a small commit may succeed, and the next fail."""
    for number in range(10):
        bench.pool.broken = trouble(sqlite3.SQLITE_FULL, "database or disk is full")
        bench.write(number)
        bench.run(0.05)
        assert bench.writer.trouble.reason == "database or disk is full; trying again"
        bench.pool.broken = None
        bench.run(1)
        assert bench.pool.rows[-1] == number
        assert str(bench.writer.trouble.reason).endswith("a moment ago; writing goes on")
    assert len(flush_logged_errors("takes no writes")) == 1
    bench.run(1.5)
    assert bench.writer.trouble.reason is None
    bench.pool.broken = trouble()
    bench.write(10)
    bench.clock.advance(0)
    assert len(flush_logged_errors("takes no writes: database is locked")) == 1, "another one"
    bench.pool.broken = None
    bench.run(1)


def test_pauses_grow_up_to_5_s_and_begin_anew(bench: Bench, flush_logged_errors: Flush) -> None:
    def pauses(seconds: float) -> list[float]:
        began, seen = bench.clock.seconds(), len(bench.pool.attempts)
        times = []
        while bench.clock.seconds() < began + seconds:
            bench.clock.advance(0.01)
            if len(bench.pool.attempts) > seen:
                seen = len(bench.pool.attempts)
                times.append(bench.clock.seconds())
        return [round(b - a, 1) for a, b in pairwise(times)]

    bench.pool.broken = trouble()
    bench.write(1)
    assert pauses(20) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    bench.pool.broken = None
    bench.run(5)
    bench.pool.broken = trouble()
    bench.write(2)
    assert pauses(1)[:2] == [0.1, 0.2]
    bench.pool.broken = None
    bench.run(5)
    assert bench.pool.committed == [[1], [2]]
    assert len(flush_logged_errors("takes no writes")) == 2


def test_pending_counts_what_is_being_tried(bench: Bench) -> None:
    bench.pool.at_once = False
    bench.write(1)
    bench.clock.advance(0)
    assert bench.writer.pending == 1
    bench.pool.finish()
    assert bench.writer.pending == 0


# --- what makes room ------------------------------------------------------------------------------


def test_what_joins_goes_alone_while_commits_fail(bench: Bench, flush_logged_errors: Flush) -> None:
    """What it deletes is room for what waits, once that is committed."""
    bench.pool.broken = trouble(sqlite3.SQLITE_FULL, "database or disk is full")
    bench.write(1, kind=Sample)
    bench.writer.run(lambda cursor: None, joins=True)
    bench.clock.advance(0)
    assert bench.pool.attempts == [2]
    bench.pool.broken = None
    bench.run(1)
    assert bench.pool.attempts == [2, 1, 1]
    assert bench.pool.committed == [[], [1]]
    flush_logged_errors("takes no writes")


def test_what_makes_room_does_not_wait_for_the_next_attempt(
    bench: Bench, flush_logged_errors: Flush
) -> None:
    """It is what the attempt waits for."""
    bench.pool.broken = trouble(sqlite3.SQLITE_FULL, "database or disk is full")
    bench.write(1)
    bench.run(10)
    tried = len(bench.pool.attempts)
    bench.pool.broken = None
    bench.writer.run(lambda cursor: None, makes_room=True)
    bench.run(0.03)
    assert len(bench.pool.attempts) == tried + 2
    assert bench.pool.committed == [[], [1]]
    flush_logged_errors("takes no writes")


def test_a_deletion_that_comes_during_an_attempt_goes_before_the_next(
    bench: Bench, flush_logged_errors: Flush
) -> None:
    """Behind what fails for want of room it would wait for ever, and that for it."""
    done: list[str] = []

    def fill(cursor: Any) -> None:
        if "delete" not in done:
            bench.writer.run(lambda cursor: done.append("delete"), joins=True)
            raise trouble(sqlite3.SQLITE_FULL, "database or disk is full")
        done.append("fill")

    bench.writer.run(fill)
    bench.run(0.2)
    assert done == ["delete", "fill"]
    flush_logged_errors("takes no writes")


def test_what_writes_nothing_is_no_sign_that_writing_works(
    bench: Bench, flush_logged_errors: Flush
) -> None:
    """On a disk with errors a deletion of no rows succeeds, and no batch does."""
    bench.pool.broken = trouble(sqlite3.SQLITE_IOERR, "disk I/O error")
    bench.write(1)
    bench.clock.advance(0)
    assert bench.writer.trouble.failing
    bench.pool.broken = None
    bench.pool.at_once = False
    bench.writer.run(lambda cursor: None, joins=True)
    bench.run(0.2)
    bench.pool.finish()
    assert bench.writer.trouble.failing
    bench.run(0.2)
    bench.pool.finish()
    assert not bench.writer.trouble.failing
    assert bench.pool.committed == [[], [1]]
    flush_logged_errors("takes no writes")


# --- what is held while the database takes no writes ----------------------------------------------


def sample(number: int) -> Sample:
    return Sample(number=number)


class TestHolding:
    """Samples are kept in memory, the newest of them; all else waits as ever."""

    def test_the_collector_goes_on(self, bench: Bench, flush_logged_errors: Flush) -> None:
        bench.pool.broken = trouble()
        told: list[Any] = []
        bench.writer.write([sample(1)]).addBoth(told.append)
        bench.writer.write([Row(number=2)]).addBoth(told.append)
        bench.clock.advance(0)
        assert told == [None], "the sample is not waited for, the row is"
        assert bench.writer.held_records == 1
        bench.pool.broken = None
        bench.clock.advance(1)
        assert (told, bench.pool.rows) == ([None, None], [1, 2])
        assert bench.writer.held_records == 0
        flush_logged_errors("takes no writes")

    def test_what_comes_later_is_held_at_once_and_in_order(
        self, bench: Bench, flush_logged_errors: Flush
    ) -> None:
        bench.pool.broken = trouble()
        bench.writer.write([sample(0)])
        bench.clock.advance(0)
        told: list[Any] = []
        for number in (1, 2, 3):
            bench.writer.write([sample(number)]).addBoth(told.append)
        assert told == [None] * 3
        bench.pool.broken = None
        bench.clock.advance(1)
        assert bench.pool.rows == [0, 1, 2, 3]
        flush_logged_errors("takes no writes")

    def test_the_oldest_go_and_are_counted(
        self, bench: Bench, flush_logged_errors: Flush, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("etlmon.store.queue._MOST_HELD_RECORDS", 3)
        bench.pool.broken = trouble()
        kept: list[Any] = []
        bench.writer.write([Row(number=100)]).addBoth(kept.append)
        for number in range(6):
            bench.writer.write([sample(number)])
        bench.clock.advance(0)
        assert (bench.writer.held_records, bench.writer.state.dropped_records) == (3, 3)
        assert kept == []
        bench.pool.broken = None
        bench.clock.advance(1)
        assert bench.pool.rows == [100, 3, 4, 5]
        assert kept == [None]
        flush_logged_errors("takes no writes")

    def test_they_are_bounded_by_their_text_too(
        self, bench: Bench, flush_logged_errors: Flush
    ) -> None:
        """Paths of 4 KiB, of which 4,096 make 16 MiB; who goes makes room for one that comes."""
        path = "x" * 4_096
        bench.pool.broken = trouble()
        for number in range(5_000):
            bench.writer.write([Sample(number=number, text=path)])
        bench.clock.advance(0)
        assert (bench.writer.held_records, bench.writer.state.dropped_records) == (4_096, 904)
        bench.pool.broken = None
        bench.run(1)
        assert bench.pool.rows == [*range(904, 5_000)]
        bench.pool.broken = trouble()
        for number in range(4_096):
            bench.writer.write([Sample(number=number, text=path)])
        bench.run(1)
        assert (bench.writer.held_records, bench.writer.state.dropped_records) == (4_096, 904)
        bench.pool.broken = None
        bench.run(5)
        flush_logged_errors("takes no writes")

    @pytest.mark.parametrize("is_first", [True, False])
    def test_a_batch_larger_than_the_bound_pushes_out_no_other(
        self, bench: Bench, flush_logged_errors: Flush, is_first: bool
    ) -> None:
        """Such as one of 5,000 processes with command lines of 4 KiB."""
        bench.pool.broken = trouble()
        large = Sample(number=2, text="x" * (17 << 20))
        bench.writer.write([large] if is_first else [sample(1)])
        bench.clock.advance(0)
        bench.writer.write([sample(1)] if is_first else [large])
        assert (bench.writer.held_records, bench.writer.state.dropped_records) == (1, 1)
        bench.run(1)
        bench.pool.broken = None
        bench.writer.write([sample(3)])
        bench.run(10)
        assert bench.pool.rows == [1, 3]
        assert bench.writer.held_records == 0
        flush_logged_errors("takes no writes")

    def test_what_makes_room_goes_first_and_is_no_recovery(
        self, bench: Bench, flush_logged_errors: Flush
    ) -> None:
        bench.pool.broken = trouble(sqlite3.SQLITE_FULL, "database or disk is full")
        bench.writer.write([Row(number=1)])
        bench.clock.advance(0)
        bench.pool.broken = None
        order: list[Any] = []
        bench.writer.run(lambda cursor: order.append(bench.pool.rows), makes_room=True)
        bench.clock.advance(0.1)
        assert order == [[]], "before the row that waits for the room"
        assert bench.writer.trouble.failing, "only a batch shows that the database takes writes"
        bench.clock.advance(0.1)
        assert (bench.pool.rows, bench.writer.trouble.failing) == ([1], False)
        flush_logged_errors("takes no writes")

    def test_halted_nothing_begins(self, bench: Bench) -> None:
        bench.writer.write([Row(number=1)])
        bench.writer.halt()
        bench.writer.write([Row(number=2)])
        bench.clock.advance(10)
        assert bench.pool.attempts == []
        bench.writer.resume()
        bench.clock.advance(1)
        assert bench.pool.rows == [1, 2]

    def test_closing_while_halted_refuses(self, bench: Bench, flush_logged_errors: Flush) -> None:
        bench.writer.halt()
        refused: list[Any] = []
        bench.writer.write([Row(number=1)]).addErrback(refused.append)
        closed: list[Any] = []
        bench.writer.close().addBoth(closed.append)
        assert (len(refused), closed) == (1, [None])
        assert len(flush_logged_errors("1 batches were not stored")) == 1
