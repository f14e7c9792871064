"""Which reads and commits took longest: a few of them are remembered, for who debugs."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 20
_MOST_CHARACTERS = 300


@dataclass(frozen=True)
class SlowWork:
    """The slowest run of one kind of work on the database."""

    kind: Literal["read", "commit"]
    what: str
    """Where in the program a read is asked for; the tables of a commit."""
    seconds: float
    waited_seconds: float
    """How long it waited for a connection before that."""
    at: float
    """When it ended, seconds since the epoch."""
    detail: str
    """The SQL of a read, cut; how much a commit held."""


class Slowest:
    """Remembers the 20 slowest kinds of work, each at its slowest. Any thread may note."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._found: dict[tuple[str, str], SlowWork] = {}
        self._lock = Lock()

    def note(
        self,
        kind: Literal["read", "commit"],
        what: str,
        seconds: float,
        *,
        waited_seconds: float = 0.0,
        detail: str = "",
    ) -> None:
        """Remember work that has ended, if it is among the slowest."""
        key = (kind, what)
        with self._lock:
            before = self._found.get(key)
            if before is not None and before.seconds >= seconds:
                return
            if before is None and len(self._found) >= _MOST:
                fastest = min(self._found, key=lambda one: self._found[one].seconds)
                if self._found[fastest].seconds >= seconds:
                    return
                del self._found[fastest]
            self._found[key] = SlowWork(
                kind, what, seconds, waited_seconds, self._wall_clock(), detail[:_MOST_CHARACTERS]
            )

    def worst_first(self) -> list[SlowWork]:
        """Give what is remembered, the slowest first."""
        with self._lock:
            return sorted(self._found.values(), key=lambda one: -one.seconds)


def place_of(work: Any) -> str:
    """Say where a function is written: its module, its name and its line."""
    while hasattr(work, "func"):  # a partial
        work = work.func
    code = getattr(work, "__code__", None)
    line = f":{code.co_firstlineno}" if code is not None else ""
    module = str(getattr(work, "__module__", "?")).removeprefix("etlmon.")
    return f"{module}{line} {getattr(work, '__qualname__', type(work).__name__)}"
