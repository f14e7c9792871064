"""What the disk tests share: a fixture /proc, workers that answer on command, a mount namespace."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from etlmon.collectors.base import CollectorContext
from etlmon.collectors.disk.collector import DiskCollector
from etlmon.config.watched import DiskSection
from etlmon.errors import CollectError
from etlmon.host.mounts import Usage
from etlmon.records.disk import FilesystemUsage
from etlmon.units import utc
from tests.waiting import PATIENCE_SECONDS

HERE = Path(__file__).parent
UNSHARE = ["unshare", "--mount", "--propagation", "private"]


class FakeWorkers:
    """Stands for the worker pool, as far as disks go: answers are made by ``tell``."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, str, float]] = []
        self.answers: dict[bytes, Usage | Exception | Deferred[Usage]] = {}

    def statvfs(self, path: bytes, mount_point: str, deadline_seconds: float) -> Deferred[Usage]:
        """Give what was told for the path."""
        self.asked.append((path, mount_point, deadline_seconds))
        answer = self.answers[path]
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)

    def tell(self, point: bytes, device: int = 77, free: int = 40, **changes: Any) -> None:
        """Answer with 100 blocks of 1 KiB, of which 5 are for root, and 1000 inodes."""
        whole = {
            "device_number": device,
            "block_bytes": 1024,
            "blocks": 100,
            "blocks_free": free,
            "blocks_avail": free - 5,
            "inodes": 1000,
            "inodes_free": 900,
        }
        self.answers[point] = Usage(**{**whole, **changes})


class Host:
    """A disk collector on a fixture mountinfo, with a clock that the test turns."""

    def __init__(self, proc: Path) -> None:
        (proc / "self").mkdir()
        self.mountinfo = proc / "self" / "mountinfo"
        self.workers = FakeWorkers()
        self.seconds = 1000.0
        self.in_thread = 0
        self.told: str | None = None
        self.context = CollectorContext(
            wall_clock=lambda: self.seconds,
            monotonic_clock=lambda: self.seconds,
            in_thread=self._in_thread,
            workers=self.workers,  # type: ignore[arg-type]
            proc=proc,
        )
        self.collector = DiskCollector(DiskSection(), 15.0, self.context)

    def _in_thread(self, function: Callable[[], Any]) -> Deferred[Any]:
        try:
            return succeed(function())
        except Exception as error:
            return fail(error)

    def mounts(self, *lines: str | bytes) -> None:
        """Write mountinfo; a line is ``ID PARENT POINT TYPE [DEVICE [OPTIONS]]``."""
        self.mountinfo.write_bytes(b"".join(map(_line, lines)))

    def run(self) -> Deferred[list[FilesystemUsage]]:
        """Begin a run 15 s after the one before."""
        self.seconds += 15

        async def records() -> list[Any]:
            batches = []
            self.told = None
            try:
                async for batch in self.collector.collect(utc(self.seconds + 15)):
                    batches.append(batch)
            except CollectError as error:
                if not batches:
                    raise
                self.told = str(error)
            (batch,) = batches
            return list(batch.records)

        return Deferred.fromCoroutine(records())

    def look(self) -> dict[str, FilesystemUsage]:
        """Make a run that ends at once, and give its records by mount point."""
        result: list[Any] = []
        self.run().addBoth(result.append)
        assert result, "the run did not end"
        if not isinstance(result[0], list):
            result[0].raiseException()
        return {record.mount_point: record for record in result[0]}


def _line(line: str | bytes) -> bytes:
    raw = line.encode() if isinstance(line, str) else line
    number, parent, point, kind, *rest = raw.split(b" ")
    device, options = (*rest, *(b"srv:/x", b"rw")[len(rest) :])
    head = b" ".join((number, parent, b"0:" + number, b"/", point, b"rw - "))
    return head + b" ".join((kind, device, options)) + b"\n"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Give a host with a root that is not there and whatever mounts the test writes."""
    return Host(tmp_path)


@pytest.fixture(scope="session")
def judge() -> ModuleType:
    """Give look.py as a module: df, and the collector run once."""
    spec = importlib.util.spec_from_file_location("disk_look", HERE / "look.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def may_mount() -> None:
    """Skip where nothing can be mounted in a namespace of one's own."""
    done = subprocess.run(
        [*UNSHARE, "mount", "-t", "tmpfs", "none", "/tmp"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"mounting needs root and CAP_SYS_ADMIN: {done.stderr.strip()}")


class Seen:
    """What the collector and df saw in a mount namespace."""

    def __init__(self, output: str, top: Path) -> None:
        told = json.loads(output)
        self.before: list[dict[str, str]] = told["before"]
        self.after: list[dict[str, str]] = told["after"]
        self.records: list[dict[str, Any]] = told["records"]
        self._top = f"{top}/"

    def record(self, name: str) -> dict[str, Any]:
        """Give the one record that is not hidden, or else the hidden one, of a place."""
        all_ = [one for one in self.records if one["mount_point"] == self._top + name]
        (found,) = [one for one in all_ if one["state"] != "hidden"] or all_
        return found

    def hidden(self, name: str) -> list[str]:
        """Give the reasons for which mounts of a place are hidden."""
        return [
            one["reason"]
            for one in self.records
            if one["mount_point"] == self._top + name and one["state"] == "hidden"
        ]

    def shown(self) -> set[str]:
        """Give the names of the places that are shown."""
        points = [one["mount_point"] for one in self.records if one["state"] != "hidden"]
        assert len(points) == len(set(points)), "a place is shown twice"
        return {point.removeprefix(self._top) for point in points if self._top in point}

    def shown_by_df(self) -> set[str]:
        """Give the names of the places that df shows."""
        before, points = ([row["target"] for row in rows] for rows in (self.before, self.after))
        assert before == points, "mounts have changed meanwhile"
        return {point.removeprefix(self._top) for point in points if self._top in point}

    def df(self, name: str) -> dict[str, str]:
        """Give df's row of a place."""
        (row,) = [row for row in self.after if row["target"] == self._top + name]
        return row


@pytest.fixture
def in_namespace(may_mount: None, tmp_path: Path) -> Callable[[str], Seen]:
    """Run a shell script in a mount namespace of its own, then the collector between two df's.

    The script begins in an empty directory on a tmpfs, which holds nothing afterwards: the mounts
    end with the namespace. Where the kernel has not what it needs, it exits with 77.
    """

    def run(script: str, look: str = f"exec {sys.executable} {HERE / 'look.py'}") -> Seen:
        # The tmpfs over it makes df's view of the place stand still.
        whole = (
            f"set -e; mount -t tmpfs -o size=64m top {tmp_path}; cd {tmp_path}\n{script}\n{look}"
        )
        done = subprocess.run(
            [*UNSHARE, "sh", "-c", whole],
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if done.returncode == 77:
            pytest.skip(f"this kernel cannot: {done.stderr.decode().strip()}")
        assert done.returncode == 0, done.stderr.decode()
        return Seen(done.stdout.decode(), tmp_path)

    return run


@pytest.fixture
def with_trigger(may_mount: None, tmp_path: Path) -> Callable[[], str]:
    """Run the collector where an autofs trigger is mounted; give what trigger.py wrote."""

    def run() -> str:
        programs = [sys.executable, HERE / "trigger.py", tmp_path, sys.executable, HERE / "look.py"]
        done = subprocess.run(
            [*UNSHARE, *programs],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if "mount autofs" in done.stderr:
            pytest.skip("the kernel has no autofs")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
