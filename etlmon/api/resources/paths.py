"""Configured paths: their newest counts, how they went, and scans on command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from etlmon.api.answers import Answer
from etlmon.api.paging import page
from etlmon.api.period import period
from etlmon.api.route import Route
from etlmon.contract.paths import (
    CANCEL_SCANS,
    CANCEL_TOP,
    PATH_CHILDREN,
    PATH_EXPECTATIONS,
    PATH_HISTORY,
    PATHS,
    SCAN_PATHS,
    START_TOP,
    TOP,
)
from etlmon.errors import ApiError
from etlmon.store.tables import path_children, path_expected, path_history, path_stats
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etlmon.contract.paths import (
        PathHistoryQuery,
        PathPartsQuery,
        PathQuery,
        ScanCancelQuery,
        TopCancelQuery,
    )
    from etlmon.contract.query import Page, Query
    from etlmon.control.policy import Policy
    from etlmon.records.path import ScanAnswer, ScanCancelAnswer, ScanRequest
    from etlmon.records.top import TopJob, TopRequest
    from etlmon.store.database import StoreService


class PathScans(Protocol):
    """Begins and ends scans; the node has the collectors that do."""

    def scan_now(self, paths: Sequence[str] | None) -> ScanAnswer:
        """Begin a scan of ``paths``, or of all; raise ApiError (404) naming an unknown one."""

    async def cancel_scans(self, path: str | None) -> ScanCancelAnswer:
        """End the scan of ``path``, or all scans; raise ApiError (404) if it is unknown."""


class Tops(Protocol):
    """Looks for the largest files and directories of paths, which each call names by its id.

    All raise ApiError (404) where there is no such path.
    """

    def start(self, path_id: str, count: int) -> TopJob:
        """Begin a search for the ``count`` largest; raise ApiError (409) while one runs."""

    def job(self, path_id: str) -> TopJob:
        """Give the newest search as it is now; its state is ``none`` if there is none."""

    def cancel(self, path_id: str) -> TopJob:
        """End the search that runs and give it; raise ApiError (409) if none does."""


def routes(
    store: StoreService,
    scans: PathScans,
    tops: Tops,
    policy: Policy,
    wall_clock: Callable[[], float],
) -> list[Route]:
    """Give the routes of this resource."""

    async def list_paths(query: Page, _body: None) -> Answer:
        found = await store.read(path_stats.newest)
        return page(PATHS, query, found, (stats.collected_at for stats in found))

    async def get_history(query: PathHistoryQuery, _body: None) -> Answer:
        since, until = period(query, utc(wall_clock()))
        found = await store.read(
            lambda cursor: path_history.history(cursor, query.id, since, until, query.points)
        )
        if found is None:
            raise _not_found(query.id)
        return Answer(found, found[-1].collected_at if found else None)

    async def list_children(query: PathPartsQuery, _body: None) -> Answer:
        found = await store.read(lambda cursor: path_children.children(cursor, query.id))
        if found is None:
            raise _not_found(query.id)
        return page(PATH_CHILDREN, query, found, (child.collected_at for child in found))

    async def list_expectations(query: PathPartsQuery, _body: None) -> Answer:
        found = await store.read(lambda cursor: path_expected.expected(cursor, query.id))
        if found is None:
            raise _not_found(query.id)
        return page(PATH_EXPECTATIONS, query, found, (one.checked_at for one in found))

    async def scan_paths(_query: Query, body: ScanRequest) -> Answer:
        with policy.counted("scan", confirmed=body.confirm):
            return Answer(scans.scan_now(body.paths))

    async def cancel_scans(query: ScanCancelQuery, _body: None) -> Answer:
        with policy.counted("scan", confirmed=query.confirm):
            return Answer(await scans.cancel_scans(query.path))

    async def start_top(query: PathQuery, body: TopRequest) -> Answer:
        with policy.counted("scan", confirmed=body.confirm):
            return Answer(tops.start(query.id, body.count))

    async def get_top(query: PathQuery, _body: None) -> Answer:
        return Answer(tops.job(query.id))

    async def cancel_top(query: TopCancelQuery, _body: None) -> Answer:
        with policy.counted("scan", confirmed=query.confirm):
            return Answer(tops.cancel(query.id))

    return [
        Route(PATHS, list_paths, tables=("path_stats",)),
        Route(PATH_HISTORY, get_history, tables=("path_stats", "path_history")),
        Route(PATH_CHILDREN, list_children, tables=("path_stats", "path_children")),
        Route(PATH_EXPECTATIONS, list_expectations, tables=("path_stats", "path_expected")),
        Route(SCAN_PATHS, scan_paths),
        Route(CANCEL_SCANS, cancel_scans),
        Route(START_TOP, start_top),
        Route(TOP, get_top),
        Route(CANCEL_TOP, cancel_top),
    ]


def _not_found(path_id: str) -> ApiError:
    return ApiError(
        404,
        "path-not-found",
        f"No path has the id {path_id}; GET /api/v1/paths lists the paths.",
    )
