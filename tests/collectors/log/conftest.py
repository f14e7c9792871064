"""A collector of a log on files of a test, run as the runner runs it; no thread, no reactor."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed

from etlmon.collectors.base import CollectorContext, nothing_lent
from etlmon.collectors.log.collector import LogCollector
from etlmon.config.node import LogSection
from etlmon.config.watched import MultilineSection
from etlmon.records.log import LogBlock, LogFileGone, LogFileRead, LogSaved, LogUnseen
from etlmon.units import utc
from tests.waiting import wait_for_tick

NOW = 1_767_225_600.0


class Mounts:
    """A /proc that knows the mounts which a test gives."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        (proc / "self").mkdir(parents=True)
        self.set()

    def set(self, *lines: str) -> None:
        local = "1 0 0:1 / / rw - ext4 dev rw"
        (self.proc / "self" / "mountinfo").write_text("".join(f"{x}\n" for x in (local, *lines)))


@dataclass
class Workers:
    """Answers for file systems that may hang, or fails as it is told to."""

    error: Exception | None = None
    asked: list[tuple[bytes, str]] = field(default_factory=list)

    async def statvfs(self, path: bytes, *, mount_point: str, deadline_seconds: float) -> None:
        assert deadline_seconds > 0
        self.asked.append((path, mount_point))
        if self.error is not None:
            raise self.error


@dataclass
class Harness:
    """A collector, and what the store would hold of its batches."""

    settings: LogSection
    mounts: Mounts
    watches: Any = None
    monotonic: float = 1_000.0
    paused: bool | None = None
    missed: str | None = None
    lend: Callable[[], Any] = nothing_lent
    workers: Workers = field(default_factory=Workers)
    cursors: dict[str, str] = field(default_factory=dict)
    lines: dict[str, list[str | None]] = field(default_factory=dict)
    flags: list[tuple[str, ...]] = field(default_factory=list)
    told: dict[str, LogFileRead] = field(default_factory=dict)
    batches: list[list[Any]] = field(default_factory=list)
    collector: LogCollector = field(init=False)

    def __post_init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Make another collector, as after a restart."""
        self.collector = LogCollector(
            self.settings,
            CollectorContext(
                wall_clock=lambda: NOW + self.monotonic,
                monotonic_clock=lambda: self.monotonic,
                in_thread=lambda function: succeed(function()),
                workers=self.workers,  # type: ignore[arg-type]
                proc=self.mounts.proc,
                saved=self._saved,  # type: ignore[arg-type]
                lend=self.lend,
                watches=self.watches,
            ),
            None,
        )

    async def _saved(self, kind: type[LogSaved], instance: str) -> list[LogSaved]:
        assert (kind, instance) == (LogSaved, "app")
        return [LogSaved(paused=self.paused, cursors=dict(self.cursors), missed=self.missed)]

    def run(self, seconds: float = 5.0, *, most: int | None = None) -> list[str | None]:
        """Make a run some seconds later; give the new lines of all files.

        It is broken off before the batch after ``most`` is committed.
        """
        wait_for_tick()  # the clock of files goes on, too
        self.monotonic += seconds
        before = len(self.batches)
        done(self._run(most))
        return [
            line
            for batch in self.batches[before:]
            for record in batch
            if isinstance(record, LogBlock)
            for line in record.lines
        ]

    async def _run(self, most: int | None) -> None:
        left = most
        async with aclosing(self.collector.collect(utc(NOW))) as batches:
            async for batch in batches:
                if left == 0:
                    return
                left = None if left is None else left - 1
                self._commit(list(batch.records))

    def _commit(self, records: list[Any]) -> None:
        self.batches.append(records)
        for record in records:
            name = Path(record.log_path).name
            if isinstance(record, LogBlock):
                self.lines.setdefault(name, []).extend(record.lines)
                self.flags += [mark.flags for mark in record.marks.values()]
            elif isinstance(record, LogFileGone):
                self.cursors.pop(record.log_path, None)
                self.told.pop(name, None)
            elif isinstance(record, LogUnseen):
                self._unseen(record)
            else:
                self.told[name] = record
                if record.cursor is not None:
                    self.cursors[record.log_path] = record.cursor

    def _unseen(self, record: LogUnseen) -> None:
        state, message = record.state, record.error_message
        if not self.told:
            self.told[Path(record.log_path).name] = LogFileRead(
                log_name="app",
                log_path=record.log_path,
                state=state,
                updated_at=record.updated_at,
                cursor=None,
            )
        for name, told in self.told.items():
            self.told[name] = replace(told, state=state, error_message=message)

    def end(self) -> None:
        done(self.collector.deafen())


def done(running: Any) -> Any:
    """Give what a coroutine returns that never waits; raise what it raises."""
    results: list[Any] = []
    Deferred.fromCoroutine(running).addBoth(results.append)
    (result,) = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


def write(path: Path, *lines: object) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def open_files(directory: Path) -> int:
    """Count the descriptors of this process that lead into a directory."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            count += descriptor.readlink().is_relative_to(directory)
        except OSError:  # that of the listing itself
            continue
    return count


Follow = Callable[..., Harness]


@pytest.fixture
def follow(tmp_path: Path) -> Any:
    """Give what makes a collector of files below ``logs``, by the last part of their pattern."""
    (tmp_path / "logs").mkdir()
    made: list[Harness] = []

    def make(pattern: str = "app.log", watches: Any = None, **options: Any) -> Harness:
        multiline = options.pop("multiline", None)
        if multiline is not None:
            options["multiline"] = MultilineSection(**multiline)
        settings = LogSection(name="app", path=f"{tmp_path}/logs/{pattern}", **options)
        harness = Harness(settings, Mounts(tmp_path / f"proc{len(made)}"), watches)
        made.append(harness)
        return harness

    yield make
    for one in made:
        one.end()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"
