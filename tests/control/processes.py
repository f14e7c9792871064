"""A program for tests: does as it is told, and says ``ready`` when it does."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

for word in sys.argv[1:]:
    match word.split("="):
        case ["ignore", name]:
            signal.signal(signal.Signals[name], signal.SIG_IGN)
        case ["name", name]:
            Path("/proc/self/comm").write_text(name)
print("ready", flush=True)  # noqa: T201
if "fork" in sys.argv:
    parent = os.getpid()
    child = os.fork()
    if child:
        print(child, flush=True)  # noqa: T201
    else:  # it ends with its parent
        sys.stdin.read()
        sys.exit()
signal.pause()
