"""What a part tells, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import maybeDeferred

from etlmon.api.metrics.exposition import Metrics


def value_of(part: Any, name: str, **labels: str) -> float | None:
    """Give the value of a series; None if there is none."""
    for metric in part.snapshot()():
        for sample in metric.samples:
            if sample.name == f"etlmon_{name}" and sample.labels == labels:
                return float(sample.value)
    return None


@pytest.fixture
def value() -> Callable[..., float | None]:
    return value_of


@pytest.fixture
def taken() -> Callable[..., Any]:
    """Give a reading that has been handed batches of records, as the node does it."""

    def taken(reading: Any, *batches: Sequence[Any]) -> Any:
        metrics = Metrics([], [reading], maybeDeferred, Path("/nonexistent"))
        for batch in batches:
            metrics.stored(batch)
        return reading

    return taken
