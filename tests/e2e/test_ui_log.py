"""A log on a real terminal: while lines come fast, and when its node goes and comes back."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.terminal import Terminal
from tests.waiting import PATIENCE_SECONDS, free_port

LINES_PER_SECOND = 10_000

WRITER = f"""
import select, sys, time
written, began = 0, time.monotonic()
with open(sys.argv[1], "ab", buffering=0) as file:
    while True:
        wait = max(0.0, began + written / {LINES_PER_SECOND} - time.monotonic())
        if select.select([sys.stdin], [], [], wait)[0]:
            break
        numbers = range(written, written + 100)
        file.write(b"".join(b"%09d INFO a line of a burst, %060d\\n" % (n, n) for n in numbers))
        written += 100
print(written)
"""


class Writer:
    """A child that writes numbered lines to a file, at a rate, until it is stopped."""

    def __init__(self, path: Path) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def stop(self) -> int:
        """End it; give how many lines it has written."""
        said, _ = self._child.communicate(timeout=PATIENCE_SECONDS)
        return int(said)

    def close(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.communicate()


@pytest.fixture
def write_fast(tmp_path: Path) -> Iterator[Callable[[], Writer]]:
    """Begin to write to app.log; it is there already."""
    writers: list[Writer] = []
    (tmp_path / "app.log").touch()

    def begin() -> Writer:
        writers.append(Writer(tmp_path / "app.log"))
        return writers[-1]

    yield begin
    for each in writers:
        each.close()


def numbers(text: str) -> list[int]:
    """Give the numbers of the lines on the screen."""
    return [int(number) for number in re.findall(r" ([0-9]{9}) INFO", text)]


def newest(text: str) -> int:
    """Give the largest number of a line on the screen; -1 if there is none."""
    return max(numbers(text), default=-1)


def newest_of_whole(text: str) -> int:
    """Give the last number if each line is there once, in its place; else -1.

    A picture may come in pieces, which end in the middle of a number.
    """
    shown = numbers(text)
    return shown[-1] if shown and all(b == a + 1 for a, b in pairwise(shown)) else -1


def frozen_count(text: str) -> str | None:
    """Give how many lines are told to be new while the screen is frozen; None if it is not."""
    found = re.search("frozen, ([0-9,]+) new", text)
    return None if found is None else found[1]


def open_log(ui: Terminal) -> None:
    """Open the only log that there is."""
    ui.wait("q quit")
    ui.type("\t" * 5)  # past Paths, Processes, Events and Audit
    ui.wait(r"LOG +STATE")
    ui.wait(r"app +✓ following")
    ui.type("\r")


def test_a_burst_leaves_the_keys_alive(
    start: Callable[..., Any],
    terminal: Callable[..., Terminal],
    etlmon: str,
    write_config: Callable[..., Path],
    write_fast: Callable[[], Writer],
    tmp_path: Path,
) -> None:
    config = write_config(f"logs: [{{name: app, path: {tmp_path}/app.log}}]\n")
    node = start(etlmon, "node", "-c", str(config))
    node.get_until("logs", lambda files: files and files[0]["state"] == "following")
    ui = terminal("ui", node.address)
    open_log(ui)
    writer = write_fast()
    before = newest(ui.wait(lambda text: newest(text) > 0))
    steps = [
        ("p", "frozen, [0-9,]+ new"),
        ("?", "this help"),
        ("\x7f", "frozen, [0-9,]+ new"),
        ("p", "▸ follow"),
        ("k", "stays"),
        ("t", "Time: "),
        ("f", "▸ follow"),
    ]
    for keys, wanted in steps:  # how soon they come is measured by `./run bench ui`
        ui.type(keys)
        ui.wait(wanted)
    # What is frozen stays as it is, however much comes.
    ui.type("p")
    first = frozen_count(ui.wait("frozen, [0-9,]+ new"))
    # With another count the picture that was frozen has come as a whole.
    frozen = numbers(ui.wait(lambda text: frozen_count(text) not in (first, None)))
    assert numbers(ui.wait("frozen, [0-9]*[0-9],[0-9]{3} new")) == frozen
    ui.type("p")
    after = newest(ui.wait(lambda text: "▸ follow" in text and newest(text) > frozen[-1]))
    assert after > before
    last = writer.stop() - 1
    seen = -1
    while seen < last:  # how many there are says how long all this has taken
        seen = newest_of_whole(ui.wait(lambda text, seen=seen: newest_of_whole(text) > seen))
    assert seen == last
    ui.type("q")
    assert ui.end() == 0
    assert ui.is_clean()


def test_a_node_that_comes_back_goes_on_where_it_was(
    start: Callable[..., Any],
    terminal: Callable[..., Terminal],
    etlmon: str,
    write_config: Callable[..., Path],
    tmp_path: Path,
) -> None:
    file = tmp_path / "app.log"
    file.touch()
    listen = f"127.0.0.1:{free_port()}"
    config = write_config(f"logs: [{{name: app, path: {file}}}]\n", listen=listen)
    node = start(etlmon, "node", "-c", str(config))
    node.get_until("logs", lambda files: files and files[0]["state"] == "following")
    ui = terminal("ui", node.address)
    open_log(ui)
    ui.wait("▸ follow")
    with file.open("a") as log:
        log.writelines(f"line {n}\n" for n in range(10))
    ui.wait("line 9")
    node.end()
    ui.wait("stream lost, again at")
    with file.open("a") as log:
        log.writelines(f"line {n}\n" for n in range(10, 15))
    start(etlmon, "node", "-c", str(config))
    ui.wait("stream is back, nothing left out")
    text = ui.wait("line 14")
    assert [int(n) for n in re.findall(r" line ([0-9]+)", text)] == list(range(15))
    ui.type("q")
    assert ui.end() == 0
