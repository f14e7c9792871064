"""How long tests wait for others, and where others listen."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path

PATIENCE_SECONDS = 60.0
"""For what another process, or the disk, has to do: so long takes only what hangs."""

_LEAST_PORT = 10_000
_CLOCK_REALTIME_COARSE = 5  # of time.h; Python has no name for it


def clock_of_files_ns() -> int:
    """Give the time as kernels before 6.13 give it to files: that of the last tick.

    On a host that is busy with other guests the tick may be late.
    """
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)


def wait_for_tick() -> None:
    """Wait until what is written has a later time than all that was written before."""
    now_ns = time.time_ns()
    while clock_of_files_ns() <= now_ns:
        time.sleep(0.001)


def wait_asleep(pid: int) -> None:
    """Wait until a process that has just been begun, and soon sleeps for good, does so.

    Who began it goes on as soon as it cannot fail any more: the kernel says that it is another
    program a little later, and what its arguments are later still.
    """
    place = Path(f"/proc/{pid}")
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while (
        not (place / "cmdline").read_bytes()
        or (place / "stat").read_bytes().rpartition(b")")[2].split()[0] != b"S"
    ):
        assert time.monotonic() < give_up_at
        time.sleep(0.001)


def free_port(host: str = "127.0.0.1") -> int:
    """Give a port at which nobody listens, nor will before the caller has something listen there.

    It is none of those that the kernel gives to whoever asks for any: another process may be given
    one of them at any moment. Nor is it given to any other test while this process lives.
    """
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    end = int(text.split()[0])
    assert end > _LEAST_PORT + 1_000, "the kernel leaves no ports to those who choose one"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = random.SystemRandom().randrange(_LEAST_PORT, end)
        with socket.socket(family) as one, socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0etlmon-test-port-{port}")
                one.bind((host, port))
            except OSError:
                continue
            claim.detach()  # stays open, and with it the name, to the end of this process
        return port
