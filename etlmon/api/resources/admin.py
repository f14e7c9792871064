"""The database: its figures, and its compaction on command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from etlmon.api.answers import Answer
from etlmon.api.route import Route
from etlmon.contract.admin import COMPACT_DATABASE, DATABASE
from etlmon.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.contract.query import Query
    from etlmon.control.policy import Policy
    from etlmon.records.database import BackupState, CompactJob, CompactRequest, DatabaseFigures


class Maintenance(Protocol):
    """What keeps the database (``etlmon.store.maintenance``)."""

    async def figures(self, backup: BackupState | None) -> DatabaseFigures:
        """Give the database in figures."""

    def compact(self, *, full: bool) -> CompactJob | None:
        """Begin a compaction; None while one is running."""

    async def lacking_room(self) -> str | None:
        """Say which room a full compaction needs that is not there; None if there is enough."""


def routes(
    maintenance: Maintenance, backup: Callable[[], BackupState | None], policy: Policy
) -> list[Route]:
    """Give the routes of this resource."""

    async def get_database(_query: Query, _body: None) -> Answer:
        return Answer(await maintenance.figures(backup()))

    async def compact(_query: Query, body: CompactRequest) -> Answer:
        with policy.counted("other", confirmed=body.confirm):
            if body.full:
                lacking = await maintenance.lacking_room()
                if lacking is not None:
                    raise ApiError(
                        507,
                        "not-enough-space",
                        f"A full compaction needs {lacking}; free some, or compact without full.",
                    )
            job = maintenance.compact(full=body.full)
            if job is None:
                raise ApiError(
                    409,
                    "compaction-running",
                    "A compaction is running already; GET /api/v1/admin/db tells how far it is.",
                )
            return Answer(job)

    return [Route(DATABASE, get_database), Route(COMPACT_DATABASE, compact)]
