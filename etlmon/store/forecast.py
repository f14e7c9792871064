"""When a file system will be full, from the history of its use. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from etlmon.units import from_millis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_SHORTEST_HISTORY_MS = 10 * 60 * 1000
_FEWEST_SAMPLES = 6
_REACH = 10
"""How many times the length of its history a forecast may look ahead."""


@dataclass(frozen=True)
class Sample:
    """The use of a file system at one moment."""

    at_ms: int
    used_bytes: int
    avail_bytes: int


def full_at(samples: Sequence[Sample]) -> datetime | None:
    """Give when the newest ``avail_bytes`` is used up at the pace of the samples, oldest first.

    The pace is the Theil-Sen estimate: the median of the slopes between all pairs of samples.
    One big clean-up, or one big load, does not move it as it would move a least-squares line.
    None where the use does not grow, where the history is too short to tell (under 10 minutes or
    6 samples), or where the end lies further ahead than ten times the history is long.
    """
    if len(samples) < _FEWEST_SAMPLES:
        return None
    newest = samples[-1]
    span_ms = newest.at_ms - samples[0].at_ms
    if span_ms < _SHORTEST_HISTORY_MS:
        return None
    slopes = [
        (later.used_bytes - earlier.used_bytes) / (later.at_ms - earlier.at_ms)
        for index, earlier in enumerate(samples)
        for later in samples[index + 1 :]
        if later.at_ms > earlier.at_ms
    ]
    bytes_per_ms = median(slopes)
    if bytes_per_ms <= 0:
        return None
    left_ms = newest.avail_bytes / bytes_per_ms
    if left_ms > _REACH * span_ms:
        return None
    return from_millis(newest.at_ms + int(left_ms))
