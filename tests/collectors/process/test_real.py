"""Real processes, and ``ps`` as their judge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from etlmon.collectors.process import facts
from etlmon.config.watched import ProcessExpectation, ProcessWatch, RedactSection
from etlmon.host import process_table
from etlmon.host.processes import cpu_clock_ns, parse_identity, read_identity, read_raw_stat
from etlmon.records.process import ProcessSample
from tests.collectors.process.conftest import OURS, SUBJECT
from tests.others import BECOME_NOBODY
from tests.waiting import wait_asleep

PROC = Path("/proc")
SLEEP = os.path.realpath("/bin/sleep")
SECONDS = f"600.{os.getpid()}"
"""How long sleepers sleep: by that they are known from those of other tests at the same time."""


def told(pid: int, name: str) -> str:
    return (PROC / str(pid) / name).read_text()


def program(pid: int) -> str:
    return str((PROC / str(pid) / "exe").readlink())


def count_files(pid: int) -> int:
    return len(list((PROC / str(pid) / "fd").iterdir()))


def begun(*arguments: str) -> subprocess.Popen[bytes]:
    """Begin a program that soon sleeps; give it when it does."""
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE)
    wait_asleep(process.pid)
    return process


def end_unreaped(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def ps(pid: int, *columns: str) -> list[str]:
    """Give what ps says of a process."""
    printed = subprocess.run(
        ["ps", "-ww", "-p", str(pid), *(f"-o{column}=" for column in columns)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return printed.split(None, len(columns) - 1)


async def test_a_sample_agrees_with_ps(subject, looker) -> None:
    one = subject("rss=40", "files=7", "threads=3")
    wait_asleep(one.pid)
    watching = looker(ProcessWatch(name="it", pid=one.pid))
    began = time.time()
    (sample,) = await watching.look()
    ended = time.time()
    rss, threads, user, parent, state, seconds, command = ps(
        one.pid, "rss", "nlwp", "user", "ppid", "state", "etimes", "args"
    )
    assert abs(sample.mem_rss_bytes - int(rss) * 1024) <= 1 << 20
    assert sample.mem_rss_bytes >= 40 << 20
    assert (sample.threads, sample.user, sample.parent_pid) == (int(threads), user, int(parent))
    assert (sample.state, sample.status) == (state, "RUNNING")
    assert -2 <= int(seconds) - sample.runtime_sec <= 2 + time.time() - began
    assert began - 1 < sample.start_time.timestamp() + sample.runtime_sec < ended + 1
    assert sample.cmdline == command.rstrip("\n")
    assert sample.exe == program(one.pid)
    assert sample.open_files == count_files(one.pid)
    assert sample.open_files >= 10
    assert parse_identity(sample.identity) == read_identity(PROC, one.pid)
    assert (sample.cpu_percent, sample.cpu_share) == (None, None)
    assert sample.visibility == "full"
    assert sample.io_read_bytes is not None
    lines = told(one.pid, "cgroup").splitlines()
    assert sample.cgroup in [line.split(":", 2)[2] for line in lines]


class Judge:
    """The CPU of a process as psutil has it, before and after each of two looks.

    However late a busy host lets anybody look, what the looks say lies between its two figures.
    """

    def __init__(self, pid: int, watching: Any) -> None:
        self._process = psutil.Process(pid)
        self._watching = watching
        self._read: list[tuple[float, float]] = []

    def read(self) -> None:
        before = time.monotonic()
        times = self._process.cpu_times()
        self._read += [(before, times.user + times.system), (time.monotonic(), 0.0)]

    @property
    def used_seconds(self) -> float:
        """Give what it has used since the first look."""
        times = self._process.cpu_times()
        return times.user + times.system - self._read[2][1]

    async def look(self) -> list[ProcessSample]:
        self.read()
        samples = await self._watching.look()
        self.read()
        return samples

    def assert_right(self, percent: float, within: float) -> None:
        """Compare what the second of two looks said."""
        (began, least), _, (_, less), (first_end, _), (last_begin, more), _, (_, most), (end, _) = (
            self._read
        )
        lowest = 100 * (more - less) / (end - began)
        highest = 100 * (most - least) / (last_begin - first_end)
        assert lowest - within <= percent <= highest + within


async def test_cpu_of_a_duty_cycle_and_the_sums(subject, looker) -> None:
    """30 % of a core if the host has it to give; within 4 of psutil."""
    one, other = subject("cpu=0.3"), subject()
    wait_asleep(other.pid)
    watching = looker(ProcessWatch(name="both", match=OURS))
    judge = Judge(one.pid, watching)
    first = await judge.look()
    assert {sample.cpu_percent for sample in first} == {None}
    assert watching.status.cpu_percent is None
    await deferLater(reactor, 2.5)
    while judge.used_seconds < 0.2:
        await deferLater(reactor, 0.1)
    samples = {sample.pid: sample for sample in await judge.look()}
    assert samples.keys() == {one.pid, other.pid}
    busy, idle = samples[one.pid], samples[other.pid]
    judge.assert_right(busy.cpu_percent, within=4)
    assert 0 < busy.cpu_percent < 40
    assert idle.cpu_percent == pytest.approx(0, abs=1)
    assert busy.cpu_share == pytest.approx(busy.cpu_percent / 100 / os.cpu_count(), abs=0.001)
    status = watching.status
    assert status.process_count == 2
    assert status.cpu_percent == pytest.approx(busy.cpu_percent + idle.cpu_percent)
    assert status.mem_rss_bytes == busy.mem_rss_bytes + idle.mem_rss_bytes
    assert [usage.pid for usage in watching.usages] == [None, *sorted(samples)]


async def test_threads_use_more_than_one_core(subject, looker) -> None:
    """More than 100 % where psutil says so too: a busy host may not give so much."""
    one = subject("spin=4")
    judge = Judge(one.pid, looker(ProcessWatch(pid=one.pid)))
    await judge.look()
    await deferLater(reactor, 1.5)
    while judge.used_seconds < 0.5:
        await deferLater(reactor, 0.1)
    (sample,) = await judge.look()
    judge.assert_right(sample.cpu_percent, within=15)
    assert 0 < sample.cpu_share <= 1


async def test_a_look_soon_after_keeps_the_figure(subject, looker) -> None:
    one = subject("cpu=0.5")
    watching = looker(ProcessWatch(pid=one.pid))
    judge = Judge(one.pid, watching)
    watching.now = 1_000.0
    await judge.look()
    while judge.used_seconds < 0.1:
        await deferLater(reactor, 0.1)
    watching.now += 1.0
    (sample,) = await watching.look()
    watching.now += 0.5
    (again,) = await watching.look()
    assert again.cpu_percent == sample.cpu_percent > 0


async def test_names(subject, looker) -> None:
    """Renamed by prctl; cut by the kernel; written over."""
    stage = f"etl_stg{os.getpid()}"
    renamed = subject(f"name={stage}")
    long_name = Path("/tmp") / f"etl_{os.getpid()}_worker_with_a_long_name"
    long_name.symlink_to("/bin/sleep")
    sleeper = begun(str(long_name), "60")
    try:
        watching = looker(
            ProcessWatch(name="comm", comm=stage),
            ProcessWatch(name="long", match=f"^{long_name.name}$"),
            ProcessWatch(name="cut", comm=long_name.name[:15]),
        )
        assert program(sleeper.pid) == SLEEP
        samples = {sample.watch: sample for sample in await watching.look()}
        assert samples["comm"].pid == renamed.pid
        assert samples["comm"].process_name == stage
        assert samples["long"].pid == samples["cut"].pid == sleeper.pid
        assert samples["long"].process_name == long_name.name
    finally:
        sleeper.kill()
        sleeper.communicate()
        long_name.unlink()


async def test_a_long_command_line_with_newlines_and_a_secret(subject, looker) -> None:
    end = f"com.example.Main{os.getpid()}\nsecond line"
    one = subject("--password=hunter2", "--pin", "4711", "x" * 20_000, end)
    watching = looker(
        ProcessWatch(name="end", match=rf"Main{os.getpid()}\nsecond line$"),
        redact=RedactSection(patterns=(r"--pin (\d+)",)),
    )
    (sample,) = await watching.look()
    assert sample.pid == one.pid
    assert len(sample.cmdline) <= 4096
    assert " ... " in sample.cmdline
    assert sample.cmdline.endswith(end)
    assert "--password=[redacted] --pin [redacted] xxx" in sample.cmdline
    assert "hunter2" not in repr(watching.records)
    assert "4711" not in repr(watching.records)


async def test_an_exit_is_told_at_once_with_its_status(subject, looker) -> None:
    born = time.time()
    one = subject("exit=3")
    watching = looker(ProcessWatch(name="it", pid=one.pid, expect=ProcessExpectation(min=1)))
    await watching.look()
    assert watching.status.state == "ok"
    told: Deferred[None] = Deferred()
    watching.on_hint = lambda: told.callback(None)
    began = time.time()
    one.finish()  # reaped: only the descriptor can still tell how it ended, on Linux 6.15
    await told
    (sample,) = await watching.look()
    assert (sample.status, sample.state) == ("STOPPED", None)
    assert sample.mem_rss_bytes > 0
    exited, changed = watching.events
    assert (exited.event, exited.pid, changed.event) == ("exited", one.pid, "state_changed")
    assert began - 1 < exited.occurred_at.timestamp() < time.time() + 1
    assert 0 <= exited.runtime_sec <= time.time() - born + 1
    release = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
    if release >= (6, 15):
        assert (exited.exit_status, exited.exit_reason) == (3, "exit status 3")
    else:
        assert exited.exit_reason in (None, "exit status 3")
    assert watching.status.state == "down"
    assert (await watching.look()) == [sample]  # it stays listed
    assert watching.events == []


async def test_a_zombie_has_ended_and_tells_how(subject, looker) -> None:
    one = subject()
    watching = looker(ProcessWatch(name="it", pid=one.pid))
    await watching.look()
    end_unreaped(one.pid)
    (sample,) = await watching.look()
    assert (sample.status, sample.state, sample.exit_reason) == (
        "STOPPED",
        "Z",
        "killed by SIGKILL",
    )
    assert [event.exit_signal for event in watching.events] == ["SIGKILL"]
    assert watching.status.process_count == 0
    assert await watching.look() == [sample]
    one.kill()
    assert len(await watching.look()) == 1
    assert watching.events == []


async def test_one_deaf_to_sigterm_runs_on(subject, looker) -> None:
    one = subject("deaf")
    watching = looker(ProcessWatch(pid=one.pid))
    (before,) = await watching.look()
    one.process.send_signal(signal.SIGTERM)
    (after,) = await watching.look()
    assert (after.status, after.identity) == ("RUNNING", before.identity)


async def test_a_restart_under_the_same_name(subject, looker) -> None:
    name = f"etl_{os.getpid()}"
    first = subject(f"name={name}")
    watching = looker(ProcessWatch(name="load", comm=name))
    (before,) = await watching.look()
    first.kill()
    second = subject(f"name={name}")
    (after,) = await watching.look()
    assert (after.pid, after.status, after.restarts) == (second.pid, "RUNNING", 1)
    assert after.identity != before.identity
    exited, restarted = watching.events
    assert (exited.event, exited.pid) == ("exited", first.pid)
    assert (restarted.event, restarted.pid, restarted.replaces_pid) == (
        *("restarted", second.pid),
        first.pid,
    )
    assert restarted.occurred_at == after.start_time
    assert watching.status.restarts == 1


async def test_children_count_though_their_parent_has_ended(subject, looker) -> None:
    name = f"etl_top{os.getpid()}"
    one = subject(f"name={name}", "child=60")
    watching = looker(ProcessWatch(name="tree", comm=name, with_children=True))
    (child_pid,) = map(int, told(one.pid, f"task/{one.pid}/children").split())
    try:
        while told(child_pid, "comm") == told(
            one.pid, "comm"
        ):  # forked, and not yet another program
            await deferLater(reactor, 0.005)
        parent, child = await watching.look()
        assert (parent.pid, parent.is_child) == (one.pid, False)
        assert (child.pid, child.is_child, child.parent_pid) == (child_pid, True, one.pid)
        assert watching.status.process_count == 2
        one.kill()
        child, parent = await watching.look()
        assert (child.pid, child.status) == (child_pid, "RUNNING")
        assert (parent.pid, parent.status) == (one.pid, "STOPPED")
        assert [event.pid for event in watching.events] == [one.pid]
    finally:
        os.kill(child_pid, signal.SIGKILL)


@pytest.mark.parametrize(("looks_before", "within"), [(1, 1), (4, 24)])
async def test_another_program_under_the_same_pid_is_seen(
    looker, looks_before: int, within: int
) -> None:
    """As cron's shell does it: the pid stays, the program is another. Later it takes longer."""
    with begun("sh", "-c", f"read x; exec sleep {SECONDS}") as process:
        try:
            watching = looker(ProcessWatch(name="sleep", match=f"^sleep {SECONDS}$"))
            for _ in range(looks_before):
                assert await watching.look() == []
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            while told(process.pid, "comm") != "sleep\n":
                await deferLater(reactor, 0.005)
            wait_asleep(process.pid)
            looks = 1
            while not (samples := await watching.look()):
                looks += 1
            assert looks <= within
            assert (samples[0].pid, watching.events[0].event) == (process.pid, "started")
        finally:
            process.kill()


LEFT_ALONE = ("read_arguments", "count_open_files", "read_disk_bytes")
"""What need not be read again of a process that has used no CPU."""


async def test_of_one_that_rests_little_is_read_until_it_does_something(
    subject, looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = subject()
    wait_asleep(one.pid)
    watching = looker(ProcessWatch(name="it", pid=one.pid))
    read: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(proc_fd: int, pid: int) -> Any:
            read[name] += pid == one.pid
            return function(proc_fd, pid)

        return counted

    for name in LEFT_ALONE:
        monkeypatch.setattr(facts, name, counting(name, getattr(facts, name)))
    clock = None
    while clock != (clock := cpu_clock_ns(one.pid)):  # it is called asleep a little before it is
        (first,) = await watching.look()
        read.clear()
        for _ in range(12):
            (sample,) = await watching.look()
            assert (sample.cmdline, sample.open_files) == (first.cmdline, first.open_files)
    assert read == dict.fromkeys(LEFT_ALONE, 1)  # in a minute once, whatever its clock says
    for times in range(1, 14):
        one.become("files=2")
        one.become(f"arguments=at work {times}")
        (sample,) = await watching.look()
        assert (sample.open_files, count_files(one.pid)) == (first.open_files + 2 * times,) * 2
        assert sample.cmdline == f"at work {times}"


async def test_what_could_not_be_read_is_tried_again_though_nothing_has_run(
    subject, looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when this process has as many files open as it may."""
    one = subject()
    wait_asleep(one.pid)
    for name in LEFT_ALONE:
        watching = looker(ProcessWatch(name="it", pid=one.pid))
        with monkeypatch.context() as failing:
            failing.setattr(facts, name, lambda *_: None)
            (blind,) = await watching.look()
        assert blind.visibility == "partial"
        (sample,) = await watching.look()
        assert sample.visibility == "full"
        assert OURS in (sample.cmdline or "")


async def test_kernel_threads_and_own_processes(looker) -> None:
    watching = looker(
        ProcessWatch(name="kernel", comm="kthreadd"), ProcessWatch(name="own", match="pytest")
    )
    samples = await watching.look()
    assert os.getpid() not in [sample.pid for sample in samples]
    for sample in samples:
        if sample.watch == "kernel":
            assert (sample.process_name, sample.cmdline) == ("[kthreadd]", "")
            assert sample.is_kernel_thread
            assert sample.visibility == "full"


# --- what the kernel can be made to do, by root ---------------------------------------------------

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
LOOK = f"""
import json, sys, time
from pathlib import Path
from typing import Any
from etlmon.collectors.process.observer import Observer
from etlmon.config.watched import ProcessWatch, RedactSection
from etlmon.host.users import Users
from etlmon.redaction import Redaction
watches = [ProcessWatch(name="it", match=sys.argv[1]), ProcessWatch(name="exe", exe="/bin/x")]
def look():
    return Observer(Path("/proc"), watches, Redaction(), Users(time.monotonic)).look({{}})
look()  # imports the rest
{BECOME_NOBODY}
look = look()
print(json.dumps({{
    "sees_all": look.sees_all,
    "met": len(look.selected["it"].met),
    "untold": len(look.selected["exe"].untold) > 0,
    "files": [one.open_files for one in look.sightings.values()],
    "exe": [one.exe for one in look.sightings.values()],
    "whole": [one.is_whole for one in look.sightings.values()],
}}))
"""


LEAVE = """
import json, subprocess, sys, time
from pathlib import Path
from etlmon.collectors.process.collector import boot_clock
from etlmon.collectors.process.observer import Observer
from etlmon.collectors.process.sampling import Now
from etlmon.collectors.process.tally import Tally
from etlmon.config.signals import AllowedSignals
from etlmon.config.watched import ProcessWatch
from etlmon.host.users import Users
from etlmon.records.process import NewProcessEvent, ProcessSample
from etlmon.redaction import Redaction
from etlmon.units import utc
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", {subject!r}, "{ours}"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
watches = [ProcessWatch(name="it", match="{ours}")]
Observer(Path("/proc"), watches, Redaction(), Users(time.monotonic)).look({{}})  # imports the rest
{become}
observer = Observer(Path("/proc"), watches, Redaction(), Users(time.monotonic))
tally = Tally(watches, 1, AllowedSignals({{}}))
def look():
    now = Now(utc(time.time()), time.monotonic(), boot_clock())
    return tally.update(observer.look({{}}), now, {{}})
assert [one.pid for one in look() if type(one) is ProcessSample] == [child.pid]
child.stdin.write(b"arguments=gone\\n")
child.stdin.flush()
child.stdout.readline()
records = look()
events = [one.event for one in records if type(one) is NewProcessEvent]
print(json.dumps([events, sum(type(one) is ProcessSample for one in records)]))
child.communicate()
"""


def printed(mount: str, *arguments: str) -> str:
    """Give what a Python prints that root has begun, where something is mounted."""
    script = f'{mount} && exec "$@"'
    python = [sys.executable, "-I", "-c", *arguments]
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *python],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def seen_by_nobody(pattern: str, mount: str = "true") -> Any:
    """Give what an ordinary user sees who looks for a pattern."""
    return json.loads(printed(mount, LOOK, pattern))


@ROOT
def test_an_ordinary_user_is_told_what_it_cannot_see() -> None:
    with begun("sleep", SECONDS) as process:
        found = seen_by_nobody(f"^sleep {SECONDS}$")
        process.kill()
    assert (found["sees_all"], found["met"], found["untold"]) == (True, 1, True)
    assert (found["exe"], found["whole"]) == ([None], [False])


@ROOT
@pytest.mark.parametrize("how", ["1", "2"])
def test_hidden_processes_are_known_to_be_hidden(how: str) -> None:
    with begun("sleep", SECONDS) as process:
        found = seen_by_nobody(f"^sleep {SECONDS}$", f"mount -t proc -o hidepid={how} proc /proc")
        process.kill()
    assert (found["sees_all"], found["met"]) == (False, 0)


@pytest.mark.parametrize("error", [PermissionError, ProcessLookupError])  # hidepid=1 and 2
async def test_what_is_hidden_from_now_on_runs_until_its_descriptor_says_more(
    subject, looker, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    """As a program that takes on another user's rights."""
    one = subject()
    watching = looker(ProcessWatch(name="it", pid=one.pid))
    (seen,) = await watching.look()

    def hiding(name: str, proc_fd: int) -> bytes:
        if name == str(one.pid):
            raise error(0, "hidden")
        return read_raw_stat(name, proc_fd)

    monkeypatch.setattr(process_table, "read_raw_stat", hiding)
    for _ in range(2):
        (sample,) = await watching.look()
        assert (sample.identity, sample.status) == (seen.identity, "RUNNING")
        assert sample.visibility == "partial"
        assert [event for event in watching.events if event.event in ("exited", "left")] == []
    one.kill()
    (sample,) = await watching.look()
    assert (sample.identity, sample.status) == (seen.identity, "STOPPED")
    assert [event.pid for event in watching.events if event.event == "exited"] == [one.pid]


async def test_of_what_cannot_be_told_any_more_it_is_not_said_that_it_left(
    subject, looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = subject()
    watching = looker(ProcessWatch(name="it", exe=program(one.pid), match=OURS))
    (seen,) = await watching.look()
    monkeypatch.setattr(facts, "read_exe", lambda *_: None)
    events: list[str] = []
    for _ in range(14):  # the program's file is looked at each twelfth time
        (sample,) = await watching.look()
        events += [event.event for event in watching.events]
        assert (sample.identity, sample.status) == (seen.identity, "RUNNING")
    assert (sample.visibility, events) == ("partial", ["visibility_changed"])
    one.kill()
    (sample,) = await watching.look()
    assert (sample.identity, sample.status) == (seen.identity, "STOPPED")


@ROOT
def test_with_hidepid_what_meets_the_criteria_no_more_has_left() -> None:
    """Others are hidden there from an ordinary user at all times; its own are not."""
    subject = SUBJECT.read_text().replace("\nPR_SET_NAME", f"\n{BECOME_NOBODY}\nPR_SET_NAME")
    script = LEAVE.format(subject=subject, ours=OURS, become=BECOME_NOBODY)
    mount = "mount -t proc -o hidepid=1 proc /proc"
    assert json.loads(printed(mount, script)) == [["left", "state_changed"], 0]


@ROOT
async def test_a_process_in_a_container_has_its_own_pid_there(looker) -> None:
    seconds = f"1{SECONDS}"  # its end is not waited for
    with begun("unshare", "--pid", "--fork", "--kill-child", "sleep", seconds) as process:
        try:
            watching = looker(ProcessWatch(name="it", match=f"^sleep {seconds}$"))
            while not (samples := await watching.look()):
                await deferLater(reactor, 0.01)
            assert [sample.container_pid for sample in samples] == [1]
            assert samples[0].pid != 1
        finally:
            process.kill()


@ROOT
def test_a_pid_that_is_given_out_again_is_seen_at_once() -> None:
    """In a namespace of pids of its own, where the next one can be chosen."""
    script = """
import os, subprocess, time
from pathlib import Path
from typing import Any
from etlmon.host.process_table import ProcessTable, opened
from etlmon.host.processes import read_identity
proc, table = Path("/proc"), ProcessTable()
def look():
    with opened(proc) as directory:
        return table.look(directory, ())
first = subprocess.Popen(["sleep", "60"])
identity = read_identity(proc, first.pid)
born = time.monotonic()
while first.pid in look() or time.monotonic() < born + 0.05:  # some ticks of its clock older
    pass
first.kill()
first.wait()
(proc / "sys/kernel/ns_last_pid").write_text(str(first.pid - 1))
second = subprocess.Popen(["sleep", "60"])
read = look()
assert second.pid == first.pid
assert second.pid in read
assert read_identity(proc, second.pid) != identity
assert table.stats[second.pid].start_ticks == read_identity(proc, second.pid).start_ticks
"""
    subprocess.run(
        [
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            sys.executable,
            "-c",
            script,
        ],
        check=True,
    )
