"""One run of retention on a store, and the rows that it is to find."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from etlmon.config.node import RetentionSection
from etlmon.records.health import CollectorRun
from etlmon.store.database import StoreService
from etlmon.store.deletions import ROWS_A_STEP
from etlmon.store.retention import RetentionService
from etlmon.store.tables.all import TABLES
from etlmon.units import utc

NOW = 1_800_000_000.0
UNLIMITED = RetentionSection()


def run_of(number: int, at: float, text: str = "") -> CollectorRun:
    return CollectorRun(
        collector="test",
        instance=text,
        started_at=utc(at),
        duration_ms=0,
        state="ok",
        records=number,
    )


class Steps:
    """A store that notes what the steps of retention give."""

    is_open = True

    def __init__(self, store: StoreService) -> None:
        self._store = store
        self.read, self.checkpoint = store.read, store.checkpoint
        self.results: list[int] = []

    def run(self, work: Any, tables: Any = (), **how: bool) -> Deferred[int]:
        def note(result: int) -> int:
            self.results.append(result)
            return result

        return self._store.run(work, tables, **how).addCallback(note)


def retention(
    store: Any, clock: Clock, table: str = "collector_run", **limits: Any
) -> RetentionService:
    """Give the service with limits for one table only."""
    section = RetentionSection(**limits)
    return RetentionService(
        store,
        TABLES,
        lambda name: section if name == table else UNLIMITED,
        clock,
        lambda: NOW,
        settle_seconds=0.0,
    )


async def trim(
    store: StoreService, table: str = "collector_run", rows_a_step: int = ROWS_A_STEP, **limits: Any
) -> list[int]:
    """Let one run go to its end, the first step of at most so many rows; give what they give."""
    steps, clock = Steps(store), Clock()
    service = retention(steps, clock, table, **limits)
    service._rows_a_step = rows_a_step
    service.startService()
    while not clock.getDelayedCalls():  # the next run is planned when this one has ended
        await store.run(lambda cursor: None)
    await service.stopService()
    return steps.results
