"""The API's own description."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from etlmon.api.answers import Answer
from etlmon.api.openapi import document
from etlmon.api.route import Route
from etlmon.contract.openapi import OPENAPI

if TYPE_CHECKING:
    from etlmon.contract.query import Query


def routes() -> list[Route]:
    """Give the routes of this resource. The document is made when it is first asked for."""
    made: list[msgspec.Raw] = []

    async def get_openapi(_query: Query, _body: None) -> Answer:
        if not made:
            made.append(msgspec.Raw(msgspec.json.encode(document())))
        return Answer(made[0])

    return [Route(OPENAPI, get_openapi)]
