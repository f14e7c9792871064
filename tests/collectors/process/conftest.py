"""Real processes to look at, and a collector that looks at them by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from etlmon.collectors.base import CollectorContext
from etlmon.collectors.process.collector import ProcessCollector
from etlmon.config.signals import AllowedSignals
from etlmon.config.watched import ProcessWatch, RedactSection
from etlmon.records.base import Record
from etlmon.records.process import (
    NewProcessEvent,
    ProcessSample,
    ProcessUsage,
    ProcessWatchStatus,
)
from etlmon.units import utc

PROC = Path("/proc")
SUBJECT = Path(__file__).with_name("subject.py")
OURS = f"subject-of-{os.getpid()}"
"""Is in the command line of each subject: other tests have theirs at the same time."""


class Subject:
    """A running subject.py."""

    def __init__(self, *ways: str, executable: str = sys.executable) -> None:
        self.process = subprocess.Popen(
            [executable, "-I", "-S", str(SUBJECT), OURS, *ways],
            executable=sys.executable,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        self.pid = self.process.pid

    def become(self, way: str) -> None:
        """Have it do something more; it has been done when this comes back."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(way.encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"ready\n"

    def finish(self) -> None:
        """Let it end by itself, and reap it."""
        self.process.communicate()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def subject() -> Iterator[Callable[..., Subject]]:
    begun: list[Subject] = []

    def begin(*ways: str, **options: Any) -> Subject:
        one = Subject(*ways, **options)
        begun.append(one)
        return one

    yield begin
    for one in begun:
        one.kill()


class Looker:
    """A collector on the real /proc, with what its last look gave."""

    def __init__(self, *watches: ProcessWatch, redact: RedactSection | None = None) -> None:
        from twisted.internet import reactor

        self.now: float | None = None
        """What its clock of intervals says, seconds; None for the host's."""
        self.context = CollectorContext(
            wall_clock=time.time,
            monotonic_clock=lambda: time.monotonic() if self.now is None else self.now,
            in_thread=deferToThread,
            workers=None,  # type: ignore[arg-type]
            proc=PROC,
            reactor=reactor,
        )
        self.collector = ProcessCollector(
            watches,
            redact or RedactSection(),
            5.0,
            self.context,
            AllowedSignals({watch.label: watch.allow_signals for watch in watches}),
            cores=os.cpu_count(),
        )
        self.hints = 0
        self.on_hint: Callable[[], None] = lambda: None
        self.collector.listen(self._hint)
        self.records: list[Record] = []

    def _hint(self) -> None:
        self.hints += 1
        self.on_hint()

    async def look(self) -> list[ProcessSample]:
        """Look once; give the samples."""
        (batch,) = [one async for one in self.collector.collect(utc(0))]
        self.records = list(batch.records)
        return self.of(ProcessSample)

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.records if type(one) is kind]

    @property
    def status(self) -> ProcessWatchStatus:
        (one,) = self.of(ProcessWatchStatus)
        return one

    @property
    def events(self) -> list[NewProcessEvent]:
        return self.of(NewProcessEvent)

    @property
    def usages(self) -> list[ProcessUsage]:
        return self.of(ProcessUsage)


@pytest_twisted.async_yield_fixture
async def looker() -> AsyncIterator[Callable[..., Looker]]:
    made: list[Looker] = []

    def make(*watches: ProcessWatch, **options: Any) -> Looker:
        made.append(Looker(*watches, **options))
        return made[-1]

    yield make
    for one in made:
        await one.collector.deafen()
