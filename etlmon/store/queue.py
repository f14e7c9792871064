"""What waits for the one connection that writes, in its order, and what is kept of it for long."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from etlmon.records.base import Record

MOST_RECORDS = 5_000
"""Of a transaction; a batch alone may be larger than that."""
_MOST_HELD_RECORDS = 20_000
"""Samples kept in memory while the database takes none: hours of them, in some megabytes."""
_MOST_HELD_CHARACTERS = 16 << 20
"""The text in them: paths and command lines of 4 KiB would take five times as much otherwise."""


@dataclass(eq=False)
class Waiting:
    """A batch on its way, or another piece of work for the writer's connection."""

    work: Callable[[sqlite3.Cursor], Any]
    size: int
    tables: frozenset[str]
    is_burst: bool = False
    done: Deferred[Any] = field(default_factory=Deferred)
    given: Sequence[Record] = ()
    """The records that it stores."""
    records: int = 0
    characters: int = 0
    """How much text is in them."""
    stored: list[Any] = field(default_factory=list)
    """What its inserts gave when they were done last."""
    in_transaction: bool = True
    makes_room: bool = False
    joins: bool = False
    """It needs no transaction of its own: what waits is done in the same, after it."""
    may_be_held: bool = False
    may_wait: bool = False
    held: bool = False
    """Nobody waits for it any more: it is kept until the database takes writes again."""
    came_at: float = 0.0
    began_at: float = 0.0
    """When its transaction began, if it is the first in it."""

    def told(self, now: float, state: QueuedState) -> Queued:
        """Tell of it."""
        return Queued(state, self.tables, self.records, now - self.came_at)

    @property
    def goes_first(self) -> bool:
        """Whether it goes before all that waits."""
        return self.makes_room or self.joins


QueuedState = Literal["committing", "waiting", "held"]


@dataclass(frozen=True)
class Queued:
    """What the writer has to do, as who debugs sees it."""

    state: QueuedState
    tables: frozenset[str]
    records: int
    waited_seconds: float


class Queue:
    """Batches and other work in the order in which they came, but for what makes room."""

    def __init__(self, taken: Callable[[Sequence[Record]], None]) -> None:
        """``taken`` is called with the records of each batch that is held from now on."""
        self._ones: deque[Waiting] = deque()
        self._taken = taken
        self.held_records = 0
        """Samples that are kept in memory, since the database takes no writes."""
        self._held_characters = 0

    def __len__(self) -> int:
        return len(self._ones)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._ones)

    @property
    def first(self) -> Waiting:
        """What goes next."""
        return self._ones[0]

    def add(self, one: Waiting) -> None:
        """Have one wait for its turn."""
        if one.goes_first:
            self._ones.appendleft(one)
        else:
            self._ones.append(one)

    def put_back(self, group: Iterable[Waiting]) -> None:
        """Have those that were taken wait again, before all others."""
        self._ones.extendleft(reversed([*group]))

    def put_back_behind_deletions(self, group: Iterable[Waiting]) -> None:
        """The same, but that what makes room and came meanwhile goes before them.

        It may be what they wait for.
        """
        waiting = (*group, *self._ones)
        self._ones = deque(sorted(waiting, key=lambda one: not one.goes_first))

    def take(self, *, failing: bool) -> list[Waiting]:
        """Take what goes into the next transaction, up to the bound."""
        group: list[Waiting] = []
        size = 0
        while self._ones and _may_go_with(group, size, self._ones[0], failing=failing):
            one = self._ones.popleft()
            size += 0 if one.joins else one.size
            group.append(one)
        return group

    def take_all(self) -> list[Waiting]:
        """Take everything."""
        group = [*self._ones]
        self._ones.clear()
        return group

    def hold(self, batches: Iterable[Waiting]) -> int:
        """Let nobody wait for these batches of samples; give how many samples were given up.

        Beyond the bound the oldest go; but a batch that alone is beyond it goes itself: it would
        push out all others first.
        """
        fresh = [one for one in batches if one.may_be_held and not one.held]
        dropped = 0
        for one in fresh:
            one.held = True
            if one.records > _MOST_HELD_RECORDS or one.characters > _MOST_HELD_CHARACTERS:
                self._ones.remove(one)
                dropped += one.records
                continue
            self.held_records += one.records
            self._held_characters += one.characters
        while (
            self.held_records > _MOST_HELD_RECORDS or self._held_characters > _MOST_HELD_CHARACTERS
        ):
            oldest = next((one for one in self._ones if one.held), None)
            if oldest is None:
                break
            self._ones.remove(oldest)
            self.let_go(oldest)
            dropped += oldest.records
        for one in fresh:
            self._taken(one.given)
            one.done.callback(None)
        return dropped

    def let_go(self, one: Waiting) -> None:
        """Keep no longer what was held."""
        self.held_records -= one.records
        self._held_characters -= one.characters


def _may_go_with(group: Sequence[Waiting], size: int, one: Waiting, *, failing: bool) -> bool:
    """Whether a transaction of so many records has room for one more.

    While commits fail nothing joins: a deletion alone may succeed, and make room for the rest.
    """
    if not group:
        return True
    if not (group[-1].in_transaction and one.in_transaction):
        return False
    if failing and any(waiting.joins for waiting in (*group, one)):
        return False
    return size + (0 if one.joins else one.size) <= MOST_RECORDS
