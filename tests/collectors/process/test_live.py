"""All processes, read when somebody asks."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from etlmon.collectors.process.live import LiveProcesses
from etlmon.config.signals import AllowedSignals
from etlmon.config.watched import ProcessWatch, RedactSection
from etlmon.errors import CollectError
from etlmon.host.processes import read_identity
from tests.collectors.process.conftest import OURS
from tests.waiting import PATIENCE_SECONDS

PROC = Path("/proc")
ALLOWED = AllowedSignals({"first": ("SIGTERM", "SIGHUP"), "b": ("SIGHUP", "SIGKILL")}, ("SIGINT",))


def command_lines() -> list[bytes]:
    found = []
    for path in PROC.glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            found.append(path.read_bytes())
    return found


async def test_all_processes_with_their_watches(subject, looker) -> None:
    one = subject("cpu=0.4", "--password=hunter2")
    watches = [ProcessWatch(name="first", pid=one.pid), ProcessWatch(name="b", match=OURS)]
    live = LiveProcesses(watches, RedactSection(), looker().context, ALLOWED)
    found = {sample.pid: sample for sample in await live.read()}
    assert {1, os.getpid(), one.pid} <= found.keys()
    assert found[one.pid].watch == "first"
    assert found[os.getpid()].watch is None
    assert found[one.pid].signals == []  # as a child of this very process
    assert found[one.pid].cpu_percent is None
    assert "hunter2" not in repr(found)
    # What is younger than a second is given again; in two it is to use some of the CPU.
    began = psutil.Process(one.pid).cpu_times().user
    while psutil.Process(one.pid).cpu_times().user < began + 0.1:
        await deferLater(reactor, 0.1)
    await deferLater(reactor, 1.1)
    again = {sample.pid: sample for sample in await live.read()}
    assert again[one.pid].cpu_percent > 0
    assert again[one.pid].start_time == found[one.pid].start_time


async def test_what_may_be_sent_is_told_and_nothing_to_what_is_protected(subject, looker) -> None:
    seconds = f"1000.{os.getpid()}"
    subprocess.run(["setsid", "--fork", "sleep", seconds], check=True)  # noqa: ASYNC221
    give_up_at = reactor.seconds() + PATIENCE_SECONDS
    while f"sleep\0{seconds}\0".encode() not in command_lines():  # forked, and no sleep yet
        assert reactor.seconds() < give_up_at
        await deferLater(reactor, 0.005)
    child = subject()
    watches = [ProcessWatch(name="first", match=seconds), ProcessWatch(name="b", match=seconds)]
    for selects, told in (
        ([], ["SIGINT"]),
        (watches[:1], ["SIGTERM", "SIGHUP"]),
        (watches, ["SIGHUP"]),
    ):
        live = LiveProcesses(selects, RedactSection(), looker().context, ALLOWED)
        found = {sample.pid: sample for sample in await live.read()}
        (stranger,) = [one for one in found.values() if one.cmdline == f"sleep {seconds}"]
        assert stranger.signals == told
    os.kill(stranger.pid, signal.SIGKILL)
    assert found[child.pid].signals == []
    parents = [os.getpid()]
    while parents[-1] > 1:
        parents.append(found[parents[-1]].parent_pid)
    assert {str(found[pid].signals) for pid in parents if pid in found} == {"[]"}


async def test_what_selects_a_process_is_looked_at_anew(subject, looker) -> None:
    watches = [ProcessWatch(name="first", comm=f"n{os.getpid()}"), ProcessWatch(name="b", pid=1)]
    live = LiveProcesses(watches, RedactSection(), looker().context, ALLOWED)
    await live.read()
    one = subject(f"name=n{os.getpid()}")
    identity = str(read_identity(PROC, one.pid))
    assert await live.watches_of(identity) == ["first"], "it was not there a moment ago"
    assert await live.watches_of(str(read_identity(PROC, os.getpid()))) == []
    one.kill()
    assert await live.watches_of(identity) is None


async def test_what_selects_one_process_is_found_without_a_pass_over_all(
    subject, looker, monkeypatch
) -> None:
    """Whoever may ask for a kill could otherwise have it made as often as he likes."""
    child = subject()
    watches = [
        ProcessWatch(name="other", match="no such program"),
        ProcessWatch(name="above", pid=os.getppid(), with_children=True),
        ProcessWatch(name="only above", pid=os.getppid()),
        ProcessWatch(name="first", pid=child.pid),
        ProcessWatch(name="ours", pid=os.getpid(), with_children=True),
    ]
    live = LiveProcesses(watches, RedactSection(), looker().context, ALLOWED)
    monkeypatch.setattr(os, "scandir", None)
    identity = read_identity(PROC, child.pid)
    assert await live.watches_of(str(identity)) == ["above", "first"]
    assert await live.watches_of(str(identity._replace(start_ticks=1))) is None
    assert (
        await live.watches_of(
            str(identity._replace(boot_id="0" * 8 + "-0000" * 3 + "-" + "0" * 12))
        )
        is None
    )


async def test_many_who_ask_cost_one_look(looker) -> None:
    context = looker().context
    looks = []

    async def in_thread(function):
        looks.append(function)
        return function()

    live = LiveProcesses([], RedactSection(), replace(context, in_thread=in_thread), ALLOWED)
    first, second = await gatherResults([live.read(), live.read()])
    assert first is second
    assert len(looks) == 1


async def test_a_procfs_that_cannot_be_read(looker, tmp_path: Path) -> None:
    live = LiveProcesses(
        [], RedactSection(), replace(looker().context, proc=tmp_path / "no"), ALLOWED
    )
    with pytest.raises(CollectError, match="cannot read"):
        await live.read()
