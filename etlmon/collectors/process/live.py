"""All processes of the host as they are now, for who asks; nothing of it is stored."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from twisted.internet.defer import DeferredLock

from etlmon.collectors.process.collector import boot_clock
from etlmon.collectors.process.observer import Observer
from etlmon.collectors.process.sampling import CpuMeter, Now, sample, started_at
from etlmon.errors import CollectError
from etlmon.host.processes import own_pid, parse_identity
from etlmon.host.users import Users
from etlmon.redaction import Redaction
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from twisted.internet.defer import Deferred

    from etlmon.collectors.base import CollectorContext
    from etlmon.collectors.process.facts import Sighting
    from etlmon.config.signals import AllowedSignals
    from etlmon.config.watched import ProcessWatch, RedactSection
    from etlmon.host.processes import Identity
    from etlmon.records.process import ProcessSample

_FRESH_SECONDS = 1.0
"""Who asks again so soon gets the same: many clients cost no more than one."""


class LiveProcesses:
    """Reads all processes when asked, in a thread.

    CPU is told from the second answer on, as used since the one before.
    """

    def __init__(
        self,
        watches: Sequence[ProcessWatch],
        redact: RedactSection,
        context: CollectorContext,
        allowed: AllowedSignals,
        *,
        boot_clock: Callable[[], float] = boot_clock,
        cores: int | None = None,
    ) -> None:
        self._context = context
        self._allowed = allowed
        self._boot_clock = boot_clock
        self._observer = Observer(
            context.proc,
            watches,
            Redaction(redact.patterns, defaults=redact.defaults),
            Users(context.monotonic_clock),
            everything=True,
        )
        self._meter = CpuMeter(cores or os.cpu_count() or 1)
        self._starts: dict[Identity, datetime] = {}
        self._before: Now | None = None
        self._lock = DeferredLock()
        self._read_at: float | None = None
        self._last: list[ProcessSample] = []

    def read(self) -> Deferred[list[ProcessSample]]:
        """Give a sample of each process, by pid; raise CollectError if procfs cannot be read."""
        return self._lock.run(self._read)

    async def watches_of(self, identity: str) -> list[str] | None:
        """Look at one process, and give the watches that select it; None if it is not there.

        One whose parent has ended is not known to belong to that one's watch: a sample of it tells.
        Raises CollectError if procfs cannot be read.
        """
        which = parse_identity(identity)
        try:
            return await self._context.in_thread(lambda: self._observer.watches_of(which))
        except (OSError, ValueError) as error:
            raise CollectError(f"cannot read {self._context.proc}: {error}") from error

    async def _read(self) -> list[ProcessSample]:
        clock = self._context.monotonic_clock
        if self._read_at is not None and clock() - self._read_at < _FRESH_SECONDS:
            return self._last
        now = Now(utc(self._context.wall_clock()), clock(), self._boot_clock())
        try:
            samples = await self._context.in_thread(lambda: self._look(now))
        except (OSError, ValueError) as error:
            raise CollectError(f"cannot read {self._context.proc}: {error}") from error
        self._read_at, self._last = clock(), samples
        return samples

    def _look(self, now: Now) -> list[ProcessSample]:
        look = self._observer.look({})
        labels = look.labels()
        own = _own(look.sightings, own_pid(self._context.proc))
        cpu = self._meter.measure(look.sightings.values(), now)
        if self._before is not None and now.stepped_seconds(self._before):
            self._starts = {}
        self._before = now
        self._starts = {
            one.identity: self._starts.get(one.identity) or started_at(one.stat.start_ticks, now)
            for one in look.sightings.values()
        }
        return [
            sample(
                one,
                now,
                cpu.get(one.identity),
                watch=next(iter(labels.get(pid, ())), None),
                start_time=self._starts[one.identity],
                signals=() if pid in own else self._allowed.of(labels.get(pid, ())),
            )
            for pid, one in look.sightings.items()
        ]


def _own(sightings: Mapping[int, Sighting], itself: int | None) -> set[int]:
    """Give the pids of this node, of what it runs below and of what runs below it."""
    below: dict[int, list[int]] = {}
    for pid, one in sightings.items():
        below.setdefault(one.stat.parent_pid, []).append(pid)
    found: set[int] = set()
    pending = [] if itself is None else [itself]
    while pending:
        pid = pending.pop()
        if pid not in found:
            found.add(pid)
            pending += below.get(pid, ())
    at = sightings.get(itself or 0)
    while at is not None and (parent := at.stat.parent_pid) not in found:
        found.add(parent)
        at = sightings.get(parent)
    return found
