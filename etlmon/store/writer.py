"""The one connection that writes: batches go in, transactions come out.

A transaction holds what arrived while the one before it was committing, so that its size follows
the load: a lone row waits for nobody, a burst is stored by the thousand.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from etlmon.errors import NOT_STORED, StoreError, why_not_stored
from etlmon.store.batches import Batches, in_one_transaction, without_transaction
from etlmon.store.faults import may_pass
from etlmon.store.queue import MOST_RECORDS, Queue, Queued, Waiting
from etlmon.store.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.enterprise.adbapi import ConnectionPool
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from etlmon.records.base import Record
    from etlmon.store.batches import Done, Work
    from etlmon.store.sizes import Pages
    from etlmon.store.slowest import Slowest
    from etlmon.store.tables.base import Table

    _Do = Callable[[Any, Sequence[Work]], Done]

T = TypeVar("T")

_LONGEST_WAIT_SECONDS = 6.0
"""What may wait does so for a little longer than the samples of processes are apart."""
_LEAST_APART_SECONDS = 0.02
_COUNTED_RECORDS = 100
_COUNTED_SECONDS = 0.25
"""The pages of the file are counted after so many records, and so often: of a trickle no batch
makes it much larger, and to count them costs as much as to store ten lines."""
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 5.0


@dataclass
class WriterState:
    """What the writer has done and met, for the node's health."""

    commits: int = 0
    last_commit_at: float | None = None
    last_error: str | None = None
    last_error_at: float | None = None
    dropped_records: int = 0
    """Samples that were given up for newer ones while the database took no writes."""
    pages: Pages | None = None
    """The file's pages as the newest transaction has left them; None before the first."""


class Writer:
    """Commits batches in the order in which they came.

    A commit that fails through the database's fault (locked, full, read-only ...) is tried again
    until it succeeds or the node stops. A batch that fails through its own fault is refused
    alone: its Deferred fails, the others of its transaction are committed.

    While commits fail, batches of samples are held: their Deferreds fire, so that the collectors
    go on, and the newest are kept in memory in their order until they can be committed. What has
    a source to be read again from, such as a line of a log, waits there instead.

    Cancelling a Deferred only stops the waiting: the batch is stored all the same.

    Without a ``pool`` it is halted until ``resume`` brings one. ``explained`` gives an error better
    words, in the thread that has met it. ``afterwards`` is called in the thread of each transaction
    that has succeeded; it must not raise.
    """

    log = Logger()

    def __init__(
        self,
        pool: ConnectionPool | None,
        tables: Iterable[Table],
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        committed: Callable[[frozenset[str], Sequence[Any]], None],
        failed: Callable[[BaseException], None] | None = None,
        slowest: Slowest | None = None,
        explained: Callable[[sqlite3.Error], sqlite3.Error] = lambda error: error,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        self.state = WriterState()
        self.trouble = Trouble(clock)
        self._slowest = slowest
        self._pool = pool
        self._told_of_failure = failed
        self._explained = explained
        self._afterwards = afterwards
        self._batches = Batches(tables)
        self._clock = clock
        self._wall_clock = wall_clock
        self._committed = committed
        self._queue = Queue()
        self._timer: IDelayedCall | None = None
        self._group: list[Waiting] = []  # what is being committed
        self._began_at = 0.0
        self._next_at = 0.0
        self._counted_at = -math.inf
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._closing = False
        self._halted = pool is None
        self._idle: list[Deferred[None]] = []

    @property
    def held_records(self) -> int:
        """How many samples are kept in memory, since the database takes no writes."""
        return self._queue.held_records

    @property
    def pending(self) -> int:
        """How many batches wait for their commit."""
        return len(self._group) + len(self._queue)

    def queued(self) -> list[Queued]:
        """Give what is being committed, and what waits for that, in this order."""
        now = self._clock.seconds()
        return [
            Queued(
                "committing" if place < len(self._group) else "held" if one.held else "waiting",
                one.tables,
                one.records,
                now - one.came_at,
            )
            for place, one in enumerate((*self._group, *self._queue))
        ]

    @property
    def committing_seconds(self) -> float:
        """How long the transaction under way has taken so far; 0 if none is.

        What is done without one, such as VACUUM, may take as long as it likes.
        """
        in_transaction = self._group and self._group[0].in_transaction
        return self._clock.seconds() - self._began_at if in_transaction else 0.0

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
        Fires with
        what ``work`` returns; fails as ``write`` does.
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

    def halt(self, error: StoreError | None = None) -> None:
        """Begin no more transactions until ``resume``; what comes waits.

        Samples are held if ``error`` says what is wrong, as if a commit had failed.
        """
        self._halted = True
        if error is not None:
            self._note(error)
            self.trouble.failed(error, self.state.dropped_records)
            self._hold(tuple(self._queue))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def resume(self, pool: ConnectionPool | None = None) -> None:
        """Go on; on a connection of ``pool``, if that is given."""
        self._halted = False
        if pool is not None:
            self._pool = pool
            self._next_at = self._clock.seconds()
            self._retry_seconds = _FIRST_RETRY_SECONDS
            self.trouble.may_be_over()
        self._settle()

    def close(self) -> Deferred[None]:
        """Take no more batches; fires when those that wait are committed, or cannot be.

        Each is tried once more; the first that fails through the database's fault fails them all.
        """
        self._closing = True
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
        if self._halted or self._group or not self._queue:
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
        self._began_at = self._next_at = self._clock.seconds()
        works, size, is_burst = [], 0, False
        for waiting in self._group:
            works.append(waiting.work)
            size += waiting.size
            is_burst = is_burst or waiting.is_burst
        if not is_burst:
            self._next_at += _LEAST_APART_SECONDS
        do = self._how(size)
        assert self._pool is not None
        self._pool.runWithConnection(self._in_thread, do, works).addBoth(self._ended)

    def _how(self, size: int) -> _Do:
        """Tell how the group is done: of a trickle the pages are not counted each time."""
        if not self._group[0].in_transaction:
            return without_transaction
        counts = size >= _COUNTED_RECORDS or self._began_at - self._counted_at >= _COUNTED_SECONDS
        if counts:
            self._counted_at = self._began_at
        return partial(in_one_transaction, counts=counts)

    def _in_thread(self, connection: Any, do: _Do, works: Sequence[Work]) -> Done:
        cursor = connection.cursor()
        try:
            result = do(cursor, works)
        except sqlite3.Error as error:
            raise self._explained(error) from error
        finally:
            cursor.close()
        self._afterwards()
        return result

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
                self._clock.seconds() - self._began_at,
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
            self._tell_of(error)
        elif self._closing:
            self._note(error)
            group += self._queue.take_all()
            self.log.error("{n} batches were not stored: {error}", n=len(group), error=error)
            self._refuse(group, error)
        else:
            self._note(error)
            self.trouble.failed(error, self.state.dropped_records)
            self._queue.put_back_behind_deletions(group)
            is_tried = self._queue.first in group
            self._next_at = self._clock.seconds() + (self._retry_seconds if is_tried else 0.0)
            self._retry_seconds = min(2 * self._retry_seconds, _LONGEST_RETRY_SECONDS)
            self._hold(tuple(self._queue))
            self._tell_of(error)

    def _tell_of(self, error: BaseException) -> None:
        if self._told_of_failure is not None:
            self._told_of_failure(error)

    def _refuse_culprit(self, group: list[Waiting], error: BaseException) -> None:
        """Refuse a batch that is at fault; of several, each goes alone to show which one it is."""
        if len(group) == 1:
            self._note(error)
            self._refuse(group, error)
            return
        alone = [replace(waiting, size=MOST_RECORDS, joins=False) for waiting in group]
        self._queue.put_back(alone)
        self._next_at = self._clock.seconds()

    def _note(self, error: BaseException) -> None:
        self.state.last_error = str(error)
        self.state.last_error_at = self._wall_clock()

    def _settle(self) -> None:
        self._schedule()
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
