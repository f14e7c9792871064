"""Transfers of FTP servers: each of them, sums of them, and the logs that they stand in."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import Moment, Page, Query, RowId, natural
from etlmon.records.base import about
from etlmon.records.xferlog import XferlogEntry, XferlogFile, XferlogSummary

_UserName = Annotated[str | None, about("Only this user, exactly.")]
_Client = Annotated[str | None, about("Only this client, as remote_host has it.")]
_Glob = Annotated[
    Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None,
    about(
        "Only files that this glob matches: without / the last part of the name (*.csv), else all "
        "of it, where * stands for / too (/in/*)."
    ),
]
_Direction = Annotated[
    Literal["upload", "download", "delete"] | None,
    about("Only these: upload, download or delete."),
]
_Since = Annotated[Moment | None, about("Only transfers that ended then or later, RFC 3339.")]
_Until = Annotated[Moment | None, about("Only transfers that ended then or before, RFC 3339.")]


class XferlogQuery(Query, frozen=True, kw_only=True):
    """Which entries of the transfer logs, and whether those that come shall follow.

    Without ``after`` the newest ones, the newest first.
    """

    limit: Annotated[int, natural("Most entries to give; more than 1,000 count as 1,000.", 1)] = 100
    after: Annotated[
        RowId | None, about("Only entries of larger ids than this, the oldest first.")
    ] = None
    before: Annotated[RowId | None, about("Only entries of smaller ids than this.")] = None
    user: _UserName = None
    host: _Client = None
    filename: _Glob = None
    direction: _Direction = None
    status: Annotated[
        Literal[
            "complete",
            "incomplete",
            "unknown",
            "unparsed",
            "broken",
            "gap",
            "truncated",
            "nul_run",
        ]
        | None,
        about(
            "Only these: complete, incomplete, unknown, unparsed, broken, gap, truncated, nul_run."
        ),
    ] = None
    landing: Annotated[
        Literal["pending", "landed", "partial", "overwritten", "vanished", "ambiguous", "unknown"]
        | None,
        about(
            "Only uploads of which this became: pending, landed, partial, overwritten, vanished, "
            "ambiguous, unknown."
        ),
    ] = None
    since: _Since = None
    until: _Until = None
    follow: Annotated[
        bool,
        about(
            "Answer with Server-Sent Events: these entries, the oldest first, then each that "
            "comes. The event's id is the entry's; Last-Event-ID goes on after it. An event resync "
            "says that entries in between are not stored any more."
        ),
    ] = False


_GROUP = "(hour|user|host|direction)"


class XferlogSummaryQuery(Page, frozen=True, kw_only=True):
    """Which transfers to add up, and by what."""

    by: Annotated[
        str,
        about(
            "What to add them up by: some of hour, user, host, direction, with commas between.",
            pattern=f"^{_GROUP}(,{_GROUP}){{0,3}}$",
        ),
    ] = "hour,user,host,direction"
    user: _UserName = None
    host: _Client = None
    filename: _Glob = None
    direction: _Direction = None
    since: Annotated[
        Moment | None, about("From when, RFC 3339 with a zone; a day before until if absent.")
    ] = None
    until: Annotated[Moment | None, about("Up to when, RFC 3339 with a zone; now if absent.")] = (
        None
    )


XFERLOG = Endpoint(
    name="list_transfers",
    method="GET",
    path="/xferlog",
    summary="The newest transfers of the FTP servers, or with follow a stream of them.",
    query=XferlogQuery,
    body=type(None),
    answer=list[XferlogEntry],
    columns=(
        "log_time",
        "direction",
        "status",
        "landing",
        "bytes",
        "username",
        "remote_host",
        "transfer_time_sec",
        "filename",
        "landing_reason",
        "reason",
        "line",
    ),
    follows=True,
    problems=(503,),
)
XFERLOG_SUMMARY = Endpoint(
    name="summarize_transfers",
    method="GET",
    path="/xferlog/summary",
    summary="Transfers added up by user, client, direction and hour.",
    query=XferlogSummaryQuery,
    body=type(None),
    answer=list[XferlogSummary],
    columns=(
        "hour",
        "username",
        "remote_host",
        "direction",
        "count",
        "failures",
        "bytes",
        "transfer_time_sec",
        "last_arrival_at",
    ),
    problems=(503,),
)
XFERLOG_FILES = Endpoint(
    name="list_transfer_logs",
    method="GET",
    path="/xferlog/files",
    summary="The transfer logs that are followed, and how far each has been read.",
    query=Page,
    body=type(None),
    answer=list[XferlogFile],
    columns=(
        "path",
        "state",
        "lag_bytes",
        "transfers_total",
        "unparsed_total",
        "gaps",
        "last_line_at",
        "message",
    ),
    problems=(503,),
)
