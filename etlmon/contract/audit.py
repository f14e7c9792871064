"""The audit log: every command that came, and what became of it."""

from __future__ import annotations

from typing import Annotated

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import Moment, Page, RowId
from etlmon.records.audit import AuditEntry
from etlmon.records.base import about


class AuditQuery(Page, frozen=True, kw_only=True):
    """Which commands. The newest come first; with ``after`` the oldest."""

    who: Annotated[
        str | None, about("Only what this one gave: the name of a token, uid:N or -.")
    ] = None
    command: Annotated[str | None, about("Only this command, for example kill_process.")] = None
    outcome: Annotated[
        str | None, about("Only what ended so: done, refused, failed, interrupted, begun.")
    ] = None
    since: Annotated[Moment | None, about("From when, RFC 3339 with a zone.")] = None
    until: Annotated[Moment | None, about("Up to when, RFC 3339 with a zone.")] = None
    after: Annotated[
        RowId | None, about("Only rows with a greater id, the oldest first: to read on.")
    ] = None
    before: Annotated[RowId | None, about("Only rows with a smaller id.")] = None


AUDIT = Endpoint(
    name="list_audit",
    method="GET",
    path="/audit",
    summary="Every command that came, refused ones too, and what became of it.",
    query=AuditQuery,
    body=type(None),
    answer=list[AuditEntry],
    columns=(
        "requested_at",
        "who",
        "origin",
        "command",
        "target",
        "outcome",
        "problem",
        "detail",
        "reason",
        "arguments",
        "attempts",
    ),
    problems=(503,),
)
