"""Searches for the largest files and directories of configured paths: jobs that are kept in memory.

They make a call for each file, and so are made on command alone: one for each path at a time, while
the worker pool lets one of all run. What the last one found stays until the next one begins, the
path is no longer configured, or the node ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from etlmon.collectors.path.exclude import compile_exclude
from etlmon.errors import ApiError, EtlmonError
from etlmon.fsworker.places import reach
from etlmon.fsworker.top import TopOrder
from etlmon.records.path import path_id
from etlmon.records.top import TopJob
from etlmon.text import one_line
from etlmon.units import format_duration, utc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etlmon.collectors.base import CollectorContext
    from etlmon.config.node import PathSection
    from etlmon.fsworker.top import TopOutcome, TopProgress
    from etlmon.records.top import TopState

_LEAST_TIMEOUT_SECONDS = 3600.0
"""A stat of each file takes many times as long as a scan: a timeout of scans may be too short."""


class TopSearches:
    """The searches of a node. ``apply`` says which paths there are."""

    log = Logger()

    def __init__(self, context: CollectorContext) -> None:
        self._context = context
        self._sections: dict[str, PathSection] = {}
        self._searches: dict[str, _Search] = {}

    def apply(self, sections: Iterable[PathSection]) -> None:
        """Take the configured paths; searches of others end, and are forgotten."""
        self._sections = {path_id(section.path): section for section in sections}
        for gone in self._searches.keys() - self._sections.keys():
            self._searches.pop(gone).cancel()

    def start(self, path_id: str, count: int) -> TopJob:
        """Begin a search for the ``count`` largest.

        Raises ApiError: 404 for a path that is not configured, 409 while a search of it runs.
        """
        section = self._sections.get(path_id)
        if section is None:
            raise _unknown(path_id)
        before = self._searches.get(path_id)
        if before is not None and before.is_running:
            raise ApiError(
                409,
                "search-running",
                f"A search of {section.path} is running; GET /api/v1/paths/{path_id}/top tells "
                "how far it is, DELETE ends it.",
            )
        search = self._searches[path_id] = _Search(path_id, section, count, self._context)
        search.start()
        return search.job()

    def job(self, path_id: str) -> TopJob:
        """Give the newest search of a path as it is now, with state ``none`` if there is none.

        Raises ApiError (404) for a path that is not configured.
        """
        search = self._searches.get(path_id)
        if search is not None:
            return search.job()
        if path_id not in self._sections:
            raise _unknown(path_id)
        return TopJob(id=path_id, path=self._sections[path_id].path, state="none")

    def cancel(self, path_id: str) -> TopJob:
        """End the search of a path that runs; raises ApiError: 404 as ``job``, 409 if none runs."""
        job = self.job(path_id)
        search = self._searches.get(path_id)
        if search is None or not search.is_running:
            raise ApiError(409, "no-search-running", f"No search of {job.path} is running.")
        search.cancel()
        return search.job()


class _Search:
    """One search to its end."""

    log = Logger()

    def __init__(
        self, path_id: str, section: PathSection, count: int, context: CollectorContext
    ) -> None:
        self._section = section
        self._context = context
        self._began = context.monotonic_clock()
        self._timeout_seconds = max(section.timeout, _LEAST_TIMEOUT_SECONDS)
        self._running: Deferred[None] | None = None
        self._job = TopJob(
            id=path_id,
            path=section.path,
            state="running",
            count=count,
            started_at=utc(context.wall_clock()),
        )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._job.state == "running"

    def start(self) -> None:
        """Begin."""
        self._running = Deferred.fromCoroutine(self._run())

    def cancel(self) -> None:
        """End it, if it has not ended."""
        if self._running is not None and self.is_running:
            self._running.cancel()

    def job(self) -> TopJob:
        """Give it as it is now."""
        if self.is_running:
            return replace(self._job, duration_ms=self._elapsed_ms())
        return self._job

    async def _run(self) -> None:
        try:
            outcome = await self._search()
        except CancelledError:
            self._end("cancelled")
        except EtlmonError as error:
            self._end("failed", str(error))
        except Exception as error:
            self.log.failure("A search for the largest failed.")
            self._end("failed", repr(error))
        else:
            missing = self._missing(outcome)
            self._job = replace(
                self._job,
                entries=outcome.entries,
                allocated_bytes=outcome.allocated_bytes,
                apparent_bytes=outcome.apparent_bytes,
                links_exact=outcome.links_exact,
                skipped_mounts=outcome.skipped_mounts,
                files_by_allocated=outcome.files_by_allocated,
                files_by_apparent=outcome.files_by_apparent,
                directories_by_allocated=outcome.directories_by_allocated,
                directories_by_apparent=outcome.directories_by_apparent,
                troubles=outcome.troubles,
            )
            self._end("partial" if missing else "done", missing)

    async def _search(self) -> TopOutcome:
        place = await reach(self._context, self._section.path)
        order = TopOrder(
            **place.walk(self._section.max_ops_per_second),
            exclude=compile_exclude(self._section.exclude),
            timeout_seconds=self._timeout_seconds,
            count=self._job.count,
        )
        return await self._context.workers.top(order, self._progressed)

    def _progressed(self, progress: TopProgress) -> None:
        self._job = replace(
            self._job,
            entries=progress.entries,
            allocated_bytes=progress.allocated_bytes,
            directory=progress.directory,
        )

    def _missing(self, outcome: TopOutcome) -> str | None:
        """Say what an outcome lacks; None if it is whole."""
        if outcome.stopped is not None:
            return f"stopped after {format_duration(self._timeout_seconds)}"
        if not outcome.troubles:
            return None
        number = sum(trouble.count for trouble in outcome.troubles)
        first = outcome.troubles[0]
        return f"{number:,} could not be read: {first.kind}, for example {first.example}"

    def _end(self, state: TopState, error_message: str | None = None) -> None:
        self._job = replace(
            self._job,
            state=state,
            ended_at=utc(self._context.wall_clock()),
            duration_ms=self._elapsed_ms(),
            error_message=error_message,
            directory=None,
        )
        self.log.info(
            "The search for the largest below {path} ended after {duration_ms} ms: {state}.",
            path=one_line(self._job.path),
            duration_ms=self._job.duration_ms,
            state=state,
        )

    def _elapsed_ms(self) -> int:
        return round((self._context.monotonic_clock() - self._began) * 1000)


def _unknown(path_id: str) -> ApiError:
    return ApiError(
        404,
        "path-not-configured",
        f"No configured path has the id {path_id}; GET /api/v1/paths lists the paths.",
    )
