"""Logs: their files, their lines, and the switch that pauses one."""

from __future__ import annotations

from typing import Annotated

import msgspec

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import LARGEST, Moment, Page, Query, RowId
from etlmon.records.base import about
from etlmon.records.log import LogFile, LogLine, LogSwitchAnswer, LogSwitchRequest

Words = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class LogLinesQuery(Query, frozen=True, kw_only=True):
    """Which lines of which log, and whether those that come shall follow."""

    name: Annotated[str, about("The log, as GET /logs names it.")]
    lines: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=LARGEST)] | None,
        about(
            "Most lines to give: if absent, the buffer_lines of the log. More than 1,000 count as "
            "1,000."
        ),
    ] = None
    before: Annotated[RowId | None, about("Only lines with a smaller id.")] = None
    after: Annotated[
        RowId | None,
        about("Only lines with a larger id, the oldest of them; without it, the newest lines."),
    ] = None
    since: Annotated[Moment | None, about("Only lines read since then, RFC 3339 with a zone.")] = (
        None
    )
    until: Annotated[Moment | None, about("Only lines read until then, RFC 3339 with a zone.")] = (
        None
    )
    match: Annotated[Words | None, about("Only lines that hold this text as it stands.")] = None
    regex: Annotated[
        Words | None,
        about("Only lines that match this regular expression, in RE2's syntax; (?i) folds case."),
    ] = None
    path: Annotated[Words | None, about("Only lines of this file, of a log with a pattern.")] = None
    follow: Annotated[
        bool,
        about(
            "Answer with Server-Sent Events: these lines, then each that comes. The event's id is "
            "the line's; Last-Event-ID goes on after it. An event resync says that lines in "
            "between are not stored any more."
        ),
    ] = False


class LogSwitchQuery(Query, frozen=True, kw_only=True):
    """Which log to pause or to resume."""

    name: Annotated[str, about("The log, as GET /logs names it.")]


LOGS = Endpoint(
    name="list_logs",
    method="GET",
    path="/logs",
    summary="Every file of every configured log, and how far it has been read.",
    query=Page,
    body=type(None),
    answer=list[LogFile],
    columns=(
        "name",
        "state",
        "lag_bytes",
        "lines_total",
        "gaps",
        "last_line_at",
        "watch_mode",
        "path",
        "error_message",
    ),
    problems=(503,),
)
LOG_LINES = Endpoint(
    name="get_log_lines",
    method="GET",
    path="/logs/{name}",
    summary="Lines of a log, in their order: the newest, or with follow a stream of them.",
    query=LogLinesQuery,
    body=type(None),
    answer=list[LogLine],
    columns=("id", "created_at", "line", "flags", "detail"),
    follows=True,
    problems=(404, 503),
)
PAUSE_LOG = Endpoint(
    name="pause_log",
    method="POST",
    path="/logs/{name}/pause",
    summary="Read no more of a log, and lose nothing: what comes waits in its file.",
    query=LogSwitchQuery,
    body=LogSwitchRequest,
    answer=LogSwitchAnswer,
    problems=(404, 503),
)
RESUME_LOG = Endpoint(
    name="resume_log",
    method="POST",
    path="/logs/{name}/resume",
    summary="Read a log again, from where it was paused.",
    query=LogSwitchQuery,
    body=LogSwitchRequest,
    answer=LogSwitchAnswer,
    problems=(404, 503),
)
