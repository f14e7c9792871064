"""What happens in the reactor's thread: requests, and how late it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import Counter, Histogram, disable_created_metrics
from twisted.application.internet import TimerService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from etlmon.api.metrics.families import Families

# The moment when a series began: a series more for each, and Prometheus has no use for it here.
disable_created_metrics()

OTHER = "other"
"""Stands for the endpoint where none was reached: refused before, or no such path."""

_EVERY_SECONDS = 5.0
_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_DELAY_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Traffic:
    """Counts the requests that were answered: by endpoint and status, never by what was asked."""

    def __init__(self) -> None:
        self._requests = Counter(
            "etlmon_http_requests",
            "Requests that were answered.",
            ("endpoint", "code"),
            registry=None,
        )
        self._durations = Histogram(
            "etlmon_http_request_duration_seconds",
            "From a request being whole to its answer being handed to the kernel; no streams.",
            ("endpoint",),
            registry=None,
            buckets=_REQUEST_SECONDS,
        )

    def answered(self, endpoint: str, code: int, seconds: float | None) -> None:
        """Count a request; ``seconds`` is None where that would say nothing."""
        self._requests.labels(endpoint or OTHER, str(code)).inc()
        if seconds is not None:
            self._durations.labels(endpoint or OTHER).observe(seconds)

    def snapshot(self) -> Families:
        """Give what makes the metrics; the library's own are safe to read in any thread."""
        return self._families

    def _families(self) -> Iterator[Metric]:
        yield from self._requests.collect()
        yield from self._durations.collect()


class ReactorDelay(TimerService):
    """Looks every five seconds how much later than it was due the reactor comes to a call."""

    name = "reactor delay"

    def __init__(self, clock: Any) -> None:
        super().__init__(_EVERY_SECONDS, self._tick)
        self.clock: Any = clock
        self._due: float | None = None
        self._delays = Histogram(
            "etlmon_reactor_delay_seconds",
            "How late the reactor's thread came to a timer, each 5 seconds: it does nothing else.",
            registry=None,
            buckets=_DELAY_SECONDS,
        )

    def startService(self) -> None:
        """Begin to look; what lies before it is nobody's delay."""
        self._due = None
        super().startService()

    def _tick(self) -> None:
        now = self.clock.seconds()
        if self._due is not None:
            self._delays.observe(max(0.0, now - self._due))
        self._due = now + _EVERY_SECONDS

    def snapshot(self) -> Families:
        """Give what makes the metric, in any thread."""
        return self._delays.collect
