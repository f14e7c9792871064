"""The writer: what makes a transaction, in which order, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError

from tests.store.writer_bench import Bench, Other, Row, Sample, run_of, trouble

Flush = Callable[..., list[Any]]


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


def test_a_commit_hands_on_what_its_inserts_gave_the_last_time(
    bench: Bench, flush_logged_errors: Flush
) -> None:
    """The first transaction fails with all three; the next ones are of one batch each."""
    for number in (1, -2, 3):
        bench.write(number)
    bench.run(0.1)
    assert bench.pool.attempts[0] == 3
    assert bench.stored == bench.pool.committed == [[1], [3]]
    bench.pool.broken = trouble()
    bench.write(4, 5)
    bench.run(0.05)
    assert bench.stored == [[1], [3]]
    bench.pool.broken = None
    bench.write(6)
    bench.run(1)
    assert bench.stored == [[1], [3], [4, 5, 6]]
    flush_logged_errors("takes no writes")


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


def test_a_record_may_be_many_rows(bench: Bench) -> None:
    """What makes a transaction full is the rows."""
    bench.rows[Row] = 3_000
    bench.write(1)
    bench.write(2)
    bench.clock.advance(0)
    assert bench.pool.committed == [[1], [2]]
    bench.rows[Row] = 1
    bench.write(3)
    bench.write(4)
    bench.run(0.02)
    assert bench.pool.committed[2:] == [[3, 4]]


@pytest.mark.parametrize(
    "long",
    [
        {"names": ("x" * 256,) * 3_000},
        {"within": (Sample(number=0, text="x" * 256 * 3_000),)},
    ],
    ids=["its own", "of a record in it"],
)
def test_much_text_is_many_rows(bench: Bench, long: dict[str, Any]) -> None:
    """What makes a transaction full is the bytes, too."""
    for number in (1, 2):
        bench.writer.write([Other(number=number, **long)])
    bench.clock.advance(0)
    assert bench.pool.committed == [[1], [2]]
    for number in (3, 4):
        bench.writer.write([Other(number=number, names=("x" * 16,) * 3_000)])
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


def test_of_a_trickle_the_pages_are_counted_four_times_a_second(bench: Bench) -> None:
    for number in range(100):
        bench.write(number)
        bench.run(0.025)
    assert len(bench.pool.committed) == 100
    assert 8 <= bench.pool.counted <= 10  # in 2.5 s
    assert bench.writer.state.pages is not None


def test_after_many_records_the_pages_are_counted_at_once(bench: Bench) -> None:
    bench.rows[Row] = 100
    for number in range(10):
        bench.write(number)
        bench.run(0.02)
    assert bench.pool.counted == len(bench.pool.committed) == 10


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
