"""Threads for what blocks: like Twisted's pool, at a lower cost of each call.

Where somebody listens to a log, a call goes to a thread and back forty times a second. To hand one
over costs a third of what it does with Twisted's pool, and the whole way a fifth less. That brings
the context of logging along, and grows, shrinks and is looked into while it works; none of that is
needed here.
"""

from __future__ import annotations

import time
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    _Told = Callable[[bool, Any], object]
    _Call = tuple[_Told, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Threads:
    """Up to ``most`` threads, each begun when none is idle; further calls wait for their turn.

    It has of ``twisted.python.threadpool.ThreadPool`` what ``deferToThreadPool`` and adbapi use.
    A call that never returns does not keep the process from ending.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._lock = Lock()
        self._idle = 0
        """Threads that wait for a call; negative, how many calls wait for a thread."""

    def start(self) -> None:
        """Begin a thread, if there is none: where the system has no more, calls have that one.

        Raises RuntimeError where it has not even that.
        """
        with self._lock:
            if not self._threads:
                self._begin()

    def callInThreadWithCallback(
        self, told: _Told, function: Callable[..., Any], *args: Any, **named: Any
    ) -> None:
        """Call a function in a thread, then ``told`` in the same one.

        It is told whether the function returned, and what; or the Failure that it raised. Raises
        RuntimeError where the system has no more threads, and there is none.
        """
        with self._lock:
            if self._idle < 1 and len(self._threads) < self._most:
                try:
                    self._begin()
                except RuntimeError:
                    if not self._threads:
                        raise
            self._idle -= 1
            self._calls.put((told, function, args, named))

    def _begin(self) -> None:
        name = f"{self._name} {len(self._threads) + 1}"
        thread = Thread(target=self._run, args=(self._calls,), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)
        self._idle += 1

    def end(self) -> list[Thread]:
        """Let the threads end when all calls are done that wait; gives them.

        Calls that come later begin others.
        """
        with self._lock:
            ending, self._threads, self._idle = self._threads, [], 0
            calls, self._calls = self._calls, SimpleQueue()
        for _ in ending:
            calls.put(None)
        return ending

    def stop(self, seconds: float | None = None) -> None:
        """Do the same, and wait for that; for so long at most, where it is said."""
        give_up_at = time.monotonic() + (seconds or 0.0)
        for thread in self.end():
            thread.join(None if seconds is None else max(0.0, give_up_at - time.monotonic()))

    def _run(self, calls: SimpleQueue[_Call | None]) -> None:
        while (call := calls.get()) is not None:
            told, function, args, named = call
            try:
                is_good, result = True, function(*args, **named)
            except BaseException:
                is_good, result = False, Failure()
            del call, function, args, named  # while it waits it keeps nothing alive
            told(is_good, result)
            del told, result
            with self._lock:
                self._idle += calls is self._calls
