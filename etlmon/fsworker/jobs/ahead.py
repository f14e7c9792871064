"""Threads that look ahead: while the scan is at one directory, they are in those that come next.

For file systems of which each call takes long, mostly to wait for a server. What they find is
handed to the scan, which takes it in its own order and in one thread, so that all else about it is
as without them.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from itertools import islice

from etlmon.fsworker.jobs.walk import CHUNK, CLOSED, few_at_once, open_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from etlmon.fsworker.jobs.memory import Directory

# The descriptors that a scan needs besides, and those that go with each thread: three that wait in
# the queue, one that is listed (with its copy for the listing), and one that is kept.
_OTHER_DESCRIPTORS = 32
_DESCRIPTORS_EACH = 6
_WAITING_EACH = 3
_STACK_BYTES = 256 << 10
_SLICE_SECONDS = 0.1


class Visit:
    """A look into one directory, to come or done; at its status alone where that is enough.

    ``above`` is an open descriptor of its parent, which the visit closes. Afterwards ``fd`` is open
    or CLOSED, ``error`` what kept it from being opened, ``trouble`` what ended its listing early.
    """

    __slots__ = (
        "above",
        "directory",
        "dirs",
        "done",
        "error",
        "fd",
        "files",
        "listed",
        "listed_at_ns",
        "names",
        "others",
        "path",
        "status",
        "trouble",
    )

    def __init__(self, directory: Directory, path: str, above: int) -> None:
        self.directory = directory
        self.path = path
        self.above = above
        self.fd = CLOSED
        self.status: os.stat_result | None = None
        self.error: Exception | None = None
        self.trouble: OSError | None = None
        self.done = self.listed = False
        self.files = self.dirs = self.others = self.listed_at_ns = 0
        self.names: list[str] = []


class Ahead:
    """Looks into directories in threads, the newest asked for first.

    ``device`` is the one whose directories are listed; ``turn`` gives how long to wait before the
    next call of the file system; ``leave_out`` takes from entries those that are excluded.
    """

    def __init__(
        self,
        threads: int,
        *,
        device: int,
        reuses: bool,
        deeper: Callable[[str], bool],
        turn: Callable[[], float],
        leave_out: Callable[[list[os.DirEntry[str]], str], list[os.DirEntry[str]]],
    ) -> None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = max(1, (descriptors - _OTHER_DESCRIPTORS) // _DESCRIPTORS_EACH)
        self._count = min(threads, most)
        self._device = device
        self._reuses = reuses
        self._deeper = deeper
        self._turn = turn
        self._leave_out = leave_out
        self._changed = threading.Condition()
        self._queue: list[Visit] = []
        self._visits: dict[Directory, Visit] = {}
        self._unfinished = self._kept = 0
        self._closing = False
        self._answers = self._answers_told = 0
        threading.stack_size(_STACK_BYTES)
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(self._count)
        ]
        for thread in self._threads:
            thread.start()

    def is_heard(self) -> bool:
        """Tell whether the file system has answered since this was last asked."""
        before, self._answers_told = self._answers_told, self._answers
        return self._answers != before

    def ask(self, above: int, path: str, directories: Iterable[Directory]) -> None:
        """Look into some of these, the first of which is wanted first, soon.

        ``above`` is their parent's descriptor, ``path`` its path with a slash.
        """
        with self._changed:
            visits = []
            for directory in islice(directories, self._count):
                if self._unfinished >= _WAITING_EACH * self._count:
                    break
                if directory not in self._visits:
                    visits.append(self._begin(above, path, directory))
            if visits:
                self._queue.extend(reversed(visits))
                self._changed.notify_all()

    def take(
        self, above: int, path: str, directory: Directory, wait: Callable[[Visit], None]
    ) -> Visit:
        """Give a look into a directory as soon as it is done; ``wait`` is called meanwhile."""
        with self._changed:
            visit = self._visits.get(directory)
            if visit is None:
                visit = self._begin(above, path, directory)
                self._queue.append(visit)
                self._changed.notify_all()
        while not visit.done:
            with self._changed:
                if not visit.done:
                    self._changed.wait(_SLICE_SECONDS)
            wait(visit)
        if visit.error is not None and not isinstance(visit.error, OSError):
            raise visit.error  # No memory, or a mistake: the directory is not empty for that.
        del self._visits[directory]
        if visit.fd != CLOSED:
            with self._changed:
                self._kept -= 1
        return visit

    def is_asked(self, directory: Directory) -> bool:
        """Tell whether a look into it has been asked for and not been taken."""
        return directory in self._visits

    def close(self) -> None:
        """End the threads, as soon as the file system has answered each, and close all."""
        with self._changed:
            self._closing = True
            self._queue.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for visit in self._visits.values():
            for fd in (visit.fd, visit.above):
                if fd != CLOSED:
                    os.close(fd)
        self._visits.clear()

    def _begin(self, above: int, path: str, directory: Directory) -> Visit:
        visit = self._visits[directory] = Visit(directory, path + directory.name, os.dup(above))
        self._unfinished += 1
        return visit

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._queue or self._closing):
                    self._changed.wait()
                if self._closing:
                    return
                visit = self._queue.pop()
            try:
                self._visit(visit)
            except Exception as error:
                visit.error = error.with_traceback(None)  # Its frames hold the visit: a cycle.
            finally:
                os.close(visit.above)
                visit.above = CLOSED
                self._finish(visit)

    def _finish(self, visit: Visit) -> None:
        with self._changed:
            # Only those that have something below are worth a descriptor.
            keep = bool(visit.names) and self._kept < self._count and visit.error is None
            if visit.fd != CLOSED and not keep:
                os.close(visit.fd)
                visit.fd = CLOSED
            self._kept += visit.fd != CLOSED
            self._unfinished -= 1
            self._answers += 1
            visit.done = True
            self._changed.notify_all()

    def _visit(self, visit: Visit) -> None:
        directory = visit.directory
        if self._reuses and directory.ctime_ns is not None:
            self._wait_turn()
            visit.status = os.stat(directory.name, dir_fd=visit.above, follow_symlinks=False)
            if visit.status.st_dev == self._device and directory.is_unchanged(visit.status):
                return
            self._answers += 1
        self._wait_turn()
        visit.fd = open_directory(directory.name, visit.above, os.O_NOFOLLOW)
        visit.status = os.fstat(visit.fd)
        self._answers += 1
        if visit.status.st_dev != self._device:
            return
        visit.listed_at_ns = time.time_ns()
        visit.listed = True
        try:
            self._list(visit)
        except OSError as error:
            visit.trouble = error.with_traceback(None)

    def _list(self, visit: Visit) -> None:
        deeper = self._deeper(visit.path)
        with os.scandir(visit.fd) as entries:
            last = False
            while not last:
                self._wait_turn()
                chunk = list(islice(entries, CHUNK))
                last = len(chunk) < CHUNK
                for some in few_at_once(chunk):
                    if self._closing:
                        return
                    self._add(self._leave_out(some, visit.path + "/"), visit, deeper)
                    self._answers += 1

    def _add(self, entries: list[os.DirEntry[str]], visit: Visit, deeper: bool) -> None:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                visit.files += 1
            elif entry.is_dir(follow_symlinks=False):
                visit.dirs += 1
                if deeper:
                    visit.names.append(entry.name)
            else:
                visit.others += 1

    def _wait_turn(self) -> None:
        """Wait until one more call is allowed; waiting is as good as being answered."""
        seconds = self._turn()
        while seconds > 0 and not self._closing:
            time.sleep(min(seconds, _SLICE_SECONDS))
            seconds -= _SLICE_SECONDS
            self._answers += 1
