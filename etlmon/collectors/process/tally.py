"""What becomes of the watched processes from look to look: samples, sums, events. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from etlmon.collectors.process.events import about, clock_events, event, exit_event
from etlmon.collectors.process.expectation import judge
from etlmon.collectors.process.sampling import CpuMeter, sample, started_at
from etlmon.collectors.process.sums import sum_up, usages
from etlmon.host.processes import TICKS_PER_SECOND
from etlmon.records.process import (
    ProcessesFound,
    ProcessesSeen,
    ProcessSample,
    ProcessWatchStatus,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from etlmon.collectors.process.facts import Sighting
    from etlmon.collectors.process.observer import Look, Selected
    from etlmon.collectors.process.sampling import Cpu, Now
    from etlmon.config.signals import AllowedSignals
    from etlmon.config.watched import ProcessWatch
    from etlmon.host.processes import Identity
    from etlmon.records.base import Record

_MOST_ENDED = 10
"""Ended processes that a watch lists, the newest."""
_EMPTY_SECONDS = 60.0
"""How often the history is told that a watch has no process."""
_SETTLING_SECONDS = 1.0
"""One that was so young in the look before had perhaps not come to its program yet."""
_FLAPPING_RESTARTS = 5
_FLAPPING_SECONDS = 120.0


class Ended(NamedTuple):
    """When an exit was noticed, by the clocks that tell its moment."""

    at: datetime
    boot_seconds: float


@dataclass
class _Running:
    """A process that meets the criteria of a watch, and runs."""

    sample: ProcessSample
    start_time: datetime
    restarts: int


@dataclass
class _Watched:
    """What is remembered of a watch."""

    watch: ProcessWatch
    running: dict[Identity, _Running] = field(default_factory=dict)
    ended: list[ProcessSample] = field(default_factory=list)
    gone: set[Identity] = field(default_factory=set)
    """Zombies: they are still seen, and their end has been told."""
    restarts: int = 0
    restarted_at: deque[float] = field(default_factory=lambda: deque(maxlen=_FLAPPING_RESTARTS))
    flapping: bool = False
    state: str | None = None
    since: datetime | None = None
    visibility: str = "full"
    empty_at: float = -_EMPTY_SECONDS
    """When the history was told last that there is no process."""


class Tally:
    """Makes of each look the records that are stored of it.

    Processes below those that meet a watch's criteria count in its sums and are listed; their
    coming and going, of which there may be much, makes no events.
    """

    def __init__(
        self, watches: Sequence[ProcessWatch], cores: int, allowed: AllowedSignals
    ) -> None:
        self._allowed = allowed
        self._signals: dict[int, list[str]] = {}
        """What each of the processes of this look may be sent, by pid."""
        self._watched = {watch.label: _Watched(watch) for watch in watches}
        self._meter = CpuMeter(cores)
        self._starts: dict[Identity, datetime] = {}
        self._before: Now | None = None
        self._looked_before: Now | None = None
        """When the look before this one was taken."""
        self._is_first = True

    def update(self, look: Look, now: Now, noticed: Mapping[Identity, Ended]) -> list[Record]:
        """Give the records of a look; ``noticed`` are the exits that were told at once."""
        cpu = self._meter.measure(look.sightings.values(), now)
        others = self._clock_events(now)
        self._starts = {
            one.identity: self._starts.get(one.identity) or started_at(one.stat.start_ticks, now)
            for one in look.sightings.values()
        }
        labels = look.labels()
        self._signals = {pid: self._allowed.of(labels[pid]) for pid in labels}
        samples: list[ProcessSample] = []
        for label, watched in self._watched.items():
            selected = look.selected[label]
            fresh = self._update(watched, selected, look, now, cpu, noticed, others)
            children = [
                self._sample(look.sightings[pid], now, cpu, label, is_child=True)
                for pid in selected.children
            ]
            alive = [*fresh, *(one for one in children if one.status == "RUNNING")]
            samples += [*alive, *watched.ended]
            status = self._status(watched, selected, look, alive, now, others)
            others.append(status)
            if alive or now.monotonic_seconds - watched.empty_at >= _EMPTY_SECONDS:
                others += usages(status, alive, now.at)
                watched.empty_at = -_EMPTY_SECONDS if alive else now.monotonic_seconds
        found: list[Record] = []
        if self._is_first:
            self._is_first = False
            found.append(
                ProcessesFound(
                    identities=[one.identity for one in samples if one.status == "RUNNING"]
                )
            )
        return [*found, ProcessesSeen(collected_at=now.at), *samples, *others]

    def _clock_events(self, now: Now) -> list[Record]:
        """Tell what the host's clock did since the look before.

        What was reckoned by a clock that has been set is reckoned again.
        """
        before, self._before = self._before, now
        self._looked_before = before
        if before is None:
            return []
        if now.stepped_seconds(before):
            self._starts = {}
        return [*clock_events(before, now)]

    def _update(
        self,
        watched: _Watched,
        selected: Selected,
        look: Look,
        now: Now,
        cpu: Mapping[Identity, Cpu],
        noticed: Mapping[Identity, Ended],
        events: list[Record],
    ) -> list[ProcessSample]:
        """Bring a watch up to date; give the samples of those of its processes that run."""
        label = watched.watch.label
        met = {look.sightings[pid].identity: look.sightings[pid] for pid in selected.met}
        watched.gone &= met.keys()
        left = {str(identity) for identity in watched.gone}
        watched.ended = [
            one if one.state is None or one.identity in left else replace(one, state=None)
            for one in watched.ended
        ]
        fresh = []
        for identity in [one for one in watched.running if one not in met or met[one].has_ended]:
            before = watched.running[identity]
            if identity in look.hidden or identity.pid in selected.untold:
                # From now on nothing more is known of it: neither that it has ended nor left.
                fresh.append(replace(before.sample, visibility="partial"))
                continue
            del watched.running[identity]
            if identity in look.exits:
                self._end(watched, identity, before, look, now, noticed, events)
                if identity in met:
                    watched.gone.add(identity)
            else:
                events.append(event(label, "left", now.at, before.sample))
        for identity, one in met.items():
            if one.has_ended:
                if identity not in watched.gone and self._is_first:
                    watched.gone.add(identity)
                    ended = self._sample(one, now, cpu, label)
                    _keep_ended(watched, replace(ended, exit_reason="ended before the node began"))
                continue
            running = watched.running.get(identity)
            if running is None:
                running = self._begin(watched, one, now, cpu, events)
            running.sample = self._sample(one, now, cpu, label, restarts=running.restarts)
            fresh.append(running.sample)
        return fresh

    def _begin(
        self,
        watched: _Watched,
        one: Sighting,
        now: Now,
        cpu: Mapping[Identity, Cpu],
        events: list[Record],
    ) -> _Running:
        """Take in a process that was not there in the look before."""
        label = watched.watch.label
        begun = self._sample(one, now, cpu, label)
        replaced = next(
            (old for old in watched.ended if old.process_name == begun.process_name), None
        )
        at, detail = begun.start_time, None
        if self._has_joined(one):
            at, detail = (
                now.at,
                f"runs for {about(begun.runtime_sec)}, and meets the criteria only now",
            )
        if replaced is None:
            running = _Running(begun, begun.start_time, 0)
            if not self._is_first:
                events.append(event(label, "started", at, begun, detail=detail))
        else:
            watched.ended.remove(replaced)
            watched.restarts += 1
            watched.restarted_at.append(now.monotonic_seconds)
            running = _Running(begun, begun.start_time, replaced.restarts + 1)
            events.append(
                event(label, "restarted", at, begun, replaces_pid=replaced.pid, detail=detail)
            )
        watched.running[one.identity] = running
        return running

    def _has_joined(self, one: Sighting) -> bool:
        """Whether a process that is new in a watch ran already in the look before.

        Then it has another program or other arguments now, and nothing of it has just started.
        """
        if self._looked_before is None:
            return False
        started = one.stat.start_ticks / TICKS_PER_SECOND
        return started < self._looked_before.boot_seconds - _SETTLING_SECONDS

    def _end(
        self,
        watched: _Watched,
        identity: Identity,
        before: _Running,
        look: Look,
        now: Now,
        noticed: Mapping[Identity, Ended],
        events: list[Record],
    ) -> None:
        """Take note of the end of a process."""
        ended = noticed.get(identity, Ended(now.at, now.boot_seconds))
        how = look.exits[identity]
        reason = None if how is None else how.in_words
        zombie = look.sightings.get(identity.pid)
        last = replace(
            before.sample,
            status="STOPPED",
            state=zombie.stat.state if zombie is not None and zombie.identity == identity else None,
            runtime_sec=round(
                max(0.0, ended.boot_seconds - identity.start_ticks / TICKS_PER_SECOND), 2
            ),
            cpu_percent=None,
            cpu_share=None,
            signals=[],
            ended_at=ended.at,
            exit_reason=reason,
        )
        _keep_ended(watched, last)
        events.append(exit_event(last, how))

    def _status(
        self,
        watched: _Watched,
        selected: Selected,
        look: Look,
        alive: Sequence[ProcessSample],
        now: Now,
        events: list[Record],
    ) -> ProcessWatchStatus:
        """Judge a watch by what it expects, and sum its processes up."""
        label = watched.watch.label
        visibility = "full" if look.sees_all and not selected.untold else "partial"
        runtimes = [one.runtime_sec for one in alive if not one.is_child]
        state, reason = judge(watched.watch.expect, runtimes, sees_all=visibility == "full")
        if state != watched.state:
            if watched.state is not None or state != "ok":
                detail = f"{watched.state or 'not looked at'} -> {state}"
                detail += f": {reason}" if reason else ""
                events.append(event(label, "state_changed", now.at, detail=detail))
            watched.state, watched.since = state, now.at
        if visibility != watched.visibility:
            events.append(event(label, "visibility_changed", now.at, detail=visibility))
            watched.visibility = visibility
        self._judge_flapping(watched, now, events)
        assert watched.since is not None
        return ProcessWatchStatus(
            watch=label,
            state=state,
            reason=reason,
            since=watched.since,
            **sum_up(alive)._asdict(),
            restarts=watched.restarts,
            flapping=watched.flapping,
            visibility=visibility,
            collected_at=now.at,
        )

    def _judge_flapping(self, watched: _Watched, now: Now, events: list[Record]) -> None:
        """Say when restarts come thick and fast, once, and when they have ceased to."""
        label, times = watched.watch.label, watched.restarted_at
        if watched.flapping:
            if now.monotonic_seconds - times[-1] > _FLAPPING_SECONDS:
                watched.flapping = False
                detail = f"no restart for {_FLAPPING_SECONDS:.0f} s"
                events.append(event(label, "steady", now.at, detail=detail))
        elif len(times) == _FLAPPING_RESTARTS and (
            now.monotonic_seconds - times[0] <= _FLAPPING_SECONDS
        ):
            watched.flapping = True
            detail = f"{_FLAPPING_RESTARTS} restarts within {_FLAPPING_SECONDS:.0f} s"
            events.append(event(label, "flapping", now.at, detail=detail))

    def _sample(
        self,
        one: Sighting,
        now: Now,
        cpu: Mapping[Identity, Cpu],
        label: str,
        *,
        restarts: int = 0,
        is_child: bool = False,
    ) -> ProcessSample:
        return sample(
            one,
            now,
            cpu.get(one.identity),
            watch=label,
            start_time=self._starts[one.identity],
            signals=self._signals.get(one.identity.pid, ()),
            restarts=restarts,
            is_child=is_child,
        )


def _keep_ended(watched: _Watched, last: ProcessSample) -> None:
    watched.ended = [*watched.ended, last][-_MOST_ENDED:]
