"""From exec to the first answered request, beside a bare Twisted and Klein node."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from measure import Limit, bare_node, conclude, etlmon_node, free_port, server

ROUNDS = 9


def main() -> None:
    times: dict[str, list[float]] = {"etlmon": [], "bare": []}
    for round_number in range(ROUNDS + 1):
        for name, taken in times.items():
            with tempfile.TemporaryDirectory() as directory:
                port = free_port()
                command = (
                    etlmon_node(Path(directory), port) if name == "etlmon" else bare_node(port)
                )
                with server(command, f"http://127.0.0.1:{port}/api/v1/fs") as seconds:
                    if round_number:  # the first one writes bytecode
                        taken.append(seconds)
    for name, taken in times.items():
        print(f"{name:8} median {median(taken) * 1000:4.0f} ms, best {min(taken) * 1000:4.0f} ms")
    ratio = median(times["etlmon"]) / median(times["bare"])
    conclude([Limit("exec to first answer, etlmon / bare Twisted + Klein", ratio, 1.6)])


if __name__ == "__main__":
    main()
