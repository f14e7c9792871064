"""Kills of real processes: the right one or none, and some never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from twisted.internet.threads import deferToThread

from etlmon.control import signals
from etlmon.errors import ApiError
from etlmon.host.processes import read_identity
from tests.control.killing import PROC, PROGRAM, Host, Sample
from tests.others import BECOME_NOBODY

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")

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


AS_NOBODY = f"""
import __future__, os, pathlib, signal, sys
{BECOME_NOBODY}
exec({Path(PROGRAM).read_text()!r})
"""
HIDDEN = f"""
import sys
from pathlib import Path
from etlmon.control.signals import open_target
from etlmon.errors import ApiError
from etlmon.host.processes import Identity, read_boot_id
proc = Path("/proc")
def opened():
    for pid, start in zip(sys.argv[1::2], sys.argv[2::2]):
        try:
            open_target(proc, Identity(read_boot_id(proc), int(pid), int(start))).close()
        except ApiError as error:
            yield f"{{error.problem}} {{'CAP_SYS_PTRACE' in error.detail}}"
        else:
            yield "opened"
[*opened()]  # imports the rest
{BECOME_NOBODY}
print(*opened(), sep="\\n")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount /proc anew")
@pytest.mark.parametrize("how", ["1", "2"])
@pytest.mark.parametrize("supervised", [False, True])
async def test_with_hidepid_a_node_kills_what_its_own_user_runs(
    make_host, how: str, supervised: bool
) -> None:
    """Also below a parent that it cannot see, as a cron of root's; but nothing above itself."""
    host = make_host()
    own, hidden = host.start(program=("-c", AS_NOBODY)), host.start()
    named = [f"{read_identity(PROC, child.pid)}".split(":")[1:] for child in (own, hidden)]
    script = f'mount -t proc -o hidepid={how} proc /proc && exec "$@"'
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
