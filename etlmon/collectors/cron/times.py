"""When jobs come next, remembered while nothing has changed that it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from etlmon.collectors.cron.next import Runs, next_runs, possible, why_never
from etlmon.collectors.cron.offsets import Offsets
from etlmon.host.zone import find_zone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etlmon.collectors.cron.parse import Entry
    from etlmon.collectors.cron.schedule import Dialect, Schedule
    from etlmon.host.zone import HostZone
    from etlmon.records.cron import NextRunKind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
NEXT_RUNS = 10
"""How many coming runs are told."""
_MOST_ZONES = 64
"""So many zones besides the host's are reckoned with: anybody may name them in his crontab."""
_NO_SUCH_DAY = "no such day within 50 years"


@dataclass(frozen=True, slots=True)
class Coming:
    """When a job comes next. Many jobs share one, and its lists: nobody changes them."""

    kind: NextRunKind
    runs: list[datetime]
    local: str | None
    """The first of them by the host's clock."""
    window_end: datetime | None
    by_hour: list[int]
    reason: str | None
    dst_risk: bool


class _Asked(NamedTuple):
    """What the coming runs depend on: jobs that have this in common have them in common."""

    schedule: Schedule
    zone: str | None
    delay_minutes: int


class _Known(NamedTuple):
    minute: int
    until: int | None
    """The first run, None where there is none."""
    coming: Coming

    def holds(self, minute: int) -> bool:
        """Whether it can be told again: within its hour, and before its first run."""
        return (
            self.minute <= minute
            and self.minute // 15 == minute // 15  # no hour of any zone begins within
            and self.coming.kind in {"exact", "window", "never"}
            and (self.until is None or minute < self.until)
        )


class Times:
    """The coming runs of all jobs in one zone, by the rules of one daemon."""

    def __init__(self, zone: HostZone, dialect: Dialect) -> None:
        self.zone = zone
        self.dialect = dialect
        self._runs = Runs(Offsets(zone.rules), dialect)
        self._others: dict[str, Runs | None] = {}
        self._known: dict[_Asked, _Known] = {}
        self._asked: set[_Asked] = set()

    def of(self, entry: Entry, minute: int) -> Coming:
        """Tell when an entry comes next after a minute."""
        if entry.schedule is None:
            return self.coming("never", reason=entry.error)
        asked = _Asked(entry.schedule, entry.zone, entry.delay_minutes)
        self._asked.add(asked)
        known = self._known.get(asked)
        if known is None or not known.holds(minute):
            known = self._known[asked] = self._look_up(asked, minute)
        return known.coming

    def coming(
        self,
        kind: NextRunKind,
        runs: Sequence[int] = (),
        window_end: int | None = None,
        by_hour: Sequence[int] = (),
        reason: str | None = None,
        *,
        dst_risk: bool = False,
    ) -> Coming:
        """Put into words when a job comes; ``runs`` and ``window_end`` are real minutes."""
        moments = [_moment(minute) for minute in runs]
        local = moments[0].astimezone(self.zone.rules).isoformat() if moments else None
        end = None if window_end is None else _moment(window_end)
        return Coming(kind, moments, local, end, list(by_hour), reason, dst_risk)

    def next_after(self, entry: Entry, minute: int) -> int | None:
        """Give the first minute after another at which an entry runs; None if there is none."""
        runs = self._runs if entry.zone is None else self._in(entry.zone)
        if runs is None or entry.schedule is None:
            return None
        return next(runs.after(entry.schedule, minute), None)

    def by_hour(self, schedule: Schedule, minute: int) -> tuple[int, ...]:
        """Give how often the host's clock meets a schedule in each of 24 hours from that of now."""
        return self._runs.by_hour(schedule, minute)

    def hours_until(self, moment: datetime, minute: int) -> int:
        """Give in which of the hours from that of a minute on a moment lies; 0 is the first."""
        return (int(moment.timestamp() // 60) - self._runs.hour_of(minute)) // 60

    def forget_others(self) -> None:
        """Forget what was not asked for since this was called last."""
        for gone in self._known.keys() - self._asked:
            del self._known[gone]
        zones = {asked.zone for asked in self._asked}
        self._others = {name: runs for name, runs in self._others.items() if name in zones}
        self._asked = set()

    def _look_up(self, asked: _Asked, minute: int) -> _Known:
        schedule, name, delay_minutes = asked
        runs = self._runs if name is None else self._in(name)
        if schedule.on_boot:
            coming = self.coming("on_boot")
        elif not possible(schedule):
            coming = self.coming("never", reason=why_never(schedule))
        elif runs is None:
            known = f"is one zone too many: {_MOST_ZONES} are reckoned with"
            if len(self._others) < _MOST_ZONES:
                known = "is no zone that this host knows"
            why = f"CRON_TZ={name} {known}"
            coming = self.coming("unknown", reason=why)
        elif schedule.picks or delay_minutes:
            coming = self._window(runs, schedule, minute, delay_minutes)
        else:
            found = next_runs(runs, schedule, minute, NEXT_RUNS)
            if found:
                by_hour = runs.by_hour(schedule, minute)
                risk = runs.meets_jump(schedule, minute)
                coming = self.coming("exact", found, by_hour=by_hour, dst_risk=risk)
            else:
                coming = self.coming("never", reason=_NO_SUCH_DAY)
        first = coming.runs[0] if coming.runs else None
        return _Known(minute, None if first is None else int(first.timestamp() // 60), coming)

    def _window(self, runs: Runs, schedule: Schedule, minute: int, delay_minutes: int) -> Coming:
        window = runs.window(schedule, minute, delay_minutes)
        if window is None:
            return self.coming("never", reason=_NO_SUCH_DAY)
        why = (
            "cron picks the values for ~ when it loads the file"
            if schedule.picks
            else f"cron adds up to {delay_minutes} minutes, picked when it starts"
        )
        return self.coming(
            "window",
            (window.begin,),
            window.end,
            runs.may_by_hour(schedule, minute, delay_minutes),
            why,
            dst_risk=runs.meets_jump(schedule, minute),
        )

    def _in(self, name: str) -> Runs | None:
        if name not in self._others and len(self._others) >= _MOST_ZONES:
            return None
        if name not in self._others:
            rules = find_zone(name)
            self._others[name] = (
                None if rules is None else Runs(Offsets(rules), self.dialect, follows_jumps=False)
            )
        return self._others[name]


def _moment(minute: int) -> datetime:
    return _EPOCH + minute * _MINUTE
