"""Made-up children on a clock: what stands in for processes where a test turns the time."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from etlmon.fsworker.find import FindOrder, FindPattern
from etlmon.fsworker.pool import WorkerPool
from etlmon.fsworker.scan import ScanOrder
from etlmon.fsworker.top import TopOrder

STATVFS = {
    "blocks": 100,
    "bfree": 50,
    "bavail": 40,
    "frsize": 4096,
    "files": 10,
    "ffree": 5,
    "read_only": False,
    "st_dev": 7,
}
OUTCOME = {
    "files": 3,
    "dirs": 2,
    "others": 1,
    "listed": 3,
    "reused": 1,
    "skipped_mounts": 0,
    "newest_mtime_ns": 1_700_000_000_123_456_789,
    "stopped": None,
    "troubles": [{"kind": "EACCES", "count": 1, "example": "a/\udcff"}],
    "duration_seconds": 0.5,
    "children": [["a", 1, 0, 0], ["\udcff", 1, 1, 1]],
    "children_rest": [2, 1, 0, 0],
}
PROGRESS = {"files": 5, "dirs": 4, "others": 3, "listed": 2, "reused": 1, "directory": "a/\udcff"}


class MadeUpProcess:
    """A child as Twisted's transport: it remembers what it is told and does what the test says."""

    def __init__(self, protocol: Any, pid: int) -> None:
        self.pid = pid
        self.requests: list[dict[str, Any]] = []
        self.orders: list[str] = []
        self.signals: list[str] = []
        self.closed = False
        self._protocol = protocol
        protocol.makeConnection(self)

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        assert descriptor == 0
        request = json.loads(data)
        if request["op"] in ("share", "stop"):
            assert request["id"] == self.requests[-1]["id"]
            self.orders.append(request["op"])
        else:
            self.requests.append(request)

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def loseConnection(self) -> None:
        self.closed = True

    @property
    def doing(self) -> str:
        return str(self.requests[-1]["path"])

    def say(self, **content: Any) -> None:
        line = json.dumps({"id": self.requests[-1]["id"], **content}).encode() + b"\n"
        middle = len(line) // 2
        self._protocol.outReceived(line[:middle])
        self._protocol.outReceived(line[middle:])

    def end(self, reason: Exception | None = None) -> None:
        self._protocol.processEnded(Failure(reason or ProcessTerminated(signal=9)))


class MadeUpReactor(Clock):
    """A clock that starts made-up children."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[MadeUpProcess] = []
        self.arguments: list[list[str]] = []

    def spawnProcess(self, protocol: Any, executable: str, args: list[str], env: Any) -> Any:
        self.arguments.append(args)
        self.processes.append(MadeUpProcess(protocol, 100 + len(self.processes)))
        return self.processes[-1]


class Bench:
    """A pool on a clock, and what its requests came to."""

    def __init__(self, **options: Any) -> None:
        self.reactor = MadeUpReactor()
        self.pool = WorkerPool(self.reactor, wall_clock=self.reactor.seconds, **options)

    @property
    def processes(self) -> list[MadeUpProcess]:
        return self.reactor.processes

    def probe(self, path: str = "/a", mount: str = "/", deadline: float = 5) -> list[Any]:
        return results(self.pool.statvfs(path.encode(), mount, deadline))

    def scan(self, path: str = "/a", mount: str = "/", **options: Any) -> list[Any]:
        options.setdefault("timeout_seconds", 60)
        order = ScanOrder(path=path.encode(), mount_point=mount, **options)
        return results(self.pool.scan(order))


def results(deferred: Deferred[Any]) -> list[Any]:
    """Give a list into which the result, or the error, will come."""
    came: list[Any] = []
    deferred.addBoth(lambda result: came.append(getattr(result, "value", result)))
    return came


def top(bench: Bench, path: str, mount: str = "/", **options: Any) -> list[Any]:
    options.setdefault("timeout_seconds", 60)
    return results(
        bench.pool.top(TopOrder(path=path.encode(), mount_point=mount, count=2, **options))
    )


def find_files(bench: Bench, path: str, mount: str = "/", **options: Any) -> list[Any]:
    patterns = [FindPattern(glob="*.csv")]
    order = FindOrder(
        path=path.encode(), mount_point=mount, timeout_seconds=60, patterns=patterns, **options
    )
    return results(bench.pool.find(order))
