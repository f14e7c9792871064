"""What clients can make the log say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent

from etlmon.control.flood import Flood

Said = list[str]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> Said:
    return []


@pytest.fixture
def flood(clock: Clock, said: Said) -> Iterator[Flood]:
    flood = Flood(
        "keys refused", Logger("test", observer=lambda e: said.append(formatEvent(e))), clock
    )
    yield flood
    flood.stop()
    assert clock.getDelayedCalls() == []


def admitted(flood: Flood, number: int) -> int:
    return sum(flood.admits() for _ in range(number))


def test_a_few_are_written(flood: Flood, clock: Clock, said: Said) -> None:
    assert admitted(flood, 20) == 20
    clock.advance(600)
    assert admitted(flood, 20) == 20
    assert said == []


def test_of_many_the_beginning_and_the_end_are_told(flood: Flood, clock: Clock, said: Said) -> None:
    begins = "keys refused: too many to write each; they are counted."
    for minute in range(600):
        assert admitted(flood, 1_000) == (0 if minute else 20)
        assert said == [begins]
        clock.advance(60)
    clock.advance(60)
    assert said == [begins, "keys refused: 599980 more came and were not written."]
    assert admitted(flood, 60) == 20


def test_a_few_now_and_then_are_written_again(flood: Flood, clock: Clock, said: Said) -> None:
    admitted(flood, 21)
    clock.advance(30)
    assert admitted(flood, 5) == 0
    clock.advance(30)
    assert said[1:] == ["keys refused: 6 more came and were not written."]
    assert admitted(flood, 1) == 1


def test_the_end_of_the_node_ends_it(flood: Flood, said: Said) -> None:
    admitted(flood, 60)
    flood.stop()
    flood.stop()
    assert said[1:] == ["keys refused: 40 more came and were not written."]
