"""What the tests of the workers share: throw-away trees, find as the judge, a hung file system."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task

from etlmon.fsworker import worker as worker_module
from etlmon.fsworker.jobs.scan import Scan
from etlmon.fsworker.jobs.scan_ahead import ScanAhead
from etlmon.fsworker.pool import WorkerPool
from tests.waiting import PATIENCE_SECONDS

WORKER = [sys.executable, "-I", "-S", "-E", "-X", "utf8", worker_module.__file__]
SCAN = {
    "op": "scan",
    "max_depth": None,
    "exclude": None,
    "max_files": None,
    "timeout_seconds": 60.0,
    "skip": [],
}


@pytest.fixture
def tree() -> Iterator[Path]:
    """Give an empty directory that other users may enter; whatever it holds goes afterwards."""
    # In memory where possible: thousands of directories cost seconds on a busy disk.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="etlmon-test-", dir=memory))
    path.chmod(0o755)
    yield path
    # Trees deeper than Python's recursion limit are among them.
    subprocess.run(["rm", "-rf", "--one-file-system", path], check=True)


class Worker:
    """A worker process, asked one thing after the other."""

    def __init__(self, command: Sequence[str | Path] = WORKER) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.progress: list[dict[str, Any]] = []

    def send(self, line: bytes) -> dict[str, Any]:
        """Send one line and give the line that ends its answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        while True:
            answer: dict[str, Any] = json.loads(self.process.stdout.readline())
            if "progress" not in answer:
                return answer
            self.progress.append(answer["progress"])

    def ask(self, **request: Any) -> dict[str, Any]:
        return self.send(json.dumps({"id": 1, **request}).encode())

    def scan(self, path: Path | bytes, **options: Any) -> dict[str, Any]:
        """Scan and give the answer, or the error."""
        answer = self.ask(**{**SCAN, "path": os.fsdecode(path), **options})
        assert answer.pop("id") == 1
        return answer.get("answer") or answer["error"]

    def close(self) -> int:
        """End it by the end of its input; give its exit status."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        try:
            return self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
            self.process.stdout.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    """Start workers, by any command, that end with the test."""
    workers: list[Worker] = []

    def begin(command: Sequence[str | Path] = WORKER) -> Worker:
        workers.append(Worker(command))
        return workers[-1]

    yield begin
    for one in workers:
        one.close()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """Give a worker that serves all tests of a module that need nothing special of it."""
    one = Worker()
    yield one
    assert one.close() == 0


def make_scan(path: Path, **options: Any) -> Scan:
    """Give the scan that a worker makes of a request with these options."""
    return (ScanAhead if "parallelism" in options else Scan)(str(path), **options)


def find(path: Path | bytes, *arguments: str | bytes, prefix: Sequence[str] = ()) -> dict[str, int]:
    """Count by find: ordinary files, directories and the rest below ``path``."""
    command = [*prefix, "find", "-H", path, "-xdev", "-mindepth", "1", *arguments]
    if "-printf" not in arguments:
        command += ["-printf", "%y"]
    run = subprocess.run(
        command, check=False, capture_output=True
    )  # It fails at what it cannot read.
    kinds = run.stdout
    files, dirs = kinds.count(b"f"), kinds.count(b"d")
    return {"files": files, "dirs": dirs, "others": len(kinds) - files - dirs}


def counts(answer: dict[str, Any]) -> dict[str, int]:
    """Give of a scan's answer what find counts."""
    return {key: answer[key] for key in ("files", "dirs", "others")}


@pytest_twisted.async_yield_fixture
async def pool() -> Any:
    """Give a pool on the real reactor; it is stopped afterwards."""
    workers = WorkerPool(reactor)
    yield workers
    await workers.stop()


async def until(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until the condition holds and give its value; fail after ``seconds``."""
    end = reactor.seconds() + seconds
    while not (value := condition()):
        assert reactor.seconds() < end, "it did not come about in time"
        await task.deferLater(reactor, 0.005)
    return value


class HungFilesystem:
    """The FUSE server of hungfs.py in a process of its own."""

    def __init__(self, point: Path) -> None:
        self.point = point
        self.server = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("hungfs.py"), point],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.expect("ready")

    def tell(self, command: str) -> None:
        """Send a command and wait until it is obeyed."""
        assert self.server.stdin
        self.server.stdin.write(command.encode() + b"\n")
        self.expect(command)

    def expect(self, word: str) -> None:
        """Wait for a word of the server; pass over others. The reactor stands still meanwhile."""
        assert self.says(word, PATIENCE_SECONDS), f"no {word} from the server"

    def says(self, word: str, seconds: float = 0) -> bool:
        """Tell whether the server says a word, within ``seconds`` after the one before."""
        assert self.server.stdout
        while select.select([self.server.stdout], [], [], seconds)[0]:
            line = self.server.stdout.readline()
            assert line, "the server has ended"
            if line == word.encode() + b"\n":
                return True
        return False

    def stop(self) -> None:
        """Stop it by a signal, and wait until it stands still: until then it may take a request."""
        self.server.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.server.pid, os.WSTOPPED)

    def close(self) -> None:
        """Abort the connection, so that nobody hangs any more, and unmount."""
        self.server.kill()
        self.server.wait(PATIENCE_SECONDS)
        assert self.server.stdin
        assert self.server.stdout
        self.server.stdin.close()
        self.server.stdout.close()
        ctypes.CDLL(None).umount2(os.fsencode(self.point), 2)


class Hastened:
    """The reactor by a clock that a test can put forward: no limit is waited for, or met by chance.

    It goes on by itself, too, as that of the reactor does.
    """

    def __init__(self) -> None:
        self._ahead_seconds = 0.0
        self._calls: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def seconds(self) -> float:
        return float(reactor.seconds()) + self._ahead_seconds

    def callLater(self, delay: float, function: Any, *arguments: Any) -> Any:
        self._calls = [call for call in self._calls if call.active()]
        self._calls.append(reactor.callLater(delay, function, *arguments))
        return self._calls[-1]

    def put_forward(self, seconds: float) -> None:
        """Let so much time have passed."""
        self._ahead_seconds += seconds
        for call in self._calls:
            if call.active():
                call.reset(max(0.0, call.getTime() - reactor.seconds() - seconds))


@pytest.fixture
def hastened() -> Hastened:
    return Hastened()


@pytest_twisted.async_yield_fixture
async def hastened_pool(hastened: Hastened) -> Any:
    """Give a pool whose time a test can put forward; it is stopped afterwards."""
    workers = WorkerPool(hastened)
    yield workers
    await workers.stop()


class SlowFilesystem:
    """The FUSE server of slowfs.py in a process of its own; ``shape`` is how many are in each."""

    def __init__(self, point: Path, milliseconds: float, *shape: int | str) -> None:
        self.point = point
        program = Path(__file__).with_name("slowfs.py")
        command = [sys.executable, program, point, str(milliseconds), *map(str, shape)]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.server.stdout
        assert self.server.stdout.readline() == b"ready\n"

    def most_at_once(self) -> int:
        """Give how many calls have waited for an answer at one time, at the most."""
        assert self.server.stdin
        assert self.server.stdout
        self.server.stdin.write(b"\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def close(self) -> None:
        """End the server and unmount."""
        self.server.kill()
        self.server.communicate(timeout=PATIENCE_SECONDS)
        ctypes.CDLL(None).umount2(os.fsencode(self.point), 2)


@pytest.fixture
def hungfs(tree: Path) -> Iterator[HungFilesystem]:
    """Give a mounted file system that hangs on command."""
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("mounting a FUSE file system needs root and /dev/fuse")
    point = tree / "hung"
    point.mkdir()
    filesystem = HungFilesystem(point)
    yield filesystem
    filesystem.close()
