"""Keeps the tokens of the file at hand, and looks every two seconds whether it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from etlmon.control import tokens
from etlmon.host.owners import way_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from etlmon.control.callers import Role
    from etlmon.control.tokens import Token

_EVERY_SECONDS = 2.0
_SETTLED_SECONDS = 1.0

Stamp = tuple[int, ...] | None


class AdmissionService(TimerService):
    """The tokens that are let in: a token that is removed is out after two seconds.

    A file that has become wrong lets nobody in until it is right again: better nobody than whoever
    has had a hand in it. ``trouble`` then says what is wrong, and the log says it once.
    """

    name = "admission"
    log = Logger()

    def __init__(
        self, path: Path, clock: Any, in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]
    ) -> None:
        super().__init__(_EVERY_SECONDS, self._tick)
        self.clock = clock
        self._seconds = clock.seconds
        self.path = path
        self.trouble: str | None = None
        self._in_thread = in_thread
        self._looking = DeferredLock()
        self._tokens: tuple[Token, ...] = ()
        self._stamp: Stamp = None
        self._stamped_at = 0.0
        self._is_settled = False
        """Whether it has been read once more, when any later change would give it another stamp."""

    @property
    def count(self) -> int:
        """How many tokens there are."""
        return len(self._tokens)

    def startService(self) -> None:
        """Read the file, synchronously: raises TokensError if it is wrong."""
        self._stamp = _stamp(self.path)
        self._stamped_at, self._is_settled = self._seconds(), False
        self._tokens = tokens.read(self.path)
        self.trouble = None
        super().startService()

    def find(self, token: str) -> tuple[str, Role] | None:
        """Give the name and the role of a token, None for one that is not known."""
        found = tokens.find(self._tokens, token)
        return None if found is None else (found.name, found.role)

    def look(self) -> Deferred[None]:
        """Read the file if it has changed; fires when that is done. It never fails."""
        return self._looking.run(lambda: Deferred.fromCoroutine(self._look())).addErrback(
            lambda failure: self.log.failure("The tokens could not be looked at.", failure)
        )

    def _tick(self) -> None:
        if not self._looking.locked:
            self.look()

    async def _look(self) -> None:
        began = self._seconds()
        stamp, read = await self._in_thread(self._read_if_changed)
        if read is None:
            return
        found, trouble = read
        is_news = stamp != self._stamp or found != self._tokens
        if stamp != self._stamp:
            self._stamped_at, self._is_settled = began, False
        else:
            self._is_settled = began - self._stamped_at >= _SETTLED_SECONDS
        self._stamp, self._tokens = stamp, found
        if trouble is not None:
            if trouble != self.trouble:
                self.log.error(
                    "auth.tokens_file: {why}. Nobody is let in until that is mended.", why=trouble
                )
        elif is_news:
            self.log.info("auth.tokens_file: {n} tokens.", n=len(found))
        self.trouble = trouble

    def _read_if_changed(self) -> tuple[Stamp, tuple[tuple[Token, ...], str | None] | None]:
        """Give the stamp, and the tokens and what is wrong; None if they are as before.

        Kernels before 6.13 give all changes within some milliseconds the same times: what has
        changed is read again a little later.
        """
        stamp = _stamp(self.path)  # before reading: what changes meanwhile is seen the next time
        if stamp == self._stamp and self._is_settled:
            return stamp, None
        try:
            return stamp, (tokens.read(self.path), None)
        except tokens.TokensError as error:
            return stamp, ((), str(error))


def _stamp(path: Path) -> Stamp:
    """Give what changes with the file, or with the owners and modes of what is on the way to it."""
    try:
        found = path.lstat()
        around = [each for _, one in way_to(path.parent) for each in (one.st_mode, one.st_uid)]
    except OSError as error:
        return (error.errno or -1,)
    return (
        *(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns),
        *around,
    )
