"""The mounts of this host, from ``/proc/self/mountinfo`` (proc(5)), and how full they are."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_ESCAPE = re.compile(rb"\\([0-7]{3})")

# A server elsewhere, or a process here, answers for these: a call on them may never return.
_MAY_HANG = frozenset(
    "9p acfs afs auristorfs autofs beegfs ceph cifs coda fuse fuseblk gfs2 glusterfs gpfs lustre "
    "ncpfs nfs nfs4 ocfs2 orangefs pvfs2 smb3 smbfs vboxsf virtiofs vmhgfs".split()
)
# Windows of the kernel into itself: they hold no data. autofs is among them because merely
# looking below one mounts something.
_KERNEL = frozenset(
    "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts efivarfs fuse.gvfsd-fuse "
    "fuse.lxcfs fuse.portal fusectl hugetlbfs mqueue nsfs proc pstore rpc_pipefs securityfs "
    "selinuxfs sysfs tracefs".split()
)
# Images that are full by nature: a snap, an ISO.
_IMAGES = frozenset("cramfs erofs iso9660 squashfs udf".split())
# A chain of links longer than this is a loop, as for the kernel.
_MOST_LINKS = 40
_PIECE_BYTES = 64 << 10


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo. Names are bytes, as the kernel has them."""

    mount_id: int
    parent_id: int
    device_number: int
    """``st_dev`` of its files, except on btrfs, whose subvolumes have numbers of their own."""
    root: bytes
    """Which directory of the file system is mounted: ``/`` but for bind mounts and subvolumes."""
    mount_point: bytes
    read_only: bool
    fs_type: str
    device: bytes
    file_system_read_only: bool = False
    """Whether that is so of the file system as a whole, wherever it is mounted."""
    unmounts_idle: bool = False
    """Whether it is an autofs trigger that unmounts again what nobody has used for a while."""

    @property
    def may_hang(self) -> bool:
        """Whether a call on it may wait for a server or for another process."""
        return self.fs_type in _MAY_HANG or (
            self.fs_type.startswith("fuse.") and self.fs_type not in _KERNEL
        )

    @property
    def is_kernel(self) -> bool:
        """Whether it holds no data of anybody's (proc, sysfs, autofs triggers ...)."""
        return self.fs_type in _KERNEL

    @property
    def is_image(self) -> bool:
        """Whether it is a read-only image, full by nature."""
        return self.read_only and self.fs_type in _IMAGES


@dataclass(frozen=True)
class Usage:
    """What statvfs(3) says, as it says it: blocks of ``block_bytes``, and inodes."""

    device_number: int
    block_bytes: int
    blocks: int
    blocks_free: int
    blocks_avail: int
    inodes: int
    inodes_free: int


class _Mounts(tuple[Mount, ...]):
    """Mounts that work out their hash once.

    What is reckoned from them is kept by them: while no mount changes they are the same object.
    """

    _hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = super().__hash__()
        return self._hash

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


def read_mounts(proc: Path) -> tuple[Mount, ...]:
    """Give the mounts in the order of the kernel; raise OSError where /proc cannot be read.

    Whether one is read-only is taken from the host's first process: systemd gives a service whose
    unit says ``ProtectSystem=strict`` mounts of its own, nearly all read-only.
    """
    own = _read(proc / "self" / "mountinfo")
    mounts = _parse(own)
    try:
        first = _read(proc / "1" / "mountinfo")
    except OSError:  # hidepid
        return _without_hardening(mounts)
    if first == own:
        return mounts
    there = {_place(mount): mount.read_only for mount in _parse(first)}
    return _Mounts(
        replace(mount, read_only=there.get(_place(mount), mount.read_only)) for mount in mounts
    )


def read_own_mounts(proc: Path) -> tuple[Mount, ...]:
    """Give the mounts as ``read_mounts`` does, where it is no matter whether they are read-only.

    For who looks every few seconds what a path leads over: it costs half as much, and less yet in
    a service that has mounts of its own.
    """
    return _parse(_read(proc / "self" / "mountinfo"))


def _read(path: Path) -> bytes:
    """Read a file of procfs; ``open`` would take twice the time of the reading."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(descriptor, _PIECE_BYTES):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def _without_hardening(mounts: _Mounts) -> _Mounts:
    """Give what can be known without the host's own view: read-only as the file systems are.

    That holds where ``/`` can be written and is mounted read-only just for who looks.
    """
    if not any(
        mount.mount_point == b"/" and mount.read_only and not mount.file_system_read_only
        for mount in mounts
    ):
        return mounts
    return _Mounts(replace(mount, read_only=mount.file_system_read_only) for mount in mounts)


# They are read every few seconds, and change once in a while.
@lru_cache(maxsize=4)
def _parse(mountinfo: bytes) -> _Mounts:
    # Not splitlines: the kernel escapes the newline in a name, and no carriage return.
    lines = mountinfo.split(b"\n")
    return _Mounts(mount for line in lines if (mount := parse_mount(line)) is not None)


def _place(mount: Mount) -> tuple[int, bytes, bytes]:
    """Give what a mount has in common with the same one in another namespace: not its id."""
    return mount.device_number, mount.root, mount.mount_point


def parse_mount(line: bytes) -> Mount | None:
    """Give the mount of a mountinfo line; None for a line that is not one."""
    fields = line.split(b" ")
    try:
        dash = fields.index(b"-", 6)
        major, minor = fields[2].split(b":")
        fs_type, device, super_options = fields[dash + 1 : dash + 4]
        options = fields[5].split(b",") + super_options.split(b",")
        kind = _unescape(fs_type).decode("ascii", "backslashreplace")
        return Mount(
            mount_id=int(fields[0]),
            parent_id=int(fields[1]),
            device_number=os.makedev(int(major), int(minor)),
            root=_unescape(fields[3]),
            mount_point=_unescape(fields[4]),
            read_only=b"ro" in options,
            fs_type=kind,
            device=_unescape(device),
            file_system_read_only=b"ro" in super_options.split(b","),
            unmounts_idle=kind == "autofs" and b"timeout=0" not in options,
        )
    except (ValueError, OverflowError):
        return None


def measure(mount_point: bytes) -> Usage:
    """Give the usage of a local file system; raise OSError. May hang: see ``Mount.may_hang``."""
    found = os.statvfs(mount_point)
    return Usage(
        device_number=os.stat(mount_point).st_dev,
        block_bytes=found.f_frsize,
        blocks=found.f_blocks,
        blocks_free=found.f_bfree,
        blocks_avail=found.f_bavail,
        inodes=found.f_files,
        inodes_free=found.f_ffree,
    )


def on_top(mounts: Iterable[Mount]) -> list[Mount]:
    """Give the mounts that a path leads to: those that no other one covers.

    One is covered by what is mounted on the same place, or on a directory above it, later. The
    order in mountinfo does not tell (``mount --move``); who is mounted on whom does. What is
    mounted on ``/`` covers nothing: a path begins below it, at the root of the process.
    """
    return list(_on_top(_kept(mounts)))


def _kept(mounts: Iterable[Mount]) -> _Mounts:
    return mounts if isinstance(mounts, _Mounts) else _Mounts(mounts)


@lru_cache(maxsize=4)
def _by_mount_point(mounts: _Mounts) -> dict[bytes, Mount]:
    """Give those that a path leads to, by their places; of several on ``/`` the first."""
    return {mount.mount_point: mount for mount in reversed(_on_top(mounts))}


@lru_cache(maxsize=4)
def _on_top(mounts: _Mounts) -> tuple[Mount, ...]:
    by_id = {mount.mount_id: mount for mount in mounts}
    taken = {(one.parent_id, one.mount_point) for one in by_id.values() if one.mount_point != b"/"}

    def is_cut_off(mount: Mount) -> bool:
        return any((mount.parent_id, above) in taken for above in _above(mount.mount_point))

    return tuple(
        mount
        for mount in by_id.values()
        if (mount.mount_id, mount.mount_point) not in taken
        and not any(is_cut_off(one) for one in _upward(mount, by_id))
    )


def waits_for(mounts: Iterable[Mount]) -> Mapping[int, Mount]:
    """Give mount id -> the mount that a call on it may hang on: itself, or one on the way to it.

    Where nothing on the way may hang, there is no entry.
    """
    return _waits_for(_kept(mounts))


@lru_cache(maxsize=4)
def _waits_for(mounts: _Mounts) -> dict[int, Mount]:
    by_id = {mount.mount_id: mount for mount in mounts}
    return {
        mount_id: next(one for one in _upward(mount, by_id) if one.may_hang)
        for mount_id, mount in by_id.items()
        if any(one.may_hang for one in _upward(mount, by_id))
    }


def unmounted_when_idle(mounts: Iterable[Mount]) -> set[int]:
    """Give the ids of the mounts that an automounter has made and takes away when nobody looks."""
    by_id = {mount.mount_id: mount for mount in mounts}
    return {
        mount_id
        for mount_id, mount in by_id.items()
        if any(one.unmounts_idle for one in _upward(mount, by_id))
    }


def resolve(mounts: Iterable[Mount], path: bytes) -> bytes:
    """Follow the symbolic links of an absolute path, as far as that is safe.

    It ends where a mount begins that may hang: what follows is given as it stands.
    """
    mounts = _kept(mounts)
    done, rest, links = b"/", path.split(b"/")[::-1], 0
    while rest:
        name = rest.pop()
        if name == b"..":
            done = os.path.dirname(done)
        if name in (b"", b".", b".."):
            continue
        here = os.path.join(done, name)
        own = covering(mounts, here)
        if own is not None and own.may_hang:
            return os.path.normpath(os.path.join(here, *reversed(rest)))
        try:
            target = os.readlink(here)
        except OSError:  # No link, or not there at all.
            done = here
            continue
        links += 1
        if links > _MOST_LINKS:
            return path
        rest += target.split(b"/")[::-1]
        if target.startswith(b"/"):
            done = b"/"
    return done


def covering(mounts: Iterable[Mount], path: bytes) -> Mount | None:
    """Give the mount that holds ``path``, an absolute path whose links are resolved already."""
    places = _by_mount_point(_kept(mounts))
    return next((places[at] for at in (path, *_above(path)) if at in places), None)


def foreign_below(mounts: Iterable[Mount], path: bytes, own: Mount | None) -> list[bytes]:
    """Give the mount points below ``path`` that belong to another file system than ``own``.

    They are relative to ``path``, a path whose links are resolved already. A walk that stays on one
    file system need not open them, and must not: opening one may hang, or mount something (autofs).
    """
    return [
        mount.mount_point[len(path.rstrip(b"/")) + 1 :]
        for mount in on_top(mounts)
        if mount.mount_point != path
        and _is_below(mount.mount_point, path)
        and (own is None or mount.device_number != own.device_number)
    ]


def _is_below(path: bytes, directory: bytes) -> bool:
    return path == directory or path.startswith(directory.rstrip(b"/") + b"/")


def _above(path: bytes) -> Iterator[bytes]:
    """Give the directories above a path."""
    while path != (path := os.path.dirname(path)):
        yield path


def _upward(mount: Mount, by_id: Mapping[int, Mount]) -> Iterator[Mount]:
    """Give a mount, the one that it is mounted on, and so on up to the root."""
    seen: set[int] = set()
    at: Mount | None = mount
    while at is not None and at.mount_id not in seen:
        seen.add(at.mount_id)
        yield at
        at = by_id.get(at.parent_id)


def _unescape(field: bytes) -> bytes:
    """Undo the kernel's octal escapes of space, tab, newline and backslash."""
    if b"\\" not in field:
        return field
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), field)
