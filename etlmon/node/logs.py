"""What commands do with configured logs: their reading is paused and resumed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.collectors.base import Pausable
from etlmon.errors import ApiError
from etlmon.records.log import LogSwitchAnswer, LogSwitched
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etlmon.config.watched import LogSection
    from etlmon.node.collectors import Collectors
    from etlmon.runner import Sink


class Logs:
    """The logs of the node; ``configured`` gives those that its configuration has now."""

    def __init__(
        self,
        configured: Callable[[], Sequence[LogSection]],
        collectors: Collectors,
        sink: Sink,
        wall_clock: Callable[[], float],
    ) -> None:
        self._configured = configured
        self._collectors = collectors
        self._sink = sink
        self._wall_clock = wall_clock

    def buffer_lines(self, name: str) -> int | None:
        """Give how many lines of a log are given unless asked otherwise.

        None for one that is not configured.
        """
        return next((log.buffer_lines for log in self._configured() if log.name == name), None)

    async def switch_log(self, name: str, *, paused: bool) -> LogSwitchAnswer:
        """Pause or resume a configured log; this holds over a restart.

        It is stored first, so that what is answered is true for the next node too. Raises
        ApiError (404) for a log that is not configured, StoreError.
        """
        service = self._collectors.named("log").get(name)
        if service is None or not isinstance(service.collector, Pausable):
            raise ApiError(
                404,
                "log-not-configured",
                f"{name} is not a configured log; GET /api/v1/logs lists them.",
            )
        await self._sink.write(
            [LogSwitched(log_name=name, paused=paused, switched_at=utc(self._wall_clock()))]
        )
        if paused:
            service.collector.pause()
        else:
            service.collector.resume()
        service.run_soon()
        return LogSwitchAnswer(name=name, paused=paused)
