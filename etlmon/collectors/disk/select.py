"""Which mounts are shown: each real file system once, as df does. Pure.

The rules for several mounts of one file system are those of df(1) in GNU coreutils 9.1
(``filter_mount_list``), so that the mount which df shows is the one that is shown here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.host.mounts import on_top
from etlmon.text import host_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etlmon.host.mounts import Mount, Usage

_COVERED = "not reachable: another file system is mounted over it"


def hidden_unasked(mounts: Sequence[Mount]) -> dict[int, str]:
    """Give mount id -> reason for the mounts that are hidden without asking them anything."""
    reached = {mount.mount_id for mount in on_top(mounts)}
    return {
        mount.mount_id: reason
        for mount in mounts
        if (reason := _by_type(mount) or (None if mount.mount_id in reached else _COVERED))
    }


def hidden_by_usage(mounts: Sequence[Mount], usages: Mapping[int, Usage]) -> dict[int, str]:
    """Give mount id -> reason for the mounts that stand for nothing of their own.

    ``usages`` maps mount ids to what was measured; mounts that were not measured are left alone,
    since nothing is known of them.
    """
    hidden: dict[int, str] = {}
    shown: dict[tuple[int, bytes], Mount] = {}
    for mount in mounts:
        usage = usages.get(mount.mount_id)
        if usage is None:
            continue
        if usage.blocks == 0:
            hidden[mount.mount_id] = "has no space of its own: a pseudo file system"
            continue
        # Two exports of one server may have one number: df shows both.
        key = (usage.device_number, mount.device if mount.may_hang else b"")
        other = shown.setdefault(key, mount)
        if other is not mount:
            keep, drop = (mount, other) if _stands_for(mount, other) else (other, mount)
            shown[key] = keep
            hidden[drop.mount_id] = f"the same file system as {host_path(keep.mount_point)}"
    return hidden


def _by_type(mount: Mount) -> str | None:
    if mount.is_kernel:
        return "holds no data: a file system of the kernel's own"
    if mount.is_image:
        return "a read-only image, full by nature"
    if mount.fs_type == "overlay" and mount.mount_point != b"/":
        return "a container's layers, kept on another file system"
    return None


def _stands_for(mount: Mount, other: Mount) -> bool:
    """Whether ``mount`` stands for the file system rather than ``other``, an earlier mount."""
    if b"/" in mount.device and b"/" not in other.device:
        return True
    nearer_the_top = len(mount.mount_point) < len(other.mount_point)
    only_a_part = len(mount.root) > len(other.root)
    return nearer_the_top and not only_a_part
