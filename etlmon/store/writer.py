"""The one connection that writes: batches go in, transactions come out.

A transaction holds what arrived while the one before it was committing, so that its size follows
the load: a lone row waits for nobody, a burst is stored by the thousand.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from etlmon.errors import NOT_STORED, StoreError, why_not_stored
from etlmon.store.batches import Batches
from etlmon.store.faults import may_pass
from etlmon.store.loan import Lending
from etlmon.store.queue import MOST_RECORDS, Queue, Queued, Waiting
from etlmon.store.transactions import Transactions, WriterState
from etlmon.store.trouble import Trouble

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from etlmon.records.base import Record
    from etlmon.store.batches import Done
    from etlmon.store.connections import WriterPool
    from etlmon.store.loan import Loan
    from etlmon.store.sizes import Pages
    from etlmon.store.slowest import Slowest
    from etlmon.store.tables.base import Table

T = TypeVar("T")

_LONGEST_WAIT_SECONDS = 6.0
"""What may wait does so for a little longer than the samples of processes are apart."""
_LEAST_APART_SECONDS = 0.02
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 5.0


class Writer:
    """Commits batches in the order in which they came.

    A commit that fails through the database's fault (locked, full, read-only ...) is tried again
    until it succeeds or the node stops. A batch that fails through its own fault is refused
    alone: its Deferred fails, the others of its transaction are committed.

    While commits fail, batches of samples are held: their Deferreds fire, so that the collectors
    go on, and the newest are kept in memory in their order until they can be committed. What has
    a source to be read again from, such as a line of a log, waits there instead.

    Cancelling a Deferred only stops the waiting: the batch is stored all the same.

    ``taken`` is called with the records of each batch that has been committed, or is held.

    Without a ``pool`` it is halted until ``resume`` brings one. For ``explained`` and
    ``afterwards`` see Transactions.
    """

    log = Logger()

    def __init__(
        self,
        pool: WriterPool | None,
        tables: Iterable[Table],
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        committed: Callable[[frozenset[str], Sequence[Any]], None],
        taken: Callable[[Sequence[Record]], None] = lambda _: None,
        failed: Callable[[BaseException], None] = lambda _: None,
        slowest: Slowest | None = None,
        explained: Callable[[sqlite3.Error], sqlite3.Error] = lambda error: error,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        self.state = WriterState()
        self.trouble = Trouble(clock)
        self._slowest = slowest
        self._transactions = Transactions(pool, explained, afterwards)
        self._told_of_failure = failed
        self._batches = Batches(tables)
        self._lending = Lending(
            partial(self._batches.of, may_wait=False),
            self._transactions.here,
            self._lent_ended,
            clock.seconds,
        )
        self._clock = clock
        self._wall_clock = wall_clock
        self._committed = committed
        self._taken = taken
        self._queue = Queue(taken)
        self._timer: IDelayedCall | None = None
        self._group: list[Waiting] = []  # what is being committed
        self._next_at = 0.0
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._closing = False
        self._halted = pool is None
        self._idle: list[Deferred[None]] = []
        self._resting: list[Deferred[None]] = []

    @property
    def held_records(self) -> int:
        """How many samples are kept in memory, since the database takes no writes."""
        return self._queue.held_records

    @property
    def pending(self) -> int:
        """How many batches wait for their commit."""
        return len(self._under_way) + len(self._queue)

    @property
    def _under_way(self) -> list[Waiting]:
        """What is being committed."""
        lent = self._lending.batch
        return self._group if lent is None else [lent]

    def queued(self) -> list[Queued]:
        """Give what is being committed, and what waits for that, in this order."""
        now = self._clock.seconds()
        committing = [one.told(now, "committing") for one in self._under_way]
        return committing + [
            one.told(now, "held" if one.held else "waiting") for one in self._queue
        ]

    @property
    def committing_seconds(self) -> float:
        """How long the transaction under way has taken so far; 0 if none is.

        What is done without one, such as VACUUM, may take as long as it likes.
        """
        first = next(iter(self._under_way), None)
        if first is None or not first.in_transaction:
            return 0.0
        return self._clock.seconds() - first.began_at

    def write(self, records: Sequence[Record], *, may_wait: bool = False) -> Deferred[None]:
        """Store records in one transaction; fires when they are committed.

        What ``may_wait`` is of no use to anybody yet: it goes along with the next commit of others,
        or alone after six seconds. A commit costs more than what is in it.
        Fails with StoreError if the batch itself cannot be stored, or the store has been closed.
        """
        return self._submit(self._batches.of(records, may_wait=may_wait))

    def run(
        self,
        work: Callable[[sqlite3.Cursor], T],
        tables: Iterable[str] = (),
        *,
        in_transaction: bool = True,
        makes_room: bool = False,
        joins: bool = False,
    ) -> Deferred[T]:
        """Do other work on the writer's connection, in its turn, in a transaction of its own.

        ``tables`` names those that it changes. Work that cannot be done in a transaction, such as
        a checkpoint, is done without, and once only. What ``makes_room`` goes before all that
        waits, for it may wait for that room. What ``joins`` does so in the transaction of what
        waits: the pages that it frees are written once, with what takes their place, and not twice.
        Fires with what ``work`` returns; fails as ``write`` does.
        """
        return self._submit(
            Waiting(
                work,
                MOST_RECORDS,
                frozenset(tables),
                in_transaction=in_transaction,
                makes_room=makes_room,
                joins=joins,
            )
        )

    def lend(self, from_thread: Callable[..., object]) -> Loan | None:
        """Lend the connection to a thread that may soon have something to store.

        It is called in as soon as something else is to be written. None where that is so now.
        ``from_thread`` has a function called in the reactor's thread.
        """
        is_needed = self._group or self._queue or self._clock.seconds() < self._next_at
        if is_needed or self._halted or self._closing:
            return None
        return self._lending.lend(from_thread)

    def resting(self) -> Deferred[None]:
        """Fires when no transaction is under way, of a writer that is halted: none will be."""
        rests: Deferred[None] = Deferred()
        self._resting.append(rests)
        self._settle()
        return rests

    def note(self, error: BaseException | str) -> None:
        """Keep what is wrong as the last error."""
        self.state.last_error = str(error)
        self.state.last_error_at = self._wall_clock()

    def halt(self, error: StoreError | None = None) -> None:
        """Begin no more transactions until ``resume``; what comes waits.

        Samples are held if ``error`` says what is wrong, as if a commit had failed.
        """
        self._halted = True
        self._lending.is_back()
        if error is not None:
            self.note(error)
            self.trouble.failed(error, self.state.dropped_records)
            self._hold(tuple(self._queue))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def resume(self, pool: WriterPool | None = None) -> None:
        """Go on; on a connection of ``pool``, if that is given."""
        self._halted = False
        if pool is not None:
            self._transactions.pool = pool
            self._next_at = self._clock.seconds()
            self._retry_seconds = _FIRST_RETRY_SECONDS
            self.trouble.may_be_over()
        self._settle()

    def close(self) -> Deferred[None]:
        """Take no more batches; fires when those that wait are committed, or cannot be.

        Each is tried once more; the first that fails through the database's fault fails them all.
        """
        self._closing = True
        self._lending.is_back()
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        if self._halted:
            gone = self._queue.take_all()
            if gone:
                self.log.error("{n} batches were not stored: there is no database", n=len(gone))
            self._refuse(gone, StoreError("there is no database"))
        if self._timer is not None:
            self._timer.reset(0)
        self._settle()
        return done

    def _submit(self, waiting: Waiting) -> Deferred[Any]:
        if self._closing:
            waiting.done.errback(StoreError("the store has been closed"))
            return waiting.done
        waiting.came_at = self._clock.seconds()
        hurries = waiting.is_burst and not self.trouble.failing  # after a step of retention, too
        if hurries or waiting.makes_room:
            self._next_at = min(self._next_at, waiting.came_at)
            if self._timer is not None:
                self._timer.reset(0)
        self._queue.add(waiting)
        if self.trouble.failing:
            self._hold((waiting,))
        self._schedule()
        return waiting.done

    def _hold(self, batches: Iterable[Waiting]) -> None:
        self.state.dropped_records += self._queue.hold(batches)

    def _schedule(self) -> None:
        if self._halted or self._group or not self._queue or not self._lending.is_back():
            return
        now = self._clock.seconds()
        at = max(now, self._next_at)
        first = self._queue.first
        may_wait = first.may_wait and not self._closing
        if may_wait and all(waiting.may_wait for waiting in self._queue):
            at = max(at, first.came_at + _LONGEST_WAIT_SECONDS)
        if self._timer is None:
            self._timer = self._clock.callLater(at - now, self._commit)
        elif at < self._timer.getTime():
            self._timer.reset(at - now)

    def _commit(self) -> None:
        """Commit what waits, up to the bound; a batch alone may be larger than that."""
        self._timer = None
        self._group = self._queue.take(failing=self.trouble.failing)
        self._pace(self._clock.seconds())
        self._transactions.begin(self._group).addBoth(self._ended)

    def _lent_ended(self, batch: Waiting, ended: Done | Failure) -> None:
        self._group = [batch]
        self._pace(batch.began_at)
        self._ended(ended)

    def _pace(self, began_at: float) -> None:
        """Note when the group's transaction began, and when the next one may."""
        self._next_at = began_at
        if not any(waiting.is_burst for waiting in self._group):
            self._next_at += _LEAST_APART_SECONDS
        self._group[0].began_at = began_at

    def _ended(self, ended: Done | Failure) -> None:
        try:
            if isinstance(ended, Failure):
                self._failed(ended)
            else:
                self._succeeded(*ended)
        except Exception:
            self.log.failure("The writer failed.")
        self._settle()

    def _succeeded(self, results: list[Any], pages: Pages | None) -> None:
        if pages is not None:
            self.state.pages = pages
        group, self._group = self._group, []
        tables = frozenset().union(*[waiting.tables for waiting in group])
        if self._slowest is not None:
            self._slowest.note(
                "commit",
                ", ".join(sorted(tables)) or "no table",
                self._clock.seconds() - group[0].began_at,
                detail=f"{sum(one.records for one in group)} records, {len(group)} batches",
            )
        self.state.commits += 1
        self.state.last_commit_at = self._wall_clock()
        if self.trouble.failing and self._shows_that_it_works(group):
            self._retry_seconds = _FIRST_RETRY_SECONDS
            self.trouble.succeeded()
        self.trouble.look(self.state.dropped_records)
        self._committed(tables, [one for waiting in group for one in waiting.stored])
        for waiting, result in zip(group, results, strict=True):
            if waiting.held:
                self._queue.let_go(waiting)
            else:
                if waiting.given:
                    self._taken(waiting.given)
                waiting.done.callback(result)

    def _shows_that_it_works(self, group: Sequence[Waiting]) -> bool:
        """Whether a transaction that succeeded is a sign that others will.

        Much of what is no batch writes nothing: it succeeds on a disk that takes no writes.
        """
        if all(waiting.makes_room for waiting in group):
            return False
        return any(one.records for one in group) or not any(one.records for one in self._queue)

    def _failed(self, failure: Failure) -> None:
        group, self._group = self._group, []
        error = failure.value
        assert error is not None
        if not may_pass(error):
            self._refuse_culprit(group, error)
        elif not group[0].in_transaction:
            # It can wait, such as a VACUUM for which there is no room; what comes after it cannot.
            self._refuse_culprit(group, error)
            self._told_of_failure(error)
        elif self._closing:
            self.note(error)
            group += self._queue.take_all()
            self.log.error("{n} batches were not stored: {error}", n=len(group), error=error)
            self._refuse(group, error)
        else:
            self.note(error)
            self.trouble.failed(error, self.state.dropped_records)
            self._queue.put_back_behind_deletions(group)
            is_tried = self._queue.first in group
            self._next_at = self._clock.seconds() + (self._retry_seconds if is_tried else 0.0)
            self._retry_seconds = min(2 * self._retry_seconds, _LONGEST_RETRY_SECONDS)
            self._hold(tuple(self._queue))
            self._told_of_failure(error)

    def _refuse_culprit(self, group: list[Waiting], error: BaseException) -> None:
        """Refuse a batch that is at fault; of several, each goes alone to show which one it is."""
        if len(group) == 1:
            self.note(error)
            self._refuse(group, error)
            return
        alone = [replace(waiting, size=MOST_RECORDS, joins=False) for waiting in group]
        self._queue.put_back(alone)
        self._next_at = self._clock.seconds()

    def _settle(self) -> None:
        self._schedule()
        if self._resting and not self._under_way:
            resting, self._resting = self._resting, []
            for rests in resting:
                rests.callback(None)
        if self._closing and not self.pending:
            self.trouble.look(self.state.dropped_records, is_last=True)
            idle, self._idle = self._idle, []
            for done in idle:
                done.callback(None)

    def _refuse(self, group: Iterable[Waiting], error: BaseException) -> None:
        for waiting in group:
            if waiting.held:
                self._queue.let_go(waiting)
                self.state.dropped_records += waiting.records
            else:
                waiting.done.errback(StoreError(f"{NOT_STORED}{why_not_stored(error)}"))
