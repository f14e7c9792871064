"""Keeps the tokens of the file at hand, and looks every two seconds whether it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from etlmon.control import tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from etlmon.control.callers import Role
    from etlmon.control.tokens import Token

_EVERY_SECONDS = 2.0

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
        self.path = path
        self.trouble: str | None = None
        self._in_thread = in_thread
        self._looking = DeferredLock()
        self._tokens: tuple[Token, ...] = ()
        self._stamp: Stamp = None

    @property
    def count(self) -> int:
        """How many tokens there are."""
        return len(self._tokens)

    def startService(self) -> None:
        """Read the file, synchronously: raises TokensError if it is wrong."""
        self._stamp = _stamp(self.path)
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
        stamp, found, trouble = await self._in_thread(self._read_if_changed)
        if stamp == self._stamp:
            return
        self._stamp, self._tokens = stamp, found
        if trouble is not None:
            if trouble != self.trouble:
                self.log.error(
                    "auth.tokens_file: {why}. Nobody is let in until that is mended.", why=trouble
                )
        else:
            self.log.info("auth.tokens_file: {n} tokens.", n=len(found))
        self.trouble = trouble

    def _read_if_changed(self) -> tuple[Stamp, tuple[Token, ...], str | None]:
        stamp = _stamp(self.path)  # before reading: what changes meanwhile is seen the next time
        if stamp == self._stamp:
            return stamp, (), None
        try:
            return stamp, tokens.read(self.path), None
        except tokens.TokensError as error:
            return stamp, (), str(error)


def _stamp(path: Path) -> Stamp:
    """Give what changes with the file, its owner and its mode, and with its directory's."""
    try:
        found = path.lstat()
        around = path.absolute().parent.stat()
    except OSError as error:
        return (error.errno or -1,)
    return (
        *(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns),
        *(around.st_mode, around.st_uid),
    )
