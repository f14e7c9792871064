"""Watched processes: their figures, their watches and what happened to them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import LARGEST, HistoryQuery, Moment, Page, Query, RowId
from etlmon.records.base import about
from etlmon.records.process import (
    ProcessDetail,
    ProcessEvent,
    ProcessSample,
    ProcessUsage,
    ProcessWatchStatus,
)

Pid = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]


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
