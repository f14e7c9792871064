"""Configured paths: their newest counts, and scans on command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from etlmon.api.answers import Answer
from etlmon.api.paging import page
from etlmon.api.server import Route
from etlmon.contract import PATHS, SCAN_PATHS
from etlmon.store.tables import path_stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etlmon.contract import Page, Query
    from etlmon.control.policy import Policy
    from etlmon.records.path import ScanAnswer, ScanRequest
    from etlmon.store.database import StoreService


class PathScans(Protocol):
    """Begins scans; the node has the collectors that do."""

    def scan_now(self, paths: Sequence[str] | None) -> ScanAnswer:
        """Begin a scan of ``paths``, or of all; raise ApiError (404) naming an unknown one."""


def routes(store: StoreService, scans: PathScans, policy: Policy) -> list[Route]:
    """Give the routes of this resource."""

    async def list_paths(query: Page, _body: None) -> Answer:
        found = await store.read(path_stats.newest)
        return page(PATHS, query, found, (stats.collected_at for stats in found))

    async def scan_paths(_query: Query, body: ScanRequest) -> Answer:
        with policy.counted("scan", confirmed=body.confirm):
            return Answer(scans.scan_now(body.paths))

    return [
        Route(PATHS, list_paths, tables=("path_stats",)),
        Route(SCAN_PATHS, scan_paths),
    ]
