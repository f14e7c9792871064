"""Fills the small file system that it is given, frees space, and prints how the store fared.

Given a size, the database alone fills it, and it becomes so large.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.defer import ensureDeferred

from etlmon.records.health import CollectorRun
from etlmon.store.database import StoreService
from etlmon.units import utc

LEFT_BYTES = 64 << 10


def run_of(number: int) -> CollectorRun:
    return CollectorRun(
        collector="test",
        instance="x" * 200,
        started_at=utc(number),
        duration_ms=0,
        state="ok",
        records=number,
    )


async def main(directory: Path, larger: str | None) -> None:
    store = StoreService(directory / "etlmon.db", reactor, lambda: 0.0)
    store.startService()
    ballast = directory / "ballast"
    left = os.statvfs(directory)
    if larger is None:
        ballast.write_bytes(bytes(left.f_bavail * left.f_frsize - LEFT_BYTES))
    for first in range(0, 2000, 50):
        store.write([run_of(n) for n in range(first, first + 50)])
    while store.health().state == "ok" and store.health().pending_batches:
        await task.deferLater(reactor, 0.005)
    found: dict[str, Any] = {"was_degraded": store.health().state == "degraded"}
    found["last_error"] = store.health().last_error
    if larger is None:
        ballast.unlink()
    else:
        subprocess.run(  # noqa: ASYNC221 - nobody waits for this reactor
            ["mount", "-o", f"remount,size={larger}", directory], check=True
        )
    while store.health().pending_batches or store.health().state != "ok":
        await task.deferLater(reactor, 0.005)
    found["state"] = store.health().state
    numbers = await store.read(
        lambda cursor: cursor.execute("SELECT records FROM collector_run ORDER BY rowid").fetchall()
    )
    found["in_order"] = numbers == [(number,) for number in range(2000)]
    found["rows"] = len(numbers)
    (found["integrity"],) = await store.read(
        lambda cursor: cursor.execute("PRAGMA integrity_check").fetchone()
    )
    await store.stopService()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    task.react(lambda _: ensureDeferred(main(Path(sys.argv[1]), (*sys.argv[2:], None)[0])))
