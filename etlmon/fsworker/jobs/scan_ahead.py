"""The scan of a file system of which each call takes long: threads look into what comes next."""

from __future__ import annotations

import os

from etlmon.fsworker.jobs.ahead import Ahead
from etlmon.fsworker.jobs.scan import Scan
from etlmon.fsworker.jobs.walk import CLOSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from etlmon.fsworker.jobs.ahead import Visit
    from etlmon.fsworker.jobs.memory import Directory


class ScanAhead(Scan):
    """A scan with ``parallelism`` threads; ``options`` are those of any other."""

    def __init__(self, path: str, *, parallelism: int, **options: Any) -> None:
        super().__init__(path, at_a_time=parallelism, **options)
        self._parallelism = parallelism
        self._ahead: Ahead | None = None

    def _leave(self) -> None:
        ahead, self._ahead = self._ahead, None  # They know each other, and nobody collects cycles.
        if ahead is not None:
            ahead.close()

    def _is_heard(self) -> bool:
        return self._ahead is None or self._ahead.is_heard()

    def _go_on(self) -> None:
        if self._ahead is None:
            self._ahead = Ahead(
                self._parallelism,
                device=self._device,
                reuses=self._reuses,
                deeper=self._enters_below,
                turn=self._turn,
                leave_out=self._without_excluded,
            )
        self._look()
        self._enter_ahead(self._ahead)

    def _enter_ahead(self, ahead: Ahead) -> None:
        """Visit one subdirectory as threads have found it, and have them look into others."""
        level = self._levels[-1]
        directory, path = level.pending[-1], self._relative("")
        try:
            asked = ahead.is_asked(directory)
            above = level.fd if asked else self._descriptor()
            if above != CLOSED:
                ahead.ask(
                    above, path, (one for one in reversed(level.pending) if self._may_look(one))
                )
        except OSError as error:
            level.pending.pop()
            self._not_opened(error, directory.name)
            return
        level.pending.pop()
        if self._is_skipped(directory.name):
            self._skipped_mounts += 1
            return
        visit = ahead.take(above, path, directory, self._look_at)
        if isinstance(visit.error, OSError):
            self._failed(visit.error, directory.name)
            return
        assert visit.status is not None
        if self._is_admitted(directory.name, visit.status):
            self._arrive(directory, visit.fd, visit.status, visit)
        elif visit.fd != CLOSED:
            os.close(visit.fd)

    def _may_look(self, directory: Directory) -> bool:
        return not self._is_skipped(directory.name)

    def _look_at(self, visit: Visit) -> None:
        """Stop if a directory that a thread is still in holds too many files by itself."""
        if self._max_files is not None and self._files + visit.files > self._max_files:
            self._files += visit.files
        self._look()
