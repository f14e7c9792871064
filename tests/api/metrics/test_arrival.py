"""Expected files in numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from etlmon.api.metrics.arrival import Expectations
from etlmon.records.path import ExpectationsChecked, PathExpected, PathsConfigured

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SALES = PathExpected(
    path_id="0",
    place=0,
    pattern="sales_%Y%m%d.csv",
    glob="sales_20261124.csv",
    state="late",
    due_at=NOW,
    since=NOW,
    min_count=1,
    min_bytes=1,
    arrived_count=2,
    checked_at=NOW,
)
OF = {"path": "/in", "pattern": "sales_%Y%m%d.csv"}


def test_what_is_expected_has_its_state(taken: Any, value: Any) -> None:
    """By the pattern as configured: the one of today would be another series each day."""
    seen = taken(Expectations(), [ExpectationsChecked(path="/in", expected=[SALES])])
    assert value(seen, "path_expected_state", **OF, state="late") == 1
    assert value(seen, "path_expected_state", **OF, state="arrived") == 0
    assert value(seen, "path_expected_due_timestamp_seconds", **OF) == NOW.timestamp()
    assert value(seen, "path_expected_arrived", **OF) == 2
    arrived = ExpectationsChecked(path="/in", expected=[replace(SALES, state="arrived")])
    taken(seen, [arrived])
    assert value(seen, "path_expected_state", **OF, state="late") == 0


def test_what_is_not_expected_any_more_has_no_series(taken: Any, value: Any) -> None:
    checked = ExpectationsChecked(path="/in", expected=[SALES])
    seen = taken(Expectations(), [checked], [PathsConfigured(paths=("/in",))])
    assert value(seen, "path_expected_arrived", **OF) is None
    seen = taken(Expectations(), [checked], [PathsConfigured(paths=("/in",), expecting=("/in",))])
    assert value(seen, "path_expected_arrived", **OF) == 2
