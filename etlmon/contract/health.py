"""How the node and its collectors fare."""

from __future__ import annotations

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import Query
from etlmon.records.health import Health

HEALTH = Endpoint(
    name="get_health",
    method="GET",
    path="/health",
    summary="The node, its database and each collector.",
    query=Query,
    body=type(None),
    answer=Health,
)
