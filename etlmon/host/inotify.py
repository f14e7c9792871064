"""Hears of changes in directories, by inotify(7) where that works.

A change that is heard is a hint to look, never more: whoever is hinted looks for himself, and looks
every few seconds in any case. inotify tells nothing of what another host does on a network file
system, and the kernel's limits may allow no more watches.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

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
    IN_MOVED_TO,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
)
from twisted.logger import Logger
from twisted.python.filepath import FilePath

from etlmon.host.mounts import covering, read_own_mounts, resolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path
    from typing import TypeVar

    from etlmon.host.mounts import Mount

    T = TypeVar("T")

_CHANGES = IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED
_MASK = _CHANGES | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
_HEADER = struct.Struct("=iIII")
# So often at most is anybody hinted. It is a little longer than the store lets pass between two
# commits (20 ms): what is read at a hint need not wait for its commit, and is as new as it can be.
_REST_SECONDS = 0.024
# To look that often at a log that is always written to takes a twelfth of a core. Where nobody
# waits, so often at most is anybody hinted that files were written to. It must not be so for names:
# who looks too late finds neither the file that came nor the one that has gone.
_LEISURE_SECONDS = 0.2
_READ_BYTES = 1 << 16
# What others change under these is not told here (and so for all file systems of a server or of
# a process, see Mount.may_hang).
_NO_EVENTS = frozenset({"proc", "sysfs"})


class INotify(inotify.INotify):
    """Twisted's, with three holes mended.

    There the end of one watched directory ended all watches, an exception in a callback did the
    same, and nobody was told when the kernel's queue had overflowed. Here ``overflowed`` is called
    then, a directory that ends takes only its own watch along, and an exception is logged. Events
    are read every 24 ms at most, by a timer while they come: a log that is written to a thousand
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


def are_armed(watches: Iterable[Watch], mounts: Sequence[Mount]) -> bool:
    """Tell whether ``DirectoryWatches.arm`` would change nothing; for a thread."""
    return all(
        found.mode == watch.mode if found.identity is None else found.identity == watch.identity
        for watch in watches
        for found in (_look(watch.directory, mounts),)
    )


class InThread(Protocol):
    """Runs a blocking function in a thread."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """Give what ``function`` returns, or raise what it raises."""


@dataclass(eq=False)
class Watch:
    """What somebody hears of one directory."""

    directory: bytes
    """As it was asked for; links are followed."""
    heard: Callable[[], None]
    mode: str = "poll (not yet looked)"
    """``inotify``, or ``poll`` with the reason in brackets why changes are not heard of."""
    heeds: Callable[[bytes], bool] | None = None
    """Tells by its name whether it matters that a file is written to; None: whatever it is."""
    came: Callable[[bytes], None] | None = None
    """Told each name that a file is given, be it made or renamed; before ``heard`` is called."""
    identity: tuple[int, int] | None = None
    """The directory that is watched; None while none is."""


@dataclass
class _Shared:
    """A watch of the kernel, for all who asked for its directory."""

    number: int
    watches: list[Watch] = field(default_factory=list)


class DirectoryWatches:
    """All directories of which somebody wants to hear, in one inotify instance.

    ``watch`` gives a Watch whose mode is ``poll`` first. ``arm`` makes it hear, and is called again
    at every look, since directories come, go and change places: it costs one stat while all is
    well. ``heard`` is called in the reactor's thread, at least once after something has changed.
    ``hurries`` says whether somebody waits for what is new: then it is called at once, else within
    200 ms where files are written to again and again. Of names it is called at once in any case.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        in_thread: InThread,
        proc: Path,
        hurries: Callable[[], bool] = lambda: True,
    ) -> None:
        self._hurries = hurries
        self._reactor = reactor
        self._in_thread = in_thread
        self._proc = proc
        self._inotify: INotify | None = None
        self._limit: str | None = None
        self._shared: dict[tuple[int, int], _Shared] = {}
        self._watches: list[Watch] = []
        self._written: dict[Watch, None] = {}
        """Those who are still to be hinted that files were written to."""
        self._at_leisure: Any = None
        self._hinted_at = float("-inf")
        self.overflows = 0
        """How often the kernel's queue has overflowed; everybody was hinted then."""

    def watch(
        self,
        directory: bytes,
        heard: Callable[[], None],
        heeds: Callable[[bytes], bool] | None = None,
        came: Callable[[bytes], None] | None = None,
    ) -> Watch:
        """Begin to hear of a directory, once ``arm`` has been called.

        Files that come, go or change names are always heard of, writing to them if ``heeds`` says
        so of their names. ``came`` is told each name that a file is given.
        """
        watch = Watch(directory, heard, heeds=heeds, came=came)
        self._watches.append(watch)
        return watch

    def end(self, watch: Watch) -> None:
        """Hear of a directory no more; nothing if that is so already."""
        if watch in self._watches:
            self._watches.remove(watch)
            self._written.pop(watch, None)
            self._disarm(watch, "ended")
        if not self._watches:
            self._close()

    async def arm(self, *watches: Watch) -> None:
        """Look at directories, and watch those that are others than before, or were not there.

        What changed before this returns may not be heard of: look after it.
        """
        if watches:
            all_found = await self._in_thread(lambda: self._look_at(watches))
            for watch, found in zip(watches, all_found, strict=True):
                await self._arm(watch, found)

    async def _arm(self, watch: Watch, found: _Found) -> None:
        if watch not in self._watches:
            return
        if watch.identity is not None and watch.identity == found.identity:
            return
        self._disarm(watch, found.mode)
        if found.identity is None:
            return
        shared = self._shared.get(found.identity)
        if shared is not None:
            self._join(watch, found.identity, shared)
            return
        kernel = self._open()
        if kernel is None:
            watch.mode = "poll (limit)"
            return
        number = await self._in_thread(lambda: kernel.add(watch.directory))
        if watch not in self._watches or self._inotify is not kernel:
            return
        if number is None:
            self._refused(watch, found.readable)
            return
        shared = self._shared.get(found.identity)
        if shared is None or shared.number != number:
            shared = self._shared[found.identity] = _Shared(number)
            identity = found.identity
            kernel.hear(
                number,
                watch.directory,
                lambda name, mask: self._heard(identity, number, name, mask),
            )
        self._join(watch, found.identity, shared)

    def _join(self, watch: Watch, identity: tuple[int, int], shared: _Shared) -> None:
        shared.watches.append(watch)
        watch.identity = identity
        watch.mode = "inotify"

    def _refused(self, watch: Watch, readable: bool) -> None:
        if not readable:
            watch.mode = "poll (permission)"
            return
        watch.mode = "poll (limit)"
        self._tell_limit("fs.inotify.max_user_watches")

    def _tell_limit(self, setting: str) -> None:
        if self._limit != setting:
            self._limit = setting
            self.log.warn(
                "The kernel's limit {setting} is reached: some logs are looked at every few "
                "seconds instead of at once; raise it by sysctl.",
                setting=setting,
            )

    def _open(self) -> INotify | None:
        if self._inotify is None:
            try:
                self._inotify = INotify(self._reactor, self._overflow)
            except (inotify.INotifyError, OSError):
                self._tell_limit("fs.inotify.max_user_instances")
                return None
            self._inotify.startReading()
        return self._inotify

    def _close(self) -> None:
        if self._at_leisure is not None:
            self._at_leisure.cancel()
            self._at_leisure = None
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._shared.clear()

    def _disarm(self, watch: Watch, mode: str) -> None:
        watch.mode = mode
        identity, watch.identity = watch.identity, None
        if identity is None:
            return
        shared = self._shared.get(identity)
        if shared is None or watch not in shared.watches:
            return
        shared.watches.remove(watch)
        if not shared.watches:
            del self._shared[identity]
            if self._inotify is not None:
                self._inotify.drop(shared.number)

    def _heard(self, identity: tuple[int, int], number: int, name: bytes, mask: int) -> None:
        shared = self._shared.get(identity)
        if shared is None or shared.number != number:
            return
        watches = list(shared.watches)
        if mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF):
            for watch in watches:
                self._disarm(watch, "poll (no directory)")
        elif mask == IN_MODIFY:
            watches = [one for one in watches if one.heeds is None or one.heeds(name)]
            if watches and not self._hurries():
                self._written.update(dict.fromkeys(watches))
                self._hint_at_leisure()
                return
        if mask & (IN_CREATE | IN_MOVED_TO):
            for watch in watches:
                if watch.came is not None:
                    watch.came(name)
        self._hint(watches)

    def _overflow(self) -> None:
        self.overflows += 1
        self._hint(list(self._watches))

    def _hint_at_leisure(self) -> None:
        if self._at_leisure is not None:
            return
        wait = self._hinted_at + _LEISURE_SECONDS - self._reactor.seconds()
        if wait > 0:
            self._at_leisure = self._reactor.callLater(wait, self._hint_written)
        else:
            self._hint_written()

    def _hint_written(self) -> None:
        self._at_leisure = None
        self._hinted_at = self._reactor.seconds()
        written, self._written = list(self._written), {}
        self._hint(written)

    def _hint(self, watches: list[Watch]) -> None:
        for watch in watches:
            try:
                watch.heard()
            except Exception:
                self.log.failure("What hears of {directory} failed.", directory=watch.directory)

    def _look_at(self, watches: Sequence[Watch]) -> list[_Found]:
        try:
            mounts = read_own_mounts(self._proc)
        except OSError:
            mounts = ()
        return [_look(watch.directory, mounts) for watch in watches]


@dataclass(frozen=True)
class _Found:
    """What a look at a directory has shown; no identity where it cannot be watched."""

    identity: tuple[int, int] | None
    mode: str
    readable: bool = True


def _look(directory: bytes, mounts: Sequence[Mount]) -> _Found:
    """Find out which directory it is and whether its changes can be heard of; in a thread."""
    own = covering(mounts, resolve(mounts, directory))
    if own is not None and (own.may_hang or own.fs_type in _NO_EVENTS):
        return _Found(None, f"poll ({own.fs_type})")
    try:
        status = os.stat(directory)
    except OSError as error:
        refused = isinstance(error, PermissionError)
        return _Found(None, f"poll ({'permission' if refused else 'no directory'})")
    if not stat.S_ISDIR(status.st_mode):
        return _Found(None, "poll (no directory)")
    return _Found((status.st_dev, status.st_ino), "poll", os.access(directory, os.R_OK))
