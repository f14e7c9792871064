"""Kills of real processes: what becomes of them, and what is told of it."""

from __future__ import annotations

import errno
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from etlmon.control import kill as control_kill
from etlmon.control import signals
from etlmon.errors import ApiError
from etlmon.host.processes import read_identity
from tests.control.killing import PROC, Host, Told

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")


async def test_sigterm_ends_a_process_and_the_answer_says_how_soon(host: Host) -> None:
    child = host.start("name=etl_worker")
    told = Told()
    answer = await host.kill(child.pid, told, reason="it hangs")
    assert (answer.outcome, answer.signals, answer.process_name) == (
        "exited",
        ["SIGTERM"],
        "etl_worker",
    )
    assert answer.identity == host.samples[child.pid][0].identity
    assert answer.waited_seconds >= 0
    assert answer.by_pidfd
    assert answer.message.startswith("exited ")
    assert "after SIGTERM" in answer.message
    assert told.acted == [f"SIGTERM to pid {child.pid} (etl_worker, {answer.identity})"]
    assert child.wait() == -signal.SIGTERM


async def test_one_that_ignores_sigterm_is_still_running_and_sigkill_ends_it(host: Host) -> None:
    child = host.start("ignore=SIGTERM")
    answer = await host.kill(child.pid, wait=0.2)
    assert (answer.outcome, answer.state) == ("running", "S")
    assert re.match("still running [0-9.]+m?s after SIGTERM; SIGKILL ends it", answer.message)
    assert child.poll() is None
    answer = await host.kill(child.pid, signal="SIGKILL", identity=answer.identity)
    assert answer.outcome == "exited"
    assert child.wait() == -signal.SIGKILL


async def test_escalate_sends_sigkill_after_the_wait(host: Host) -> None:
    child = host.start("ignore=SIGTERM")
    answer = await host.kill(child.pid, wait=0.2, escalate=True)
    assert (answer.outcome, answer.signals) == ("exited", ["SIGTERM", "SIGKILL"])
    assert answer.waited_seconds >= 0.2
    assert child.wait() == -signal.SIGKILL


async def test_escalate_sends_nothing_more_to_one_that_has_ended(host: Host) -> None:
    child = host.start()
    answer = await host.kill(child.pid, escalate=True)
    assert answer.signals == ["SIGTERM"]
    assert child.wait() == -signal.SIGTERM


async def test_nobody_need_wait(host: Host) -> None:
    child = host.start("ignore=SIGTERM")
    delays: list[float] = []

    class Noting:
        def __getattr__(self, name: str) -> Any:
            return getattr(reactor, name)

        def callLater(self, seconds: float, *call: Any) -> Any:
            delays.append(seconds)
            return reactor.callLater(seconds, *call)

    host.kills._reactor = Noting()
    answer = await host.kill(child.pid, wait=0.0)
    assert answer.outcome == "running"
    assert set(delays) == {0.0}


async def test_a_stopped_process_is_told_to_be_stopped(host: Host) -> None:
    child = host.start()
    child.send_signal(signal.SIGSTOP)
    await deferToThread(os.waitid, os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    answer = await host.kill(child.pid, wait=0.1)
    assert answer.state == "T"
    assert "takes the signal when it is continued" in answer.message


async def test_to_stop_a_process_and_to_have_it_go_on_is_told_in_words_of_its_own(
    make_host, not_ours
) -> None:
    """That it runs is what was wanted: no remedy is offered."""
    host = make_host("control: {unwatched_signals: [SIGSTOP, SIGCONT, SIGUSR1]}")
    child = host.start("ignore=SIGUSR1", watch="none")
    host.watched_now[host.samples[child.pid][0].identity] = []
    child.send_signal(signal.SIGSTOP)  # it is stopped in its own time, and so before it is asked
    await deferToThread(os.waitid, os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    answer = await host.kill(child.pid, signal="SIGSTOP", wait=0.0)
    assert (answer.outcome, answer.state) == ("running", "T")
    assert answer.message == "stopped by SIGSTOP (state T); SIGCONT has it go on"
    answer = await host.kill(child.pid, signal="SIGCONT", wait=0.0)
    assert answer.outcome == "running"
    assert answer.message == f"SIGCONT had it go on; it runs (state {answer.state})"
    answer = await host.kill(child.pid, signal="SIGUSR1", wait=0.0)
    assert re.fullmatch(r"still running \w+ after SIGUSR1", answer.message)


async def test_a_node_that_stops_waits_no_longer(host: Host) -> None:
    child = host.start("ignore=SIGTERM")
    told = Told()
    waiting = host.kill(child.pid, told, wait=20.0, escalate=True)
    while not host.kills._waiting:
        await deferToThread(lambda: None)
    host.kills.stop()
    answer = await waiting
    assert (answer.outcome, answer.signals) == ("running", ["SIGTERM"])
    assert child.poll() is None


async def test_many_at_once_each_hit_their_own(host: Host) -> None:
    children = [host.start() for _ in range(4)]
    spared = host.start()
    answers = [host.kill(child.pid) for child in children]
    for child, waiting in zip(children, answers, strict=True):
        answer = await waiting
        assert (answer.pid, answer.outcome) == (child.pid, "exited")
        assert child.wait() == -signal.SIGTERM
    assert spared.poll() is None


async def test_two_at_once_of_one_process_both_tell_the_truth(host: Host) -> None:
    child = host.start("ignore=SIGTERM")
    one = host.kill(child.pid, wait=20.0)
    while not host.kills._waiting:
        await deferToThread(lambda: None)
    other = host.kill(child.pid, signal="SIGKILL")
    assert (await other).outcome == "exited"
    assert (await one).outcome == "exited"


def test_the_longest_answer_comes_before_clients_give_up() -> None:
    from etlmon.client import http
    from etlmon.records.kill import LONGEST_WAIT_SECONDS

    longest = LONGEST_WAIT_SECONDS + control_kill._AFTER_KILL_SECONDS
    assert longest + 2 < http._TIMEOUT_SECONDS


# --- a kernel without pidfd -----------------------------------------------------------------------


@pytest.fixture
def no_pidfd(monkeypatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)


@pytest.mark.usefixtures("no_pidfd")
async def test_without_pidfd_the_answer_and_the_audit_say_so(host: Host) -> None:
    child = host.start()
    told = Told()
    waiting = host.kill(child.pid, told)
    await deferToThread(child.wait)
    answer = await waiting
    assert (answer.outcome, answer.by_pidfd) == ("exited", False)
    assert told.acted[0].endswith(", without pidfd)")
    ignoring = host.start("ignore=SIGTERM")
    assert (await host.kill(ignoring.pid, wait=0.3)).outcome == "running"


@pytest.mark.usefixtures("no_pidfd")
async def test_without_pidfd_what_cannot_be_read_is_not_said_to_have_ended(
    host: Host, monkeypatch
) -> None:
    read, kill, sent = signals.read_stat, os.kill, []

    def unreadable(proc: Path, pid: int) -> Any:
        if sent:
            raise OSError(errno.EMFILE, "Too many open files")
        return read(proc, pid)

    def killing(pid: int, number: int) -> None:
        kill(pid, number)
        sent.append(number)

    monkeypatch.setattr(signals, "read_stat", unreadable)
    monkeypatch.setattr(os, "kill", killing)
    child = host.start("ignore=SIGTERM")
    answer = await host.kill(child.pid, wait=0.3, escalate=True)
    assert (answer.outcome, answer.state, answer.signals) == ("running", None, ["SIGTERM"])
    assert "SIGKILL was not sent: It cannot be read when" in answer.message
    assert child.poll() is None


async def test_without_a_descriptor_left_the_outcome_is_told_all_the_same(
    host: Host, monkeypatch
) -> None:
    """The signal has been sent by then."""

    def refuse(_descriptor: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", refuse)
    child = host.start()
    answer = await host.kill(child.pid)
    assert (answer.outcome, answer.by_pidfd) == ("exited", True)
    ignoring = host.start("ignore=SIGTERM")
    assert (await host.kill(ignoring.pid, wait=0.3)).outcome == "running"
    assert not host.kills._waiting


@pytest.mark.usefixtures("no_pidfd")
async def test_without_pidfd_the_identity_is_compared_once_more(host: Host, monkeypatch) -> None:
    child = host.start()
    target = await deferToThread(signals.open_target, PROC, read_identity(PROC, child.pid))
    target.identity = target.identity._replace(start_ticks=1)  # as if it had changed
    with pytest.raises(ApiError) as caught:
        target.send(signal.SIGKILL)
    assert caught.value.status == 404
    assert child.poll() is None
