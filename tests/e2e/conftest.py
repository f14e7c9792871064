"""Real nodes, as children of the test: started, asked and ended by their process id."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.terminal import Terminal
from tests.waiting import PATIENCE_SECONDS

_BIN = Path(sys.executable).parent
_READY = re.compile(r"listening on (http://\S+?)[,;]")


class Node:
    """A node process and what it has said."""

    def __init__(self, command: Sequence[str], directory: Path, **options: Any) -> None:
        self.said = ""
        self._decode = getincrementaldecoder("utf-8")().decode
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    def wait_for(self, pattern: str, seconds: float = PATIENCE_SECONDS) -> re.Match[str]:
        """Read what the process says until ``pattern`` is in it; fail after ``seconds``."""
        output = self.process.stdout
        assert output is not None
        give_up_at = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                found = re.search(pattern, self.said)
                if found:
                    return found
                left = give_up_at - time.monotonic()
                assert left > 0, f"no {pattern!r} in {seconds} s; it said:\n{self.said}"
                if selector.select(left):
                    piece = output.read()
                    assert piece != b"", f"it ended without {pattern!r}; it said:\n{self.said}"
                    self.said += self._decode(piece or b"")

    def say_more(self, seconds: float) -> str:
        """Read for a while what the process says; give all that it has said."""
        with suppress(AssertionError):
            self.wait_for("$ never", seconds)
        return self.said

    @property
    def address(self) -> str:
        """The node's base URL, as soon as it has one."""
        return self.wait_for(_READY.pattern)[1]

    def curl(self, path: str, *options: str) -> str:
        """Ask the node with curl; fail on an HTTP error."""
        command = [
            "curl",
            "-sS",
            "--fail-with-body",
            "--max-time",
            f"{PATIENCE_SECONDS:g}",
            *options,
        ]
        return subprocess.run(
            [*command, f"{self.address}/api/v1/{path}"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def get(self, path: str) -> Any:
        """Give the JSON that a GET answers."""
        return json.loads(self.curl(path))

    def post(self, path: str, body: Any) -> Any:
        """Give the JSON that a POST answers."""
        return json.loads(
            self.curl(path, "-H", "Content-Type: application/json", "-d", json.dumps(body))
        )

    def delete(self, path: str) -> Any:
        """Give the JSON that a DELETE answers."""
        return json.loads(self.curl(path, "-X", "DELETE"))

    def scan_now(self, **body: Any) -> Any:
        """Have paths scanned; give the answer that something has begun.

        That a scan has ended may be read a little before the node knows that it is stored.
        """
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not (answer := self.post("paths/scan", {**body, "confirm": True}))["started"]:
            assert time.monotonic() < give_up_at, answer
        return answer

    def workers(self) -> list[int]:
        """Give the process ids of its children."""
        found: list[int] = []
        for one in Path(f"/proc/{self.process.pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                found += map(int, (one / "children").read_text().split())
        return found

    def get_until(
        self, path: str, wanted: Callable[[Any], Any], seconds: float = PATIENCE_SECONDS
    ) -> Any:
        """Ask again until the answer is as wanted; give that answer."""
        give_up_at = time.monotonic() + seconds
        while True:
            answer = self.get(path)
            if wanted(answer):
                return answer
            assert time.monotonic() < give_up_at, f"after {seconds} s still {answer}"
            time.sleep(0.05)

    def end(self, number: int = signal.SIGTERM, seconds: float = PATIENCE_SECONDS) -> int:
        """Send it a signal, read what it says to its end, and give its exit status."""
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=seconds)
        self.said += self._decode(said, True)
        return self.process.returncode


@pytest.fixture(scope="session")
def etlmon() -> str:
    """The command line of this checkout."""
    return str(_BIN / "etlmon")


@pytest.fixture(scope="session")
def twistd() -> str:
    """The twistd that knows the plugin of this checkout."""
    return str(_BIN / "twistd")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Start a node; whatever still runs when the test is over is killed."""
    nodes: list[Node] = []

    def start(*command: str, **options: Any) -> Node:
        node = Node(command, tmp_path, **options)
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        if node.process.poll() is None:
            node.process.kill()
        node.process.communicate()


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """Write a node.yaml whose node listens on a free port, with ``more`` after it."""

    def write(more: str = "", listen: str = "127.0.0.1:0") -> Path:
        path = tmp_path / "node.yaml"
        path.write_text(
            f"node: {{listen: '{listen}', db_path: {tmp_path}/db/etlmon.db, node_name: e2e}}\n"
            + more
        )
        return path

    return write


@pytest.fixture
def terminal(etlmon: str, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Start etlmon on a terminal; what still runs when the test is over is killed."""
    terminals: list[Terminal] = []

    def start(*arguments: str, program: str = etlmon, **environ: str) -> Terminal:
        env = os.environ | {
            "TERM": "xterm-256color",
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "TMPDIR": str(tmp_path),
        }
        env.pop("NO_COLOR", None)
        command = [program, *arguments]
        terminals.append(Terminal(command, env | environ))
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()
