"""Kills of real processes: the right one or none, within the policy, and what is told of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from etlmon.config.loader import parse_node_config
from etlmon.control import kill as control_kill
from etlmon.control import signals
from etlmon.control.callers import Caller
from etlmon.control.kill import Kills
from etlmon.control.policy import Policy
from etlmon.errors import ApiError
from etlmon.host.processes import read_identity, read_stat
from etlmon.records.kill import KillAnswer, KillRequest
from tests.waiting import PATIENCE_SECONDS

PROC = Path("/proc")
PROGRAM = str(Path(__file__).with_name("processes.py"))
WATCHES = """
process_watch:
  - {name: etl, match: x}
  - {name: careful, match: x, allow_signals: [SIGTERM, SIGHUP]}
  - {name: untouched, match: x, allow_signals: []}
"""


@dataclass
class Sample:
    """What is used of a ProcessSample."""

    identity: str
    watch: str = "etl"
    status: str = "RUNNING"


@dataclass
class Told:
    """An Attempt that notes what it hears."""

    caller: Caller = field(default_factory=lambda: Caller("otto", "10.0.0.1"))
    acted: list[str] = field(default_factory=list)

    async def acts(self, detail: str) -> None:
        self.acted.append(detail)


class Host:
    """Processes that are watched, and the kills of them."""

    def __init__(self, config: str = "") -> None:
        self.config = parse_node_config((WATCHES + config).encode(), "node.yaml")
        self.policy = Policy(self.config.control, reactor.seconds)
        self.samples: dict[int, list[Sample]] = {}
        self.watched_now: dict[str, list[str]] = {}
        self.kills = Kills(
            self.config, self.policy, self.stored, reactor, deferToThread, PROC, self.watches_of
        )
        self.children: list[subprocess.Popen[str]] = []

    async def watches_of(self, identity: str) -> list[str] | None:
        return self.watched_now.get(identity)

    async def stored(self, pid: int) -> Any:
        return self.samples.get(pid, [])

    def start(self, *words: str, watch: str = "etl", **options: Any) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, PROGRAM, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        self.children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while read_stat(PROC, child.pid).state != "S":  # it has said so before it waits
            assert time.monotonic() < give_up_at
            time.sleep(0.001)
        self.watch(child.pid, watch)
        return child

    def watch(self, pid: int, *watches: str, status: str = "RUNNING") -> None:
        text = str(read_identity(PROC, pid))
        self.samples[pid] = [Sample(text, watch, status) for watch in watches]

    def kill(self, pid: int, told: Told | None = None, **asked: Any) -> Deferred[KillAnswer]:
        request = KillRequest(**{"confirm": True, **asked})
        return Deferred.fromCoroutine(self.kills.kill(pid, request, told or Told()))

    async def refusal(self, pid: int, told: Told | None = None, **asked: Any) -> ApiError:
        told = told or Told()
        with pytest.raises(ApiError) as caught:
            await self.kill(pid, told, **asked)
        assert told.acted == []
        return caught.value

    def end(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.close()
            child.stdout.close()


@pytest.fixture
def make_host() -> Iterator[Callable[..., Host]]:
    made: list[Host] = []

    def make(config: str = "") -> Host:
        # What the tests start is a child of this process, which plays the node.
        made.append(Host(config))
        return made[-1]

    yield make
    for host in made:
        host.end()


@pytest.fixture
def host(make_host, not_ours) -> Host:
    return make_host()


@pytest.fixture
def not_ours(monkeypatch) -> None:
    """The children of the test count as strangers: a node does not kill its workers."""
    real = signals.descends_from
    monkeypatch.setattr(
        signals,
        "descends_from",
        lambda proc, pid, ancestor: ancestor != os.getpid() and real(proc, pid, ancestor),
    )


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest_twisted.async_yield_fixture(autouse=True)
async def no_descriptor_is_left():
    await deferToThread(lambda: None)  # the pool's threads have what they need
    before = descriptors()
    yield
    assert descriptors() <= before + 1  # a pipe of the fixtures' children, at most


# --- what becomes of it ---------------------------------------------------------------------------


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
async def test_without_pidfd_the_identity_is_compared_once_more(host: Host, monkeypatch) -> None:
    child = host.start()
    target = await deferToThread(signals.open_target, PROC, read_identity(PROC, child.pid))
    target.identity = target.identity._replace(start_ticks=1)  # as if it had changed
    with pytest.raises(ApiError) as caught:
        target.send(signal.SIGKILL)
    assert caught.value.status == 404
    assert child.poll() is None


# --- which process is meant -----------------------------------------------------------------------


async def test_another_start_is_another_process(host: Host) -> None:
    child = host.start()
    now = read_identity(PROC, child.pid)
    before = now._replace(start_ticks=now.start_ticks - 1)
    host.samples[child.pid] = [Sample(str(before))]
    for asked in ({}, {"identity": str(before)}):
        error = await host.refusal(child.pid, **asked)
        assert (error.status, error.problem) == (409, "identity-changed")
        assert str(now) in error.detail
    assert child.poll() is None


async def test_another_boot_is_another_process(host: Host) -> None:
    child = host.start()
    now = read_identity(PROC, child.pid)
    before = now._replace(boot_id="0" * 8 + "-0000" * 3 + "-" + "0" * 12)
    host.samples[child.pid] = [Sample(str(before))]
    error = await host.refusal(child.pid)
    assert (error.status, error.problem) == (409, "identity-changed")
    assert "another boot of the host" in error.detail


async def test_without_identity_and_without_sample_nobody_is_meant(host: Host) -> None:
    child = host.start()
    identity = str(read_identity(PROC, child.pid))
    for samples in ([], [Sample(identity, status="STOPPED")]):
        host.samples[child.pid] = samples
        error = await host.refusal(child.pid)
        assert (error.status, error.problem) == (409, "identity-needed")
    assert child.poll() is None


async def test_an_identity_that_cannot_be_read_is_its_own_error(host: Host, monkeypatch) -> None:
    child = host.start()

    def hidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(signals, "read_stat", hidden)
    error = await host.refusal(child.pid)
    assert (error.status, error.problem) == (409, "identity-unknown")
    assert "hidepid" in error.detail


@pytest.mark.parametrize("identity", ["", "x", "1:2:3", "a" * 10_000])
async def test_garbage_is_no_identity(host: Host, identity: str) -> None:
    error = await host.refusal(host.start().pid, identity=identity)
    assert (error.status, error.problem) == (400, "bad-body")
    assert len(error.detail) < 200


async def test_an_identity_is_of_the_pid_in_the_path(host: Host) -> None:
    child, other = host.start(), host.start()
    error = await host.refusal(child.pid, identity=host.samples[other.pid][0].identity)
    assert (error.status, error.problem) == (400, "bad-body")


async def test_one_that_has_gone_is_404(host: Host) -> None:
    child = host.start()
    child.kill()
    child.wait()
    error = await host.refusal(child.pid)
    assert (error.status, error.problem) == (404, "process-not-found")


async def test_one_that_ends_between_check_and_signal_is_404(host: Host) -> None:
    child = host.start()
    target = await deferToThread(signals.open_target, PROC, read_identity(PROC, child.pid))
    child.kill()
    child.wait()
    with pytest.raises(ApiError) as caught:
        target.send(signal.SIGTERM)
    assert caught.value.problem == "process-not-found"
    target.close()


async def test_a_zombie_has_ended(host: Host) -> None:
    child = host.start()
    child.kill()
    await deferToThread(os.waitid, os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    error = await host.refusal(child.pid)
    assert (error.status, error.problem) == (409, "process-has-ended")
    assert f"its parent, {os.getpid()}" in error.detail


# --- what is never killed -------------------------------------------------------------------------


async def test_the_first_process_the_kernel_and_the_node_are_never_killed(make_host) -> None:
    host = make_host("control: {unwatched_signals: [SIGKILL]}")
    worker = host.start()
    cases = {1: "the first process", os.getpid(): "this node itself", worker.pid: "a worker of"}
    if os.getppid() > 1:
        cases[os.getppid()] = "this node runs below it"
    cases |= dict.fromkeys(kernel_threads()[:1], "a part of the kernel")
    for pid, why in cases.items():
        error = await host.refusal(pid, signal="SIGKILL", identity=str(read_identity(PROC, pid)))
        assert (error.status, error.problem) == (403, "process-protected"), pid
        assert why in error.detail
    assert worker.poll() is None


def kernel_threads() -> list[int]:
    found = []
    for entry in PROC.iterdir():
        with suppress(OSError, ValueError):
            if signals.read_stat(PROC, int(entry.name)).is_kernel_thread:
                found.append(int(entry.name))
    return found


async def test_the_child_of_a_worker_is_a_worker_too(make_host) -> None:
    host = make_host("control: {unwatched_signals: [SIGTERM]}")
    worker = host.start("fork")
    assert worker.stdout is not None
    below = int(worker.stdout.readline())
    error = await host.refusal(below, identity=str(read_identity(PROC, below)))
    assert (error.status, error.problem) == (403, "process-protected")


HIDDEN = """
import os, sys
from pathlib import Path
from etlmon.control.signals import open_target
from etlmon.errors import ApiError
from etlmon.host.processes import Identity, read_boot_id
proc = Path("/proc")
for pid, start in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        open_target(proc, Identity(read_boot_id(proc), int(pid), int(start))).close()
    except ApiError as error:
        print(error.problem, "CAP_SYS_PTRACE" in error.detail)
    else:
        print("opened")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount /proc anew")
@pytest.mark.parametrize("how", ["1", "2"])
@pytest.mark.parametrize("supervised", [False, True])
async def test_with_hidepid_a_node_kills_what_its_own_user_runs(
    make_host, how: str, supervised: bool
) -> None:
    """Also below a parent that it cannot see, as a cron of root's; but nothing above itself."""
    host = make_host()
    own, hidden = host.start(user=65534, group=65534, extra_groups=[]), host.start()
    named = [f"{read_identity(PROC, child.pid)}".split(":")[1:] for child in (own, hidden)]
    script = (
        f"mount -t proc -o hidepid={how} proc /proc && "
        'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
    )
    command = [
        *("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"),
        *(sys.executable, "-I", "-c", HIDDEN, *named[0], *named[1]),
    ]
    if not supervised:  # what plays the node is left to the first process
        orphaned = 'while read -r _ _ _ parent _ </proc/self/stat; [ "$parent" = $$ ]; do :; done'
        command = ["sh", "-c", f'{{ {orphaned}; exec "$@"; }} &', "sh", *command]
    printed = await deferToThread(
        subprocess.run, command, capture_output=True, text=True, check=True
    )
    refused = "identity-unknown True"
    expected = [refused, refused] if supervised else ["opened", refused]
    assert printed.stdout.splitlines() == expected, printed.stderr


async def test_the_pids_of_another_namespace_are_not_taken_for_ours(
    host: Host, monkeypatch
) -> None:
    child = host.start()
    monkeypatch.setattr(signals, "own_pid", lambda _proc: 1)
    error = await host.refusal(child.pid)
    assert (error.status, error.problem) == (403, "other-pid-namespace")


# --- the policy -----------------------------------------------------------------------------------


async def test_only_what_a_watch_selects_unless_others_are_allowed(make_host, not_ours) -> None:
    host = make_host()
    child = host.start()
    identity = str(read_identity(PROC, child.pid))
    host.samples.clear()
    error = await host.refusal(child.pid, identity=identity)
    assert (error.status, error.problem) == (403, "process-not-watched")
    assert "control.unwatched_signals" in error.detail
    open_host = make_host("control: {unwatched_signals: [SIGTERM]}")
    refused = await open_host.refusal(child.pid, identity=identity, signal="SIGKILL")
    assert refused.problem == "process-not-found", "it has gone when it is looked at"
    open_host.watched_now[identity] = []
    refused = await open_host.refusal(child.pid, identity=identity, signal="SIGKILL")
    assert refused.problem == "process-not-watched"
    assert (await open_host.kill(child.pid, identity=identity)).outcome == "exited"


async def test_one_that_no_sample_knows_yet_is_protected_by_its_watch(make_host, not_ours) -> None:
    host = make_host("control: {unwatched_signals: [SIGTERM, SIGKILL]}")
    child = host.start()
    identity = str(read_identity(PROC, child.pid))
    host.samples.clear()
    host.watched_now[identity] = ["untouched"]
    refused = await host.refusal(child.pid, identity=identity)
    assert refused.problem == "signal-not-allowed"
    assert "untouched" in refused.detail
    assert child.poll() is None


@pytest.mark.parametrize(
    ("watches", "asked", "allowed"),
    [
        (("careful",), {}, "exited"),
        (("careful",), {"signal": "SIGHUP"}, "exited"),
        (("careful",), {"signal": "SIGKILL"}, "The watch careful allows SIGTERM, SIGHUP, not SIGK"),
        (("careful",), {"escalate": True}, "The watch careful allows SIGTERM, SIGHUP, not SIGKILL"),
        (("etl", "careful"), {}, "exited"),
        (("etl", "careful"), {"signal": "SIGKILL"}, "The watch careful allows"),
        (("etl", "careful"), {"signal": "SIGHUP"}, "The watch etl allows SIGTERM, SIGKILL, not SI"),
        (("etl", "untouched"), {}, "The watch untouched allows no signal, not SIGTERM"),
        (("etl",), {"signal": "SIGSTOP"}, "not SIGSTOP"),
        (("removed since",), {}, "No watch selects"),
    ],
)
async def test_each_watch_says_which_signals_may_be_sent(
    host: Host, watches: tuple[str, ...], asked: dict[str, Any], allowed: str
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, and is inherited
    child = host.start()
    signal.signal(signal.SIGHUP, before)
    host.watch(child.pid, *watches)
    if allowed == "exited":
        assert (await host.kill(child.pid, **asked)).outcome == "exited"
        return
    error = await host.refusal(child.pid, **asked)
    assert error.status == 403
    assert allowed in error.detail
    assert child.poll() is None


@pytest.mark.parametrize("name", ["", "TERM", "15", "SIGNOPE", "sigterm", "SIG_IGN"])
async def test_what_is_no_signal_is_400(host: Host, name: str) -> None:
    error = await host.refusal(host.start().pid, signal=name)
    assert (error.status, error.problem) == (400, "bad-body")


async def test_a_kill_is_confirmed(host: Host) -> None:
    error = await host.refusal(host.start().pid, confirm=False)
    assert (error.status, error.problem) == (400, "confirmation-required")


async def test_kills_are_limited_and_refusals_do_not_count(make_host, not_ours) -> None:
    host = make_host("control: {kills_per_minute: 2}")
    child = host.start("ignore=SIGTERM")
    for _ in range(5):
        await host.refusal(child.pid, signal="SIGHUP")
    for _ in range(2):
        await host.kill(child.pid, wait=0.0)
    error = await host.refusal(child.pid)
    assert (error.status, error.problem) == (429, "too-many-commands")
    assert 0 < int(error.headers["Retry-After"]) <= 30
    closed = make_host("control: {kills_per_minute: 0}")
    assert "control.kills_per_minute is 0" in (await closed.refusal(child.pid)).detail


async def test_new_settings_hold_at_once(host: Host) -> None:
    child = host.start()
    host.kills.apply(parse_node_config(b"process_watch: [{name: other, match: x}]", "node.yaml"))
    assert (await host.refusal(child.pid)).problem == "process-not-watched"


# --- rights ---------------------------------------------------------------------------------------


async def test_without_the_right_the_answer_names_whose_it_is_and_the_remedy(
    host: Host, monkeypatch
) -> None:
    """Each thread of Linux has user ids of its own: the kernel really refuses."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    child = host.start("name=etl_worker")
    real = signals.Target.send

    def as_nobody(target: signals.Target, number: signal.Signals) -> None:
        os.seteuid(65534)
        os.setresuid(65534, 65534, 0)
        try:
            real(target, number)
        finally:
            os.setresuid(0, 0, 0)

    monkeypatch.setattr(signals.Target, "send", as_nobody)
    with pytest.raises(ApiError) as caught:
        await host.kill(child.pid)
    error = caught.value
    assert (error.status, error.problem) == (403, "signal-not-permitted")
    assert f"The process {child.pid} (etl_worker) belongs to root (uid 0)" in error.detail
    assert "runs as nobody (uid 65534)" in error.detail
    assert "AmbientCapabilities=CAP_KILL" in error.detail
    assert child.poll() is None


async def test_a_right_that_does_not_help_points_to_the_security_module(
    host: Host, monkeypatch
) -> None:
    child = host.start()

    def forbid(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(signal, "pidfd_send_signal", forbid)
    if os.geteuid() != 0:
        pytest.skip("needs the right")
    with pytest.raises(ApiError, match="AppArmor"):
        await host.kill(child.pid)
    assert child.poll() is None


# --- the confirmation token -----------------------------------------------------------------------


@pytest.fixture
def asking(make_host, not_ours) -> Host:
    return make_host("control: {confirmation_token: true}")


async def token_of(host: Host, pid: int, **asked: Any) -> str:
    error = await host.refusal(pid, **asked)
    assert (error.status, error.problem) == (409, "confirmation-token-required")
    assert error.token is not None
    assert error.token not in error.detail
    return error.token


async def test_the_first_call_gives_a_token_and_the_second_is_done(asking: Host) -> None:
    child = asking.start()
    token = await token_of(asking, child.pid)
    assert child.poll() is None
    assert (await asking.kill(child.pid, token=token, reason="another word")).outcome == "exited"


async def test_a_token_is_for_one_use(asking: Host) -> None:
    child = asking.start("ignore=SIGTERM")
    token = await token_of(asking, child.pid)
    await asking.kill(child.pid, token=token, wait=0.0)
    error = await asking.refusal(child.pid, token=token)
    assert (error.status, error.problem) == (409, "confirmation-token-wrong")


async def test_a_token_is_for_this_command_this_process_and_this_caller(asking: Host) -> None:
    child, other = asking.start(), asking.start()
    for pid, told, changes in (
        (other.pid, Told(), {}),
        (child.pid, Told(), {"signal": "SIGKILL"}),
        (child.pid, Told(), {"escalate": True}),
        (child.pid, Told(Caller("vera", "10.0.0.1")), {}),
        (child.pid, Told(Caller("-", "10.0.0.1")), {}),
    ):
        token = await token_of(asking, child.pid)
        error = await asking.refusal(pid, told, token=token, **changes)
        assert error.problem == "confirmation-token-wrong"
        # A token that was shown in the wrong place is void.
        assert (await asking.refusal(child.pid, token=token)).status == 409
    for garbage in ("", "x", "etlmon_" + "x" * 43):
        error = await asking.refusal(child.pid, token=garbage)
        assert error.problem == "confirmation-token-wrong"
    assert child.poll() is other.poll() is None


async def test_where_nobody_is_known_the_address_counts(asking: Host) -> None:
    child = asking.start()
    here, there = Told(Caller("-", "10.0.0.1")), Told(Caller("-", "10.0.0.2"))
    error = await asking.refusal(child.pid, here)
    assert (await asking.refusal(child.pid, there, token=error.token)).status == 409
    again = (await asking.refusal(child.pid, here)).token
    assert (await asking.kill(child.pid, here, token=again)).outcome == "exited"


async def test_no_token_for_what_would_be_refused(asking: Host) -> None:
    child = asking.start()
    error = await asking.refusal(child.pid, signal="SIGSTOP")
    assert (error.status, error.token) == (403, None)


async def test_getting_tokens_counts_as_no_kill(make_host, not_ours) -> None:
    host = make_host("control: {confirmation_token: true, kills_per_minute: 1}")
    child = host.start()
    for _ in range(3):
        token = await token_of(host, child.pid)
    assert (await host.kill(child.pid, token=token)).outcome == "exited"


def test_the_longest_answer_comes_before_clients_give_up() -> None:
    from etlmon.client import http
    from etlmon.records.kill import LONGEST_WAIT_SECONDS

    longest = LONGEST_WAIT_SECONDS + control_kill._AFTER_KILL_SECONDS
    assert longest + 2 < http._TIMEOUT_SECONDS
