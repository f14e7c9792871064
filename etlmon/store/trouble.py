"""What keeps commits from succeeding: told once when it begins, and once when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from etlmon.store.faults import is_full

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

_SETTLED_SECONDS = 2.0
"""So long must commits have succeeded before it is over: on the brink of full they come and go."""


class Trouble:
    """Whether commits fail, and whether they did a moment ago."""

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.failing = False
        """Whether the newest commit failed, and is tried again."""
        self.is_full = False
        """Whether it failed for want of room."""
        self._clock = clock
        self._words = ""
        self._failed_at = 0.0
        self._is_told = False
        self._dropped_before = 0

    @property
    def reason(self) -> str | None:
        """Say what is wrong, or was a moment ago; None if nothing is."""
        if self.failing:
            return f"{self._words}; trying again"
        if self._is_told and not self._has_settled:
            return f"{self._words}, a moment ago; writing goes on"
        return None

    @property
    def _has_settled(self) -> bool:
        is_quiet = self._clock.seconds() - self._failed_at >= _SETTLED_SECONDS
        return is_quiet and not self.failing

    def failed(self, error: BaseException, dropped_records: int) -> None:
        """Note that a commit failed through the database's fault.

        ``dropped_records`` counts the samples that were given up since the node began.
        """
        self.look(dropped_records)
        self._failed_at = self._clock.seconds()
        self._words = str(error)
        self.failing, self.is_full = True, is_full(error)
        if not self._is_told:
            self._is_told = True
            self.log.error("The database takes no writes: {error}; trying again.", error=error)

    def succeeded(self) -> None:
        """Note that commits succeed."""
        self.failing = self.is_full = False

    def may_be_over(self) -> None:
        """Note that the reason has gone; whether commits succeed is still to be seen."""
        self.succeeded()
        self._failed_at = self._clock.seconds()

    def look(self, dropped_records: int, *, is_last: bool = False) -> None:
        """Tell of its end, if it is over; with ``is_last`` also if only just now."""
        if not self._is_told or self.failing or not (is_last or self._has_settled):
            return
        self._is_told = False
        dropped, self._dropped_before = dropped_records - self._dropped_before, dropped_records
        lost = f" {dropped} samples were dropped meanwhile." if dropped else ""
        self.log.info("The database takes writes again.{lost}", lost=lost)
