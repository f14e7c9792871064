"""From what statvfs says to the figures that df shows, and their level. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from etlmon.config.node import DiskSection
    from etlmon.host.mounts import Usage
    from etlmon.records.disk import Level


# The largest number that the database holds, and a JSON reader can be expected to. Some file
# systems claim more: s3fs all 64 bits of blocks.
_MOST = 2**63 - 1


def figures(usage: Usage) -> dict[str, Any]:
    """Give the measured fields of a FilesystemUsage: bytes, inodes, and percentages by df's rule.

    used = total - free; percent = used / (used + avail), since what is reserved for root is
    neither used nor to be had. What a server says beyond all reason (more free than there is) is
    cut to what can be.
    """
    free = min(usage.blocks_free, usage.blocks)
    used = usage.blocks - free
    # More than all is the negative number of a server whose users have filled root's reserve.
    avail = usage.blocks_avail if usage.blocks_avail <= usage.blocks else 0
    return {
        "total_bytes": _bytes(usage.blocks, usage),
        "used_bytes": _bytes(used, usage),
        "avail_bytes": _bytes(avail, usage),
        "reserved_bytes": _bytes(max(0, free - avail), usage),
        "used_percent": _percent(used, used + avail),
        **_inodes(usage),
    }


def _inodes(usage: Usage) -> dict[str, Any]:
    """Give the inodes, where the file system counts them; CephFS has no number of free ones."""
    if usage.inodes == 0 or usage.inodes_free > usage.inodes:
        return dict.fromkeys(("inodes_total", "inodes_used", "inodes_used_percent"))
    used = usage.inodes - usage.inodes_free
    return {
        "inodes_total": min(usage.inodes, _MOST),
        "inodes_used": min(used, _MOST),
        "inodes_used_percent": _percent(used, usage.inodes),
    }


def _bytes(blocks: int, usage: Usage) -> int:
    return min(blocks * usage.block_bytes, _MOST)


def judge(
    mount_point: str,
    space_percent: float | None,
    inodes_percent: float | None,
    thresholds: DiskSection,
) -> tuple[Level, Literal["space", "inodes"] | None]:
    """Give the level of a mount and what it comes from: the worse of space and inodes."""
    warn, critical = thresholds.thresholds(mount_point)
    limits: tuple[tuple[Level, float], ...] = (("critical", critical), ("warning", warn))
    for level, limit in limits:
        if space_percent is not None and space_percent >= limit:
            return level, "space"
        if inodes_percent is not None and inodes_percent >= limit:
            return level, "inodes"
    return "ok", None


def _percent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole > 0 else None
