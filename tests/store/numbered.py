"""Writes numbered batches through a StoreService, and prints each number once it is stored.

For each line that it reads a process of its own does so, until it is killed; what they share is
that everything has been imported before.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from pathlib import Path

from twisted.internet import epollreactor, task  # noqa: F401 - what takes long to import
from twisted.internet.defer import ensureDeferred, gatherResults

from etlmon.records.disk import FilesystemUsage
from etlmon.records.health import CollectorRun
from etlmon.store.database import StoreService
from etlmon.units import utc

SIZES = (1, 3, 40, 300)
WRITERS = 7


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def batch(number: int) -> list[CollectorRun | FilesystemUsage]:
    """Give rows of two tables; each row says how many of its batch there are."""
    size = SIZES[number % len(SIZES)]
    return [
        *(
            CollectorRun(
                collector=f"batch {number}",
                instance="x" * 100,
                started_at=utc(number),
                duration_ms=size,
                state="ok",
                records=number,
            )
            for _ in range(size)
        ),
        FilesystemUsage(mount_point="/", device="d", fs_type="f", collected_at=utc(number)),
    ]


async def write(store: StoreService, first: int, step: int) -> None:
    number = first
    while True:
        await store.write(batch(number))
        say(str(number))
        number += step


async def main(path: Path) -> None:
    from twisted.internet import reactor  # it has descriptors, which must not be shared

    say(f"starting {os.getpid()}")
    store = StoreService(path, reactor, time.time)
    store.startService()

    def last(cursor: sqlite3.Cursor) -> int:
        found: int = cursor.execute("SELECT ifnull(max(records), 0) FROM collector_run").fetchone()[
            0
        ]
        return found

    first = await store.read(last) + 1
    await gatherResults([ensureDeferred(write(store, first + n, WRITERS)) for n in range(WRITERS)])


def serve(path: Path) -> None:
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            task.react(lambda _: ensureDeferred(main(path)))
        _, status = os.waitpid(child, 0)
        say(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    assert "twisted.internet.reactor" not in sys.modules
    serve(Path(sys.argv[1]))
