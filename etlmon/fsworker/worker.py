"""The child: does what may hang or burn CPU, one request after the other.

It is run as a program, never imported by the parent, and uses the standard library only::

    python -I -S -E -X utf8 worker.py [NICE]

**Wire format.** One JSON object a line, requests on standard input, answers on standard output,
ASCII only. Names and paths are text by ``surrogateescape``, so every byte of them survives. A
request has an ``id`` and an ``op``; every line of its answer repeats the ``id``::

    {"id": 1, "op": "statvfs", "path": "/data"}
    {"id": 1, "answer": {"blocks": .., "bfree": .., "bavail": .., "frsize": .., "files": ..,
                         "ffree": .., "read_only": false, "st_dev": ..}}

    {"id": 2, "op": "scan", "path": "/data", "max_depth": null, "exclude": null,
     "max_files": null, "timeout_seconds": 600.0, "skip": ["mnt/nfs"]}
    {"id": 2, "progress": {"files": .., "dirs": .., "others": .., "listed": .., "directory": ".."}}
    {"id": 2, "answer": {"files": .., "dirs": .., "others": .., "listed": ..,
                         "skipped_mounts": .., "newest_mtime_ns": .. or null,
                         "stopped": null or "timeout" or "max_files",
                         "troubles": [{"kind": "EACCES", "count": 3, "example": "a/b"}],
                         "duration_seconds": ..}}

    {"id": 3, "error": {"errno": "ENOENT" or null, "text": "/data: No such file or directory"}}

Exactly one ``answer`` or ``error`` ends a request; ``progress`` lines come before it, a few a
second. ``exclude`` is the source of a regular expression that must match the whole path relative
to the scanned directory, with ``/`` at the end of directories; ``skip`` are relative paths of
directories that are counted and never opened. A request that makes no sense is an error answer.

**Its end.** Standard input at its end ends the worker. While it scans it does not read; then a
parent that died is noticed when the next progress line cannot be written. ^C is the parent's
business.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
import time
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    Progress = Callable[[dict[str, object]], None]
    T = TypeVar("T")

# Entries between two looks at the clock; also what is held of a directory at one time.
_CHUNK = 1024
_PROGRESS_SECONDS = 0.25
# Open directories on the way down; deeper trees close the upper ones and find them again.
_MAX_OPEN = 24
# What the kernel takes as one path, with its NUL.
_PATH_MAX = 4096
_MAX_SHOWN = 1000
_CLOSED = -1

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PASS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
# The directory was there when its parent was listed and is not any more, or is something else.
_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class RequestError(Exception):
    """The request cannot be served; its text goes into the error answer."""


class _Stopped(Exception):
    """The scan ends before its end; the text is the reason as the answer gives it."""


class _Level:
    """One directory on the way from the scanned one to where the scan is.

    ``fd`` is _CLOSED while the directory is; ``identity`` tells whether what is opened again
    under its path is still itself; ``pending`` are subdirectories still to be entered.
    """

    __slots__ = ("fd", "identity", "name", "pending")

    def __init__(self, name: str, fd: int, identity: tuple[int, int]) -> None:
        self.name = name
        self.fd = fd
        self.identity = identity
        self.pending: list[str] = []


class Scan:
    """Counts what is below one directory, as ``find -H DIR -xdev -mindepth 1`` sees it."""

    def __init__(
        self,
        path: str,
        *,
        max_depth: int | None = None,
        exclude: str | None = None,
        max_files: int | None = None,
        timeout_seconds: float | None = None,
        skip: Iterable[str] = (),
        on_progress: Progress | None = None,
    ) -> None:
        self._path = path
        self._max_depth = max_depth
        self._excluded = None if exclude is None else re.compile(exclude).fullmatch
        self._max_files = max_files
        self._skip = frozenset(skip)
        # Few directories share a name with one to be skipped: only theirs is worth a whole path.
        self._skip_names = frozenset(path.rpartition("/")[2] for path in self._skip)
        self._on_progress = on_progress
        self._began = time.monotonic()
        self._deadline = None if timeout_seconds is None else self._began + timeout_seconds
        self._next_look = self._began + _PROGRESS_SECONDS
        self._levels: list[_Level] = []
        self._on_the_way: set[tuple[int, int]] = set()
        self._files = self._dirs = self._others = self._listed = self._skipped_mounts = 0
        self._newest_mtime_ns: int | None = None
        self._troubles: dict[str, tuple[int, str]] = {}

    def run(self) -> dict[str, object]:
        """Scan and give the answer; raise OSError if the directory itself cannot be opened."""
        stopped = None
        fd = _open_directory(self._path, None, _OPEN)
        status = os.fstat(fd)
        self._device = status.st_dev
        self._push("", fd, status)
        try:
            self._list()
            while self._levels:
                pending = self._levels[-1].pending
                if pending:
                    # Here too, for a million directories that cannot be opened.
                    self._look()
                    self._enter(pending.pop())
                else:
                    self._pop()
        except _Stopped as reason:
            stopped = str(reason)
        finally:
            while self._levels:
                self._pop()
        return {
            "files": self._files,
            "dirs": self._dirs,
            "others": self._others,
            "listed": self._listed,
            "skipped_mounts": self._skipped_mounts,
            "newest_mtime_ns": self._newest_mtime_ns,
            "stopped": stopped,
            "troubles": [
                {"kind": kind, "count": count, "example": example}
                for kind, (count, example) in sorted(self._troubles.items())
            ],
            "duration_seconds": time.monotonic() - self._began,
        }

    def _enter(self, name: str) -> None:
        """Open and list one subdirectory of the deepest level."""
        if name in self._skip_names and self._relative(name) in self._skip:
            self._skipped_mounts += 1
            return
        try:
            parent = self._levels[-1]
            if parent.fd == _CLOSED:
                parent.fd = self._reopen()
            fd = _open_directory(name, parent.fd, _OPEN | os.O_NOFOLLOW)
        except OSError as error:
            self._failed(error, name)
            if self._levels[-1].fd == _CLOSED:
                # Its subdirectories cannot be reached any more: gone, or the trouble just noted.
                self._levels[-1].pending.clear()
            return
        status = os.fstat(fd)
        if status.st_dev != self._device:
            os.close(fd)
            self._skipped_mounts += 1
        elif (status.st_dev, status.st_ino) in self._on_the_way:
            # An upper directory bound below itself. find reports the loop and does not count it.
            os.close(fd)
            self._dirs -= 1
            self._trouble("ELOOP", name)
        else:
            self._push(name, fd, status)
            self._list()

    def _list(self) -> None:
        """Count the entries of the deepest level and note its subdirectories."""
        level = self._levels[-1]
        depth = len(self._levels)
        if self._max_depth is not None and depth > self._max_depth:
            return
        deeper = self._max_depth is None or depth < self._max_depth
        pending = level.pending
        self._listed += 1
        try:
            with os.scandir(level.fd) as entries:
                while True:
                    wanted = self._wanted()
                    chunk = list(islice(entries, wanted))
                    last = len(chunk) < wanted
                    if self._excluded is not None:
                        chunk = self._without_excluded(chunk, self._excluded)
                    # The type comes with the name: no stat of the file, except where the file
                    # system does not tell it. One call for an ordinary file is the hot path.
                    rest = [entry for entry in chunk if not entry.is_file(follow_symlinks=False)]
                    self._files += len(chunk) - len(rest)
                    for entry in rest:
                        if entry.is_dir(follow_symlinks=False):
                            self._dirs += 1
                            if deeper:
                                pending.append(entry.name)
                        else:
                            self._others += 1
                    self._look()
                    if last:
                        return
        except OSError as error:
            self._failed(error, "")

    def _without_excluded(
        self, entries: list[os.DirEntry[str]], excluded: Callable[[str], object]
    ) -> list[os.DirEntry[str]]:
        above = self._relative("")
        return [
            entry
            for entry in entries
            if not excluded(
                f"{above}{entry.name}/"
                if entry.is_dir(follow_symlinks=False)
                else above + entry.name
            )
        ]

    def _wanted(self) -> int:
        """Give how many entries to read: never more than one file beyond ``max_files``."""
        if self._max_files is None:
            return _CHUNK
        return min(_CHUNK, self._max_files - self._files + 1)

    def _look(self) -> None:
        """Stop if a limit is passed, and tell how far the scan is, both now and then."""
        if self._max_files is not None and self._files > self._max_files:
            self._files = self._max_files
            raise _Stopped("max_files")
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            raise _Stopped("timeout")
        if now >= self._next_look:
            self._next_look = now + _PROGRESS_SECONDS
            if self._on_progress is not None:
                self._on_progress(
                    {
                        "files": self._files,
                        "dirs": self._dirs,
                        "others": self._others,
                        "listed": self._listed,
                        "directory": _cut(self._relative("").rstrip("/")),
                    }
                )

    def _push(self, name: str, fd: int, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        self._levels.append(_Level(name, fd, identity))
        self._on_the_way.add(identity)
        if self._newest_mtime_ns is None or status.st_mtime_ns > self._newest_mtime_ns:
            self._newest_mtime_ns = status.st_mtime_ns
        self._close_upper()

    def _pop(self) -> None:
        level = self._levels.pop()
        self._on_the_way.discard(level.identity)
        if level.fd != _CLOSED:
            os.close(level.fd)

    def _close_upper(self) -> None:
        """Close the level that has just become too far up; the scanned one stays open."""
        index = len(self._levels) - 1 - _MAX_OPEN
        if index > 0:
            level = self._levels[index]
            if level.fd != _CLOSED:
                os.close(level.fd)
                level.fd = _CLOSED

    def _reopen(self) -> int:
        """Open the deepest level again, from the scanned directory down."""
        fd = os.dup(self._levels[0].fd)
        try:
            for part in _in_parts(level.name for level in self._levels[1:]):
                upper, fd = fd, os.open(part, _PASS, dir_fd=fd)
                os.close(upper)
            upper, fd = fd, _open_directory(".", fd, _OPEN)
            os.close(upper)
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != self._levels[-1].identity:
                raise FileNotFoundError(errno.ENOENT, "replaced while it was scanned")
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _failed(self, error: OSError, name: str) -> None:
        """Note what could not be read; what merely went away meanwhile is no trouble."""
        if error.errno not in _VANISHED:
            self._trouble(_errno_name(error) or "EIO", name)

    def _trouble(self, kind: str, name: str) -> None:
        count, example = self._troubles.get(kind, (0, ""))
        self._troubles[kind] = (count + 1, example or _cut(self._relative(name).rstrip("/")) or ".")

    def _relative(self, name: str) -> str:
        """Give the path of an entry of the deepest level, relative to the scanned directory."""
        return "/".join([*(level.name for level in self._levels[1:]), name])


def _open_directory(path: str, dir_fd: int | None, flags: int) -> int:
    """Open a directory, leaving its access time alone where that is allowed (its owner's right)."""
    try:
        return os.open(path, flags | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        return os.open(path, flags, dir_fd=dir_fd)


def _in_parts(names: Iterable[str]) -> Iterator[str]:
    """Join names to relative paths, each short enough for the kernel."""
    part: list[str] = []
    size = 0
    for name in names:
        length = len(os.fsencode(name)) + 1
        if size + length > _PATH_MAX:
            yield "/".join(part)
            part, size = [], 0
        part.append(name)
        size += length
    if part:
        yield "/".join(part)


def _cut(text: str) -> str:
    """Give a text as it is told to people: the end of a very long one, which tells most."""
    return text if len(text) <= _MAX_SHOWN else "..." + text[-_MAX_SHOWN:]


def _errno_name(error: OSError) -> str | None:
    return errno.errorcode.get(error.errno or 0)


def _field(request: dict[str, object], name: str, kind: type[T]) -> T:
    """Give a field of the request; raise RequestError if it is missing or of another type."""
    value = request.get(name)
    if type(value) is not kind:
        raise RequestError(f"bad request: {name} is {_cut(repr(value))}")
    return value


def _optional(request: dict[str, object], name: str, kind: type[T]) -> T | None:
    """Give a field of the request that may be null or missing."""
    return None if request.get(name) is None else _field(request, name, kind)


def _statvfs(request: dict[str, object], _: Progress) -> dict[str, object]:
    path = _field(request, "path", str)
    status = os.statvfs(path)
    return {
        "blocks": status.f_blocks,
        "bfree": status.f_bfree,
        "bavail": status.f_bavail,
        "frsize": status.f_frsize,
        "files": status.f_files,
        "ffree": status.f_ffree,
        "read_only": bool(status.f_flag & os.ST_RDONLY),
        "st_dev": os.stat(path).st_dev,
    }


def _scan(request: dict[str, object], on_progress: Progress) -> dict[str, object]:
    try:
        scan = Scan(
            _field(request, "path", str),
            max_depth=_optional(request, "max_depth", int),
            exclude=_optional(request, "exclude", str),
            max_files=_optional(request, "max_files", int),
            timeout_seconds=_optional(request, "timeout_seconds", float),
            skip=_optional(request, "skip", list) or (),
            on_progress=on_progress,
        )
    except re.error as error:
        raise RequestError(f"bad request: exclude: {error}") from error
    return scan.run()


_OPERATIONS = {"statvfs": _statvfs, "scan": _scan}


def _write(message: dict[str, object]) -> None:
    """Write one line to the parent; end the worker if the parent is gone."""
    line = memoryview(json.dumps(message).encode() + b"\n")
    try:
        while line:
            line = line[os.write(1, line) :]
    except BrokenPipeError:
        os._exit(0)


def serve(line: bytes) -> None:
    """Answer one line of a request, whatever it holds."""
    number: object = None
    path: object = None
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise RequestError("bad request: not an object")
        number, path = request.get("id"), request.get("path")
        name = request.get("op")
        operation = _OPERATIONS.get(name) if isinstance(name, str) else None
        if operation is None:
            raise RequestError(f"bad request: no operation {_cut(repr(name))}")
        answer = operation(request, lambda progress: _write({"id": number, "progress": progress}))
        _write({"id": number, "answer": answer})
    except RequestError as error:
        _write_error(number, None, str(error))
    except OSError as error:
        _write_error(number, _errno_name(error), f"{path}: {error.strerror or error}")
    except Exception as error:
        # A mistake of the parent or of this program: told, since the next request may be good.
        _write_error(number, None, f"{type(error).__name__}: {error}")


def _write_error(number: object, kind: str | None, text: str) -> None:
    _write({"id": number, "error": {"errno": kind, "text": _cut(text)}})


def main() -> None:
    """Serve standard input to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir("/")
    if len(sys.argv) > 1:
        os.nice(int(sys.argv[1]))
    for line in sys.stdin.buffer:
        serve(line)


if __name__ == "__main__":
    main()
