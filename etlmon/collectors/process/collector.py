"""Watches processes: a look in a thread each time, and exits the moment that they happen."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from twisted.logger import Logger

from etlmon.collectors.base import Batch
from etlmon.collectors.process.observer import Observer
from etlmon.collectors.process.sampling import Now
from etlmon.collectors.process.tally import Ended, Tally
from etlmon.errors import CollectError
from etlmon.host.pidfds import ExitReader
from etlmon.host.users import Users
from etlmon.redaction import Redaction
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from datetime import datetime

    from twisted.internet.interfaces import IDelayedCall

    from etlmon.collectors.base import CollectorContext
    from etlmon.collectors.process.observer import Look
    from etlmon.config.signals import AllowedSignals
    from etlmon.config.watched import ProcessWatch, RedactSection
    from etlmon.host.processes import Identity
    from etlmon.records.base import Record

_LEAST_APART_SECONDS = 1.0
"""Exits that come faster than this wait for each other: a look costs something."""

_HIDDEN = (
    "Some processes are hidden from this node (hidepid): of what it cannot see it says unknown. "
    "Let it run with CAP_SYS_PTRACE, or in the group that /proc is mounted with (gid=)."
)


def boot_clock() -> float:
    """Give the seconds since the boot, sleep included, as processes' starts are counted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ProcessCollector:
    """All watches together: one look serves them all."""

    name = "process"
    instance = ""
    log = Logger()

    def __init__(
        self,
        watches: Sequence[ProcessWatch],
        redact: RedactSection,
        interval_seconds: float,
        context: CollectorContext,
        allowed: AllowedSignals,
        *,
        boot_clock: Callable[[], float] = boot_clock,
        cores: int | None = None,
    ) -> None:
        self.interval_seconds = interval_seconds
        self.settings = (tuple(watches), redact, allowed.are_taken)
        self._context = context
        self._boot_clock = boot_clock
        self._observer = Observer(
            context.proc,
            watches,
            Redaction(redact.patterns, defaults=redact.defaults),
            Users(context.monotonic_clock),
            with_pidfds=context.reactor is not None,
        )
        self._tally = Tally(watches, cores or os.cpu_count() or 1, allowed)
        self._readers: dict[Identity, _Reader] = {}
        self._noticed: dict[Identity, Ended] = {}
        self._hint: Callable[[], None] | None = None
        self._hint_call: IDelayedCall | None = None
        self._hinted_at = -_LEAST_APART_SECONDS
        self.warnings: tuple[str, ...] = ()

    async def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        """Give one batch: all samples, and what has become of the processes since the last.

        Raises CollectError if procfs cannot be read.
        """
        pidfds = {identity: reader.fileno() for identity, reader in self._readers.items()}
        noticed = dict(self._noticed)
        try:
            look, records = await self._context.in_thread(lambda: self._look(pidfds, noticed))
        except (OSError, ValueError) as error:
            raise CollectError(f"cannot read {self._context.proc}: {error}") from error
        if self._hint is not None:
            for identity, pidfd in self._observer.claim().items():
                self._readers[identity] = _Reader(self, identity, pidfd)
        for identity in look.exits:
            self._noticed.pop(identity, None)
            reader = self._readers.pop(identity, None)
            if reader is not None:
                reader.close()
        if not look.sees_all and not self.warnings:
            self.log.warn("{warning}", warning=_HIDDEN)
        self.warnings = () if look.sees_all else (_HIDDEN,)
        yield Batch(records)

    def _look(
        self, pidfds: Mapping[Identity, int], noticed: Mapping[Identity, Ended]
    ) -> tuple[Look, list[Record]]:
        """Look, and make the records of it: both take too long for the reactor's thread."""
        now = Now(
            utc(self._context.wall_clock()), self._context.monotonic_clock(), self._boot_clock()
        )
        look = self._observer.look(pidfds)
        return look, self._tally.update(look, now, noticed)

    def listen(self, hint: Callable[[], None]) -> None:
        """Begin to call ``hint`` when a watched process has ended."""
        self._hint = hint

    async def deafen(self) -> None:
        """Listen no more, and close all descriptors."""
        self._hint = None
        if self._hint_call is not None and self._hint_call.active():
            self._hint_call.cancel()
        for reader in self._readers.values():
            reader.close()
        self._readers = {}
        await self._context.in_thread(self._observer.close)

    def _ended(self, identity: Identity) -> None:
        """Take note of an exit, and ask for a look; several at a time share one."""
        self._noticed[identity] = Ended(utc(self._context.wall_clock()), self._boot_clock())
        if self._hint_call is not None and self._hint_call.active():
            return
        since = self._context.monotonic_clock() - self._hinted_at
        self._hint_call = self._context.reactor.callLater(
            max(0.0, _LEAST_APART_SECONDS - since), self._give_hint
        )

    def _give_hint(self) -> None:
        self._hinted_at = self._context.monotonic_clock()
        if self._hint is not None:
            self._hint()


class _Reader(ExitReader):
    """Tells the collector of the exit of one process."""

    def __init__(self, collector: ProcessCollector, identity: Identity, pidfd: int) -> None:
        super().__init__(collector._context.reactor, pidfd, lambda: collector._ended(identity))
