"""Confirmation tokens, by a clock of the test's own."""

from __future__ import annotations

from twisted.internet.task import Clock

from etlmon.control.confirmation import Confirmations


def test_a_token_lives_for_a_minute() -> None:
    clock = Clock()
    out = Confirmations(clock.seconds)
    first, second = out.give("a"), out.give("a")
    clock.advance(60)
    assert out.take(first, "a")
    clock.advance(0.1)
    assert not out.take(second, "a")


def test_a_token_is_void_once_it_was_shown() -> None:
    out = Confirmations(Clock().seconds)
    token = out.give("a")
    assert not out.take(token, "b")
    assert not out.take(token, "a")
    assert not out.take("nonsense", None)


def test_what_is_out_is_bounded() -> None:
    out = Confirmations(Clock().seconds)
    tokens = [out.give(number) for number in range(1_000)]
    assert len(out._out) == 256
    assert not out.take(tokens[0], 0)
    assert out.take(tokens[-1], 999)
