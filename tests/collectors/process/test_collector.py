"""The collector: what it is made of, what it does when procfs cannot be read, and that it ends."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from etlmon.collectors.base import Batch, CollectorContext, Hinted, Warned
from etlmon.collectors.process import KIND
from etlmon.collectors.process.collector import ProcessCollector
from etlmon.config.loader import parse_node_config
from etlmon.config.signals import AllowedSignals
from etlmon.config.watched import ProcessWatch, RedactSection
from etlmon.errors import CollectError
from etlmon.records.process import NewProcessEvent, WatchesConfigured
from etlmon.runner import CollectorService
from etlmon.units import utc
from tests.collectors.process.conftest import OURS

CONFIG = b"""
process_watch: [{name: a, match: x}, {pid: 7}]
refresh: {process: 9s}
redact: {patterns: [geheim]}
"""


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def at_once(function: Any) -> Any:
    return function()


def context(proc: Path = Path("/proc"), **changes: Any) -> CollectorContext:
    return CollectorContext(
        wall_clock=time.time,
        monotonic_clock=time.monotonic,
        in_thread=at_once,
        workers=None,  # type: ignore[arg-type]
        proc=proc,
        **changes,
    )


def test_one_collector_serves_all_watches() -> None:
    config = parse_node_config(CONFIG, "node.yaml")
    (collector,) = KIND.build(config, context())
    assert (collector.name, collector.instance, collector.interval_seconds) == ("process", "", 9.0)
    assert isinstance(collector, Hinted)
    (same,) = KIND.build(parse_node_config(CONFIG, "node.yaml"), context())
    assert same.settings == collector.settings
    other = replace(config, redact=RedactSection(defaults=False))
    assert KIND.build(other, context())[0].settings != collector.settings
    assert KIND.declare is not None
    assert KIND.declare(config) == Batch([WatchesConfigured(watches=("a", "7"))])


def test_without_watches_there_is_none() -> None:
    config = parse_node_config(b"", "node.yaml")
    assert KIND.build(config, context()) == []
    assert KIND.declare is not None
    assert KIND.declare(config) == Batch([WatchesConfigured(watches=())])


async def test_a_procfs_that_cannot_be_read(tmp_path: Path) -> None:
    collector = ProcessCollector(
        [ProcessWatch(pid=1)], RedactSection(), 5.0, context(tmp_path / "no"), AllowedSignals({})
    )
    with pytest.raises(CollectError, match=r"cannot read .*/no: "):
        await anext(collector.collect(utc(0)))


async def test_hidden_processes_are_warned_of_once(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()  # noqa: ASYNC240
    (tmp_path / "sys/kernel/random/boot_id").write_text(boot)
    collector = ProcessCollector(
        [ProcessWatch(comm="x")], RedactSection(), 5.0, context(tmp_path), AllowedSignals({})
    )
    warned: list[str] = []
    collector.log = type("Log", (), {"warn": lambda _, text, warning: warned.append(warning)})()  # type: ignore
    for _ in range(2):
        batch = await anext(collector.collect(utc(0)))
    assert [one.state for one in batch.records if hasattr(one, "flapping")] == ["unknown"]
    assert len(warned) == 1
    assert "hidepid" in warned[0]
    assert isinstance(collector, Warned)
    assert list(collector.warnings) == warned


async def test_descriptors_are_closed_in_the_end(subject, looker) -> None:
    before = open_files()
    one = subject()
    watching = looker(ProcessWatch(pid=one.pid))
    await watching.look()
    await watching.look()
    assert len(watching.collector._readers) == 1
    await watching.collector.deafen()
    one.kill()
    assert open_files() == before
    (batch,) = [batch async for batch in watching.collector.collect(utc(0))]
    assert open_files() == before
    assert any(isinstance(one, NewProcessEvent) for one in batch.records)


async def test_many_exits_share_a_look(subject, looker) -> None:
    several = [subject() for _ in range(4)]
    watching = looker(ProcessWatch(name="all", match=OURS))
    await watching.look()
    told: Deferred[float] = Deferred()
    watching.on_hint = lambda: told.called or told.callback(time.monotonic())
    several[0].kill()
    first_at = await told
    for one in several[1:]:
        one.kill()
    told = Deferred()
    assert await told - first_at > 0.9
    assert watching.hints == 2
    await watching.look()
    assert [event.event for event in watching.events] == ["exited"] * 4


async def test_the_runner_looks_when_a_process_ends(subject, looker) -> None:
    one = subject("exit=4")
    watching = looker(ProcessWatch(pid=one.pid))
    stored: list[Any] = []
    exited: Deferred[NewProcessEvent] = Deferred()

    class Sink:
        def write(self, records: Any, *, may_wait: bool = False) -> Deferred[None]:
            stored.extend(records)
            for record in records:
                if isinstance(record, NewProcessEvent) and record.event == "exited":
                    exited.callback(record)
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done

    service = CollectorService(watching.collector, Sink(), reactor, time.time)
    service.startService()
    try:
        while not watching.collector._readers:
            await deferLater(reactor, 0.01)
        one.finish()
        event = await exited
        assert event.pid == one.pid
    finally:
        await service.stopService()
