"""What is not there yet, and can be taken a part of all the same: ``memory()[:2]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable


class Later(Deferred[Any]):
    """A table that is being made; ``[...]`` gives what will be that part of it."""

    @classmethod
    def of(cls, found: Deferred[Any]) -> Later:
        """Give what fires as ``found`` does."""
        later = cls()
        found.addBoth(passed_to(later))
        return later

    def __getitem__(self, place: Any) -> Later:
        part = Later.of(self)
        part.addCallback(lambda table: table[place])
        return part

    def __iter__(self) -> NoReturn:
        raise TypeError("it is not there yet: when it is shown, _ has it")

    __len__ = __iter__


def passed_to(waiting: Deferred[Any]) -> Callable[[Any], Any]:
    """Give a callback that fires ``waiting`` too; an error goes to it alone."""

    def tell(result: Any) -> Any:
        if not waiting.called:
            waiting.callback(result)  # with a Failure it fails
        return None if isinstance(result, Failure) else result

    return tell
