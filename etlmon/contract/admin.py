"""The database: its figures, and the order to make it smaller."""

from __future__ import annotations

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import Query
from etlmon.records.database import CompactJob, CompactRequest, DatabaseFigures

DATABASE = Endpoint(
    name="get_database",
    method="GET",
    path="/admin/db",
    summary="The database in figures: its size, its tables, its checks and copies.",
    query=Query,
    body=type(None),
    answer=DatabaseFigures,
    problems=(503,),
)
COMPACT_DATABASE = Endpoint(
    name="compact_database",
    method="POST",
    path="/admin/db/compact",
    summary="Give the pages that nothing uses back to the file system.",
    query=Query,
    body=CompactRequest,
    answer=CompactJob,
    status=202,
    problems=(409, 503, 507),
)
