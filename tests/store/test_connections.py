"""Reads, and the times at which there are none."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from threading import Event

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from etlmon.store.connections import Connections
from etlmon.store.database import StoreService
from etlmon.store.slowest import Slowest


async def test_two_who_want_no_reads_have_their_turns(store: StoreService, path: Path) -> None:
    """As a checkpoint and the check for damage do; each of half of them would wait for ever."""
    connections = Connections(path, reactor, None, Slowest(lambda: 0.0), lambda _error: None)
    may_end = [Event() for _ in range(4)]

    def wait(one: Event, _cursor: sqlite3.Cursor) -> bool:
        return one.wait(30)

    reads = [connections.read(partial(wait, one)) for one in may_end]
    order: list[int] = []

    async def alone(number: int) -> None:
        async with connections.no_reads():
            order.append(number)

    waiting = [Deferred.fromCoroutine(alone(number)) for number in (1, 2)]
    for one, read in zip(may_end, reads, strict=True):
        one.set()
        await read
    await gatherResults(waiting)
    assert order == [1, 2]
    connections.close()
