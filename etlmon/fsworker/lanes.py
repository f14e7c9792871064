"""Requests, and the lanes in which they wait for a child."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall

    from etlmon.fsworker.child import Child
    from etlmon.fsworker.shared import SharedScan

# A worker ends a walk itself at its timeout and still gives its counts; beyond this it is killed.
GRACE_SECONDS = 1.0

_Group = tuple[str, frozenset[str]]


@define(eq=False)
class Request:
    """A request on its way: waiting in a lane, or with a child."""

    lane: Lane
    content: Callable[[Child, float], dict[str, Any]]
    """Gives what is asked, once it is known which child begins it, and the reactor's time then."""
    mount_point: str
    told_as: str
    """What it is, for people."""
    told_seconds: float
    """The time that it has, as the caller gave it."""
    limit_seconds: Callable[[float], float]
    """Gives, for the reactor's time at its beginning, how long until its end by force."""
    exclusive: frozenset[str]
    """No other request with one of these words is under way at the same time."""
    read_answer: Callable[[Any], Any]
    """Turns the content of an answer into what the caller gets; raises Malformed."""
    result: Deferred[Any]
    silence_seconds: float | None = None
    """How long its child may say nothing; None: until the end by force."""
    on_progress: Callable[[Any], None] | None = None
    """Takes the content of a progress line; raises Malformed."""
    scan: SharedScan | None = None
    """The scan that it does, or does ``parts`` of."""
    parts: list[str] = field(factory=list)
    held_timer: IDelayedCall | None = None
    began_at: float = 0.0
    asked_to_share: bool = False

    @property
    def group(self) -> _Group:
        """What decides whether it may begin: the same for all of one group."""
        return self.mount_point, self.exclusive


class Queue:
    """Requests that wait, first come first served.

    Those of one group are held or free together, so only the first of each is ever looked at: a
    thousand paths on a mount that hangs cost as much as one.
    """

    def __init__(self) -> None:
        self._groups: dict[_Group, OrderedDict[Request, int]] = {}
        self._next = count()
        self._before = count(-1, -1)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def __iter__(self) -> Iterator[Request]:
        """Give all that wait, in no order."""
        return (request for group in list(self._groups.values()) for request in list(group))

    def __contains__(self, request: Request) -> bool:
        return request in self._groups.get(request.group, ())

    def append(self, request: Request) -> None:
        """Let a request wait behind all others."""
        self._groups.setdefault(request.group, OrderedDict())[request] = next(self._next)

    def prepend(self, request: Request) -> None:
        """Let a request wait before all others."""
        group = self._groups.setdefault(request.group, OrderedDict())
        group[request] = next(self._before)
        group.move_to_end(request, last=False)

    def remove(self, request: Request) -> None:
        """Take a request out."""
        group = self._groups[request.group]
        del group[request]
        if not group:
            del self._groups[request.group]

    def first_of_each(self) -> list[Request]:
        """Give the first of each group, in the order in which they wait."""
        firsts = [next(iter(group.items())) for group in self._groups.values()]
        return [request for request, _ in sorted(firsts, key=lambda first: first[1])]

    def on_mount(self, mount_point: str) -> list[Request]:
        """Give those that are for this mount."""
        groups = [group for (mount, _), group in self._groups.items() if mount == mount_point]
        return [request for group in groups for request in group]


@define(eq=False)
class Lane:
    """Requests of one kind, and how many children there are for them; ``limits`` are for these."""

    limit: int
    limits: Mapping[str, object]
    waiting: Queue = field(factory=Queue)


@frozen
class LaneState:
    """What is going on in a lane."""

    name: str
    limit: int
    """How many children there may be; those that hang in the kernel come on top."""
    processes: int
    busy: int
    waiting: int
    """Requests that wait for a child."""
