"""GET /fs under load: beside a bare Klein route, beside Glances, and while two scans run.

And how late the reactor of a node comes to a timer while they do.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from measure import (
    HERE,
    Limit,
    Load,
    bare_node,
    conclude,
    etlmon_node,
    fetch,
    free_port,
    middle,
    server,
    wrk,
)

ROUNDS = 3
FILES = 200_000
FILES_A_DIRECTORY = 100
SECONDS = 15.0
A_SECOND = 50


def make_tree(root: Path) -> None:
    for number in range(FILES // FILES_A_DIRECTORY):
        directory = root / f"{number % 2}" / f"{number // 100}" / f"{number}"
        directory.mkdir(parents=True)
        for name in range(FILES_A_DIRECTORY):
            os.close(os.open(directory / f"{name}", os.O_CREAT | os.O_WRONLY))


class Scanning:
    """Starts two scans, and each again when it has ended, until left."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.scans = 0

    def __enter__(self) -> Scanning:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            answer = fetch(f"{self._base}/paths/scan", {"confirm": True})
            self.scans += len(json.loads(answer)["started"])


def glances(port: int) -> list[str]:
    venv = os.environ.get("ETLMON_BENCH_VENV", "")
    return [f"{venv}/bin/glances", "-w", "--disable-webui", "-B", "127.0.0.1", "-p", str(port)]


def ask_now_and_then(url: str, seconds: float) -> float:
    """Ask 50 times a second, as screens do; give what one answer of a hundred exceeds, ms."""
    took_ms = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        fetch(url)
        took_ms.append((time.perf_counter() - began) * 1000)
        time.sleep(max(0.0, began + 1 / A_SECOND - time.perf_counter()))
    return sorted(took_ms)[int(len(took_ms) * 0.99)]


def late(directory: Path, more: str) -> tuple[float, float, float]:
    """Give p99 of GET /fs in a node at rest and while two scans run, and how late its timer was."""
    (directory / "late").mkdir()
    port = free_port()
    *_, config = etlmon_node(directory / "late", port, more)
    told = directory / "late" / "told"
    base = f"http://127.0.0.1:{port}/api/v1"
    command = [sys.executable, str(HERE / "late_node.py"), config, str(told)]
    with server(command, f"{base}/fs"):
        idle_ms = ask_now_and_then(f"{base}/fs", SECONDS / 2)
        with Scanning(base) as scanning:
            scanning_ms = ask_now_and_then(f"{base}/fs", SECONDS)
        print(f"{scanning.scans} scans of {FILES // 2:,} files ran in {SECONDS:g} s")
    return idle_ms, scanning_ms, float(told.read_text())


def show(name: str, load: Load) -> None:
    print(f"{name:24} {load.per_second:8.0f} requests/s, p99 {load.p99_ms:6.2f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory() as text, ExitStack() as stack:
        directory = Path(text)
        tree = directory / "tree"
        make_tree(tree)
        more = (
            f"paths: [{{path: {tree}/0, scan_interval: 1h, rescan: full}},\n"
            f"  {{path: {tree}/1, scan_interval: 1h, rescan: full}}]\n"
            "control: {scans_per_minute: 6000}\n"
        )
        port, bare_port, peer_port = free_port(), free_port(), free_port()
        base = f"http://127.0.0.1:{port}/api/v1"
        stack.enter_context(server(etlmon_node(directory, port, more), f"{base}/fs"))
        body = directory / "body"
        while not body.exists() or body.read_bytes() == b"[]":
            body.write_bytes(fetch(f"{base}/fs"))
        urls = {
            "etlmon": f"{base}/fs",
            "bare Klein": f"http://127.0.0.1:{bare_port}/api/v1/fs",
            "Glances": f"http://127.0.0.1:{peer_port}/api/4/fs",
        }
        stack.enter_context(server(bare_node(bare_port, body), urls["bare Klein"]))
        stack.enter_context(server(glances(peer_port), urls["Glances"]))
        print(f"GET /fs of {body.stat().st_size} bytes, 16 connections, {ROUNDS} rounds")
        rounds: dict[str, list[Load]] = {name: [] for name in (*urls, "etlmon while scanning")}
        scans = 0
        for _ in range(ROUNDS):
            for name, url in urls.items():
                rounds[name].append(wrk(url))
            with Scanning(base) as scanning:
                rounds["etlmon while scanning"].append(wrk(urls["etlmon"]))
            scans += scanning.scans
        loads = {name: middle(measured) for name, measured in rounds.items()}
        for name, load in loads.items():
            show(name, load)
        print(f"{scans} scans of {FILES // 2:,} files ran meanwhile")
        stack.pop_all().close()  # The servers: they would take time of the next one.
        idle_ms, scanning_ms, late_ms = late(directory, more)
    ours, bare, peer = loads["etlmon"], loads["bare Klein"], loads["Glances"]
    moved_ms = loads["etlmon while scanning"].p99_ms - ours.p99_ms
    conclude(
        [
            Limit("rate, etlmon / Glances", ours.per_second / peer.per_second, 3, at_least=True),
            Limit("rate, etlmon / bare Klein", ours.per_second / bare.per_second, 0.8, True),
            Limit("p99, etlmon / bare Klein", ours.p99_ms / bare.p99_ms, 1.5),
            Limit("p99 while scanning less p99 before, ms", moved_ms, 10),
            Limit("the same, 50 requests/s, one at a time", scanning_ms - idle_ms, 10),
            Limit("10 ms timer of a node meanwhile: p99.9 of lateness, ms", late_ms, 50),
        ]
    )


if __name__ == "__main__":
    main()
