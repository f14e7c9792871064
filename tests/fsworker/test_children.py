"""The pool with real children."""

from __future__ import annotations

import os
import random
import select
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError
from twisted.logger import globalLogPublisher

from etlmon.config.node import WorkersSection
from etlmon.fsworker.child import Child
from etlmon.fsworker.failures import WorkerDied, WorkerFailed, WorkerStopped, WorkerTimeout
from etlmon.fsworker.pool import WorkerPool
from etlmon.fsworker.scan import ScanOrder, ScanProgress
from tests.fsworker.conftest import Hastened, find, until
from tests.fsworker.made_up import results
from tests.waiting import PATIENCE_SECONDS


def order(path: Path | str, **options: Any) -> ScanOrder:
    options.setdefault("timeout_seconds", 120)
    return ScanOrder(path=os.fsencode(path), mount_point="/", **options)


def children() -> list[psutil.Process]:
    return psutil.Process().children()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_scan_and_statvfs(pool: WorkerPool, tree: Path) -> None:
    (tree / "d").mkdir()
    (tree / "d" / "f").write_text("")
    outcome = await pool.scan(order(tree))
    expected = find(tree)
    assert (outcome.files, outcome.dirs, outcome.others) == tuple(expected.values())
    assert outcome.complete
    device = os.lstat(tree).st_dev
    found = await pool.statvfs(os.fsencode(tree), "/", PATIENCE_SECONDS)
    assert found.blocks == os.statvfs(tree).f_blocks
    assert found.device_number == device
    with pytest.raises(WorkerFailed, match="No such file or directory"):
        await pool.scan(order(tree / "missing"))


async def test_children_start_when_needed_and_are_used_again(pool: WorkerPool, tree: Path) -> None:
    before = {child.pid for child in children()}
    for _ in range(100):
        await pool.scan(order(tree))
        await pool.statvfs(b"/", "/", PATIENCE_SECONDS)
    assert len({child.pid for child in children()} - before) == 2


async def test_killed_child_is_replaced(pool: WorkerPool, tree: Path) -> None:
    await pool.scan(order(tree))
    [child] = children()
    child.kill()
    await until(lambda: not children())
    assert (await pool.scan(order(tree))).complete


async def test_child_killed_at_work_fails_its_scan_only(pool: WorkerPool) -> None:
    scan = pool.scan(order("/", max_ops_per_second=1.0), lambda progress: None)
    [child] = await until(children)
    child.kill()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        await scan
    assert (await pool.scan(order("/etc"))).files > 0


async def test_cycles_leave_nothing_behind(pool: WorkerPool, tree: Path) -> None:
    """Answers, errors, cancelled scans and kills, over and over."""
    counted = None
    for number in range(60):
        await pool.statvfs(b"/", "/", PATIENCE_SECONDS)
        await pool.scan(order(tree))
        with pytest.raises(WorkerFailed):
            await pool.scan(order(tree / "missing"))
        if number % 3 == 0:
            # Another mount: on a busy machine who is killed may take long enough to die that its
            # mount is left alone.
            scan = pool.scan(ScanOrder(path=b"/usr", mount_point="/usr", timeout_seconds=120))
            scan.cancel()
            with pytest.raises(CancelledError):
                await scan
            await pool.scan(order(tree))
        if number == 5:
            await until(lambda: len(children()) == 2)
            counted = descriptors(), 2
    await until(lambda: (descriptors(), len(children())) == counted)
    assert not [child for child in children() if child.status() == psutil.STATUS_ZOMBIE]


async def test_cancelled_scan_ends_its_child(pool: WorkerPool) -> None:
    scan = pool.scan(order("/", max_ops_per_second=1.0))
    [child] = await until(children)
    scan.cancel()
    with pytest.raises(CancelledError):
        await scan
    await until(lambda: not psutil.pid_exists(child.pid))


async def test_what_has_come_while_the_reactor_stood_still_is_read_first(
    hastened: Hastened, hastened_pool: WorkerPool, log_lines: list[str]
) -> None:
    """An answer that is there comes in time, and a child that has ended does not hang."""
    await hastened_pool.statvfs(b"/", "/", 900)
    (child,) = hastened_pool._crew.children
    asks, answers = child.transport.pipes[0], child.transport.pipes[1]
    os.kill(child.pid, signal.SIGSTOP)
    probe = hastened_pool.statvfs(b"/", "/", 900)
    await until(lambda: not asks.dataBuffer and not asks._tempDataBuffer)
    os.kill(child.pid, signal.SIGCONT)
    assert select.select([answers.fileno()], [], [], PATIENCE_SECONDS)[0]
    hastened.put_forward(1_000)
    assert (await probe).blocks > 0

    hastened_pool.statvfs(b"/", "/", 900).addErrback(lambda _: None).cancel()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - it shall block
    hastened.put_forward(1_000)
    await until(lambda: not hastened_pool._crew.children)
    assert [line for line in log_lines if "hangs" in line] == []


async def stop(child: Child) -> None:
    """Stop a child by a signal, and wait until it stands still."""
    os.kill(child.pid, signal.SIGSTOP)
    await until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)


async def test_stopped_child_is_replaced_and_its_mount_is_not_blamed(
    hastened: Hastened, hastened_pool: WorkerPool, log_lines: list[str]
) -> None:
    """The one that has been idle since then, and the one that is at a scan."""
    await hastened_pool.statvfs(b"/", "/", 900)
    (idle,) = hastened_pool._crew.children
    await stop(idle)
    probe = results(hastened_pool.statvfs(b"/", "/", 900))
    hastened.put_forward(1_000)
    await until(lambda: probe)
    assert isinstance(probe[0], WorkerDied)
    assert str(probe[0]) == f"a signal had stopped the worker (process {idle.pid})"
    assert (await hastened_pool.statvfs(b"/", "/", 900)).blocks > 0

    told: list[ScanProgress] = []
    slow = order("/usr", max_ops_per_second=50.0, silence_seconds=300.0, timeout_seconds=9e9)
    scan = results(hastened_pool.scan(slow, told.append))
    await until(lambda: told)
    [at_work] = [child for child in hastened_pool._crew.children if child.request]
    await stop(at_work)
    hastened.put_forward(200)
    assert (await hastened_pool.statvfs(b"/", "/", 900)).blocks > 0
    assert (await hastened_pool.scan(order("/etc"))).files > 0
    while not scan:  # What it has said before may come in a little later.
        hastened.put_forward(301)
        await task.deferLater(reactor, 0.005)
    assert str(scan[0]) == f"a signal had stopped the worker (process {at_work.pid})"
    assert scan[0].partial.dirs > 0
    await until(lambda: len(hastened_pool._crew.children) == 2)
    assert hastened_pool.stuck_workers() == []
    assert len([line for line in log_lines if "was stopped by a signal" in line]) == 2


PROGRAMS = {
    "silent": "import sys; sys.stdin.read()",
    "deaf": "import os, time; os.close(0); time.sleep(60)",
    "nonsense": "import os; os.read(0, 999); os.write(1, b'bus \\x1b error\\n'); os.read(0, 999)",
    "ending": "import sys; sys.stdin.readline(); sys.exit('out of \\x07 luck')",
}


def other_pool(program: str) -> WorkerPool:
    """Give a pool whose workers are another program."""
    return WorkerPool(reactor, command=[sys.executable, "-I", "-S", "-c", PROGRAMS[program]])


@pytest.mark.parametrize("program", ["silent", "deaf"])
async def test_deadline_passes(program: str) -> None:
    pool = other_pool(program)
    for _ in range(3):
        with pytest.raises(WorkerTimeout, match=r"no answer within 0\.1 s from /m"):
            await pool.statvfs(b"/", "/m", 0.1)
        await until(lambda: not children())
    await until(lambda: not children())
    assert pool.stuck_workers() == []
    await pool.stop()


async def test_program_that_speaks_nonsense() -> None:
    pool = other_pool("nonsense")
    with pytest.raises(WorkerDied, match=r"no answer: bus \\x1b error$"):
        await pool.statvfs(b"/", "/", PATIENCE_SECONDS)
    await until(lambda: not children())
    await pool.stop()


async def test_what_a_child_complains_about_is_logged() -> None:
    pool = other_pool("ending")
    said: list[str] = []

    def observe(event: Any) -> None:
        if "text" in event:
            said.append(event["text"])

    globalLogPublisher.addObserver(observe)
    try:
        with pytest.raises(WorkerDied, match="exit status 1"):
            await pool.statvfs(b"/", "/", PATIENCE_SECONDS)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert said == ["out of \\x07 luck\\n"]
    await pool.stop()


async def test_stop_kills_and_reaps_all(tree: Path) -> None:
    before = descriptors()
    pool = WorkerPool(reactor)
    came = [results(pool.scan(order("/usr"))) for _ in range(4)]
    came.append(results(pool.statvfs(b"/", "/", PATIENCE_SECONDS)))
    assert len(children()) == 3
    await pool.stop()
    assert all(isinstance(one[0], WorkerStopped) for one in came)
    await until(lambda: not children())
    assert descriptors() == before
    await pool.stop()


def make_wide_tree(tree: Path) -> None:
    """Make what takes a worker longer than it is left alone: 400 directories, 20,000 files."""
    for number in range(400):
        directory = tree / f"{number // 20}" / f"{number % 20}"
        directory.mkdir(parents=True)
        for name in range(50):
            (directory / f"{name}").touch()


async def test_shared_scans_count_what_find_counts(tree: Path, monkeypatch: Any) -> None:
    """Again and again, with changes in between; who gave what to whom makes no difference."""
    monkeypatch.setattr("etlmon.fsworker.sharing._ALONE_SECONDS", 0.001)
    make_wide_tree(tree)
    pool = WorkerPool(reactor, processes=3, limits=WorkersSection().limits)
    rng = random.Random(3)
    shared = 0
    try:
        for number in range(12):
            outcome = await pool.scan(
                order(tree, remember=True, generation=(number + 1) // 5, settle_seconds=0.3)
            )
            assert (outcome.files, outcome.dirs, outcome.others) == tuple(find(tree).values())
            assert outcome.listed_dirs + outcome.reused_dirs == outcome.dirs + 1
            shared += len({len(plan) for _, plan in pool._sharing._plans.values()} - {1})
            for _ in range(rng.randrange(4)):
                place = tree / f"{rng.randrange(20)}" / f"{rng.randrange(20)}"
                if place.exists():
                    place.rename(tree / f"{rng.randrange(20)}" / f"moved {rng.random()}")
            make_wide_tree(tree / f"new {number}") if number == 6 else None
    finally:
        await pool.stop()
    assert shared


async def test_limits_of_a_child(tree: Path) -> None:
    limits = {"nice": 3, "memory_bytes": 200 << 20, "descriptors": 70, "idle_io": True}
    pool = WorkerPool(reactor, limits=limits)
    await pool.scan(order(tree))
    [child] = children()
    assert child.rlimit(psutil.RLIMIT_AS) == (200 << 20, 200 << 20)
    assert child.rlimit(psutil.RLIMIT_NOFILE) == (70, 70)
    assert child.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    assert child.nice() == psutil.Process().nice() + 3
    await pool.stop()
