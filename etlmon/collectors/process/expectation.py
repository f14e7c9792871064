"""Whether the processes of a watch are as expected. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etlmon.config.watched import ProcessExpectation
    from etlmon.records.process import WatchState


def judge(
    expect: ProcessExpectation | None, runtimes_seconds: Sequence[float], *, sees_all: bool
) -> tuple[WatchState, str | None]:
    """Give the state of a watch and why it is not ok, from the run times of its processes.

    What cannot be seen is not taken for down.
    """
    count = len(runtimes_seconds)
    least = _least(expect)
    if not sees_all and (count < least or not count):
        return "unknown", "some processes of this host are hidden from this node"
    if expect is None:
        return "ok", None
    if not count and least:
        return "down", f"none runs, {least} or more expected"
    if count < least:
        return "low", f"{_run(count)}, {least} or more expected"
    if expect.max is not None and count > expect.max:
        return "high", f"{_run(count)}, {expect.max} or fewer expected"
    if expect.up_at_least is not None:
        old = sum(1 for seconds in runtimes_seconds if seconds >= expect.up_at_least)
        if old < least:
            how_long = format_duration(expect.up_at_least)
            return "young", f"{old} up for {how_long}, {least} or more expected"
    return "ok", None


def _least(expect: ProcessExpectation | None) -> int:
    """Give how many there must be: who asks how long one is up asks for one."""
    if expect is None:
        return 0
    if expect.min is None:
        return 1 if expect.up_at_least is not None and expect.max is None else 0
    return expect.min


def _run(count: int) -> str:
    return "1 runs" if count == 1 else f"{count} run"
