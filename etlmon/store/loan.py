"""The writer's connection, lent to a thread that reads: what it has read it stores itself.

Where somebody listens to a log, what was read is to be stored forty times a second. To hand it to
another thread, by way of the reactor's, costs as much as to store it.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred

    from etlmon.records.base import Record
    from etlmon.store.batches import Done
    from etlmon.store.queue import Waiting

    _BatchOf = Callable[[Sequence[Record]], Waiting]
    _Commit = Callable[[Sequence[Waiting]], Done]


class Loan:
    """The connection as who has it on loan sees it: it is used once at most, or called in before.

    So a thread that hangs where it reads holds up nobody who writes.
    """

    def __init__(
        self,
        batch_of: _BatchOf,
        commit: _Commit,
        ended: Callable[[Waiting, Done | Failure], object],
        seconds: Callable[[], float],
    ) -> None:
        """``ended`` is called in the thread, after the transaction, with how it ended."""
        self.batch: Waiting | None = None
        """What is stored by it."""
        self._batch_of = batch_of
        self._commit = commit
        self._ended = ended
        self._seconds = seconds
        self._is_over = False
        self._lock = Lock()

    @property
    def is_over(self) -> bool:
        """Whether it will not be used any more, nor is."""
        with self._lock:
            return self._is_over and self.batch is None

    def call_in(self) -> bool:
        """Let it be used no more; False if it is being used: ``ended`` will be called."""
        with self._lock:
            self._is_over = True
            return self.batch is None

    def store(self, records: Sequence[Record]) -> Deferred[Any] | None:
        """Store records in one transaction, in the thread that calls.

        What is given fires in the reactor's thread: with None when they are committed, else with
        the error, as a result: who has asked may have gone, and not hear of it. If the transaction
        fails through the database's fault, they wait as all that is written does. None if it has
        been called in, and nothing is stored. Without records it is given back.
        """
        batch = self._batch_of(records) if records else None
        with self._lock:
            if self._is_over or batch is None:
                self._is_over = True
                return None
            self._is_over = True
            batch.came_at = batch.began_at = self._seconds()
            batch.done.addErrback(_error_of)
            self.batch = batch
        ended: Done | Failure
        try:
            ended = self._commit([batch])
        except BaseException:
            ended = Failure()
        self._ended(batch, ended)
        return batch.done


class Lending:
    """Who has the connection on loan, if anybody has."""

    def __init__(
        self,
        batch_of: _BatchOf,
        commit: _Commit,
        ended: Callable[[Waiting, Done | Failure], None],
        seconds: Callable[[], float],
    ) -> None:
        """``ended`` is called in the reactor's thread, with what was stored."""
        self._batch_of = batch_of
        self._commit = commit
        self._ended = ended
        self._seconds = seconds
        self._loan: Loan | None = None

    def lend(self, from_thread: Callable[..., object]) -> Loan | None:
        """Lend it; None if somebody has it who may still use it.

        ``from_thread`` has a function called in the reactor's thread.
        """
        if self._loan is not None and not self._loan.is_over:
            return None
        self._loan = Loan(
            self._batch_of,
            self._commit,
            partial(from_thread, self._used),
            self._seconds,
        )
        return self._loan

    def is_back(self) -> bool:
        """Call it in; False if it is being used: ``ended`` comes after that."""
        if self._loan is not None and self._loan.call_in():
            self._loan = None
        return self._loan is None

    @property
    def batch(self) -> Waiting | None:
        """What is being stored by who has it on loan."""
        return None if self._loan is None else self._loan.batch

    def _used(self, batch: Waiting, ended: Done | Failure) -> None:
        self._loan = None
        self._ended(batch, ended)


def _error_of(failure: Failure) -> BaseException | None:
    return failure.value
