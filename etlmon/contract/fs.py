"""File systems: how full each mount is, and was."""

from __future__ import annotations

from typing import Annotated

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import HistoryQuery, Page
from etlmon.records.base import about
from etlmon.records.disk import Filesystem, FilesystemPoint


class FilesystemsQuery(Page, frozen=True, kw_only=True):
    """Which mounts."""

    all: Annotated[bool, about("Hidden mounts too, with the reason why they are.")] = False


class FilesystemHistoryQuery(HistoryQuery, frozen=True, kw_only=True):
    """Which part of which mount's history."""

    mount_point: Annotated[str, about("The mount, as GET /fs names it.")]


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
