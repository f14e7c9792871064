"""The collectors of a node: when they begin, which stay and which go with a new configuration."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from etlmon.collectors.base import Batch, Kind
from etlmon.config.node import NodeConfig
from etlmon.node.collectors import Collectors


class FakeCollector:
    """Notes when it runs."""

    name = "fake"
    interval_seconds = 3600.0

    def __init__(self, instance: str, settings: object, clock: Clock) -> None:
        self.instance = instance
        self.settings = settings
        self.began: list[float] = []
        self._clock = clock

    async def collect(self, next_run_at: Any) -> AsyncGenerator[Batch, None]:
        self.began.append(self._clock.seconds())
        yield Batch([])


class Sink:
    def write(self, records: Any, *, may_wait: bool = False) -> Any:
        return succeed(None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wanted() -> dict[str, object]:
    """What the configuration asks for: instances, and the settings of each."""
    return {"a": 1, "b": 1, "c": 1}


@pytest.fixture
def collectors(clock: Clock, wanted: dict[str, object], monkeypatch: Any) -> Collectors:
    def build(_config: NodeConfig, _context: Any) -> list[Any]:
        return [FakeCollector(name, settings, clock) for name, settings in wanted.items()]

    monkeypatch.setattr("etlmon.node.collectors.KINDS", (Kind("fake", build),))
    context: Any = None
    return Collectors(NodeConfig(), context, Sink(), clock, clock.seconds)


def began(collectors: Collectors) -> dict[str, list[float]]:
    found: Any = [one.collector for one in collectors]
    return {one.instance: one.began for one in found}


async def test_their_first_runs_begin_one_after_the_other(
    collectors: Collectors, clock: Clock
) -> None:
    collectors.start()
    clock.pump([0.001] * 200)
    (a, b, c) = (times[0] for times in began(collectors).values())
    assert a < b < c < 0.2
    await collectors.stop()


async def test_what_is_changed_begins_anew_and_the_rest_runs_on(
    collectors: Collectors, clock: Clock, wanted: dict[str, object]
) -> None:
    collectors.start()
    clock.pump([0.01] * 20)
    before = collectors.named("fake")
    wanted.clear()
    wanted.update(b=1, c=2, d=1)
    await collectors.exchange(collectors.build(NodeConfig()))
    after = collectors.named("fake")
    assert list(after) == ["b", "c", "d"]
    assert after["b"] is before["b"]
    assert after["c"] is not before["c"]
    clock.pump([0.01] * 20)
    assert [len(times) for times in began(collectors).values()] == [1, 1, 1]
    assert [one.running for one in before.values()] == [0, 1, 0]
    await collectors.stop()


async def test_an_exchange_at_the_end_starts_nothing(
    collectors: Collectors, clock: Clock, wanted: dict[str, object]
) -> None:
    collectors.start()
    await collectors.stop()
    wanted["d"] = 1
    await collectors.exchange(collectors.build(NodeConfig()))
    clock.pump([0.01] * 20)
    assert began(collectors)["d"] == []
