"""From what was seen to a sample: CPU between two looks, run time, moments. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from etlmon.host.processes import TICKS_PER_SECOND
from etlmon.records.process import ProcessSample

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from etlmon.collectors.process.facts import Sighting
    from etlmon.host.processes import Identity

_SHORTEST_SECONDS = 0.9
"""Less than this between two looks says little: CPU is counted in steps of 10 ms."""


_STEP_SECONDS = 1.0
"""A clock that is kept right is slewed: from look to look it is never so far from where it was."""


class Now(NamedTuple):
    """When a look was taken, by three clocks."""

    at: datetime
    """The time of day, to be stored and shown."""
    monotonic_seconds: float
    """For rates: it stands still while the host sleeps, as processes do."""
    boot_seconds: float
    """Since the boot, sleep included: processes' starts are told by it."""

    def stepped_seconds(self, before: Now) -> float:
        """Give how far the time of day was set since ``before``; 0 for the little of a slew."""
        passed = self.boot_seconds - before.boot_seconds
        step = (self.at - before.at).total_seconds() - passed
        return step if abs(step) >= _STEP_SECONDS else 0.0

    def slept_seconds(self, before: Now) -> float:
        """Give how long the host has slept since ``before``."""
        passed = self.boot_seconds - before.boot_seconds
        slept = passed - (self.monotonic_seconds - before.monotonic_seconds)
        return slept if slept >= _STEP_SECONDS else 0.0


class Cpu(NamedTuple):
    """CPU that a process used between two looks: 100 is one core, 1 all of them."""

    percent: float
    share: float


class CpuMeter:
    """Tells how much CPU processes have used since the look before."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._read: dict[Identity, tuple[int, float, Cpu | None]] = {}

    def measure(self, sightings: Iterable[Sighting], now: Now) -> dict[Identity, Cpu]:
        """Give the CPU of all that were seen in the look before; forget those that are gone.

        When that is but a moment ago, it is what was measured then.
        """
        read: dict[Identity, tuple[int, float, Cpu | None]] = {}
        for one in sightings:
            before = self._read.get(one.identity)
            ticks = one.stat.cpu_ticks
            if before is None:
                read[one.identity] = (ticks, now.monotonic_seconds, None)
                continue
            seconds = now.monotonic_seconds - before[1]
            if seconds < _SHORTEST_SECONDS:
                read[one.identity] = before
                continue
            used = max(0, ticks - before[0]) / TICKS_PER_SECOND / seconds
            cpu = Cpu(round(used * 100, 2), round(min(1.0, used / self._cores), 4))
            read[one.identity] = (ticks, now.monotonic_seconds, cpu)
        self._read = read
        return {identity: cpu for identity, (_, _, cpu) in read.items() if cpu is not None}


def started_at(start_ticks: int, now: Now) -> datetime:
    """Give when a process started, by today's time of day."""
    age = timedelta(seconds=now.boot_seconds - start_ticks / TICKS_PER_SECOND)
    # Whole hundredths, which is what the kernel tells: two looks give the same.
    began = now.at - age
    return began.replace(microsecond=began.microsecond // 10_000 * 10_000)


def sample(
    one: Sighting,
    now: Now,
    cpu: Cpu | None,
    *,
    watch: str | None,
    start_time: datetime,
    signals: Sequence[str],
    restarts: int = 0,
    is_child: bool = False,
) -> ProcessSample:
    """Give the sample of a process that was seen."""
    stat = one.stat
    read, written = one.disk_bytes or (None, None)
    return ProcessSample(
        watch=watch,
        pid=stat.pid,
        process_name=one.name,
        cmdline=one.line,
        start_time=start_time,
        runtime_sec=round(max(0.0, now.boot_seconds - stat.start_ticks / TICKS_PER_SECOND), 2),
        cpu_percent=None if cpu is None else cpu.percent,
        cpu_share=None if cpu is None else cpu.share,
        cpu_seconds=round(stat.cpu_ticks / TICKS_PER_SECOND, 2),
        mem_rss_bytes=one.rss_bytes,
        status="STOPPED" if one.has_ended else "RUNNING",
        state=stat.state,
        threads=stat.threads,
        user=one.user,
        parent_pid=stat.parent_pid,
        container_pid=one.container_pid,
        exe=one.exe,
        cgroup=one.cgroup,
        open_files=one.open_files,
        io_read_bytes=read,
        io_written_bytes=written,
        visibility="full" if one.is_whole else "partial",
        is_kernel_thread=stat.is_kernel_thread,
        is_child=is_child,
        signals=[] if stat.pid == 1 or stat.is_kernel_thread or one.has_ended else [*signals],
        restarts=restarts,
        identity=str(one.identity),
        collected_at=now.at,
    )
