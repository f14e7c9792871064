"""All processes, read when somebody asks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from etlmon.collectors.process.live import LiveProcesses
from etlmon.config.watched import ProcessWatch, RedactSection
from etlmon.errors import CollectError


async def test_all_processes_with_their_watches(subject, looker) -> None:
    one = subject("cpu=0.4", "--password=hunter2")
    watches = [ProcessWatch(name="first", pid=one.pid), ProcessWatch(name="b", match="subject.py")]
    live = LiveProcesses(watches, RedactSection(), looker().context)
    found = {sample.pid: sample for sample in await live.read()}
    assert {1, os.getpid(), one.pid} <= found.keys()
    assert found[one.pid].watch == "first"
    assert found[os.getpid()].watch is None
    assert found[one.pid].cpu_percent is None
    assert "hunter2" not in repr(found)
    await deferLater(reactor, 1.1)
    again = {sample.pid: sample for sample in await live.read()}
    assert again[one.pid].cpu_percent > 3
    assert again[one.pid].start_time == found[one.pid].start_time


async def test_many_who_ask_cost_one_look(looker) -> None:
    context = looker().context
    looks = []

    async def in_thread(function):
        looks.append(function)
        return function()

    live = LiveProcesses([], RedactSection(), replace(context, in_thread=in_thread))
    first, second = await gatherResults([live.read(), live.read()])
    assert first is second
    assert len(looks) == 1


async def test_a_procfs_that_cannot_be_read(looker, tmp_path: Path) -> None:
    live = LiveProcesses([], RedactSection(), replace(looker().context, proc=tmp_path / "no"))
    with pytest.raises(CollectError, match="cannot read"):
        await live.read()
