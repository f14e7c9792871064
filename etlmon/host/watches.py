"""Hears of changes in directories, by inotify(7) where that works.

A change that is heard is a hint to look, never more: whoever is hinted looks for himself, and looks
every few seconds in any case. inotify tells nothing of what another host does on a network file
system, and the kernel's limits may allow no more watches.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.inotify import (
    IN_CREATE,
    IN_DELETE_SELF,
    IN_IGNORED,
    IN_MODIFY,
    IN_MOVE_SELF,
    IN_MOVED_TO,
    INotifyError,
)
from twisted.logger import Logger

from etlmon.host.inotify import INotify
from etlmon.host.mounts import covering, read_own_mounts, resolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path
    from typing import TypeVar

    from etlmon.host.mounts import Mount

    T = TypeVar("T")

# To look at a log as often as it is heard of takes a twelfth of a core where it is always written
# to. Where nobody waits, so often at most is anybody hinted that files were written to. It must not
# be so for names: who looks too late finds neither the file that came nor the one that has gone.
_LEISURE_SECONDS = 0.2
# What others change under these is not told here (and so for all file systems of a server or of
# a process, see Mount.may_hang).
_NO_EVENTS = frozenset({"proc", "sysfs"})


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
            except (INotifyError, OSError):
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
