"""How long a client waits before it asks again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.client.backoff import BackOff

MIDDLE = [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_it_doubles_to_thirty_seconds() -> None:
    back_off = BackOff(lambda: 0.5)
    assert [back_off.next_seconds() for _ in MIDDLE] == MIDDLE


def test_after_an_answer_it_begins_anew() -> None:
    back_off = BackOff(lambda: 0.5)
    for _ in range(5):
        back_off.next_seconds()
    back_off.reset()
    assert [back_off.next_seconds() for _ in range(3)] == MIDDLE[:3]


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.8), (0.25, 0.9), (1.0, 1.2)])
def test_chance_makes_it_more_or_less_by_a_fifth(chance: float, factor: float) -> None:
    back_off = BackOff(lambda: chance)
    assert [back_off.next_seconds() for _ in MIDDLE] == pytest.approx([m * factor for m in MIDDLE])


@given(st.integers(), st.integers(1, 200))
def test_it_stays_within_bounds_whatever_chance_gives(seed: int, times: int) -> None:
    back_off = BackOff(random.Random(seed).random)
    for _ in range(times):
        assert 0.8 <= back_off.next_seconds() <= 36


def test_two_clients_do_not_come_back_at_one_moment() -> None:
    one, other = BackOff(random.Random(1).random), BackOff(random.Random(2).random)
    assert [one.next_seconds() for _ in MIDDLE] != [other.next_seconds() for _ in MIDDLE]
