"""Writes numbered batches through a StoreService, and prints each number once it is stored."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from pathlib import Path

from twisted.internet import reactor, task
from twisted.internet.defer import ensureDeferred, gatherResults

from etlmon.records.disk import FilesystemUsage
from etlmon.records.health import CollectorRun
from etlmon.store.database import StoreService
from etlmon.units import utc

SIZES = (1, 3, 40, 700)


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
    say("starting")
    store = StoreService(path, reactor, time.time)
    store.startService()

    def last(cursor: sqlite3.Cursor) -> int:
        found: int = cursor.execute("SELECT ifnull(max(records), 0) FROM collector_run").fetchone()[
            0
        ]
        return found

    first = await store.read(last) + 1
    await gatherResults([ensureDeferred(write(store, first + n, 3)) for n in range(3)])


if __name__ == "__main__":
    task.react(lambda _: ensureDeferred(main(Path(sys.argv[1]))))
