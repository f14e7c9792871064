"""What is expected today, and whether what was found is it. No clock, no file is asked here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from etlmon.globs import expand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from etlmon.config.watched import PathExpectation
    from etlmon.fsworker.find import Found, FoundFile
    from etlmon.records.path import ExpectedState

SETTLE_SECONDS = 10.0
"""A file that was modified less than this ago may still be written to."""


@dataclass(frozen=True)
class Today:
    """What an expectation means on the day on which it is asked, all moments in UTC."""

    glob: str
    since: datetime
    due_at: datetime
    ends_at: datetime
    """The midnight that ends the day."""


@dataclass(frozen=True)
class Verdict:
    """How an expectation is, and the files that say so."""

    state: ExpectedState
    arrived: int
    growing: int
    small: int
    empty: int


def today(expectation: PathExpectation, now: datetime, zone: tzinfo) -> Today:
    """Give what is expected on the day of ``now`` in ``zone``.

    A time that a change of the clock leaves out counts as much later as the clock was put forward;
    of one that comes twice the first counts.
    """
    day = now.astimezone(zone).date()
    due = datetime.combine(day, time.fromisoformat(expectation.by), zone)
    midnight = datetime.combine(day, time(), zone).astimezone(UTC)
    due_at = due.astimezone(UTC)
    since = midnight
    if expectation.within is not None:
        since = due_at - timedelta(seconds=expectation.within)
    return Today(
        glob=expand(expectation.pattern, due - timedelta(days=expectation.days_before)),
        since=since,
        due_at=due_at,
        ends_at=datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC),
    )


def judge(
    expectation: PathExpectation,
    day: Today,
    found: Found,
    growing: Sequence[FoundFile],
    now: datetime,
) -> Verdict:
    """Judge what was found at ``now``; ``growing`` are those of it that may still be written to.

    Those neither count, nor are they too small yet. ``late`` is said when what came in at the last
    moment has had the time to settle.
    """
    least = expectation.min_bytes
    arrived = found.arrived - sum(file.size_bytes >= least for file in growing)
    empty = found.empty - sum(file.size_bytes == 0 for file in growing)
    useless = found.recent - len(growing) - arrived
    small = useless - empty if least > 0 else useless
    wanted = expectation.min_count
    state: ExpectedState
    if arrived >= wanted:
        state = "arrived"
    elif arrived + useless >= wanted and arrived + len(growing) < wanted:
        state = "small" if arrived + small >= wanted else "empty"
    elif now < day.due_at + timedelta(seconds=SETTLE_SECONDS):
        state = "waiting"
    else:
        state = "late"
    return Verdict(state, arrived, len(growing), small, empty)
