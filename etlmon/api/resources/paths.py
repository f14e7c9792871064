"""Configured paths: their newest counts, how they went, and scans on command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from etlmon.api.answers import Answer
from etlmon.api.paging import page
from etlmon.api.period import period
from etlmon.api.server import Route
from etlmon.contract import CANCEL_SCANS, PATH_HISTORY, PATHS, SCAN_PATHS
from etlmon.errors import ApiError
from etlmon.store.tables import path_history, path_stats
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etlmon.contract import Page, PathHistoryQuery, Query, ScanCancelQuery
    from etlmon.control.policy import Policy
    from etlmon.records.path import ScanAnswer, ScanCancelAnswer, ScanRequest
    from etlmon.store.database import StoreService


class PathScans(Protocol):
    """Begins and ends scans; the node has the collectors that do."""

    def scan_now(self, paths: Sequence[str] | None) -> ScanAnswer:
        """Begin a scan of ``paths``, or of all; raise ApiError (404) naming an unknown one."""

    async def cancel_scans(self, path: str | None) -> ScanCancelAnswer:
        """End the scan of ``path``, or all scans; raise ApiError (404) if it is unknown."""


def routes(
    store: StoreService, scans: PathScans, policy: Policy, wall_clock: Callable[[], float]
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
            raise ApiError(
                404,
                "path-not-found",
                f"No path has the id {query.id}; GET /api/v1/paths lists the paths.",
            )
        return Answer(found, found[-1].collected_at if found else None)

    async def scan_paths(_query: Query, body: ScanRequest) -> Answer:
        with policy.counted("scan", confirmed=body.confirm):
            return Answer(scans.scan_now(body.paths))

    async def cancel_scans(query: ScanCancelQuery, _body: None) -> Answer:
        with policy.counted("scan", confirmed=query.confirm):
            return Answer(await scans.cancel_scans(query.path))

    return [
        Route(PATHS, list_paths, tables=("path_stats",)),
        Route(PATH_HISTORY, get_history, tables=("path_stats", "path_history")),
        Route(SCAN_PATHS, scan_paths),
        Route(CANCEL_SCANS, cancel_scans),
    ]
