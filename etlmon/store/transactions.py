"""How batches are committed: in the writer's thread, or another that has the connection on loan."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from etlmon.store.batches import in_one_transaction, without_transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred

    from etlmon.store.batches import Done, Work
    from etlmon.store.connections import WriterPool
    from etlmon.store.queue import Waiting
    from etlmon.store.sizes import Pages

    _Do = Callable[[Any, Sequence[Work]], Done]

_COUNTED_RECORDS = 100
_COUNTED_SECONDS = 0.25
"""The pages of the file are counted after so many records, and so often: of a trickle no batch
makes it much larger, and to count them costs as much as to store ten lines."""


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


class Transactions:
    """Makes transactions on the one connection that writes, one at a time.

    ``explained`` gives an error better words, in the thread that has met it. ``afterwards`` is
    called in the thread of each transaction that has succeeded; it must not raise.
    """

    def __init__(
        self,
        pool: WriterPool | None,
        explained: Callable[[sqlite3.Error], sqlite3.Error],
        afterwards: Callable[[], None],
    ) -> None:
        self.pool = pool
        self._explained = explained
        self._afterwards = afterwards
        self._counted_at = -math.inf

    def begin(self, group: Sequence[Waiting]) -> Deferred[Done]:
        """Commit a group in the pool's thread."""
        assert self.pool is not None
        done: Deferred[Done] = self.pool.runWithConnection(self._in_thread, *self._how(group))
        return done

    def here(self, group: Sequence[Waiting]) -> Done:
        """Commit a group in the thread that calls; nobody else may do so meanwhile."""
        assert self.pool is not None
        return self.pool.run_here(self._in_thread, *self._how(group))

    def _how(self, group: Sequence[Waiting]) -> tuple[_Do, list[Work]]:
        """Tell how a group is done: of a trickle the pages are not counted each time."""
        works = [waiting.work for waiting in group]
        if not group[0].in_transaction:
            return without_transaction, works
        size, now = sum(waiting.size for waiting in group), group[0].began_at
        counts = size >= _COUNTED_RECORDS or now - self._counted_at >= _COUNTED_SECONDS
        if counts:
            self._counted_at = now
        return partial(in_one_transaction, counts=counts), works

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
