"""What workers are at, in words for people who wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from etlmon.fsworker.child import Child
    from etlmon.fsworker.crew import SpawnsAndWaits

# Of those that keep all workers busy.
_MOST_TOLD = 3


class Words:
    """Says of children what they do, and since when by the wall clock."""

    def __init__(self, reactor: SpawnsAndWaits, wall_clock: Callable[[], float]) -> None:
        self._reactor = reactor
        self._wall_clock = wall_clock

    def of(self, child: Child) -> str:
        """Say what a child is at, since when, and whether it is still heard of."""
        request = child.request
        if request is None:
            return f"the end of a worker that hangs on {child.mount_point}"
        said = f"{request.told_as}, begun {self._moment(request.began_at)}"
        if child.is_quiet(self._reactor.seconds()):
            said += f", not heard of since {self._moment(child.heard_at)}"
            if child.is_stopped:
                said += f": a signal has stopped its process {child.pid}"
        return said

    def of_all(self, children: Iterable[Child]) -> str:
        """Say that a child must be free first, and what the first of these are at."""
        firsts: dict[str, Child] = {}  # Several may be at one scan.
        for child in sorted(children, key=_began_at):
            if child.request is not None:
                firsts.setdefault(child.request.told_as, child)
        told = [self.of(child) for child in firsts.values()]
        return "; ".join(["a free worker", *told[:_MOST_TOLD]])

    def _moment(self, seconds: float) -> str:
        """Give a moment of the reactor's time as a date."""
        moment = utc(self._wall_clock() - (self._reactor.seconds() - seconds))
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _began_at(child: Child) -> float:
    return child.request.began_at if child.request else 0.0
