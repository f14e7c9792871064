"""Mounts, and how one of them went."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from etlmon.records.disk import Filesystem, FilesystemPoint
from tests.ui.views.recorded.base import GIB, NOW


def mount(mount_point: str, percent: float | None = 50.0, **fields: Any) -> Filesystem:
    """Give a mount of 100 GiB."""
    if percent is not None:
        used = round(percent * GIB)
        fields = {
            "total_bytes": 100 * GIB,
            "used_bytes": used,
            "avail_bytes": 100 * GIB - used,
            "used_percent": percent,
            "inodes_total": 1_000_000,
            "inodes_used": 10_000,
            "inodes_used_percent": 1.0,
        } | fields
    fields = {"device": "/dev/sda1", "fs_type": "ext4", "collected_at": NOW} | fields
    return Filesystem(mount_point=mount_point, **fields)


MOUNTS = [
    mount("/", 23.2),
    mount("/boot", 81.0, level="warning", level_by="space", device="/dev/sda2"),
    mount(
        "/data",
        96.4,
        level="critical",
        level_by="space",
        full_at=NOW + timedelta(hours=5, minutes=20),
        device="/dev/mapper/vg0-data",
        fs_type="xfs",
        reserved_bytes=GIB,
    ),
    mount("/data/한국어-backup", 12.0, device="nfs-01:/export/backup", fs_type="nfs4"),
    mount("/iso", 100.0, read_only=True, device="/dev/loop0", fs_type="iso9660"),
    mount(
        "/mnt/nfs",
        60.0,
        state="stale",
        reason="it does not answer",
        stale_since=NOW - timedelta(minutes=7),
        device="nfs-02:/export/etl",
        fs_type="nfs4",
    ),
    mount(
        "/var/spool",
        40.0,
        level="warning",
        level_by="inodes",
        inodes_used=910_000,
        inodes_used_percent=91.0,
        device="/dev/sdb1",
    ),
]
HIDDEN = [
    mount(
        "/proc",
        None,
        state="hidden",
        reason="a file system of the kernel",
        fs_type="proc",
        device="proc",
    ),
    mount("/mnt/bind", 23.2, state="hidden", reason="the same as /"),
]
HISTORY = [
    FilesystemPoint(
        collected_at=NOW - timedelta(minutes=24 * (60 - n)),
        total_bytes=100 * GIB,
        used_bytes=(60 + n // 2 + (n % 7)) * GIB,
        avail_bytes=30 * GIB,
        used_percent=60.0 + n / 2,
        inodes_used=10_000,
    )
    for n in range(60)
]
