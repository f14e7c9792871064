"""How values become metrics: names, labels, and the bound on how many series there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from etlmon.text import without_tokens

if TYPE_CHECKING:
    from datetime import datetime

    from prometheus_client import Metric

    from etlmon.records.base import Record

T = TypeVar("T")

MOST_OF_A_KIND = 300
"""So many file systems, paths, watches, logs, collectors and so on have series; the first of them
by name. ``etlmon_metrics_left_out`` counts the others."""

_MOST_LABEL_CHARACTERS = 500

Families = Callable[[], Iterable["Metric"]]
"""Makes metrics of values that do not change any more: to be called in any thread."""
Row = tuple[Sequence[str], "float | None"]
"""The values of the labels, and the number; None where there is none, and so no series."""


Takers = Mapping["type[Record]", Callable[[Any], None]]
"""Types of records, and what takes a row of each of them."""


class Part(Protocol):
    """Something that has metrics."""

    def snapshot(self) -> Families:
        """Take the values as they are now; in the reactor's thread."""


class Reading(Part, Protocol):
    """A part that learns its values from the records that collectors give."""

    @property
    def kinds(self) -> Takers:
        """The records that it wants, a row of which is handed over at once."""

    def left_out(self) -> Row:
        """Give how many of its kind have no series, at the last snapshot."""


class Named(ABC, Generic[T]):
    """A reading of things that have names, of which the newest that is known is kept."""

    kind: ClassVar[str]
    """What they are, in ``etlmon_metrics_left_out``."""

    def __init__(self) -> None:
        self._now: dict[str, T] = {}

    def snapshot(self) -> Families:
        """Take the values as they are now."""
        now = dict(self._now)
        return lambda: self._families(now)

    @abstractmethod
    def _families(self, now: dict[str, T]) -> Iterable[Metric]:
        """Make metrics of what is known; in any thread."""

    def left_out(self) -> Row:
        """Give how many have no series."""
        return left_out(self.kind, self._now)


def gauge(name: str, about: str, labels: Sequence[str] = (), rows: Iterable[Row] = ()) -> Metric:
    """Give a metric that goes up and down; its name ends with its unit."""
    return _filled(GaugeMetricFamily(f"etlmon_{name}", about, labels=labels), rows)


def counter(name: str, about: str, labels: Sequence[str] = (), rows: Iterable[Row] = ()) -> Metric:
    """Give a metric that only grows, from 0 when the node begins; ``_total`` ends its name."""
    return _filled(CounterMetricFamily(f"etlmon_{name}", about, labels=labels), rows)


class Each(Generic[T]):
    """Metrics of several things of a kind, each found under the values of its ``labels``."""

    def __init__(
        self, kind: str, labels: Sequence[str], found: Sequence[tuple[Sequence[str], T]]
    ) -> None:
        self._kind = kind
        self._labels = labels
        self._found = found

    def gauge(self, name: str, about: str, value: Callable[[T], float | None]) -> Metric:
        """Give a gauge, with what ``value`` says of each."""
        rows = ((of, value(one)) for of, one in self._found)
        return gauge(f"{self._kind}_{name}", about, self._labels, rows)

    def counter(self, name: str, about: str, value: Callable[[T], float | None]) -> Metric:
        """Give a counter, with what ``value`` says of each."""
        rows = ((of, value(one)) for of, one in self._found)
        return counter(f"{self._kind}_{name}", about, self._labels, rows)

    def states(self, about: str, words: Sequence[str], present: Callable[[T], str]) -> Metric:
        """Give a row for each state that there can be: 1 for the present one, 0 for the others."""
        rows = (
            ((*of, word), float(word == present(one))) for of, one in self._found for word in words
        )
        return gauge(f"{self._kind}_state", about, (*self._labels, "state"), rows)


def first(of: Mapping[str, T]) -> list[tuple[str, T]]:
    """Give what has series: by name, at most MOST_OF_A_KIND."""
    return sorted(of.items(), key=lambda item: item[0])[:MOST_OF_A_KIND]


def left_out(kind: str, of: Sized) -> Row:
    """Give how many of a kind have no series, as a row of ``etlmon_metrics_left_out``."""
    return (kind,), float(max(0, len(of) - MOST_OF_A_KIND))


def only(now: dict[str, T], wanted: Iterable[str]) -> dict[str, T]:
    """Give what is configured still."""
    names = set(wanted)
    return {name: one for name, one in now.items() if name in names}


def label(text: str) -> str:
    """Give a name from the host as the value of a label: printable, and of a bounded length."""
    shown = without_tokens(text)[:_MOST_LABEL_CHARACTERS]
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)


def seconds_since_epoch(moment: datetime | None) -> float | None:
    """Give a moment as Prometheus compares it with ``time()``."""
    return None if moment is None else moment.timestamp()


def seconds(milliseconds: int | None) -> float | None:
    """Give a duration in Prometheus's unit."""
    return None if milliseconds is None else milliseconds / 1000


def ratio(percent: float | None) -> float | None:
    """Give a part of a whole, 0 to 1."""
    return None if percent is None else percent / 100


def _filled(family: Any, rows: Iterable[Row]) -> Metric:
    """Add the rows; of two that look alike the first, for one series may not be there twice."""
    seen = set()
    for values, number in rows:
        if number is not None and tuple(values) not in seen:
            seen.add(tuple(values))
            family.add_metric(list(values), number)
    metric: Metric = family
    return metric
