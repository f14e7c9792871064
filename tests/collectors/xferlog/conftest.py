"""A collector of a transfer log on a real store, run as the runner runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from etlmon.collectors.base import CollectorContext
from etlmon.collectors.xferlog.collector import XferlogCollector
from etlmon.config.node import XferlogSection
from etlmon.records.xferlog import XferlogEntry, XferlogFile
from etlmon.store.database import StoreService
from etlmon.store.tables import xferlog_entries, xferlog_files
from etlmon.store.tables.xferlog_entries import Wanted
from etlmon.units import utc

DATE = "Tue Nov 24 09:03:06 2026"


def line(number: int = 0, **changes: object) -> str:
    fields: dict[str, object] = {
        "date": DATE,
        "bytes": 5,
        "name": f"/in/{number}.csv",
        "way": "i",
        "user": "etl",
        "status": "c",
        **changes,
    }
    return "{date} 1 10.0.0.1 {bytes} {name} b _ {way} r {user} ftp 0 * {status}\n".format_map(
        fields
    )


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@dataclass
class Times:
    """The clocks of a collector: both stand still until somebody turns them."""

    wall: float
    monotonic: float = 1_000.0

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@dataclass
class Harness:
    """A collector, the store behind it, and what was committed."""

    store: StoreService
    times: Times
    settings: XferlogSection
    timezone: str | None = "UTC"
    root: Path = Path("/")
    proc: Path = Path("/proc")
    workers: Any = None
    watches: Any = None
    reactor: Any = None
    batches: list[Any] = field(default_factory=list)
    collector: XferlogCollector = field(init=False)

    def __post_init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Make another collector, as after a restart or a reload."""
        self.collector = XferlogCollector(
            self.settings,
            self.timezone,
            self.root,
            CollectorContext(
                wall_clock=lambda: self.times.wall,
                monotonic_clock=lambda: self.times.monotonic,
                in_thread=deferToThread,
                workers=self.workers,
                proc=self.proc,
                saved=self.store.saved,
                watches=self.watches,
                reactor=self.reactor,
            ),
        )

    async def run(self, most: int | None = None) -> None:
        """Make a run; it is broken off before the batch after ``most`` is committed."""
        async with aclosing(self.collector.collect(utc(self.times.wall))) as batches:
            async for batch in batches:
                if most is not None and len(self.batches) >= most:
                    return
                self.batches.append(batch)
                await self.store.write(batch.records)

    async def entries(self, **wanted: Any) -> list[XferlogEntry]:
        return await self.store.read(
            lambda cursor: xferlog_entries.following(cursor, Wanted(**wanted), 100_000, after=0)
        )

    async def file(self) -> XferlogFile:
        (found,) = await self.store.read(xferlog_files.files)
        return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "xferlog"


@pytest_twisted.async_yield_fixture
async def make(tmp_path: Path, log: Path) -> AsyncIterator[Callable[..., Harness]]:
    from twisted.internet import reactor

    store = StoreService(tmp_path / "etlmon.db", reactor, lambda: 0.0)
    store.startService()
    made: list[Harness] = []

    def make(at: str = "2026-11-24T09:10:00Z", **settings: Any) -> Harness:
        fields = {"path": str(log), **settings}
        wall = datetime.fromisoformat(at).timestamp()
        harness = Harness(store, Times(wall), XferlogSection(**fields))
        made.append(harness)
        return harness

    yield make
    for harness in made:
        await harness.collector.deafen()
    await store.stopService()


@pytest.fixture
def later() -> Callable[[], Deferred[None]]:
    """Give what lets the reactor turn once."""
    from twisted.internet import reactor

    def turn() -> Deferred[None]:
        done: Deferred[None] = Deferred()
        reactor.callLater(0, done.callback, None)  # type: ignore[attr-defined]
        return done

    return turn
