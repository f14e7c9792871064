"""What the collector of arrivals sees: whether the files of today are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from etlmon.api.metrics.families import Each, first, label, left_out, only, seconds_since_epoch
from etlmon.records.path import ExpectationsChecked, ExpectedState, PathExpected, PathsConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from etlmon.api.metrics.families import Families, Row, Takers


class Expectations:
    """The files that are expected, by path and pattern as configured."""

    def __init__(self) -> None:
        self.kinds: Takers = {
            ExpectationsChecked: self._checked,
            PathsConfigured: self._configured,
        }
        self._now: dict[str, list[PathExpected]] = {}

    def _checked(self, checks: Sequence[ExpectationsChecked]) -> None:
        self._now |= {check.path: check.expected for check in checks}

    def _configured(self, configured: Sequence[PathsConfigured]) -> None:
        self._now = only(self._now, configured[-1].expecting)

    def _named(self) -> dict[str, tuple[str, PathExpected]]:
        return {
            f"{path}\0{one.place:06}": (path, one)
            for path, many in self._now.items()
            for one in many
        }

    def snapshot(self) -> Families:
        """Take the values as they are now."""
        found = [
            ((label(path), label(one.pattern)), one) for _, (path, one) in first(self._named())
        ]
        return lambda: self._families(found)

    @staticmethod
    def _families(found: Sequence[tuple[tuple[str, str], PathExpected]]) -> Iterator[Metric]:
        each = Each("path_expected", ("path", "pattern"), found)
        yield each.states(
            "1 for the state that the files of today are in: late, waiting, arrived and so on.",
            get_args(ExpectedState),
            lambda one: one.state,
        )
        yield each.gauge(
            "due_timestamp_seconds",
            "By when they must be there.",
            lambda one: seconds_since_epoch(one.due_at),
        )
        yield each.gauge("arrived", "Files that have arrived.", lambda one: one.arrived_count)

    def left_out(self) -> Row:
        """Give how many have no series."""
        return left_out("expectation", self._named())
