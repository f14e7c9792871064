"""Requests to a file system that hangs, over and over, and what they leave behind."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil
from twisted.internet import reactor, task

from etlmon.errors import CollectError
from etlmon.fsworker.failures import MountStuck, WorkerTimeout
from etlmon.fsworker.pool import WorkerPool
from etlmon.fsworker.scan import ScanOrder
from tests.fsworker.conftest import HungFilesystem, until
from tests.waiting import PATIENCE_SECONDS

_DEADLINE_SECONDS = 0.02


@dataclass(frozen=True)
class Holdings:
    """What a process has: threads, children that live, open descriptors."""

    threads: int
    children: int
    descriptors: int

    @classmethod
    def now(cls) -> Holdings:
        children = [one for one in psutil.Process().children() if one.status() != "zombie"]
        return cls(threading.active_count(), len(children), len(os.listdir("/proc/self/fd")))  # noqa: PTH208


async def request(pool: WorkerPool, point: Path) -> list[type[Exception]]:
    """Ask for the usage of a mount, and scan it; give what came of both."""
    path, mount = os.fsencode(point), str(point)
    order = ScanOrder(path=path, mount_point=mount, timeout_seconds=_DEADLINE_SECONDS - 1)
    came = []
    for result in (pool.statvfs(path, mount, _DEADLINE_SECONDS), pool.scan(order)):
        try:
            await result
        except CollectError as error:
            came.append(type(error))
    return came


async def settle(pool: WorkerPool) -> None:
    """Have a child of each kind, and wait until those that were killed are gone."""
    await pool.statvfs(b"/", "/", PATIENCE_SECONDS)
    await pool.scan(
        ScanOrder(
            path=b"/etc/default",
            mount_point="/",
            timeout_seconds=PATIENCE_SECONDS,
            one_at_a_time=True,  # by one child, however long it takes
        )
    )
    await until(lambda: sum(lane.processes for lane in pool.lanes()) == 2)


async def killable(pool: WorkerPool, hungfs: HungFilesystem, cycles: int) -> None:
    """Each of the two requests of a cycle costs a child, which is killed and reaped."""
    # Not while it is at a request: its caller could not be killed.
    await pool.statvfs(os.fsencode(hungfs.point), str(hungfs.point), PATIENCE_SECONDS)
    hungfs.stop()
    for _ in range(cycles):
        assert WorkerTimeout in await request(pool, hungfs.point)
        # On a busy machine one may take longer to die than it takes to be called stuck.
        await until(lambda: not pool.stuck_workers())
    hungfs.server.send_signal(signal.SIGCONT)
    await settle(pool)


async def stuck(pool: WorkerPool, hungfs: HungFilesystem, cycles: int) -> None:
    """One child, or two, cannot be killed; all other requests are answered without one."""
    point = hungfs.point
    hungfs.tell("hang")
    while not pool.stuck_since(str(point)):
        await request(pool, point)
        await task.deferLater(reactor, 0.1)
    # The other one is called so a little later, if it cannot be killed either.
    await until(lambda: all(child.stuck_since for child in pool._crew.children if child.killed))
    held = len(pool.stuck_workers())
    assert held <= 2
    for _ in range(cycles):
        assert await request(pool, point) == [MountStuck, MountStuck]
    assert len(pool.stuck_workers()) == held
    hungfs.tell("release")
    while pool.stuck_workers():
        await task.deferLater(reactor, 0.01)
    await settle(pool)
