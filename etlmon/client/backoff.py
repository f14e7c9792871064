"""How long to wait before a node that gave no answer is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
_JITTER = 0.2


class BackOff:
    """1, 2, 4 ... 30 seconds, each more or less by a fifth.

    The chance in it keeps many clients from coming back at one moment.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._seconds = _FIRST_SECONDS

    def next_seconds(self) -> float:
        """Give how long to wait now; the next time it is twice as long."""
        wait = self._seconds * (1 + _JITTER * (2 * self._random() - 1))
        self._seconds = min(2 * self._seconds, _LONGEST_SECONDS)
        return wait

    def reset(self) -> None:
        """Begin anew: the node has answered."""
        self._seconds = _FIRST_SECONDS
