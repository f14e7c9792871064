"""The reactor's clock, made monotonic.

Twisted's reactor schedules by ``time.time()``: a clock set back by an hour (by hand, by a late
NTP) would hold every timer for an hour. Nothing may be scheduled before ``make_monotonic``.
"""

from __future__ import annotations

import time
from typing import Any


def make_monotonic(reactor: Any) -> None:
    """Let the reactor schedule by the monotonic clock from now on."""
    if reactor.getDelayedCalls():
        raise RuntimeError("the reactor's clock cannot change while calls are scheduled")
    reactor.seconds = time.monotonic
