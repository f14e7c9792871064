"""The writer's connection on loan: used at once, or called in; what it stores counts as written."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from itertools import count
from threading import Event
from typing import Any

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from etlmon.errors import StoreError
from etlmon.store.database import StoreService
from etlmon.store.loan import Loan
from tests.store.writer_bench import Bench, Row, Sample, run_of, trouble

Flush = Callable[..., list[Any]]
Sql = Callable[..., list[tuple[Any, ...]]]
Until = Callable[[Callable[[], object]], Any]

NUMBERS = "SELECT records FROM collector_run ORDER BY rowid"


class Threads:
    """What threads have told, not heard of yet in the reactor's."""

    def __init__(self) -> None:
        self.told: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def __call__(self, function: Callable[..., None], *args: Any) -> None:
        self.told.append((function, args))

    def hear(self) -> None:
        told, self.told = self.told, []
        for function, args in told:
            function(*args)


@pytest.fixture
def threads() -> Threads:
    return Threads()


@pytest.fixture
def lent(bench: Bench, threads: Threads) -> Callable[[], Loan]:
    """Give what asks for a loan, and has it."""

    def lend() -> Loan:
        loan = bench.writer.lend(threads)
        assert loan is not None
        return loan

    return lend


Lent = Callable[[], Loan]


def heard(bench: Bench, stored: Deferred[Any] | None) -> list[Any]:
    """Give where what comes of a batch is put."""
    assert stored is not None
    found: list[Any] = []
    stored.addBoth(found.append)
    return found


def rows(*numbers: int) -> list[Row]:
    return [Row(number=number) for number in numbers]


def test_what_is_read_is_stored_in_the_thread_that_read_it(
    bench: Bench, threads: Threads, lent: Lent
) -> None:
    loan = lent()
    found = heard(bench, loan.store(rows(1, 2)))
    assert bench.pool.committed == [[1, 2]]
    assert (bench.told, found) == ([], [])
    threads.hear()
    assert (bench.told, bench.stored, found) == (["rows"], [[1, 2]], [None])
    state = bench.writer.state
    assert (state.commits, state.last_commit_at, bench.writer.pending) == (1, 1000, 0)


def test_it_counts_as_being_written_until_the_reactor_has_heard(
    bench: Bench, threads: Threads, lent: Lent
) -> None:
    loan = lent()
    assert (bench.writer.pending, bench.writer.queued()) == (0, [])
    loan.store(rows(1, 2))
    bench.clock.advance(90)
    assert (bench.writer.pending, bench.writer.committing_seconds) == (1, 90)
    (one,) = bench.writer.queued()
    assert (one.state, one.tables, one.records) == ("committing", {"rows"}, 2)
    assert one.waited_seconds == 90
    assert bench.writer.lend(threads) is None
    bench.write(3)
    bench.run(0.1)
    assert bench.pool.committed == [[1, 2]]
    assert [one.state for one in bench.writer.queued()] == ["committing", "waiting"]
    threads.hear()
    assert bench.writer.committing_seconds == 0
    bench.clock.advance(0)
    assert bench.pool.committed == [[1, 2], [3]]
    assert bench.told == ["rows", "rows", "3"]


def test_a_write_calls_it_in(bench: Bench, lent: Lent) -> None:
    """Who hangs where he reads holds up nobody."""
    loan = lent()
    bench.write(1)
    bench.clock.advance(0)
    assert bench.pool.committed == [[1]]
    assert loan.store(rows(2)) is None
    bench.run(0.02)
    assert loan.store(rows(2)) is None
    assert lent() is not loan
    assert bench.pool.committed == [[1]]


def test_what_may_wait_goes_before_it(bench: Bench, threads: Threads, lent: Lent) -> None:
    """It goes along with what comes next, and so it is not lent."""
    loan = lent()
    bench.writer.write(rows(1), may_wait=True)
    assert loan.store(rows(2)) is None
    assert bench.writer.lend(threads) is None
    bench.write(2)
    bench.clock.advance(0)
    assert bench.pool.committed == [[1, 2]]


def test_it_is_used_once(bench: Bench, threads: Threads, lent: Lent) -> None:
    loan = lent()
    loan.store(rows(1))
    threads.hear()
    assert loan.store(rows(2)) is None
    assert bench.pool.committed == [[1]]


def test_who_has_read_nothing_gives_it_back(bench: Bench, threads: Threads, lent: Lent) -> None:
    loan = lent()
    assert bench.writer.lend(threads) is None, "one has it"
    assert loan.store([]) is None
    assert lent() is not loan
    assert loan.store(rows(1)) is None


def test_it_is_not_lent_while_it_is_needed(bench: Bench, threads: Threads, lent: Lent) -> None:
    bench.pool.at_once = False
    bench.write(1)
    assert bench.writer.lend(threads) is None, "one waits"
    bench.clock.advance(0)
    assert bench.writer.lend(threads) is None, "one is being committed"
    bench.pool.finish()
    assert bench.writer.lend(threads) is None, "the next may come along with others"
    bench.run(0.021)
    bench.writer.halt()
    assert bench.writer.lend(threads) is None, "it is halted"
    bench.writer.resume()
    lent()
    closed = bench.writer.close()
    assert bench.writer.lend(threads) is None, "it is closed"
    assert closed.called


def test_transactions_are_as_far_apart_as_others(
    bench: Bench, threads: Threads, lent: Lent
) -> None:
    lent().store(rows(1))
    threads.hear()
    assert bench.writer.lend(threads) is None
    bench.write(2)
    bench.run(0.019)
    assert bench.pool.committed == [[1]]
    bench.run(0.002)
    assert bench.pool.committed == [[1], [2]]


def test_after_a_burst_it_is_lent_at_once(bench: Bench, threads: Threads, lent: Lent) -> None:
    lent().store(rows(*range(1_000)))
    threads.hear()
    lent().store(rows(1))
    assert [len(one) for one in bench.pool.committed] == [1_000, 1]
    threads.hear()


def test_pages_are_counted_as_for_others(bench: Bench, threads: Threads, lent: Lent) -> None:
    for _ in range(100):
        lent().store(rows(1))
        threads.hear()
        bench.run(0.025)
    assert 8 <= bench.pool.counted <= 11  # in 2.4 s; four times a second at most
    assert bench.writer.state.pages is not None


def test_trouble_is_told_and_it_is_tried_again(
    bench: Bench, threads: Threads, lent: Lent, flush_logged_errors: Flush
) -> None:
    loan = lent()
    bench.pool.broken = trouble()
    found = heard(bench, loan.store(rows(1)))
    bench.write(2)
    threads.hear()
    assert bench.writer.trouble.reason == "database is locked; trying again"
    assert bench.writer.lend(threads) is None, "it would fail, too"
    bench.run(0.5)
    assert (bench.pool.rows, found) == ([], [])
    bench.pool.broken = None
    bench.run(5)
    assert (bench.pool.rows, found) == ([1, 2], [None])
    flush_logged_errors("takes no writes")


def test_samples_are_held_in_trouble(
    bench: Bench, threads: Threads, lent: Lent, flush_logged_errors: Flush
) -> None:
    loan = lent()
    bench.pool.broken = trouble()
    found = heard(bench, loan.store([Sample(number=1)]))
    threads.hear()
    assert (found, bench.writer.held_records) == ([None], 1)
    bench.pool.broken = None
    bench.run(5)
    assert bench.pool.rows == [1]
    flush_logged_errors("takes no writes")


def test_a_batch_at_fault_is_refused_alone(bench: Bench, threads: Threads, lent: Lent) -> None:
    """Nobody needs to hear of it: the run that has read it may have been cancelled."""
    found = heard(bench, lent().store(rows(-1)))
    bench.write(2)
    threads.hear()
    (error,) = found
    assert isinstance(error, StoreError)
    assert "NOT NULL" in str(error)
    bench.run(0.03)
    assert bench.pool.committed == [[2]]


def test_the_end_calls_it_in_or_waits_for_it(bench: Bench, lent: Lent) -> None:
    loan = lent()
    assert bench.writer.close().called
    assert loan.store(rows(1)) is None
    assert bench.pool.committed == []


def test_the_end_waits_for_what_is_being_stored(bench: Bench, threads: Threads, lent: Lent) -> None:
    found = heard(bench, lent().store(rows(1)))
    closed = bench.writer.close()
    assert not closed.called
    threads.hear()
    assert (closed.called, found, bench.told) == (True, [None], ["rows"])


def test_what_fails_at_the_end_is_told(
    bench: Bench, threads: Threads, lent: Lent, flush_logged_errors: Flush
) -> None:
    loan = lent()
    bench.pool.broken = trouble()
    found = heard(bench, loan.store(rows(1)))
    closed = bench.writer.close()
    threads.hear()
    assert closed.called
    assert isinstance(found[0], StoreError)
    flush_logged_errors("1 batches were not stored")


def test_who_has_halted_it_can_wait_until_nobody_writes(
    bench: Bench, threads: Threads, lent: Lent
) -> None:
    loan = lent()
    loan.store(rows(1))
    bench.writer.halt()
    rests = bench.writer.resting()
    assert not rests.called
    threads.hear()
    assert rests.called
    assert bench.writer.resting().called
    bench.writer.resume()
    unused = lent() if bench.run(0.03) is None else None
    bench.writer.halt()
    assert unused is not None
    assert unused.store(rows(2)) is None
    assert bench.writer.resting().called
    assert bench.pool.committed == [[1]]


def test_it_can_be_waited_for_in_the_usual_way_too(bench: Bench) -> None:
    bench.pool.at_once = False
    bench.write(1)
    bench.clock.advance(0)
    bench.writer.halt()
    rests = bench.writer.resting()
    assert not rests.called
    bench.pool.finish()
    assert rests.called


# --- on a real database --------------------------------------------------------------------------


async def until_lent(store: StoreService) -> Loan:
    while (loan := store.lend()) is None:
        await task.deferLater(reactor, 0.001)
    return loan


async def storing_until(
    store: StoreService, monkeypatch: pytest.MonkeyPatch
) -> tuple[Deferred[Any], Event]:
    """Have a thread store a record; it has begun, and does not end before the event."""
    connections = store._current.connections
    assert connections is not None
    begun, may_end = Event(), Event()
    run_here = connections.writing.run_here

    def slowly(*args: Any) -> Any:
        begun.set()
        assert may_end.wait(30)
        return run_here(*args)

    monkeypatch.setattr(connections.writing, "run_here", slowly)
    loan = await until_lent(store)
    storing: Deferred[Any] = deferToThread(loan.store, [run_of(1)])
    await deferToThread(begun.wait, 30)
    return storing, may_end


async def test_listeners_hear_of_it_once_and_readers_see_it(store: StoreService, sql: Sql) -> None:
    commits: list[frozenset[str]] = []
    taken: list[Any] = []
    store.on_commit(lambda tables, _: commits.append(tables))
    store.on_records(taken.extend)
    loan = await until_lent(store)
    record = run_of(1)
    stored = await deferToThread(loan.store, [record])
    assert await stored is None
    assert commits == [frozenset({"collector_run"})]
    assert taken == [record]
    assert sql(NUMBERS) == [(1,)]


async def test_listeners_hear_of_it_though_who_has_asked_has_gone(store: StoreService) -> None:
    """The run that has read it may have been cancelled, but it is stored."""
    taken: list[Any] = []
    store.on_records(taken.extend)
    loan = await until_lent(store)
    stored = loan.store([run_of(1)])
    assert stored is not None
    stored.cancel()
    await store.write([run_of(2)])
    assert taken == [run_of(1), run_of(2)]


async def test_there_is_one_connection(store: StoreService) -> None:
    """What one thread has set on it holds in the other."""
    await store.run(lambda cursor: cursor.execute("CREATE TEMP TABLE mine (x)"))
    loan = await until_lent(store)
    stored = await deferToThread(loan.store, [run_of(1)])
    assert await stored is None
    await store.run(lambda cursor: cursor.execute("SELECT * FROM mine"))
    connections = store._current.connections
    assert connections is not None
    assert len(connections.writing.connections) == 1


async def test_whoever_is_first_each_record_is_stored_once(store: StoreService, sql: Sql) -> None:
    """Threads that have it on loan, against writes that call it in."""
    numbers = count(1)
    used: list[bool] = []

    def store_later(loan: Loan, number: int) -> Deferred[Any] | None:
        time.sleep(number % 5 / 500)  # what reading takes
        return loan.store([run_of(number)])

    async def read() -> None:
        for _ in range(40):
            loan, number = await until_lent(store), next(numbers)
            stored = await deferToThread(store_later, loan, number)
            used.append(stored is not None)
            if stored is None:
                await store.write([run_of(number)])
            else:
                assert await stored is None

    async def write() -> None:
        for turn in range(40):
            await store.write([run_of(next(numbers))])
            await task.deferLater(reactor, 0.03 + turn % 7 / 200)

    await gatherResults([Deferred.fromCoroutine(one) for one in (read(), read(), write())])
    assert sorted(sql(NUMBERS)) == [(number,) for number in range(1, next(numbers))]
    assert any(used)


async def test_what_was_begun_before_is_waited_for_by_who_asks_what_is_saved(
    store: StoreService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is cancelled may still be storing when the next one asks where to go on."""
    storing, may_end = await storing_until(store, monkeypatch)
    asked = store.run(lambda cursor: cursor.execute(NUMBERS).fetchall())
    assert not asked.called
    may_end.set()
    assert await asked == [(1,)]
    await storing


async def test_a_damaged_database_is_not_closed_while_it_is_used(
    store: StoreService, until: Until, flush_logged_errors: Flush, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etlmon.store.current.check", lambda _: "it is spoilt")
    connections = store._current.connections
    storing, may_end = await storing_until(store, monkeypatch)
    store.suspect(StoreError("a doubt"))
    await task.deferLater(reactor, 0.1)
    assert store._current.connections is connections  # another may be open by then
    may_end.set()
    stored = await storing
    assert await stored is None
    await until(lambda: store.set_aside is not None and store.health().state == "ok")
    flush_logged_errors("damaged", "takes no writes", "begun")


async def test_damage_that_it_meets_is_mended(
    store: StoreService, until: Until, flush_logged_errors: Flush, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is checked, as if a commit of others had met it; the records are stored then."""
    connections = store._current.connections
    assert connections is not None
    monkeypatch.setattr("etlmon.store.current.check", lambda _: "it is spoilt")

    def fail(*_: Any) -> Any:
        raise trouble(sqlite3.SQLITE_CORRUPT, "database disk image is malformed")

    monkeypatch.setattr(connections.writing, "run_here", fail)
    loan = await until_lent(store)
    stored = await deferToThread(loan.store, [run_of(1)])
    await until(lambda: store.set_aside is not None and store.health().state == "ok")
    assert await stored is None
    rows_now = await store.read(lambda cursor: cursor.execute(NUMBERS).fetchall())
    assert rows_now == [(1,)]
    flush_logged_errors("damaged", "takes no writes", "begun")
