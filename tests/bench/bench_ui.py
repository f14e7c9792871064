"""The terminal client beside Glances: first frame, keys, changes of the screen, idling."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

from measure import BIN, Limit, conclude, etlmon_node, free_port, server
from terminal import OnTerminal

ROUNDS = 7
KEYS = 120
IDLE_SECONDS = 30


def first_frame(command: Sequence[str], wanted: bytes) -> float:
    program = OnTerminal(command)
    try:
        return program.read_until(wanted) - program.began
    finally:
        program.end()


def bare_import() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import treq, urwid"], check=True)
    return time.perf_counter() - began


def idle(command: Sequence[str], wanted: bytes) -> float:
    """Give the processor seconds a minute of a program that only shows."""
    program = OnTerminal(command)
    try:
        program.read_until(wanted)
        program.idle_for(3)
        return program.idle_for(IDLE_SECONDS) * 60 / IDLE_SECONDS
    finally:
        program.end()


def keys(command: Sequence[str]) -> tuple[list[float], list[float]]:
    """Give the milliseconds from a key to its paint, and from a key to another screen's data."""
    program = OnTerminal(command)
    paints, changes = [], []
    try:
        program.read_until(b"GiB")
        for number in range(KEYS):
            program.read_until_quiet()
            typed = program.type(b"j" if number % 2 else b"k")
            paints.append((program.read_anything() - typed) * 1000)
        for number in range(KEYS // 2):
            program.read_until_quiet()
            typed = program.type(b"\t" if number % 2 == 0 else b"\x1b[Z")
            shown = program.read_until(b"FILES" if number % 2 == 0 else b"USED")
            changes.append((shown - typed) * 1000)
    finally:
        program.end()
    return paints, changes


def main() -> None:
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        port = free_port()
        more = f"paths: [{{path: {directory}, scan_interval: 1h}}]\n"
        with server(etlmon_node(directory, port, more), f"http://127.0.0.1:{port}/api/v1/fs"):
            ui = [f"{BIN}/etlmon", "ui", f"http://127.0.0.1:{port}"]
            glances = [f"{os.environ.get('ETLMON_BENCH_VENV', '')}/bin/glances", "-t", "2"]
            frames: dict[str, list[float]] = {"etlmon": [], "Glances": [], "import": []}
            for number in range(ROUNDS + 1):
                taken = {
                    "etlmon": first_frame(ui, b"GiB"),
                    "Glances": first_frame(glances, b"FILE SYS"),
                    "import": bare_import(),
                }
                if number:  # the first one writes bytecode
                    for name, seconds in taken.items():
                        frames[name].append(seconds)
            middle = {name: median(seconds) for name, seconds in frames.items()}
            paints, changes = keys(ui)
            ours, theirs = idle(ui, b"GiB"), idle(glances, b"FILE SYS")
    for name, seconds in middle.items():
        print(f"first frame, {name:8} {seconds * 1000:5.0f} ms")
    print(f"key to paint p50 {median(paints):.1f} ms, worst {max(paints):.1f} ms")
    print(f"screen change p50 {median(changes):.1f} ms, worst {max(changes):.1f} ms")
    print(f"idle: etlmon {ours:.2f}, Glances {theirs:.2f} CPU seconds a minute")
    conclude(
        [
            Limit("first frame, etlmon / Glances", middle["etlmon"] / middle["Glances"], 1.3),
            Limit(
                "first frame / bare import of treq and urwid",
                middle["etlmon"] / middle["import"],
                1.5,
            ),
            Limit("screen change p99, ms", quantiles(changes, n=100)[98], 200),
            Limit("key to paint p50, ms", median(paints), 10),
            Limit("idle CPU, etlmon / Glances", ours / theirs, 0.5),
        ]
    )


if __name__ == "__main__":
    main()
