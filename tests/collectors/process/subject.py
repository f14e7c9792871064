"""A process for the tests to look at. Its ways are named by its arguments; it says when it is so.

What it reads from its standard input are more ways. It ends when that does.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain

PR_SET_NAME = 15


def use_cpu(share: float) -> None:
    """Use this share of a core by working and resting in turns of 50 ms."""
    while True:
        end = time.perf_counter() + 0.05
        used = time.thread_time() + 0.05 * share
        while time.thread_time() < used:
            pass
        time.sleep(max(0.0, end - time.perf_counter()))


def rewrite_arguments(text: bytes) -> None:
    """Write over the arguments in memory, as servers do that tell what they are at."""
    with open("/proc/self/stat", "rb") as stat:  # noqa: PTH123
        begin, end = map(int, stat.read().rpartition(b")")[2].split()[45:47])
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, text, len(text))


def say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main() -> None:
    kept = []
    for way in chain(sys.argv[1:], told()):
        name, _, value = way.partition("=")
        if name == "cpu":
            threading.Thread(target=use_cpu, args=(float(value),), daemon=True).start()
        elif name == "spin":  # memset holds no lock of Python's
            for _ in range(int(value)):
                libc = ctypes.CDLL(None)
                many = ctypes.create_string_buffer(16 << 20)
                threading.Thread(
                    target=lambda many=many, libc=libc: [
                        libc.memset(many, 1, len(many)) for _ in range(10**9)
                    ],
                    daemon=True,
                ).start()
        elif name == "rss":
            block = mmap.mmap(-1, int(value) << 20)
            block.write(b"x" * len(block))
            kept.append(block)
        elif name == "name":
            ctypes.CDLL(None).prctl(PR_SET_NAME, value.encode(), 0, 0, 0)
        elif name == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif name == "files":
            kept += [open(os.devnull) for _ in range(int(value))]  # noqa: PTH123, SIM115
        elif name == "threads":
            for _ in range(int(value)):
                threading.Thread(target=threading.Event().wait, daemon=True).start()
        elif name == "exit":
            say_ready()
            sys.stdin.buffer.read()
            os._exit(int(value))
        elif name == "child":
            if os.fork() == 0:
                os.closerange(0, 2)  # its parent's pipes would stay open
                os.execv("/bin/sleep", ["sleep", value])
        elif name == "zombie":
            if os.fork() == 0:
                os._exit(int(value))
            time.sleep(0.1)
        elif name == "arguments":
            rewrite_arguments(value.encode())


def told() -> Iterator[str]:
    """Give what is asked for later; say each time that all before is so."""
    say_ready()
    for line in sys.stdin:
        yield line.rstrip()
        say_ready()


if __name__ == "__main__":
    main()
