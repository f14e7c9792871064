"""File systems: their newest usage, and how it went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.api.answers import Answer
from etlmon.api.paging import page
from etlmon.api.period import period
from etlmon.api.route import Route
from etlmon.contract.fs import FILESYSTEM_HISTORY, FILESYSTEMS
from etlmon.contract.query import MOST_ITEMS
from etlmon.errors import ApiError
from etlmon.store.tables import filesystem_usage
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.contract.fs import FilesystemHistoryQuery, FilesystemsQuery
    from etlmon.store.database import StoreService


def routes(store: StoreService, wall_clock: Callable[[], float]) -> list[Route]:
    """Give the routes of this resource."""

    async def list_filesystems(query: FilesystemsQuery, _body: None) -> Answer:
        wanted = slice(query.offset, query.offset + min(query.limit, MOST_ITEMS))
        found = await store.read(
            lambda cursor: filesystem_usage.newest(cursor, hidden=query.all, forecast=wanted)
        )
        return page(FILESYSTEMS, query, found, (usage.collected_at for usage in found))

    async def get_history(query: FilesystemHistoryQuery, _body: None) -> Answer:
        since, until = period(query, utc(wall_clock()))
        found = await store.read(
            lambda cursor: filesystem_usage.history(
                cursor, query.mount_point, since, until, query.points
            )
        )
        if found is None:
            raise ApiError(
                404,
                "mount-not-found",
                f"Nothing is stored of the mount {query.mount_point}; GET /api/v1/fs?all=true "
                "lists the mounts.",
            )
        return Answer(found, found[-1].collected_at if found else None)

    return [
        Route(FILESYSTEMS, list_filesystems, tables=("filesystem_usage",)),
        Route(FILESYSTEM_HISTORY, get_history, tables=("filesystem_usage",)),
    ]
