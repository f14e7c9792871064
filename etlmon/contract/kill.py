"""A signal to a process."""

from __future__ import annotations

from typing import Annotated

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import Query
from etlmon.records.base import about
from etlmon.records.kill import KillAnswer, KillRequest


class ProcessKillQuery(Query, frozen=True, kw_only=True):
    """Which process."""

    pid: Annotated[int, about("Its number.", ge=1, le=(1 << 31) - 1)]


KILL_PROCESS = Endpoint(
    name="kill_process",
    method="POST",
    path="/processes/{pid}/kill",
    summary="Send a signal to a process, and tell what became of it.",
    query=ProcessKillQuery,
    body=KillRequest,
    answer=KillAnswer,
    problems=(404, 409, 503),
)
