"""How the node is: the one answer that must come when the database cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.api.answers import Answer
from etlmon.api.route import Route
from etlmon.contract.health import HEALTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.contract.query import Query
    from etlmon.records.health import Health


def routes(health: Callable[[], Health]) -> list[Route]:
    """Give the routes of this resource. ``health`` answers from memory."""

    async def get_health(_query: Query, _body: None) -> Answer:
        report = health()
        return Answer(report, report.now)

    return [Route(HEALTH, get_health)]
