"""The page of metrics: values are taken in the reactor's thread, and written out in another."""

from __future__ import annotations

import gzip
from itertools import chain
from typing import TYPE_CHECKING, Any

import prometheus_client.exposition
import prometheus_client.openmetrics.exposition
from prometheus_client import ProcessCollector
from twisted.internet.defer import Deferred, maybeDeferred

from etlmon.api.metrics.families import gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from prometheus_client import Metric

    from etlmon.api.metrics.families import Part, Reading
    from etlmon.records.base import Record

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = b"application/openmetrics-text; version=1.0.0; charset=utf-8"


class Metrics:
    """All that there is to tell, and how it is written.

    ``in_thread`` runs a function in a thread and gives a Deferred of what it returns; writing two
    thousand series takes 20 ms.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        readings: Sequence[Reading],
        in_thread: Callable[[Callable[[], bytes]], Deferred[bytes]],
        proc: Path,
    ) -> None:
        self._parts = [*parts, *readings]
        self._readings = readings
        self._in_thread = in_thread
        self._process = ProcessCollector(proc=str(proc), registry=None)
        self._takers: dict[type[Record], list[Callable[[Any], None]]] = {}
        for reading in readings:
            for kind, take in reading.kinds.items():
                self._takers.setdefault(kind, []).append(take)
        self._writing: dict[tuple[bool, bool], list[Deferred[bytes]]] = {}

    def stored(self, records: Sequence[Record]) -> None:
        """Take note of records that the store has taken: one batch, in its order."""
        run: list[Record] = []
        for record in records:
            if run and type(record) is not type(run[0]):
                self._take(run)
                run = []
            run.append(record)
        if run:
            self._take(run)

    def _take(self, run: Sequence[Record]) -> None:
        for take in self._takers.get(type(run[0]), ()):
            take(run)

    def write(self, *, openmetrics: bool, compressed: bool) -> Deferred[bytes]:
        """Write the metrics as they are now. Who asks meanwhile gets the same."""
        key = (openmetrics, compressed)
        waiting = self._writing.get(key)
        turn: Deferred[bytes] = Deferred()
        if waiting is not None:
            waiting.append(turn)
            return turn
        self._writing[key] = [turn]
        maybeDeferred(self._begin, openmetrics, compressed).addBoth(self._written, key)
        return turn

    def _begin(self, openmetrics: bool, compressed: bool) -> Deferred[bytes]:
        families = [part.snapshot() for part in self._parts]
        unseen = [reading.left_out() for reading in self._readings]

        def collect() -> Iterable[Metric]:
            yield gauge(
                "metrics_left_out",
                "How many of a kind have no series, for there are too many.",
                ("kind",),
                unseen,
            )
            yield from chain.from_iterable(make() for make in families)
            yield from self._process.collect()

        return self._in_thread(lambda: _written(collect, openmetrics, compressed))

    def _written(self, result: Any, key: tuple[bool, bool]) -> None:
        for turn in self._writing.pop(key):
            turn.callback(result)


class _Source:
    """What the library's writers ask for metrics."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self.collect = collect


def _written(collect: Callable[[], Iterable[Metric]], openmetrics: bool, compressed: bool) -> bytes:
    generate = (
        prometheus_client.openmetrics.exposition.generate_latest
        if openmetrics
        else prometheus_client.exposition.generate_latest
    )
    body: bytes = generate(_Source(collect))
    return gzip.compress(body, compresslevel=1, mtime=0) if compressed else body


def prefers_openmetrics(accept: str) -> bool:
    """Tell of an Accept header whether OpenMetrics is wanted, at least as much as plain text."""
    wanted: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                weight = _weight(value.strip())
        wanted[kind] = max(weight, wanted.get(kind, 0.0))
    openmetrics = wanted.get("application/openmetrics-text", 0.0)
    return openmetrics > 0 and openmetrics >= wanted.get("text/plain", 0.0)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
