"""When jobs come next, remembered while nothing has changed that it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etlmon.collectors.cron.next import Runs, next_runs, possible, why_never
from etlmon.collectors.cron.offsets import Offsets
from etlmon.host.zone import find_zone

if TYPE_CHECKING:
    from etlmon.collectors.cron.parse import Entry
    from etlmon.collectors.cron.schedule import Dialect, Schedule
    from etlmon.host.zone import HostZone
    from etlmon.records.cron import NextRunKind

NEXT_RUNS = 10
"""How many coming runs are told."""


@dataclass(frozen=True, slots=True)
class Coming:
    """When a job comes next; moments are minutes since the epoch."""

    kind: NextRunKind
    runs: tuple[int, ...] = ()
    window_end: int | None = None
    by_hour: tuple[int, ...] = ()
    reason: str | None = None
    dst_risk: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    schedule: Schedule
    zone: str | None
    delay_minutes: int
    minute: int
    coming: Coming

    def holds(self, entry: Entry, minute: int) -> bool:
        """Whether it can be told again: the same entry, within its hour, before its first run."""
        return (
            self.schedule == entry.schedule
            and self.zone == entry.zone
            and self.delay_minutes == entry.delay_minutes
            and self.minute <= minute
            and self.minute // 30 == minute // 30  # no hour of any zone begins within
            and self.coming.kind in {"exact", "never"}
            and (not self.coming.runs or minute < self.coming.runs[0])
        )


class Times:
    """The coming runs of all jobs in one zone, by the rules of one daemon."""

    def __init__(self, zone: HostZone, dialect: Dialect) -> None:
        self.zone = zone
        self.dialect = dialect
        self._runs = Runs(Offsets(zone.rules), dialect)
        self._others: dict[str, Runs | None] = {}
        self._known: dict[str, _Known] = {}

    def of(self, job: str, entry: Entry, minute: int) -> Coming:
        """Tell when an entry comes next after a minute; ``job`` is its id."""
        known = self._known.get(job)
        if known is not None and known.holds(entry, minute):
            return known.coming
        schedule = entry.schedule
        if schedule is None:
            return Coming("never", reason=entry.error)
        coming = self._look_up(schedule, entry, minute)
        self._known[job] = _Known(schedule, entry.zone, entry.delay_minutes, minute, coming)
        return coming

    def is_due(self, entry: Entry, minute: int) -> bool:
        """Tell whether an entry runs at a minute."""
        runs = self._runs if entry.zone is None else self._in(entry.zone)
        if runs is None or entry.schedule is None:
            return False
        return next(runs.after(entry.schedule, minute - 1), None) == minute

    def forget_others(self, jobs: set[str]) -> None:
        """Forget all jobs but these."""
        for gone in self._known.keys() - jobs:
            del self._known[gone]

    def _look_up(self, schedule: Schedule, entry: Entry, minute: int) -> Coming:
        if schedule.on_boot:
            return Coming("on_boot")
        if not possible(schedule):
            return Coming("never", reason=why_never(schedule))
        runs = self._runs if entry.zone is None else self._in(entry.zone)
        if runs is None:
            return Coming("unknown", reason=f"CRON_TZ={entry.zone} is no zone that this host knows")
        found = next_runs(runs, schedule, minute, NEXT_RUNS)
        if not found:
            return Coming("never", reason="no such day within 50 years")
        risk = runs.meets_jump(schedule, minute)
        by_hour = runs.by_hour(schedule, minute)
        if not schedule.picks and not entry.delay_minutes:
            return Coming("exact", tuple(found), None, by_hour, None, risk)
        window = runs.window(schedule, minute, entry.delay_minutes)
        if window is None:
            return Coming("never", reason="no such day within 50 years")
        why = (
            "cron picks the values for ~ when it loads the file"
            if schedule.picks
            else f"cron adds up to {entry.delay_minutes} minutes, picked when it starts"
        )
        return Coming("window", (window.begin,), window.end, (), why, risk)

    def _in(self, name: str) -> Runs | None:
        if name not in self._others:
            rules = find_zone(name)
            self._others[name] = (
                None if rules is None else Runs(Offsets(rules), self.dialect, follows_jumps=False)
            )
        return self._others[name]
