"""Timers do not follow the clock on the wall."""

from __future__ import annotations

import subprocess
import sys

from tests.waiting import PATIENCE_SECONDS

PROGRAM = """
import time
from twisted.internet import reactor
from etlmon.clock import make_monotonic

make_monotonic(reactor)
before = time.monotonic()
late = reactor.callLater(10, print)
assert before + 10 <= late.getTime() <= time.monotonic() + 10, "it is due by another clock"
fired = []
reactor.callLater(0.05, fired.append, "in time")
reactor.callLater(0.1, reactor.stop)
reactor.run()
print(*fired)
try:
    make_monotonic(reactor)
except RuntimeError:
    print("refused")
"""


def test_timers_are_due_by_the_monotonic_clock() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("in time\nrefused\n", "")
