"""The collectors of the node, as its configuration has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from etlmon.collectors.registry import KINDS
from etlmon.errors import StoreError, why_not_stored
from etlmon.runner import CollectorService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from etlmon.collectors.base import Collector, CollectorContext
    from etlmon.config.node import NodeConfig
    from etlmon.runner import Sink

_SPREAD_SECONDS = 0.005
"""How far apart the first runs of the collectors begin."""


class Collectors(Sequence[CollectorService]):
    """The collectors that there are now, each on its timer."""

    log = Logger()

    def __init__(
        self,
        config: NodeConfig,
        context: CollectorContext,
        sink: Sink,
        reactor: Any,
        wall_clock: Callable[[], float],
    ) -> None:
        self._context = context
        self._sink = sink
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._is_running = False
        self._services = [
            self._service(collector, place) for place, collector in enumerate(self.build(config))
        ]

    @overload
    def __getitem__(self, place: int) -> CollectorService: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[CollectorService]: ...
    def __getitem__(self, place: int | slice) -> CollectorService | Sequence[CollectorService]:
        return self._services[place]

    def __len__(self) -> int:
        return len(self._services)

    def named(self, name: str) -> dict[str, CollectorService]:
        """Give those of one kind, by their instances."""
        return {one.collector.instance: one for one in self._services if one.collector.name == name}

    def build(self, config: NodeConfig) -> list[Collector]:
        """Make the collectors that a configuration asks for; they do nothing yet."""
        return [collector for kind in KINDS for collector in kind.build(config, self._context)]

    def declare(self, config: NodeConfig) -> None:
        """Store what must be known of a configuration itself, such as which paths there are."""
        for kind in KINDS:
            if kind.declare is not None:
                records = kind.declare(config).records
                self._sink.write(records).addErrback(self._not_declared)

    def _not_declared(self, failure: Any) -> None:
        failure.trap(StoreError)
        self.log.warn(
            "The configuration was not stored: {error}", error=why_not_stored(failure.value)
        )

    def start(self) -> None:
        """Start their timers."""
        self._is_running = True
        for service in self._services:
            service.startService()

    def stop(self) -> Deferred[Any]:
        """End their runs and their timers; fires when all have ended."""
        self._is_running = False
        return _stop(self._services)

    async def exchange(self, wanted: Iterable[Collector]) -> None:
        """Keep those whose settings are unchanged; stop the others, and start the new."""
        present = {(one.collector.name, one.collector.instance): one for one in self._services}
        kept: list[CollectorService] = []
        fresh: list[CollectorService] = []
        for collector in wanted:
            service = present.get((collector.name, collector.instance))
            if service is not None and _same(service.collector, collector):
                kept.append(service)
            else:
                fresh.append(self._service(collector, place=len(fresh)))
        gone = [service for service in self._services if service not in kept]
        self._services = kept + fresh
        await _stop(gone)
        if self._is_running:
            for service in fresh:
                service.startService()

    def _service(self, collector: Collector, place: int) -> CollectorService:
        return CollectorService(
            collector,
            self._sink,
            self._reactor,
            self._wall_clock,
            first_delay_seconds=place * _SPREAD_SECONDS,
        )


def _stop(services: Iterable[CollectorService]) -> Deferred[Any]:
    return gatherResults([service.stopService() for service in services], consumeErrors=True)


def _same(one: Collector, other: Collector) -> bool:
    return (one.settings, one.interval_seconds) == (other.settings, other.interval_seconds)
