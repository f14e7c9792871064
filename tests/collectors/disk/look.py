"""Run the disk collector once in this mount namespace, with df before and after it.

    python look.py

It writes one JSON object: ``records`` as the collector gave them, ``before`` and ``after`` as df
did. What the collector asks of workers it gets from this very process.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail, succeed

from etlmon.collectors.base import CollectorContext
from etlmon.collectors.disk.collector import DiskCollector
from etlmon.config.watched import DiskSection
from etlmon.fsworker.failures import WorkerFailed
from etlmon.host.mounts import measure
from etlmon.units import utc

_ROW = re.compile(
    r"(?P<source>.*?) +(?P<fstype>\S+) +(?P<size>\S+) +(?P<used>\S+) +(?P<avail>\S+)"
    r" +(?P<pcent>\S+) +(?P<itotal>\S+) +(?P<iused>\S+) +(?P<target>/.*)"
)


def df(*names: str) -> list[dict[str, str]]:
    """Give the rows of df, all as text; it shows control characters as question marks."""
    columns = "source,fstype,size,used,avail,pcent,itotal,iused,target"
    done = subprocess.run(
        ["df", "--block-size=1", f"--output={columns}", *names],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
        encoding="utf-8",
        errors="surrogateescape",
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    )
    rows = done.stdout.split("\n")[1:-1]
    return [found.groupdict() for row in rows if (found := _ROW.fullmatch(row))]


class Workers:
    def statvfs(self, path: bytes, mount_point: str, deadline_seconds: float) -> Deferred[Any]:
        try:
            return succeed(measure(path))
        except OSError as error:
            return fail(WorkerFailed("EIO", str(error)))


def collect() -> list[Any]:
    context: Any = CollectorContext(
        wall_clock=lambda: 0.0,
        monotonic_clock=lambda: 0.0,
        in_thread=lambda function: succeed(function()),
        workers=SimpleNamespace(statvfs=Workers().statvfs),  # type: ignore[arg-type]
        proc=Path("/proc"),
    )
    collector = DiskCollector(DiskSection(), 15.0, context)

    async def run() -> list[Any]:
        return [record async for batch in collector.collect(utc(0)) for record in batch.records]

    result: list[Any] = []
    Deferred.fromCoroutine(run()).addBoth(result.append)
    (records,) = result
    if not isinstance(records, list):
        records.raiseException()
    return records


if __name__ == "__main__":
    before = df()
    records = collect()
    json.dump(
        {"before": before, "records": msgspec.to_builtins(records), "after": df()}, sys.stdout
    )
