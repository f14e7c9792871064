"""The policy of commands, by a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from etlmon.config.node import ControlSection
from etlmon.control.policy import Policy, RateLimit
from etlmon.errors import ApiError

PER_MINUTE = st.integers(min_value=1, max_value=10_000)


@given(PER_MINUTE, st.lists(st.floats(min_value=0, max_value=100), max_size=30))
def test_who_waits_as_told_is_let_in(per_minute: int, pauses: list[float]) -> None:
    clock = Clock()
    rate = RateLimit(per_minute, clock.seconds)
    while not rate.take():
        pass
    for pause in pauses:
        clock.advance(pause)
        wait = rate.take()
        if wait:
            clock.advance(wait)
            assert rate.take() == 0


@given(PER_MINUTE, st.lists(st.floats(min_value=0, max_value=10), min_size=1, max_size=100))
def test_no_more_than_the_burst_and_what_grows(per_minute: int, pauses: list[float]) -> None:
    clock = Clock()
    rate = RateLimit(per_minute, clock.seconds)
    taken = 0
    for pause in pauses:
        clock.advance(pause)
        taken += rate.take() == 0
    assert taken <= per_minute * (1 + clock.seconds() / 60) + 0.01


@given(PER_MINUTE)
def test_a_minute_of_quiet_gives_the_whole_burst_and_not_more(per_minute: int) -> None:
    clock = Clock()
    rate = RateLimit(min(per_minute, 200), clock.seconds)
    clock.advance(3_600)
    taken = 0
    while rate.take() == 0:
        taken += 1
    assert taken == min(per_minute, 200)


def test_a_wait_is_at_least_a_second_and_whole() -> None:
    rate = RateLimit(600, Clock().seconds)
    for _ in range(600):
        assert rate.take() == 0
    assert rate.take() == 1


def test_a_rate_of_nothing_never_lets_in() -> None:
    clock = Clock()
    rate = RateLimit(0, clock.seconds)
    clock.advance(1e9)
    assert rate.take() is None


def test_a_token_given_back_counts_once() -> None:
    rate = RateLimit(1, Clock().seconds)
    rate.give_back()
    assert rate.take() == 0
    assert rate.take() == 60
    rate.give_back()
    assert rate.take() == 0


def refusal(policy: Policy, *, confirmed: bool = True) -> str:
    with pytest.raises(ApiError) as caught, policy.counted("scan", confirmed=confirmed):
        pytest.fail("let in")
    return f"{caught.value.status} {caught.value.problem}"


def test_new_settings_hold_at_once() -> None:
    policy = Policy(ControlSection(enabled=False), Clock().seconds)
    assert not policy.is_open
    assert refusal(policy) == "403 commands-disabled"
    policy.apply(ControlSection(scans_per_minute=1))
    assert policy.is_open
    assert refusal(policy, confirmed=False) == "400 confirmation-required"
    with policy.counted("scan", confirmed=True):
        pass
    assert refusal(policy) == "429 too-many-commands"
    policy.apply(ControlSection(scans_per_minute=0))
    assert refusal(policy) == "403 commands-disabled"


def test_a_command_that_fails_for_the_node_counts_one_that_was_wrong_does_not() -> None:
    policy = Policy(ControlSection(scans_per_minute=1), Clock().seconds)
    with pytest.raises(ApiError, match="wrong"), policy.counted("scan", confirmed=True):
        raise ApiError(404, "not-found", "wrong")
    with pytest.raises(OSError, match="broken"), policy.counted("scan", confirmed=True):
        raise OSError("broken")
    assert refusal(policy) == "429 too-many-commands"
