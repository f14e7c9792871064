"""The writer: what makes a transaction, and what becomes of batches when something fails."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults, succeed
from twisted.internet.task import Clock

from etlmon.errors import StoreError
from etlmon.records.base import Record
from etlmon.records.health import CollectorRun
from etlmon.store.database import StoreService
from etlmon.store.tables.base import Table
from etlmon.store.writer import Writer
from etlmon.units import utc

Until = Callable[[Callable[[], object]], Awaitable[None]]
Sql = Callable[..., list[tuple[Any, ...]]]
Flush = Callable[..., list[Any]]


class Row(Record, frozen=True, kw_only=True):
    number: int


class Other(Record, frozen=True, kw_only=True):
    number: int


class Sample(Record, frozen=True, kw_only=True):
    number: int


class FakeCursor:
    """Remembers what was inserted; a negative number is a batch at fault."""

    def __init__(self) -> None:
        self.inserted: list[int] = []

    def execute(self, statement: str) -> None:
        assert statement == "BEGIN IMMEDIATE"


def insert(cursor: Any, rows: Any) -> None:
    for row in rows:
        if row.number < 0:
            raise sqlite3.IntegrityError("NOT NULL constraint failed")
        cursor.inserted.append(row.number)


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
        self._waiting: Callable[[], None] | None = None

    def runInteraction(self, transaction: Any, works: Any) -> Deferred[Any]:
        self.attempts.append(len(works))
        if self.broken is not None:
            return fail(self.broken)
        cursor = FakeCursor()
        try:
            result = transaction(cursor, works)
        except Exception:
            return fail()
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
        self.weights: dict[type[Record], int] = {Row: 1}
        tables = [
            Table("rows", {Row: insert}, weight={Row: lambda _: self.weights[Row]}),
            Table("others", {Other: insert}),
            Table("samples", {Sample: insert}, may_be_held=True),
        ]
        self.writer = Writer(
            self.pool,  # type: ignore[arg-type]
            tables,
            self.clock,
            lambda: 1000 + self.clock.seconds(),
            lambda names: self.told.append("+".join(sorted(names))),
        )

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


@pytest.fixture
def bench() -> Iterator[Bench]:
    one = Bench()
    yield one
    assert not one.clock.getDelayedCalls()


# --- what makes a transaction ---------------------------------------------------------------------


def test_lone_batch_waits_for_nobody(bench: Bench) -> None:
    bench.write(1)
    assert bench.writer.pending == 1
    bench.clock.advance(0)
    assert bench.pool.committed == [[1]]
    assert bench.writer.pending == 0


def test_transaction_holds_what_came_during_the_one_before(bench: Bench) -> None:
    bench.pool.at_once = False
    bench.write(1)
    bench.clock.advance(0)
    for number in (2, 3, 4):
        bench.write(number)
        bench.run(0.03)
    assert (bench.pool.committed, bench.told, bench.writer.pending) == ([], [], 4)
    bench.pool.finish()
    bench.clock.advance(0)
    bench.pool.finish()
    assert bench.pool.committed == [[1], [2, 3, 4]]
    assert bench.writer.state.commits == 2


def test_a_transaction_that_does_not_end_is_seen(bench: Bench) -> None:
    bench.pool.at_once = False
    assert bench.writer.committing_seconds == 0
    bench.write(1)
    bench.clock.advance(0)
    bench.clock.advance(90)
    assert bench.writer.committing_seconds == 90
    bench.pool.finish()
    assert bench.writer.committing_seconds == 0


def test_what_may_wait_goes_along_with_others(bench: Bench) -> None:
    bench.writer.write([Row(number=1)], may_wait=True)
    bench.run(1)
    bench.writer.write([Row(number=2)], may_wait=True)
    bench.run(1)
    assert bench.pool.committed == []
    bench.write(3)
    bench.clock.advance(0)
    assert bench.pool.committed == [[1, 2, 3]]


def test_what_may_wait_goes_alone_where_nothing_else_comes(bench: Bench) -> None:
    bench.writer.write([Row(number=1)], may_wait=True)
    bench.run(5.9)
    assert bench.pool.committed == []
    bench.run(0.2)
    assert bench.pool.committed == [[1]]


def test_the_end_waits_for_no_others(bench: Bench) -> None:
    bench.pool.at_once = False
    bench.write(1)
    bench.clock.advance(0)
    bench.writer.write([Row(number=2)], may_wait=True)
    closed = bench.writer.close()
    bench.pool.finish()
    bench.run(0.1)
    bench.pool.finish()
    assert closed.called
    assert bench.pool.committed == [[1], [2]]


def test_after_a_burst_the_next_follows_at_once(bench: Bench) -> None:
    bench.write(*range(1_000))
    bench.clock.advance(0)
    bench.write(1)
    bench.clock.advance(0)
    bench.write(2)
    bench.clock.advance(0)
    assert [len(rows) for rows in bench.pool.committed] == [1_000, 1]
    bench.run(0.02)
    assert [len(rows) for rows in bench.pool.committed] == [1_000, 1, 1]


def test_a_burst_waits_for_nobody(bench: Bench) -> None:
    """Neither after a trickle, whose next transaction would come 20 ms later, nor after a step."""
    bench.write(1)
    bench.clock.advance(0)
    bench.write(2)
    bench.write(*range(1_000))
    bench.clock.advance(0)
    assert [len(rows) for rows in bench.pool.committed] == [1, 1_001]
    bench.writer.run(lambda cursor: None)
    bench.clock.advance(0)
    bench.write(*range(1_000))
    bench.clock.advance(0)
    assert [len(rows) for rows in bench.pool.committed][2:] == [0, 1_000]


def test_what_joins_is_done_first_in_the_same_transaction(bench: Bench) -> None:
    """However full that is; what needs no transaction stays apart."""
    bench.write(*range(5_000))
    bench.writer.run(lambda cursor: cursor.inserted.append(-1), joins=True)
    bench.writer.run(lambda cursor: None, in_transaction=False)
    bench.clock.advance(0)
    assert bench.pool.attempts == [2, 1]
    assert bench.pool.committed[0] == [-1, *range(5_000)]


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
    assert bench.writer.state.failing
    bench.pool.broken = None
    bench.pool.at_once = False
    bench.writer.run(lambda cursor: None, joins=True)
    bench.run(0.2)
    bench.pool.finish()
    assert bench.writer.state.failing
    bench.run(0.2)
    bench.pool.finish()
    assert not bench.writer.state.failing
    assert bench.pool.committed == [[], [1]]
    flush_logged_errors("takes no writes")


def test_a_record_may_be_many_rows(bench: Bench) -> None:
    """What makes a transaction full is the rows."""
    bench.weights[Row] = 3_000
    bench.write(1)
    bench.write(2)
    bench.clock.advance(0)
    assert bench.pool.committed == [[1], [2]]
    bench.weights[Row] = 1
    bench.write(3)
    bench.write(4)
    bench.run(0.02)
    assert bench.pool.committed[2:] == [[3, 4]]


def test_transactions_are_20_ms_apart(bench: Bench) -> None:
    for number in range(100):
        bench.write(number)
        bench.run(0.001)
    assert bench.pool.committed == [
        [0],
        *([*range(first, first + 20)] for first in (1, 21, 41, 61)),
    ]
    bench.run(0.02)
    assert bench.pool.rows == list(range(100))


def test_transaction_holds_5000_records_at_most(bench: Bench) -> None:
    bench.pool.at_once = False
    bench.write(0)
    bench.clock.advance(0)
    for first in (1, 3001, 5001, 5002):
        bench.write(*range(first, {1: 3001, 3001: 5001, 5001: 5002, 5002: 12_000}[first]))
    for _ in range(4):
        bench.pool.finish()
        bench.run(0.02)
    assert [len(rows) for rows in bench.pool.committed] == [1, 5000, 1, 6998]
    assert bench.pool.rows == list(range(12_000))


def test_other_work_goes_alone_and_in_its_turn(bench: Bench) -> None:
    bench.pool.at_once = False
    bench.write(1)
    bench.clock.advance(0)
    bench.write()
    answer = bench.writer.run(lambda cursor: "done", ["others"])
    bench.write(2)
    for _ in range(3):
        bench.pool.finish()
        bench.run(0.02)
    bench.pool.finish()
    assert bench.pool.attempts == [1, 1, 1, 1]
    assert bench.told == ["rows", "1", "", "", "others", "rows", "2"]
    answer.addCallback(bench.told.append)
    assert bench.told[-1] == "done"


def test_records_of_two_tables_go_in_one_transaction(bench: Bench) -> None:
    bench.writer.write([Row(number=1), Other(number=2), Row(number=3)])
    bench.clock.advance(0)
    assert bench.pool.committed == [[1, 3, 2]]
    assert bench.told == ["others+rows"]


def test_listener_is_told_after_the_commit_and_before_the_writers(bench: Bench) -> None:
    bench.pool.at_once = False
    bench.write(1)
    bench.clock.advance(0)
    bench.write(2)
    bench.write(3, kind=Other)
    assert bench.told == []
    bench.pool.finish()
    assert bench.told == ["rows", "1"]
    bench.run(0.02)
    bench.pool.finish()
    assert bench.told == ["rows", "1", "others+rows", "2", "3"]


def test_record_that_no_table_takes(bench: Bench) -> None:
    with pytest.raises(KeyError):
        bench.writer.write([run_of(1)])
    assert bench.writer.pending == 0


def test_cancelling_stops_the_waiting_and_not_the_batch(bench: Bench) -> None:
    done = bench.writer.write([Row(number=1)])
    done.cancel()
    done.addErrback(lambda failure: failure.trap(CancelledError))
    bench.write(2)
    bench.clock.advance(0)
    assert bench.pool.committed == [[1, 2]]


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
    assert not bench.writer.state.failing
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
    assert bench.writer.state.failing
    assert bench.writer.state.last_error == "no luck"
    assert bench.writer.state.last_error_at == 1000
    assert bench.writer.pending == 2
    bench.write(3)
    bench.run(1)
    bench.pool.broken = None
    bench.run(5)
    assert bench.pool.committed == [[1, 2, 3]]
    assert not bench.writer.state.failing
    assert bench.told == ["rows", "1", "2", "3"]
    assert len(flush_logged_errors("takes no writes: no luck")) == 1


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


# --- the end --------------------------------------------------------------------------------------


def closed(bench: Bench) -> list[str]:
    bench.writer.close().addCallback(lambda _: bench.told.append("closed"))
    return bench.told


def test_close_with_nothing_to_do(bench: Bench) -> None:
    assert closed(bench) == ["closed"]
    assert closed(bench) == ["closed", "closed"]


def test_close_commits_what_waits(bench: Bench) -> None:
    bench.pool.at_once = False
    bench.write(1)
    bench.clock.advance(0)
    bench.write(2)
    closed(bench)
    closed(bench)
    bench.pool.finish()
    bench.run(0.02)
    assert bench.told == ["rows", "1"]
    bench.pool.finish()
    assert bench.told == ["rows", "1", "rows", "2", "closed", "closed"]


def test_close_does_not_wait_for_the_next_retry(bench: Bench, flush_logged_errors: Flush) -> None:
    bench.pool.broken = trouble()
    bench.write(1)
    bench.run(10)
    bench.pool.broken = None
    closed(bench)
    bench.clock.advance(0)
    assert bench.told == ["rows", "1", "closed"]
    flush_logged_errors("takes no writes")


def test_close_while_failing_ends_with_one_more_attempt(
    bench: Bench, flush_logged_errors: Flush
) -> None:
    bench.pool.broken = trouble()
    bench.write(*range(5000))
    bench.write(1)
    bench.write(2)
    bench.run(10)
    attempts = len(bench.pool.attempts)
    closed(bench)
    bench.clock.advance(0)
    assert len(bench.pool.attempts) == attempts + 1
    assert bench.told[1:] == [
        "1: not stored: database is locked",
        "2: not stored: database is locked",
        "closed",
    ]
    assert bench.writer.pending == 0
    flush_logged_errors("takes no writes")
    assert len(flush_logged_errors("3 batches were not stored: database is locked")) == 1


def test_close_refuses_the_batch_at_fault_alone(bench: Bench) -> None:
    for number in (1, -2, 3):
        bench.write(number)
    closed(bench)
    bench.run(0.1)
    assert bench.pool.committed == [[1], [3]]
    assert [text for text in bench.told if text != "rows"] == [
        "1",
        "-2: not stored: NOT NULL constraint failed",
        "3",
        "closed",
    ]


def test_no_writes_after_close(bench: Bench) -> None:
    closed(bench)
    bench.write(1)
    bench.writer.run(lambda cursor: None).addErrback(lambda f: bench.told.append(str(f.value)))
    assert bench.told == [
        "closed",
        "1: the store has been closed",
        "the store has been closed",
    ]
    assert bench.pool.attempts == []


# --- with SQLite ----------------------------------------------------------------------------------


def run_of(number: int, instance: str = "") -> CollectorRun:
    return CollectorRun(
        collector="test",
        instance=instance,
        started_at=utc(number),
        duration_ms=0,
        state="ok",
        records=number,
    )


NUMBERS = "SELECT records FROM collector_run ORDER BY rowid"


async def test_everything_is_stored_once_in_order(store: StoreService, sql: Sql) -> None:
    sizes = random.Random(1).choices([1, 2, 10, 400], k=100)
    numbers = iter(range(sum(sizes)))
    done = [store.write([run_of(next(numbers)) for _ in range(size)]) for size in sizes]
    await gatherResults(done)
    assert sql(NUMBERS) == [(number,) for number in range(sum(sizes))]
    assert 3 <= store.health().commits <= 10  # 5,000 records each at most


async def test_rows_are_there_when_the_deferred_fires(store: StoreService, sql: Sql) -> None:
    for number in range(10):
        await store.write([run_of(number)])
        assert sql("SELECT max(records) FROM collector_run") == [(number,)]


async def test_batch_at_fault_leaves_no_row_behind(store: StoreService, sql: Sql) -> None:
    too_large = [run_of(20), replace(run_of(21), duration_ms=1 << 63)]
    none = [run_of(30), replace(run_of(31), collector=None)]
    done = [
        store.write([run_of(1), run_of(2)]),
        store.write(too_large),
        store.write([run_of(3)]),
        store.write(none),
        store.write([run_of(4)]),
    ]
    for good in (0, 2, 4):
        await done[good]
    with pytest.raises(StoreError, match=r"not stored: .*too large"):
        await done[1]
    with pytest.raises(StoreError, match="not stored: NOT NULL constraint failed"):
        await done[3]
    assert sql(NUMBERS) == [(1,), (2,), (3,), (4,)]
    assert store.health().state == "ok"


async def test_locked_by_another_connection(
    store: StoreService, path: Path, sql: Sql, until: Until, flush_logged_errors: Flush
) -> None:
    """Samples are held: nobody waits for them, and all are there when the lock is gone."""
    await store.run(lambda cursor: cursor.execute("PRAGMA busy_timeout = 10"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        heard: list[Any] = []
        store.on_records(heard.extend)
        done = [store.write([run_of(number)]) for number in range(5)]
        await until(lambda: store.health().state == "degraded")
        assert store.health().last_error == "database is locked"
        assert (store.health().pending_batches, store.health().held_records) == (5, 5)
        assert store.health().reason == (
            "database is locked; trying again; 5 samples wait in memory"
        )
        done += [store.write([run_of(number)]) for number in range(5, 10)]
        await gatherResults(done)
        assert await store.read(lambda cursor: cursor.execute(NUMBERS).fetchall()) == []
        assert len(heard) == 10
        other.execute("ROLLBACK")
    await until(lambda: not store.health().held_records)
    assert len(heard) == 10
    assert (store.health().state, store.health().reason) == ("ok", None)
    assert sql(NUMBERS) == [(number,) for number in range(10)]
    flush_logged_errors("takes no writes: database is locked")


async def test_full_until_there_is_space(
    path: Path, sql: Sql, until: Until, flush_logged_errors: Flush
) -> None:
    store = StoreService(path, reactor, lambda: 0.0, max_bytes=1 << 30)
    store.startService()
    await store.write([run_of(0)])

    def limit(pages: int) -> Callable[[sqlite3.Cursor], None]:
        return lambda cursor: cursor.execute(f"PRAGMA max_page_count = {pages}").close()

    ((pages,),) = sql("PRAGMA page_count")
    await store.run(limit(pages + 20))
    for number in range(1, 21):
        store.write([run_of(number, "x" * 1000)] * 10)
    await until(lambda: store.health().state == "degraded")
    assert store.health().last_error == "database or disk is full"
    await store.run(limit(100_000), in_transaction=False, makes_room=True)
    await until(lambda: not store.health().held_records)
    assert store.health().state == "ok"
    assert sql(NUMBERS) == [(0,)] + [(number,) for number in range(1, 21) for _ in range(10)]
    assert sql("PRAGMA integrity_check") == [("ok",)]
    flush_logged_errors("takes no writes: database or disk is full")
    await store.stopService()


async def test_stop_while_locked_ends(
    path: Path, sql: Sql, until: Until, flush_logged_errors: Flush
) -> None:
    store = StoreService(path, reactor, lambda: 0.0)
    store.startService()
    await store.run(lambda cursor: cursor.execute("PRAGMA busy_timeout = 10"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await store.write([run_of(1)])
        waiting = store.run(lambda cursor: None)
        await until(lambda: store.health().state == "degraded")
        await store.stopService()
        with pytest.raises(StoreError, match="not stored: database is locked"):
            await waiting
    assert sql(NUMBERS) == []
    assert store.health().dropped_records == 1
    flush_logged_errors("takes no writes", "2 batches were not stored")


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
        monkeypatch.setattr("etlmon.store.writer._MOST_HELD_RECORDS", 3)
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
        assert bench.writer.state.failing, "only a batch shows that the database takes writes"
        bench.clock.advance(0.1)
        assert (bench.pool.rows, bench.writer.state.failing) == ([1], False)
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

    def test_closing_while_halted_refuses(self, bench: Bench) -> None:
        bench.writer.halt()
        refused: list[Any] = []
        bench.writer.write([Row(number=1)]).addErrback(refused.append)
        closed: list[Any] = []
        bench.writer.close().addBoth(closed.append)
        assert (len(refused), closed) == (1, [None])
