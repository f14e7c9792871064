"""Lines of the log that clients can cause: a few are written, of the rest there is a count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etlmon.control.policy import RateLimit

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.logger import Logger

_LOOK_SECONDS = 60.0


class Flood:
    """Bounds what clients make the log say of one thing, ``what``, such as "Refused commands".

    ``at_once`` lines and then ``per_minute`` are written. When there are more, one line says so and
    none follows, until a minute has brought no more than these: then one says how many there were.
    """

    def __init__(
        self, what: str, log: Logger, clock: Any, *, at_once: int = 20, per_minute: int = 6
    ) -> None:
        self._what = what
        self._log = log
        self._clock = clock
        self._rate = RateLimit(per_minute, clock.seconds, burst=at_once)
        self._per_minute = per_minute
        self._unwritten = 0
        self._looked_at = 0
        """How many there were a minute ago."""
        self._timer: IDelayedCall | None = None

    def admits(self) -> bool:
        """Whether another line may be written; if not, it is counted."""
        if self._timer is None and self._rate.take() == 0:
            return True
        self._unwritten += 1
        if self._timer is None:
            self._log.warn("{what}: too many to write each; they are counted.", what=self._what)
            self._timer = self._clock.callLater(_LOOK_SECONDS, self._look)
        return False

    def stop(self) -> None:
        """Write how many there were."""
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
            self._log.warn(
                "{what}: {n} more came and were not written.", what=self._what, n=self._unwritten
            )
        self._unwritten = self._looked_at = 0

    def _look(self) -> None:
        if self._unwritten - self._looked_at <= self._per_minute:
            self.stop()
            return
        self._looked_at = self._unwritten
        self._timer = self._clock.callLater(_LOOK_SECONDS, self._look)
