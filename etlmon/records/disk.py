"""File systems: how full each mount is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from etlmon.records.base import Record, about

Level = Literal["ok", "warning", "critical"]


class FilesystemUsage(Record, frozen=True, kw_only=True):
    """One mount at one moment, by df's rules. Numbers are null where nothing could be measured."""

    mount_point: Annotated[str, about("Where the file system is mounted.")]
    device: Annotated[str, about("What is mounted: a device, an export, or the kernel's word.")]
    fs_type: Annotated[str, about("The kernel's name of the file system, for example ext4.")]
    total_bytes: Annotated[int | None, about("Size of the file system.")] = None
    used_bytes: Annotated[int | None, about("Bytes in use: total less free.")] = None
    avail_bytes: Annotated[int | None, about("Bytes that an ordinary user can still write.")] = None
    used_percent: Annotated[
        float | None, about("used / (used + avail), df's rule, unrounded, 0 to 100.")
    ] = None
    reserved_bytes: Annotated[
        int | None, about("Free bytes kept for root: why total is more than used and avail.")
    ] = None
    inodes_total: Annotated[
        int | None, about("Inodes, null where the file system makes them at need.")
    ] = None
    inodes_used: Annotated[int | None, about("Inodes in use.")] = None
    inodes_used_percent: Annotated[float | None, about("Inodes in use, 0 to 100.")] = None
    read_only: Annotated[bool, about("Mounted read-only: it never raises a level.")] = False
    level: Annotated[
        str, about("The node's judgement by its thresholds: ok, warning or critical.")
    ] = "ok"
    level_by: Annotated[
        str | None, about("What the level comes from: space or inodes; null when ok.")
    ] = None
    state: Annotated[
        str,
        about("ok; stale: it does not answer, the numbers are the last known; or hidden."),
    ] = "ok"
    reason: Annotated[str | None, about("Why it is stale or hidden.")] = None
    stale_since: Annotated[datetime | None, about("When it last answered, if stale.")] = None
    collected_at: Annotated[datetime, about("When this was collected, UTC, to the millisecond.")]


class Filesystem(FilesystemUsage, frozen=True, kw_only=True):
    """The newest usage of a mount, and when it will be full if it goes on as it did."""

    full_at: Annotated[
        datetime | None,
        about("When the space runs out at the pace of its history; null if it does not grow."),
    ] = None


class FilesystemPoint(Record, frozen=True, kw_only=True):
    """One step of a mount's history: the newest sample in that step."""

    collected_at: Annotated[datetime, about("When the sample was taken, UTC.")]
    total_bytes: Annotated[int | None, about("Size of the file system.")]
    used_bytes: Annotated[int | None, about("Bytes in use.")]
    avail_bytes: Annotated[int | None, about("Bytes that an ordinary user can still write.")]
    used_percent: Annotated[float | None, about("used / (used + avail), 0 to 100.")]
    inodes_used: Annotated[int | None, about("Inodes in use.")]
