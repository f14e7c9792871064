"""What the benchmarks share: servers started and ended, wrk's figures read, a verdict printed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")
BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass
class Limit:
    """A figure and what it may be at most, or must be at least."""

    what: str
    figure: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "ok" if self.holds else "MISSED"
        return f"{self.what:66} {self.figure:8.2f}  {sign} {self.limit:<6g} {verdict}"


def conclude(limits: Sequence[Limit]) -> None:
    """Print the limits and end with status 1 if one is missed."""
    print()
    for limit in limits:
        print(limit)
    sys.exit(0 if all(limit.holds for limit in limits) else 1)


def in_reactor(work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Run the reactor until ``work`` is done, and give its result."""
    from twisted.internet import task

    found: list[T] = []

    async def measured(reactor: Any) -> None:
        found.append(await work(reactor))

    try:
        task.react(measured)
    except SystemExit as ended:
        if ended.code:
            raise
    return found[0]


def can_mount_fuse() -> bool:
    """Tell whether a FUSE file system can be mounted here, and say so if it cannot."""
    can = os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK)
    if not can:
        print("skipped: mounting a FUSE file system needs root and /dev/fuse")
    return can


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def server(command: Sequence[str], url: str, **options: Any) -> Iterator[float]:
    """Run a server; gives the seconds from its exec to its first answer."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )
    try:
        _wait_for(url, process)
        yield time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = url.split("/")[2].partition(":")
    give_up_at = time.perf_counter() + 60
    while time.perf_counter() < give_up_at:
        if process.poll() is not None:
            sys.exit(f"{process.args!r} ended with status {process.returncode}")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            time.sleep(0.002)
            continue
        try:
            fetch(url)
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    sys.exit(f"no answer from {url}")


def fetch(url: str, body: Any = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return bytes(response.read())


@dataclass
class Load:
    """What wrk saw."""

    per_second: float
    p99_ms: float


def wrk(url: str, *, connections: int = 16, seconds: int = 4) -> Load:
    """Ask for a URL as fast as it answers, over ``connections`` that are kept."""
    printed = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if "Non-2xx" in printed:
        sys.exit(f"{url} answered with errors:\n{printed}")
    rate = re.search(r"Requests/sec:\s*([\d.]+)", printed)
    late = re.search(r"99%\s*([\d.]+)(us|ms|s)", printed)
    assert rate
    assert late
    return Load(float(rate[1]), float(late[1]) * _MILLISECONDS[late[2]])


def middle(loads: Sequence[Load]) -> Load:
    return Load(median(one.per_second for one in loads), median(one.p99_ms for one in loads))


def etlmon_node(directory: Path, port: int, more: str = "") -> list[str]:
    """Write a node.yaml and give the command that runs it."""
    config = directory / "node.yaml"
    config.write_text(
        f"node: {{listen: '127.0.0.1:{port}', db_path: {directory}/etlmon.db}}\n{more}"
    )
    return [f"{BIN}/twistd", "-n", "--pidfile=", "etlmon-node", "-c", str(config)]


def bare_node(port: int, body: Path | None = None) -> list[str]:
    """Give the command of the yardstick: Twisted, Klein, one route, nothing else."""
    os.environ["BARE_PORT"] = str(port)
    os.environ["BARE_BODY"] = str(body or "")
    return [f"{BIN}/twistd", "-n", "--pidfile=", "-oy", str(HERE / "bare.tac")]
