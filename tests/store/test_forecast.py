"""Forecasts: from what history, to which moment, and when none is given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from etlmon.store.forecast import Sample, full_at
from etlmon.units import from_millis

HOUR_MS = 3_600_000
GB = 10**9
SIZE = 1000 * GB
BEGIN_MS = 1_800_000_000_000


def history(used: Callable[[int], float], hours: int = 48) -> list[Sample]:
    """Give a sample for each hour of a file system of 1,000 GB."""
    return [
        Sample(BEGIN_MS + hour * HOUR_MS, int(used(hour)), SIZE - int(used(hour)))
        for hour in range(hours)
    ]


def hours_to_full(samples: list[Sample]) -> float:
    end = full_at(samples)
    assert end is not None
    return (end - from_millis(samples[-1].at_ms)) / timedelta(hours=1)


def test_growing() -> None:
    """At 2 GB an hour, 906 GB last for 453 hours."""
    samples = history(lambda hour: 2 * GB * hour)
    assert hours_to_full(samples) == pytest.approx(906 / 2, abs=0.01)


def test_growing_with_noise() -> None:
    samples = history(lambda hour: 500 * GB + 3 * GB * hour + (hour * 7 % 5) * GB)
    left = samples[-1].avail_bytes / GB / 3
    assert hours_to_full(samples) == pytest.approx(left, rel=0.05)


def test_one_clean_up_does_not_hide_the_growth() -> None:
    samples = history(lambda hour: 400 * GB + 4 * GB * hour - (150 * GB if hour >= 40 else 0))
    left = samples[-1].avail_bytes / GB / 4
    assert hours_to_full(samples) == pytest.approx(left, rel=0.1)


def test_one_big_load_is_not_taken_for_growth() -> None:
    samples = history(lambda hour: 100 * GB + hour * 1000 + (500 * GB if hour >= 40 else 0))
    assert full_at(samples) is None


def test_daily_clean_up_without_a_trend() -> None:
    assert full_at(history(lambda hour: 300 * GB + 5 * GB * (hour % 24), hours=24 * 7)) is None


def test_full_already() -> None:
    samples = [Sample(BEGIN_MS + n * HOUR_MS, n * GB, 0) for n in range(10)]
    assert full_at(samples) == from_millis(samples[-1].at_ms)


@pytest.mark.parametrize(
    "used",
    [lambda hour: 500 * GB, lambda hour: 500 * GB - hour * GB],
    ids=["flat", "shrinking"],
)
def test_no_growth_no_forecast(used: Callable[[int], float]) -> None:
    assert full_at(history(used)) is None


def test_too_few_samples() -> None:
    samples = history(lambda hour: 100 * GB * hour, hours=6)
    assert full_at(samples) is not None
    assert full_at(samples[1:]) is None
    assert full_at([]) is None


def test_too_short_a_history() -> None:
    def over(minutes: float) -> list[Sample]:
        step = int(minutes * 60_000 / 9)
        return [Sample(BEGIN_MS + n * step, n * 50 * GB, SIZE - n * 50 * GB) for n in range(10)]

    assert full_at(over(9.9)) is None
    assert full_at(over(10.1)) is not None


def test_horizon_is_ten_times_the_history() -> None:
    """10 hours of history at 1 GB an hour: 99 GB left is within reach, 101 GB is not."""

    def left(gigabytes: int) -> list[Sample]:
        return [
            Sample(BEGIN_MS + n * HOUR_MS, n * GB, (gigabytes + 10 - n) * GB) for n in range(11)
        ]

    assert hours_to_full(left(99)) == pytest.approx(99)
    assert full_at(left(101)) is None


def test_samples_of_one_moment_do_not_divide_by_zero() -> None:
    samples = [sample for sample in history(lambda hour: 2 * GB * hour) for _ in range(2)]
    assert hours_to_full(samples) == pytest.approx(453, abs=0.01)
