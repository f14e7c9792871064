"""Looks below one path for the files that are expected there today."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError

from etlmon.collectors.arrival.judge import SETTLE_SECONDS, Today, judge, today
from etlmon.collectors.base import Batch
from etlmon.errors import EtlmonError
from etlmon.fsworker.failures import WorkerStopped
from etlmon.fsworker.find import FindOrder, FindPattern, Found, FoundFile
from etlmon.fsworker.places import reach
from etlmon.host.zone import read_zone
from etlmon.records.path import ExpectationsChecked, PathExpected, path_id
from etlmon.units import format_duration, utc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from etlmon.collectors.base import CollectorContext
    from etlmon.config.watched import PathExpectation, PathSection
    from etlmon.fsworker.find import FindOutcome

_LONGEST_WAIT_SECONDS = 600.0
"""The clock may be set: so often it is read anew."""
_REST = 10.0
"""What is looked at again for growing files takes at most one in so many seconds."""


class ArrivalCollector:
    """The expectations of one path: looked at as often as it is scanned, and when it matters.

    That is when ``by`` has passed, at midnight, and while a file grows.
    """

    name = "arrival"

    def __init__(
        self,
        section: PathSection,
        timezone: str | None,
        interval_seconds: float,
        root: Path,
        context: CollectorContext,
    ) -> None:
        self.instance = section.path
        self.interval_seconds = interval_seconds
        self.settings = (section, timezone)
        self._section = section
        self._timezone = timezone
        self._root = root
        self._context = context
        self._young: dict[tuple[str, int, datetime], float] = {}
        self._arrived: dict[int, PathExpected] | None = None
        """What had arrived at the last look, by its place; None before the first one."""
        self._hint: Callable[[], None] | None = None
        self._timer: Any = None

    def listen(self, hint: Callable[[], None]) -> None:
        """Call ``hint`` when what there is to say may change, though no file does."""
        self._hint = hint

    async def deafen(self) -> None:
        """Call it no more."""
        self._hint = None
        self._disarm()

    async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        """Give one ExpectationsChecked; raises what kept from looking after it has been given."""
        self._disarm()
        if self._arrived is None:
            saved = await self._context.saved(PathExpected, path_id(self._section.path))
            self._arrived = _arrived(saved)
        began = self._context.monotonic_clock()
        now = utc(self._context.wall_clock())
        days = await self._context.in_thread(lambda: self._days(now))
        outcome: FindOutcome | None = None
        failure: Exception | None = None
        try:
            outcome = await self._find(days)
        except (WorkerStopped, CancelledError):
            raise
        except Exception as error:
            failure = error  # it is told with the states, and raised when they are stored
        now = utc(self._context.wall_clock())
        growing = self._growing(days, outcome.found if outcome else [], now)
        before = self._arrived
        expected = [
            _unless_arrived(
                self._expected(place, days[place], outcome, growing, now, failure),
                before.get(place),
            )
            for place in range(len(days))
        ]
        self._arrived = _arrived(expected)
        self._arm(days, expected, now, self._context.monotonic_clock() - began)
        yield Batch([ExpectationsChecked(path=self._section.path, expected=expected)])
        if failure is not None:
            raise failure

    def _days(self, now: datetime) -> list[Today]:
        """Give what is expected today; in a thread, for zones are files."""
        return [
            today(one, now, read_zone(self._root, one.timezone or self._timezone).rules)
            for one in self._section.expect
        ]

    async def _find(self, days: Sequence[Today]) -> FindOutcome:
        place = await reach(self._context, self._section.path)
        patterns = [
            FindPattern(glob=day.glob, since=day.since, min_bytes=one.min_bytes)
            for day, one in zip(days, self._section.expect, strict=True)
        ]
        order = FindOrder(
            **place.walk(self._section.max_ops_per_second),
            timeout_seconds=self._section.timeout,
            patterns=patterns,
        )
        return await self._context.workers.find(order)

    def _growing(
        self, days: Sequence[Today], found: Sequence[Found], now: datetime
    ) -> list[list[FoundFile]]:
        """Give the files that may still be written to, for each expectation.

        A file of a server whose clock is ahead is young for too long: one that has stayed the same
        from one look to another, long enough after it, is no such file.
        """
        seconds = self._context.monotonic_clock()
        settled = now - timedelta(seconds=SETTLE_SECONDS)
        young: dict[tuple[str, int, datetime], float] = {}
        growing: list[list[FoundFile]] = []
        for day, one in zip(days, found, strict=False):
            growing.append([])
            for file in one.newest:
                at = file.modified_at
                if at is None or at <= settled or at < day.since:
                    continue
                key = (file.path, file.size_bytes, at)
                seen = young[key] = self._young.get(key, seconds)
                if seconds - seen < SETTLE_SECONDS:
                    growing[-1].append(file)
        self._young = young
        return growing

    def _expected(
        self,
        place: int,
        day: Today,
        outcome: FindOutcome | None,
        growing: Sequence[Sequence[FoundFile]],
        now: datetime,
        failure: Exception | None,
    ) -> PathExpected:
        one: PathExpectation = self._section.expect[place]
        base = PathExpected(
            path_id=path_id(self._section.path),
            place=place,
            pattern=one.pattern,
            glob=day.glob,
            state="unknown",
            due_at=day.due_at,
            since=day.since,
            min_count=one.min_count,
            min_bytes=one.min_bytes,
            checked_at=now,
        )
        if outcome is None:
            said = str(failure) if isinstance(failure, EtlmonError) else repr(failure)
            return replace(base, error_message=said)
        found = outcome.found[place]
        verdict = judge(one, day, found, growing[place], now)
        is_sure = outcome.complete or verdict.state == "arrived"
        recent = (
            file for file in found.newest if file.modified_at and file.modified_at >= day.since
        )
        newest = next(recent, None)
        return replace(
            base,
            state=verdict.state if is_sure else "unknown",
            arrived_count=verdict.arrived,
            growing_count=verdict.growing,
            small_count=verdict.small,
            empty_count=verdict.empty,
            link_count=found.links,
            total_bytes=found.recent_bytes,
            newest_path=newest and newest.path,
            newest_bytes=newest and newest.size_bytes,
            newest_at=newest and newest.modified_at,
            arrived_at=now if verdict.state == "arrived" else None,
            error_message=None if is_sure else self._missing(outcome),
        )

    def _missing(self, outcome: FindOutcome) -> str:
        """Say what could not be looked at."""
        if outcome.stopped is not None:
            return f"stopped at the timeout of {format_duration(self._section.timeout)}"
        first = outcome.troubles[0]
        return f"could not be read: {first.kind}, for example {first.example}"

    def _arm(
        self,
        days: Sequence[Today],
        expected: Sequence[PathExpected],
        now: datetime,
        took_seconds: float,
    ) -> None:
        """Look again when what there is to say changes by itself."""
        settle = timedelta(seconds=SETTLE_SECONDS)
        moments = []
        for day, one in zip(days, expected, strict=True):
            # A day may have ended while it was looked.
            moments.append(max(day.ends_at, now))
            if day.due_at + settle > now:
                moments.append(day.due_at + settle)
            if one.growing_count and one.state != "arrived":
                moments.append(now + max(settle, timedelta(seconds=took_seconds * _REST)))
        self._wait(min(moments))

    def _wait(self, until: datetime) -> None:
        if self._hint is not None:
            left = (until - utc(self._context.wall_clock())).total_seconds()
            seconds = min(max(left, 0.0), _LONGEST_WAIT_SECONDS)
            self._timer = self._context.reactor.callLater(seconds, self._look, until)

    def _look(self, until: datetime) -> None:
        self._timer = None
        if utc(self._context.wall_clock()) < until:
            self._wait(until)
        elif self._hint is not None:
            self._hint()

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _arrived(expected: Iterable[PathExpected]) -> dict[int, PathExpected]:
    return {one.place: one for one in expected if one.state == "arrived"}


def _asks(one: PathExpected) -> tuple[object, ...]:
    """Give what is expected, and for which day."""
    return one.pattern, one.due_at, one.since, one.min_count, one.min_bytes


def _unless_arrived(one: PathExpected, before: PathExpected | None) -> PathExpected:
    """Give what has arrived as that for the whole day: a loader takes the files away."""
    if before is None or _asks(before) != _asks(one):
        return one
    return replace(one, state="arrived", arrived_at=before.arrived_at)
