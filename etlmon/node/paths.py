"""What commands do with configured paths: their scans begin and end here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from etlmon.collectors.path.collector import PathCollector
from etlmon.errors import ApiError, StoreError, why_not_stored
from etlmon.records.path import ScanAnswer, ScanCancelAnswer, ScanSkipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etlmon.node.collectors import Collectors
    from etlmon.runner import CollectorService, Sink


class PathScans:
    """Begins and ends scans of configured paths."""

    log = Logger()

    def __init__(
        self,
        collectors: Collectors,
        sink: Sink,
    ) -> None:
        self._collectors = collectors
        self._sink = sink

    def scan_now(self, paths: Sequence[str] | None) -> ScanAnswer:
        """Begin scans of the configured ``paths``, or of all; look there for what is expected, too.

        Raises ApiError (404) for a path that is not configured, before any scan begins.
        """
        started, skipped = [], []
        for path, service in self._services(paths).items():
            if service.run_now():
                started.append(path)
            else:
                skipped.append(ScanSkipped(path=path, reason="a scan of it is running"))
            self._look_for_expected(path)
        return ScanAnswer(started=started, skipped=skipped)

    def _look_for_expected(self, path: str) -> None:
        arrival = self._collectors.named("arrival").get(path)
        if arrival is not None:
            arrival.run_soon()

    async def cancel_scans(self, path: str | None) -> ScanCancelAnswer:
        """End the scan of the configured ``path``, or all; the next come at their turns.

        Raises ApiError (404) for a path that is not configured.
        """
        services = self._services(None if path is None else [path])
        found = await gatherResults(
            [Deferred.fromCoroutine(self._cancel_scan(service)) for service in services.values()]
        )
        was_running = dict(zip(services, found, strict=True))
        return ScanCancelAnswer(
            cancelled=[path for path, running in was_running.items() if running],
            not_running=[path for path, running in was_running.items() if not running],
        )

    async def _cancel_scan(self, service: CollectorService) -> bool:
        """End the scan of a path; give whether one was running. Nobody waits for the commit."""
        seconds = await service.cancel_run()
        if seconds is None:
            return False
        assert isinstance(service.collector, PathCollector)
        # At once, so that it is in the writer's queue before the beginning of any later scan.
        cancelled = service.collector.cancelled(seconds)
        self._sink.write([cancelled]).addErrback(self._not_stored)
        return True

    def _not_stored(self, failure: Any) -> None:
        failure.trap(StoreError)
        self.log.warn(
            "The end of a scan was not stored: {error}", error=why_not_stored(failure.value)
        )

    def _services(self, wanted: Sequence[str] | None) -> dict[str, CollectorService]:
        """Give what scans the configured paths ``wanted``, or all of them, by path.

        Raises ApiError (404) naming one that is not configured.
        """
        services = self._collectors.named("path")
        for path in wanted or ():
            if path not in services:
                raise ApiError(
                    404,
                    "path-not-configured",
                    f"{path} is not a configured path; GET /api/v1/paths lists them.",
                )
        return services if wanted is None else {path: services[path] for path in wanted}
