"""What tests rely on when they wait for others, and where others listen."""

from __future__ import annotations

import random

import pytest

from tests.waiting import free_port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_is_given_to_one_test_alone(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Also while nobody listens there yet."""
    first, other = free_port(), free_port()
    chosen = iter([first, other, first + 1, *range(other + 1, other + 100)])
    monkeypatch.setattr(random.SystemRandom, "randrange", lambda *_: next(chosen))
    assert free_port(host) not in (first, other)
