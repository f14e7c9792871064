"""Watched paths: their counts, and the scans and searches that make them."""

from __future__ import annotations

from typing import Annotated

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import HistoryQuery, Page, Query
from etlmon.records.base import about
from etlmon.records.path import (
    PathChild,
    PathExpected,
    PathPoint,
    PathStats,
    ScanAnswer,
    ScanCancelAnswer,
    ScanRequest,
)
from etlmon.records.top import TopJob, TopRequest


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


class ScanCancelQuery(Query, frozen=True, kw_only=True):
    """Which scans to end."""

    path: Annotated[
        str | None, about("Configured path whose scan to end; absent means all of them.")
    ] = None
    confirm: Annotated[bool, about("Must be true.")] = False


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
