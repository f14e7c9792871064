"""All endpoints together, and how one of them is found by its path."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from etlmon.contract import (
    admin,
    audit,
    cron,
    fs,
    health,
    kill,
    logs,
    openapi,
    paths,
    processes,
    xferlog,
)
from etlmon.contract.endpoint import Endpoint
from etlmon.contract.words import shown
from etlmon.errors import ApiError

ENDPOINTS: tuple[Endpoint[Any, Any, Any], ...] = (
    fs.FILESYSTEMS,
    fs.FILESYSTEM_HISTORY,
    paths.PATHS,
    paths.PATH_HISTORY,
    paths.PATH_CHILDREN,
    paths.PATH_EXPECTATIONS,
    paths.SCAN_PATHS,
    paths.CANCEL_SCANS,
    paths.START_TOP,
    paths.TOP,
    paths.CANCEL_TOP,
    processes.PROCESSES,
    processes.PROCESS_WATCHES,
    processes.PROCESS_EVENTS,
    processes.PROCESS_HISTORY,
    processes.PROCESS,
    kill.KILL_PROCESS,
    audit.AUDIT,
    logs.LOGS,
    logs.LOG_LINES,
    logs.PAUSE_LOG,
    logs.RESUME_LOG,
    xferlog.XFERLOG,
    xferlog.XFERLOG_SUMMARY,
    xferlog.XFERLOG_FILES,
    cron.CRON_JOBS,
    cron.CRON_FILES,
    cron.CRON_JOB,
    cron.REFRESH_CRON,
    health.HEALTH,
    admin.DATABASE,
    admin.COMPACT_DATABASE,
    openapi.OPENAPI,
)


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
    raise ApiError(404, "not-found", f"There is no resource {shown(resource)}; {hint}")
