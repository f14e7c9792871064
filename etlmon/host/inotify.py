"""An instance of inotify(7) as the kernel has it: what it tells of directories is read here."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

from twisted.internet import inotify
from twisted.internet.inotify import (
    IN_ATTRIB,
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_IGNORED,
    IN_MODIFY,
    IN_MOVE_SELF,
    IN_MOVED,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
)
from twisted.logger import Logger
from twisted.python.filepath import FilePath

if TYPE_CHECKING:
    from collections.abc import Callable

_CHANGES = IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED
_MASK = _CHANGES | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
_HEADER = struct.Struct("=iIII")
# So often at most is anybody hinted. It is a little longer than the store lets pass between two
# commits (20 ms): what is read at a hint need not wait for its commit, and is as new as it can be.
_REST_SECONDS = 0.025
_READ_BYTES = 1 << 16


class INotify(inotify.INotify):
    """Twisted's, with three holes mended.

    There the end of one watched directory ended all watches, an exception in a callback did the
    same, and nobody was told when the kernel's queue had overflowed. Here ``overflowed`` is called
    then, a directory that ends takes only its own watch along, and an exception is logged. Events
    are read every 25 ms at most, by a timer while they come: a log that is written to a thousand
    times a second wakes nobody more often.
    """

    log = Logger()

    def __init__(self, reactor: Any, overflowed: Callable[[], None]) -> None:
        super().__init__(reactor)
        self._clock: Any = reactor
        self._overflowed = overflowed
        self._resting: Any = None

    def add(self, directory: bytes) -> int | None:
        """Watch a directory and give the number of the watch; None where the kernel refuses.

        Blocks no longer than a look at the directory does, and may be called in a thread; events
        are heard only once the number has been given to ``hear``.
        """
        try:
            return int(self._inotify.add(self._fd, FilePath(directory), _MASK))
        except inotify.INotifyError:
            return None

    def hear(self, number: int, directory: bytes, callback: Callable[[bytes, int], None]) -> None:
        """Call ``callback`` with the name and the mask of each event of a watch."""
        watch = inotify._Watch(FilePath(directory), _MASK, False, [callback])
        self._watchpoints[number] = watch
        self._watchpaths[watch.path] = number

    def drop(self, number: int) -> None:
        """Watch no more; nothing if that is so already."""
        watch = self._watchpoints.pop(number, None)
        if watch is not None:
            self._forget(number, watch)
            # The kernel may have dropped it a moment ago; its IN_IGNORED is still to be read.
            self._inotify.remove(self._fd, number)

    def _forget(self, number: int, watch: Any) -> None:
        if self._watchpaths.get(watch.path) == number:
            del self._watchpaths[watch.path]

    def doRead(self) -> None:
        """Read what the kernel has to tell, then rest: it joins what is equal meanwhile."""
        self.stopReading()
        self._read_on()

    def _read_on(self) -> None:
        """Read, and again after a rest; once there is nothing the reactor tells when to go on."""
        self._resting = None
        try:
            data = os.read(self._fd, _READ_BYTES)
        except InterruptedError:
            data = b""
        except BlockingIOError:
            self.startReading()
            return
        self._resting = self._clock.callLater(_REST_SECONDS, self._read_on)
        self._doRead(data)

    def close(self) -> None:
        """Hear of nothing any more."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        self.stopReading()
        self.loseConnection()

    def _doRead(self, in_: bytes) -> None:
        self._buffer += in_
        buffer, at = self._buffer, 0
        while len(buffer) - at >= _HEADER.size:
            number, mask, _cookie, size = _HEADER.unpack_from(buffer, at)
            if len(buffer) - at < _HEADER.size + size:
                break
            name = buffer[at + _HEADER.size : at + _HEADER.size + size].rstrip(b"\0")
            at += _HEADER.size + size
            if mask & IN_Q_OVERFLOW:
                self._guard(self._overflowed)
                continue
            watch = self._watchpoints.get(number)
            if watch is None:
                continue
            if mask & IN_IGNORED:  # the kernel has dropped this watch, and no other
                del self._watchpoints[number]
                self._forget(number, watch)
            for callback in watch.callbacks:
                self._guard(callback, name, mask)
        self._buffer = buffer[at:]

    def _guard(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:
            self.log.failure("What hears of changes in directories failed.")
