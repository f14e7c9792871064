"""An endpoint that has everything: two fields in its path, and a page."""

from __future__ import annotations

from types import NoneType

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import Page


class LinesQuery(Page, frozen=True, kw_only=True):
    name: str
    pid: int


LINES = Endpoint(
    name="lines",
    method="GET",
    path="/logs/{name}/of/{pid}",
    summary="",
    query=LinesQuery,
    body=NoneType,
    answer=list[str],
)
