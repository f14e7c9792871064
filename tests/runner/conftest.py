"""A collector that does what the test says, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from etlmon.collectors.base import Batch
from etlmon.records.health import CollectorRun
from etlmon.runner import CollectorService

EPOCH = 1_800_000_000.0
"""The wall clock when the test begins."""


INTERVAL = 10.0


class Collector:
    """Gives what the test puts into ``script``: batches, errors, or Deferreds to wait for."""

    name = "fake"
    instance = "it"
    interval_seconds = INTERVAL
    settings = None

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.began: list[datetime] = []
        self.asked = 0
        self.closed = 0

    async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        self.began.append(next_run_at)
        try:
            for step in self.script:
                self.asked += 1
                if isinstance(step, Deferred):
                    await step
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step if isinstance(step, Batch) else Batch(step)
        finally:
            self.closed += 1


class SpreadCollector(Collector):
    """One whose schedule begins later, when ``answer`` says by how much."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Deferred[float] = Deferred()

    async def spread_seconds(self) -> float:
        return await self.answer


class Sink:
    """Commits at once, refuses, or waits, as the test says."""

    def __init__(self) -> None:
        self.written: list[list[Any]] = []
        self.answer: Callable[[Sequence[Any]], Deferred[None]] = lambda records: succeed(None)

    def write(self, records: Sequence[Any], *, may_wait: bool = False) -> Deferred[None]:
        self.written.append(list(records))
        return self.answer(records)

    @property
    def runs(self) -> list[CollectorRun]:
        return [one for batch in self.written for one in batch if isinstance(one, CollectorRun)]


class Bench:
    """A service with a fake collector and sink; ``wall_step`` sets the wall clock wrong."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wall_step = 0.0
        self.collector = Collector()
        self.sink = Sink()
        self.service = self.make()

    def make(self, first_delay_seconds: float = 0.0) -> CollectorService:
        return CollectorService(
            self.collector,
            self.sink,
            self.clock,
            lambda: EPOCH + self.clock.seconds() + self.wall_step,
            first_delay_seconds=first_delay_seconds,
        )

    def start(self, *script: Any, first_delay_seconds: float = 0.0) -> None:
        self.collector.script = list(script)
        self.service = self.make(first_delay_seconds)
        self.service.startService()
        self.clock.advance(0)

    @property
    def runs(self) -> int:
        """How many runs have begun."""
        return len(self.collector.began)

    def cancel(self) -> list[Any]:
        """Cancel the run under way and give a list that gets the result."""
        result: list[Any] = []
        self.service.cancel_run().addBoth(result.append)
        return result

    def stop(self) -> list[Any]:
        """Stop the service and give a list that gets its result."""
        result: list[Any] = []
        self.service.stopService().addBoth(result.append)
        return result


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def said() -> Any:
    """Give the log's lines but debug as (level, text) and forget those read."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)

    def lines() -> list[tuple[str, str]]:
        own = [event for event in events if event["log_namespace"].startswith("etlmon.runner")]
        events.clear()
        told = [(event["log_level"].name, formatEvent(event)) for event in own]
        return [line for line in told if line[0] != "debug"]

    yield lines
    globalLogPublisher.removeObserver(events.append)
