"""What a collector is, and what it may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from etlmon.config.node import NodeConfig
    from etlmon.fsworker.pool import WorkerPool
    from etlmon.host.watches import DirectoryWatches
    from etlmon.records.base import Record

T = TypeVar("T")
R = TypeVar("R", bound="Record")


@dataclass(frozen=True)
class Batch:
    """Records that are committed together, in one transaction, or not at all.

    A collector that remembers how far it has read puts that cursor among the records: what was
    read and how far it was read can then never disagree.
    """

    records: Sequence[Record]
    stored: Awaitable[BaseException | None] | None = None
    """Where they have been handed to the store already (Loan): what to wait for."""


class Collector(Protocol):
    """Watches one thing on a schedule of its own. It never sees the database or the API."""

    @property
    def name(self) -> str:
        """What kind it is: the name of its folder."""

    @property
    def instance(self) -> str:
        """Which thing it watches, where there are several of its kind; otherwise empty."""

    @property
    def interval_seconds(self) -> float:
        """Time from the beginning of one run to that of the next."""

    @property
    def settings(self) -> object:
        """What of the configuration it goes by: a reload leaves it alone while this is equal."""

    def collect(self, next_run_at: datetime) -> AsyncGenerator[Batch, None]:
        """Look once. The next batch is asked for when the one before has been committed.

        Raises CollectError, or any other exception, when the whole run failed; the runner
        records it and calls again at the next turn. Cancelled when the node stops.
        """


@runtime_checkable
class Hinted(Protocol):
    """A collector that hears of changes itself, and wants to look before its next turn."""

    def listen(self, hint: Callable[[], None]) -> None:
        """Begin to call ``hint`` in the reactor's thread when there is something to look at."""

    async def deafen(self) -> None:
        """Call ``hint`` no more, and close what was opened to hear of changes."""


@runtime_checkable
class Warned(Protocol):
    """A collector that may have something to say to the operator though nothing has failed."""

    @property
    def warnings(self) -> Sequence[str]:
        """What there is to say now, a sentence each."""


@runtime_checkable
class Spread(Protocol):
    """A collector whose turns should not fall together with those of other nodes."""

    async def spread_seconds(self) -> float:
        """Give how much later than at once its schedule is to begin; asked once, then."""


@runtime_checkable
class Pausable(Protocol):
    """A collector that a command can make read nothing for a while."""

    def pause(self) -> None:
        """Read nothing from now on, not in a run under way either; runs tell what waits."""

    def resume(self) -> None:
        """Read again, from where it was paused."""


class InThread(Protocol):
    """Runs a blocking function in a thread, so that the reactor never waits for a disk."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """Give what ``function`` returns, or raise what it raises."""


class Saved(Protocol):
    """Gives back what a collector has stored itself, such as how far it had read."""

    def __call__(self, kind: type[R], instance: str, /) -> Awaitable[Sequence[R]]:
        """Give the records of a type as they are stored for one instance.

        All that was handed in before counts, also what still waits for its commit. Raises
        StoreError if the node stops.
        """


class Loan(Protocol):
    """The store, lent to a thread that reads."""

    def store(self, records: Sequence[Record], /) -> Awaitable[BaseException | None] | None:
        """Store records in one transaction, in the thread that calls; at most once.

        None if they have to be handed in as all are, for others need the store. Otherwise what is
        given is to be awaited, in the reactor's thread, before they count as stored: it gives None
        then, and the error where they cannot be. Without records the loan is given back.
        """


async def nothing_saved(_kind: type[R], _instance: str, /) -> Sequence[R]:
    """Give what is stored where nothing is: no records."""
    return ()


def nothing_lent() -> None:
    """Lend nothing: all is handed in."""


@dataclass(frozen=True)
class CollectorContext:
    """What collectors are handed: nothing else of the program is within their reach."""

    wall_clock: Callable[[], float]
    """Seconds since the epoch; for what is stored and shown, never for intervals."""
    monotonic_clock: Callable[[], float]
    """Seconds that only grow; for intervals."""
    in_thread: InThread
    workers: WorkerPool
    proc: Path
    """Where procfs is: ``/proc``, or a fixture."""
    reactor: Any = None
    """It watches descriptors, and calls later."""
    saved: Saved = nothing_saved
    """What an earlier run, or an earlier node, has stored."""
    lend: Callable[[], Loan | None] = nothing_lent
    """Lends the store to a thread that reads; None while others need it."""
    watches: DirectoryWatches | None = None
    """Hears of changes in directories; None: only looking tells."""


@dataclass(frozen=True)
class Kind:
    """One kind of collector: how the configuration turns into collectors of it."""

    name: str
    build: Callable[[NodeConfig, CollectorContext], Sequence[Collector]]
    """Gives the collectors that the configuration asks for; opens and starts nothing."""
    declare: Callable[[NodeConfig], Batch] | None = None
    """Gives what the store must know of the configuration itself, such as which paths exist."""
