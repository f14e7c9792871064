"""Whether as many processes run as expected."""

from __future__ import annotations

import pytest

from etlmon.collectors.process.expectation import judge
from etlmon.config.watched import ProcessExpectation as Expect

UP = Expect(up_at_least=60.0)


@pytest.mark.parametrize(
    ("expect", "runtimes", "state", "reason"),
    [
        (None, [], "ok", None),
        (None, [1.0], "ok", None),
        (Expect(min=1), [], "down", "none runs, 1 or more expected"),
        (Expect(min=2), [5.0], "low", "1 runs, 2 or more expected"),
        (Expect(min=2, max=3), [5.0] * 4, "high", "4 run, 3 or fewer expected"),
        (Expect(min=2, max=3), [5.0] * 3, "ok", None),
        (Expect(max=3), [], "ok", None),
        (Expect(max=0), [1.0], "high", "1 runs, 0 or fewer expected"),
        (UP, [], "down", "none runs, 1 or more expected"),
        (UP, [59.9], "young", "0 up for 1m, 1 or more expected"),
        (UP, [60.0, 1.0], "ok", None),
        (Expect(min=2, up_at_least=60.0), [60.0, 1.0], "young", "1 up for 1m, 2 or more expected"),
        (Expect(max=2, up_at_least=60.0), [1.0], "ok", None),
    ],
)
def test_states(
    expect: Expect | None, runtimes: list[float], state: str, reason: str | None
) -> None:
    assert judge(expect, runtimes, sees_all=True) == (state, reason)


@pytest.mark.parametrize(
    ("expect", "runtimes", "state"),
    [
        (None, [], "unknown"),
        (None, [1.0], "ok"),
        (Expect(min=1), [], "unknown"),
        (Expect(min=2), [1.0], "unknown"),
        (Expect(min=1), [1.0], "ok"),
        (Expect(max=1), [1.0, 2.0], "high"),
    ],
)
def test_what_may_be_hidden_is_not_down(
    expect: Expect | None, runtimes: list[float], state: str
) -> None:
    assert judge(expect, runtimes, sees_all=False)[0] == state
