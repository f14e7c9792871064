"""File systems that hang, in both ways: the caller can be killed, or it cannot.

The caller of a FUSE request that the server has not read yet dies of SIGKILL at once. When the
server has read it and does not answer, the caller waits in the kernel whatever it is sent.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from twisted.internet import reactor, task

from etlmon.fsworker.failures import MountStuck, WorkerSilent, WorkerStopped, WorkerTimeout
from etlmon.fsworker.pool import WorkerPool
from etlmon.fsworker.scan import ScanOrder, ScanProgress
from tests.fsworker.conftest import Hastened, HungFilesystem, until
from tests.fsworker.cycles import Holdings, killable, settle, stuck
from tests.fsworker.made_up import results
from tests.waiting import PATIENCE_SECONDS


def order(path: Path, timeout: float) -> ScanOrder:
    return ScanOrder(path=os.fsencode(path), mount_point=str(path), timeout_seconds=timeout)


def workers(hungfs: HungFilesystem) -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if one.pid != hungfs.server.pid]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_healthy_first(pool: WorkerPool, hungfs: HungFilesystem) -> None:
    point = hungfs.point
    found = await pool.statvfs(os.fsencode(point), str(point), PATIENCE_SECONDS)
    assert (found.blocks, found.blocks_free, found.blocks_avail) == (1000, 500, 400)
    outcome = await pool.scan(order(point, PATIENCE_SECONDS))
    assert (outcome.files, outcome.dirs, outcome.complete) == (3, 0, True)


async def test_server_that_is_stopped_leaves_no_stuck_child(
    pool: WorkerPool, hungfs: HungFilesystem
) -> None:
    """Each request times out, its child dies, and the next one has a fresh child."""
    point = hungfs.point
    await pool.statvfs(os.fsencode(point), str(point), PATIENCE_SECONDS)
    hungfs.stop()
    for _ in range(3):
        with pytest.raises(WorkerTimeout):
            await pool.statvfs(os.fsencode(point), str(point), 0.1)
        assert pool.stuck_since(str(point)) is None
        # On a busy machine it may take longer to die than it takes to be called stuck.
        await until(lambda: len(workers(hungfs)) <= 1 and not pool.stuck_workers())
        await pool.statvfs(b"/", "/", PATIENCE_SECONDS)
    with pytest.raises(WorkerTimeout):
        await pool.scan(order(point, -0.9))  # One second of grace comes on top.
    await until(lambda: len(workers(hungfs)) <= 1 and not pool.stuck_workers())
    hungfs.server.send_signal(signal.SIGCONT)
    assert (await pool.statvfs(os.fsencode(point), str(point), PATIENCE_SECONDS)).blocks == 1000


async def test_server_that_hangs_costs_one_child_and_its_mount_only(
    pool: WorkerPool, hungfs: HungFilesystem
) -> None:
    point = hungfs.point
    await pool.statvfs(os.fsencode(point), str(point), PATIENCE_SECONDS)
    hungfs.tell("hang")
    while True:  # until it has not been killed before it asked
        with pytest.raises(WorkerTimeout):
            await pool.statvfs(os.fsencode(point), str(point), 0.5)
        if hungfs.says("parked", 5):
            break
    # The next one waits until it is certain that the first child cannot be killed.
    with pytest.raises(MountStuck) as caught:
        await pool.statvfs(os.fsencode(point), str(point), PATIENCE_SECONDS)
    assert caught.value.since == pool.stuck_since(str(point))
    [stuck] = pool.stuck_workers()
    assert stuck.mount_point == str(point)
    process = psutil.Process(stuck.pid)
    await until(lambda: process.status() == psutil.STATUS_DISK_SLEEP)

    before = descriptors()
    for _ in range(200):
        with pytest.raises(MountStuck):
            await pool.statvfs(os.fsencode(point), str(point), PATIENCE_SECONDS)
        with pytest.raises(MountStuck):
            await pool.scan(order(point, PATIENCE_SECONDS))
    for _ in range(20):
        await pool.statvfs(b"/", "/", PATIENCE_SECONDS)
    assert len(workers(hungfs)) == 2
    assert descriptors() <= before + 3  # The healthy child's pipes.

    hungfs.tell("release")
    await until(lambda: pool.stuck_since(str(point)) is None)
    assert pool.stuck_workers() == []
    assert (await pool.statvfs(os.fsencode(point), str(point), PATIENCE_SECONDS)).blocks == 1000


async def test_mount_that_hangs_during_a_scan_holds_back_probes(
    hastened: Hastened, hastened_pool: WorkerPool, hungfs: HungFilesystem
) -> None:
    """The silent scan is the test of its mount: no second child goes there to get stuck."""
    point = hungfs.point
    hungfs.tell("endless")
    told: list[ScanProgress] = []
    scan = hastened_pool.scan(order(point, 1000.0), told.append)
    await until(lambda: told)
    assert (await hastened_pool.statvfs(os.fsencode(point), str(point), 900)).blocks == 1000
    hungfs.tell("hang")
    await until(lambda: hungfs.says("parked"))
    for _ in range(5):  # what it has said before comes in now
        await task.deferLater(reactor, 0)
    hastened.put_forward(1.1)
    probe = results(hastened_pool.statvfs(os.fsencode(point), str(point), 10.0))
    hastened.put_forward(11.0)
    await until(lambda: probe)
    assert isinstance(probe[0], WorkerTimeout)
    hastened.put_forward(1000.0)
    with pytest.raises(WorkerTimeout) as caught:
        await scan
    partial = caught.value.partial
    assert partial is not None
    assert partial.files >= told[0].files > 0
    await until(hastened_pool.stuck_workers)
    with pytest.raises(MountStuck):
        await hastened_pool.statvfs(os.fsencode(point), str(point), 900)
    assert len(hastened_pool.stuck_workers()) == 1


async def test_scan_of_a_mount_that_hangs_on_the_way_is_ended_long_before_its_timeout(
    hastened: Hastened, hastened_pool: WorkerPool, hungfs: HungFilesystem
) -> None:
    """In both ways: with a caller that can be killed, and with one that cannot."""
    point = hungfs.point
    hungfs.tell("endless")
    for way in ("stop", "hang"):
        told: list[ScanProgress] = []
        slow = ScanOrder(
            path=os.fsencode(point),
            mount_point=str(point),
            timeout_seconds=6_000_000,
            silence_seconds=200.0,
        )
        scan = results(hastened_pool.scan(slow, told.append))
        await until(lambda told=told: told)
        if way == "stop":
            hungfs.stop()
        else:
            hungfs.tell("hang")
            await until(lambda: hungfs.says("parked"))
        while not scan:  # what it has said before may come in a little later
            hastened.put_forward(201.0)
            await task.deferLater(reactor, 0.005)
        assert isinstance(scan[0], WorkerSilent)
        assert scan[0].partial is not None
        assert scan[0].partial.files > 0
        if way == "stop":
            # If it was stopped while at a request, its caller cannot be killed before it goes on.
            hungfs.server.send_signal(signal.SIGCONT)
            await until(lambda: not any(one.killed for one in hastened_pool._crew.children))
    await until(lambda: hastened_pool.stuck_since(str(point)))
    assert (await hastened_pool.statvfs(b"/", "/", 900)).blocks > 0


async def test_stop_leaves_a_stuck_child_behind(hungfs: HungFilesystem) -> None:
    point = hungfs.point
    pool = WorkerPool(reactor)
    hungfs.tell("hang")
    probe = pool.statvfs(os.fsencode(point), str(point), 900)
    await until(lambda: hungfs.says("parked"))
    stopped = pool.stop()
    with pytest.raises(WorkerStopped):
        await probe
    await stopped  # while it hangs
    hungfs.tell("release")
    await until(lambda: not workers(hungfs))


@pytest.mark.parametrize("kind", [killable, stuck])
async def test_cycles_leave_nothing_behind(
    pool: WorkerPool, hungfs: HungFilesystem, kind: Any
) -> None:
    """`./run bench hung` makes a thousand of each."""
    await settle(pool)
    await kind(pool, hungfs, 1)
    before = Holdings.now()
    await kind(pool, hungfs, 10)
    await kind(pool, hungfs, 10)
    after = Holdings.now()
    assert after.children == before.children
    assert after.threads <= before.threads
    assert after.descriptors <= before.descriptors
