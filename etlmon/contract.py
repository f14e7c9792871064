"""Every endpoint of the API, once.

The server's routes, the OpenAPI document, the typed client and the command line all come from
these. Within ``/api/v1`` fields and parameters are added, never removed, renamed or re-typed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from itertools import chain
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    TypeVar,
    get_type_hints,
)
from urllib.parse import quote, unquote, urlencode

import msgspec

from etlmon.errors import ApiError
from etlmon.records.audit import AuditEntry
from etlmon.records.base import about
from etlmon.records.cron import CronFile, CronJob, CronRefreshAnswer, CronRefreshRequest
from etlmon.records.database import CompactJob, CompactRequest, DatabaseFigures
from etlmon.records.disk import Filesystem, FilesystemPoint
from etlmon.records.health import Health
from etlmon.records.kill import KillAnswer, KillRequest
from etlmon.records.log import LogFile, LogLine, LogSwitchAnswer, LogSwitchRequest
from etlmon.records.path import (
    PathChild,
    PathExpected,
    PathPoint,
    PathStats,
    ScanAnswer,
    ScanCancelAnswer,
    ScanRequest,
)
from etlmon.records.process import (
    ProcessDetail,
    ProcessEvent,
    ProcessSample,
    ProcessUsage,
    ProcessWatchStatus,
)
from etlmon.records.top import TopJob, TopRequest
from etlmon.records.xferlog import XferlogEntry, XferlogFile, XferlogSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "/api/v1"
MOST_ITEMS = 1_000
"""The longest page of a list; a larger ``limit`` is cut to it, and ``Link`` leads on."""
_IN_PATH = re.compile(r"\{([a-z_]+)\}")


Moment = Annotated[datetime, msgspec.Meta(tz=True)]


_MOST = (1 << 53) - 1
"""The largest number that every JSON reader knows."""
Pid = Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
RowId = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


def _natural(text: str, least: int) -> msgspec.Meta:
    """Give the ``Meta`` of a number bounded only by the largest that every JSON reader knows."""
    return about(text, ge=least, le=_MOST)


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query string of an endpoint that takes no parameters."""


class Page(Query, frozen=True, kw_only=True):
    """The query string of a list."""

    limit: Annotated[int, _natural("Most items to give; more than 1,000 count as 1,000.", 1)] = 100
    offset: Annotated[int, _natural("Items to leave out at the beginning.", 0)] = 0


class FilesystemsQuery(Page, frozen=True, kw_only=True):
    """Which mounts."""

    all: Annotated[bool, about("Hidden mounts too, with the reason why they are.")] = False


class HistoryQuery(Query, frozen=True, kw_only=True):
    """Which part of a history, and how closely."""

    since: Annotated[
        Moment | None, about("From when, RFC 3339 with a zone; a day before until if absent.")
    ] = None
    until: Annotated[Moment | None, about("Up to when, RFC 3339 with a zone; now if absent.")] = (
        None
    )
    points: Annotated[int, about("Most points to give, evenly spread.", ge=1, le=1_000)] = 200


class FilesystemHistoryQuery(HistoryQuery, frozen=True, kw_only=True):
    """Which part of which mount's history."""

    mount_point: Annotated[str, about("The mount, as GET /fs names it.")]


class PathHistoryQuery(HistoryQuery, frozen=True, kw_only=True):
    """Which part of which path's history."""

    id: Annotated[str, about("The path's id, as GET /paths gives it.", min_length=1)]


class PathQuery(Query, frozen=True, kw_only=True):
    """Which path."""

    id: Annotated[str, about("The path's id, as GET /paths gives it.", min_length=1)]


class PathPartsQuery(Page, frozen=True, kw_only=True):
    """Which path, and which part of what there is of it."""

    id: Annotated[str, about("The path's id, as GET /paths gives it.", min_length=1)]


class TopCancelQuery(PathQuery, frozen=True, kw_only=True):
    """Which search to end."""

    confirm: Annotated[bool, about("Must be true.")] = False


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


class ProcessKillQuery(Query, frozen=True, kw_only=True):
    """Which process."""

    pid: Annotated[int, about("Its number.", ge=1, le=(1 << 31) - 1)]


class ScanCancelQuery(Query, frozen=True, kw_only=True):
    """Which scans to end."""

    path: Annotated[
        str | None, about("Configured path whose scan to end; absent means all of them.")
    ] = None
    confirm: Annotated[bool, about("Must be true.")] = False


class ProcessesQuery(Page, frozen=True, kw_only=True):
    """Which processes."""

    all: Annotated[
        bool, about("All processes of the host, read now; the ended ones are not among them.")
    ] = False
    watch: Annotated[str | None, about("Only those that this watch selects.")] = None


class ProcessQuery(Query, frozen=True, kw_only=True):
    """Which process."""

    pid: Annotated[Pid, about("The process's number.")]


class ProcessEventsQuery(Page, frozen=True, kw_only=True):
    """Which events."""

    watch: Annotated[str | None, about("Only those of this watch.")] = None
    pid: Annotated[Pid | None, about("Only those of processes with this number.")] = None
    since: Annotated[Moment | None, about("Only those from then on, RFC 3339 with a zone.")] = None
    after: Annotated[
        RowId | None, about("Only those stored after the one with this id, the oldest first.")
    ] = None


class ProcessHistoryQuery(HistoryQuery, frozen=True, kw_only=True):
    """Which part of which watch's history."""

    watch: Annotated[str, about("The watch, as GET /processes/watches names it.")]
    pid: Annotated[
        Pid | None, about("One process of it; the sums of the whole watch if absent.")
    ] = None


Words = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class LogLinesQuery(Query, frozen=True, kw_only=True):
    """Which lines of which log, and whether those that come shall follow."""

    name: Annotated[str, about("The log, as GET /logs names it.")]
    lines: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=_MOST)] | None,
        about(
            "Most lines to give; more than 1,000 count as 1,000. If absent, the buffer_lines of "
            "the log, at most 500."
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
    Annotated[str, msgspec.Meta(pattern="^(upload|download|delete)$")] | None,
    about("Only these: upload, download or delete."),
]
_Since = Annotated[Moment | None, about("Only transfers that ended then or later, RFC 3339.")]
_Until = Annotated[Moment | None, about("Only transfers that ended then or before, RFC 3339.")]


class XferlogQuery(Query, frozen=True, kw_only=True):
    """Which entries of the transfer logs, and whether those that come shall follow.

    Without ``after`` the newest ones, the newest first.
    """

    limit: Annotated[int, _natural("Most entries to give; more than 1,000 count as 1,000.", 1)] = (
        100
    )
    after: Annotated[
        RowId | None, about("Only entries of larger ids than this, the oldest first.")
    ] = None
    before: Annotated[RowId | None, about("Only entries of smaller ids than this.")] = None
    user: _UserName = None
    host: _Client = None
    filename: _Glob = None
    direction: _Direction = None
    status: Annotated[
        Annotated[
            str,
            msgspec.Meta(
                pattern="^(complete|incomplete|unknown|unparsed|broken|gap|truncated|nul_run)$"
            ),
        ]
        | None,
        about(
            "Only these: complete, incomplete, unknown, unparsed, broken, gap, truncated, nul_run."
        ),
    ] = None
    landing: Annotated[
        Annotated[
            str,
            msgspec.Meta(
                pattern="^(pending|landed|partial|overwritten|vanished|ambiguous|unknown)$"
            ),
        ]
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


class CronJobsQuery(Page, frozen=True, kw_only=True):
    """Which jobs."""

    user: Annotated[str | None, about("Only jobs that run as this account.")] = None
    source: Annotated[
        str | None, about("Only jobs of crontab, cron.d, user, run-parts, anacron or timer.")
    ] = None
    file: Annotated[str | None, about("Only jobs of this file.")] = None
    command: Annotated[str | None, about("Only jobs with this in their command, in any case.")] = (
        None
    )


class CronJobQuery(Query, frozen=True, kw_only=True):
    """Which job."""

    id: Annotated[
        str, about("The job's job_id, as GET /cron gives it.", min_length=12, max_length=12)
    ]


Q = TypeVar("Q", bound=Query)
B = TypeVar("B")
A = TypeVar("A")


@dataclass(frozen=True)
class Endpoint(Generic[Q, B, A]):
    """One call of the API."""

    name: str
    """Stable name: operationId in OpenAPI."""
    method: Literal["GET", "POST", "DELETE"]
    path: str
    """Below ``/api/v1``; ``{name}`` is the segment that holds the query's field ``name``."""
    summary: str
    query: type[Q]
    """All that a request says besides its body, whether in the path or in the query string."""
    body: type[B]
    """``NoneType`` where there is none. Only POST has one.

    Every command has ``confirm``: a POST in its body, a DELETE in its query.
    """
    answer: type[A]
    """A record, or for a list ``list[record]``."""
    status: int = 200
    columns: tuple[str, ...] = ()
    """The fields that a narrow table shows, most important first; all of them if empty."""
    follows: bool = False
    """Whether it answers ``follow=true`` with a stream of events, of the same items."""
    problems: tuple[int, ...] = ()
    """Statuses of the problems that this call in particular may answer with."""

    @property
    def is_command(self) -> bool:
        """Whether it changes something, and so needs confirmation."""
        return self.method != "GET"

    @property
    def in_path(self) -> tuple[str, ...]:
        """The fields of the query that stand in the path."""
        return tuple(_IN_PATH.findall(self.path))

    @property
    def needs_parameters(self) -> bool:
        """Whether it cannot be asked without parameters."""
        return any(field.required for field in msgspec.structs.fields(self.query))

    @property
    def item(self) -> Any:
        """The record of which the answer is a list; None if it is no list."""
        if getattr(self.answer, "__origin__", None) is list:
            return self.answer.__args__[0]  # type: ignore[attr-defined]
        return None

    def target(self, query: Q | None = None) -> str:
        """Give the path and the query string of a request.

        ``query`` may be None where nothing is required. What is at its default is left out.
        """
        texts = {} if query is None else _texts(query)
        path = _IN_PATH.sub(lambda name: quote(texts.pop(name[1]), safe=""), self.path)
        return PREFIX + path + (f"?{urlencode(texts)}" if texts else "")

    def segments(self, resource: str) -> dict[str, str] | None:
        """Give the fields that ``resource``, a path below ``/api/v1``, holds; None for another."""
        words, given = self.path.strip("/").split("/"), resource.strip("/").split("/")
        if len(words) != len(given):
            return None
        found = {}
        for word, text in zip(words, given, strict=True):
            name = _IN_PATH.fullmatch(word)
            if name is not None and text:
                found[name[1]] = unquote(text)
            elif word != text:
                return None
        return found


def _texts(query: Query) -> dict[str, str]:
    """Give the fields that are not at their default, as ``read_query`` takes them."""
    given = {
        field.encode_name: value
        for field in msgspec.structs.fields(query)
        if (value := getattr(query, field.name)) != field.default and value is not None
    }
    plain = msgspec.to_builtins(given)
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in plain.items()
    }


FILESYSTEMS = Endpoint(
    name="list_filesystems",
    method="GET",
    path="/fs",
    summary="Latest usage of every mount.",
    query=FilesystemsQuery,
    body=type(None),
    answer=list[Filesystem],
    columns=(
        "mount_point",
        "fs_type",
        "total_bytes",
        "used_bytes",
        "avail_bytes",
        "used_percent",
        "level",
        "state",
        "full_at",
        "reason",
    ),
    problems=(503,),
)
FILESYSTEM_HISTORY = Endpoint(
    name="get_filesystem_history",
    method="GET",
    path="/fs/history",
    summary="How the usage of one mount went.",
    query=FilesystemHistoryQuery,
    body=type(None),
    answer=list[FilesystemPoint],
    problems=(404, 503),
)
PATHS = Endpoint(
    name="list_paths",
    method="GET",
    path="/paths",
    summary="Latest counts of every configured path.",
    query=Page,
    body=type(None),
    answer=list[PathStats],
    columns=(
        "path",
        "file_count",
        "file_count_change",
        "dir_count",
        "other_count",
        "scan_duration_ms",
        "status",
        "scan_file_count",
        "expectation_state",
        "collected_at",
        "next_scan_at",
        "error_message",
    ),
    problems=(503,),
)
PATH_HISTORY = Endpoint(
    name="get_path_history",
    method="GET",
    path="/paths/{id}/history",
    summary="How the counts of one path went.",
    query=PathHistoryQuery,
    body=type(None),
    answer=list[PathPoint],
    columns=(
        "collected_at",
        "file_count",
        "partial_file_count",
        "dir_count",
        "other_count",
        "status",
        "scan_duration_ms",
    ),
    problems=(404, 503),
)
PATH_CHILDREN = Endpoint(
    name="list_path_children",
    method="GET",
    path="/paths/{id}/children",
    summary="What the newest complete scan found by direct subdirectory, the largest first.",
    query=PathPartsQuery,
    body=type(None),
    answer=list[PathChild],
    columns=("name", "kind", "file_count", "dir_count", "other_count", "collected_at"),
    problems=(404, 503),
)
PATH_EXPECTATIONS = Endpoint(
    name="list_path_expectations",
    method="GET",
    path="/paths/{id}/expectations",
    summary="The files that must have arrived below a path today, and whether they have.",
    query=PathPartsQuery,
    body=type(None),
    answer=list[PathExpected],
    columns=(
        "glob",
        "state",
        "due_at",
        "arrived_count",
        "min_count",
        "growing_count",
        "newest_path",
        "newest_bytes",
        "arrived_at",
        "previous_state",
        "error_message",
    ),
    problems=(404, 503),
)
SCAN_PATHS = Endpoint(
    name="scan_paths",
    method="POST",
    path="/paths/scan",
    summary="Scan some or all configured paths now.",
    query=Query,
    body=ScanRequest,
    answer=ScanAnswer,
    status=202,
    problems=(404,),
)
CANCEL_SCANS = Endpoint(
    name="cancel_scans",
    method="DELETE",
    path="/paths/scan",
    summary="End the scans that are running, of one path or of all.",
    query=ScanCancelQuery,
    body=type(None),
    answer=ScanCancelAnswer,
    problems=(404,),
)
START_TOP = Endpoint(
    name="start_top",
    method="POST",
    path="/paths/{id}/top",
    summary="Begin to look for the largest files and directories of a path.",
    query=PathQuery,
    body=TopRequest,
    answer=TopJob,
    status=202,
    problems=(404, 409),
)
TOP = Endpoint(
    name="get_top",
    method="GET",
    path="/paths/{id}/top",
    summary="The newest search for the largest files and directories of a path.",
    query=PathQuery,
    body=type(None),
    answer=TopJob,
    problems=(404,),
)
CANCEL_TOP = Endpoint(
    name="cancel_top",
    method="DELETE",
    path="/paths/{id}/top",
    summary="End the search for the largest files and directories of a path.",
    query=TopCancelQuery,
    body=type(None),
    answer=TopJob,
    problems=(404, 409),
)
PROCESSES = Endpoint(
    name="list_processes",
    method="GET",
    path="/processes",
    summary="Watched processes and their latest figures, or all processes.",
    query=ProcessesQuery,
    body=type(None),
    answer=list[ProcessSample],
    columns=(
        "watch",
        "pid",
        "process_name",
        "status",
        "cpu_percent",
        "mem_rss_bytes",
        "runtime_sec",
        "threads",
        "user",
        "restarts",
        "exit_reason",
        "cmdline",
    ),
    problems=(503,),
)
PROCESS_WATCHES = Endpoint(
    name="list_process_watches",
    method="GET",
    path="/processes/watches",
    summary="How each watch is: its processes together, and whether they are as expected.",
    query=Page,
    body=type(None),
    answer=list[ProcessWatchStatus],
    columns=(
        "watch",
        "state",
        "process_count",
        "cpu_percent",
        "mem_rss_bytes",
        "threads",
        "restarts",
        "flapping",
        "since",
        "reason",
    ),
    problems=(503,),
)
PROCESS_EVENTS = Endpoint(
    name="list_process_events",
    method="GET",
    path="/processes/events",
    summary="Starts, exits, restarts and the like, the newest first.",
    query=ProcessEventsQuery,
    body=type(None),
    answer=list[ProcessEvent],
    columns=(
        "occurred_at",
        "watch",
        "event",
        "pid",
        "process_name",
        "runtime_sec",
        "exit_reason",
        "detail",
    ),
    problems=(503,),
)
PROCESS_HISTORY = Endpoint(
    name="get_process_history",
    method="GET",
    path="/processes/history",
    summary="How the CPU and memory of a watch, or of one of its processes, went.",
    query=ProcessHistoryQuery,
    body=type(None),
    answer=list[ProcessUsage],
    columns=(
        "collected_at",
        "process_count",
        "cpu_percent",
        "mem_rss_bytes",
        "threads",
        "open_files",
    ),
    problems=(404, 503),
)
PROCESS = Endpoint(
    name="get_process",
    method="GET",
    path="/processes/{pid}",
    summary="One watched process, and its newest events.",
    query=ProcessQuery,
    body=type(None),
    answer=ProcessDetail,
    problems=(404, 503),
)
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
        "username",
        "remote_host",
        "bytes",
        "transfer_time_sec",
        "filename",
        "reason",
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
CRON_JOBS = Endpoint(
    name="list_cron_jobs",
    method="GET",
    path="/cron",
    summary="Every job of cron, anacron and systemd's timers; the next one to run first.",
    query=CronJobsQuery,
    body=type(None),
    answer=list[CronJob],
    columns=(
        "next_run",
        "next_run_kind",
        "schedule",
        "user",
        "command",
        "last_start",
        "last_exit",
        "source",
        "file",
        "line",
        "reason",
        "job_id",
    ),
    problems=(503,),
)
CRON_FILES = Endpoint(
    name="list_cron_files",
    method="GET",
    path="/cron/files",
    summary="Every file of cron, and what its daemon makes of it; those ignored first.",
    query=Page,
    body=type(None),
    answer=list[CronFile],
    columns=("path", "status", "reason", "jobs", "owner", "mode", "changed_at", "lint"),
    problems=(503,),
)
CRON_JOB = Endpoint(
    name="get_cron_job",
    method="GET",
    path="/cron/{id}",
    summary="One job of cron.",
    query=CronJobQuery,
    body=type(None),
    answer=CronJob,
    problems=(404, 503),
)
REFRESH_CRON = Endpoint(
    name="refresh_cron",
    method="POST",
    path="/cron/refresh",
    summary="Look at the crontabs now.",
    query=Query,
    body=CronRefreshRequest,
    answer=CronRefreshAnswer,
    status=202,
    problems=(404,),
)
HEALTH = Endpoint(
    name="get_health",
    method="GET",
    path="/health",
    summary="The node, its database and each collector.",
    query=Query,
    body=type(None),
    answer=Health,
)
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
OPENAPI = Endpoint(
    name="get_openapi",
    method="GET",
    path="/openapi.json",
    summary="This API as an OpenAPI 3.1 document.",
    query=Query,
    body=type(None),
    answer=dict[str, Any],
)

ENDPOINTS: tuple[Endpoint[Any, Any, Any], ...] = (
    FILESYSTEMS,
    FILESYSTEM_HISTORY,
    PATHS,
    PATH_HISTORY,
    PATH_CHILDREN,
    PATH_EXPECTATIONS,
    SCAN_PATHS,
    CANCEL_SCANS,
    START_TOP,
    TOP,
    CANCEL_TOP,
    PROCESSES,
    PROCESS_WATCHES,
    PROCESS_EVENTS,
    PROCESS_HISTORY,
    PROCESS,
    KILL_PROCESS,
    AUDIT,
    LOGS,
    LOG_LINES,
    PAUSE_LOG,
    RESUME_LOG,
    XFERLOG,
    XFERLOG_SUMMARY,
    XFERLOG_FILES,
    CRON_JOBS,
    CRON_FILES,
    CRON_JOB,
    REFRESH_CRON,
    HEALTH,
    DATABASE,
    COMPACT_DATABASE,
    OPENAPI,
)


@dataclass(frozen=True)
class PlainPage:
    """A page that is no JSON, for programs that supervise; ``etlmon get`` does not know it."""

    name: str
    """Stable name: operationId in OpenAPI, with ``_api`` for the one below ``/api/v1``."""
    paths: tuple[str, ...]
    """Whole paths, most of them at the root, where others expect them."""
    summary: str
    content_types: tuple[str, ...] = ("text/plain",)
    statuses: tuple[int, ...] = (200,)
    needs_token: bool = False
    """Whether it needs a token where ``auth`` asks for them."""


LIVE = PlainPage(
    name="get_liveness",
    paths=("/livez",),
    summary="200 as long as the node's reactor does its work; needs no token.",
)
READY = PlainPage(
    name="get_readiness",
    paths=("/readyz",),
    summary="200 while database and collectors do their work, else 503; needs no token.",
    statuses=(200, 503),
)
METRICS = PlainPage(
    name="get_metrics",
    paths=("/metrics", f"{PREFIX}/metrics"),
    summary="The node and what it sees, for Prometheus; OpenMetrics if Accept prefers it.",
    content_types=("text/plain", "application/openmetrics-text"),
    needs_token=True,
)
PLAIN_PAGES: tuple[PlainPage, ...] = (LIVE, READY, METRICS)


def find_query(resource: str) -> tuple[Endpoint[Any, Any, Any], dict[str, str]]:
    """Give the GET endpoint that ``etlmon get`` knows by ``resource``, for example ``fs``.

    The fields that stand in the path come with it. Raises ApiError (404), naming those that
    there are.
    """
    queries = [endpoint for endpoint in ENDPOINTS if not endpoint.is_command]
    for endpoint in queries:
        segments = endpoint.segments(resource)
        if segments is not None:
            return endpoint, segments
    names = [endpoint.path.strip("/") for endpoint in queries]
    near = get_close_matches(resource, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}."
    raise ApiError(404, "not-found", f"There is no resource {_shown(resource)}; {hint}")


def read_query(
    pairs: Iterable[tuple[str, str]], wanted: type[Q], segments: Mapping[str, str] | None = None
) -> Q:
    """Give the query that parameters in text form make; ``segments`` are those of the path.

    Each type has one form, the one that the OpenAPI document promises.
    Raises ApiError (400) naming the parameter and what it may be.
    """
    values: dict[str, str] = {}
    forms = _forms(wanted)
    for name, value in chain((segments or {}).items(), pairs):
        if name not in forms:
            raise ApiError(400, "unknown-parameter", _unknown(name, wanted.__struct_fields__))
        if name in values:
            raise ApiError(400, "bad-parameter", f"The parameter {name} is given twice.")
        if not forms[name].pattern.fullmatch(value):
            raise ApiError(400, "bad-parameter", f"{name}: must be {forms[name].in_words}.")
        values[name] = value
    for field in msgspec.structs.fields(wanted):
        if field.required and field.name not in values:
            raise ApiError(400, "bad-parameter", f"The parameter {field.name} is missing.")
    try:
        return msgspec.convert(values, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise ApiError(400, "bad-parameter", in_words(error)) from error


class _Form(NamedTuple):
    """How a value is written in a query string."""

    pattern: re.Pattern[str]
    in_words: str


_FORMS = {
    int: _Form(re.compile("-?[0-9]{1,18}"), "a whole number"),
    bool: _Form(re.compile("true|false"), "true or false"),
    # Surrogates stand for bytes that are not UTF-8.
    str: _Form(re.compile("[^\ud800-\udfff]*"), "UTF-8"),
    datetime: _Form(
        re.compile("(19[7-9]|[2-9][0-9]{2})[0-9]-.+:.+"),
        "a moment from 1970 on, such as 2026-01-31T12:00:00Z, its + written as %2B",
    ),
}


@lru_cache
def _forms(wanted: type[Query]) -> dict[str, _Form]:
    hints = get_type_hints(wanted)
    return {
        name: _FORMS[getattr(hints[name], "__args__", (hints[name],))[0]]
        for name in wanted.__struct_fields__
    }


def in_words(error: msgspec.ValidationError) -> str:
    """Put msgspec's words (Expected `int` >= 1 - at `$.limit`) into a sentence."""
    what, _, where = str(error).replace("`", "").partition(" - at ")
    place = where.removeprefix("$").removeprefix(".")
    return f"{place}: {what}." if place else f"{what}."


def _shown(name: str) -> str:
    return ascii(name[:50])[1:-1]


def _unknown(name: str, known: tuple[str, ...]) -> str:
    shown = _shown(name)
    near = get_close_matches(name[:50], known, 1)
    if near:
        return f"There is no parameter {shown} here; did you mean {near[0]}?"
    if known:
        return f"There is no parameter {shown} here; there are {', '.join(known)}."
    return f"There is no parameter {shown} here; this call takes none."
