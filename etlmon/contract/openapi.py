"""The API about itself."""

from __future__ import annotations

from typing import Any

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import Query

OPENAPI = Endpoint(
    name="get_openapi",
    method="GET",
    path="/openapi.json",
    summary="This API as an OpenAPI 3.1 document.",
    query=Query,
    body=type(None),
    answer=dict[str, Any],
)
