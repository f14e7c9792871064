"""Which mounts are shown, with df as the judge, in a mount namespace of the test's own."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from etlmon.collectors.disk.select import hidden_by_usage, hidden_unasked
from etlmon.host.mounts import Mount, Usage


def empty_squashfs() -> bytes:
    """Give the smallest image of squashfs 4.0: a root directory with nothing in it."""
    metadata = struct.Struct("<H")
    inode = struct.pack("<HHHHIIIIHHI", 1, 0o755, 0, 0, 0, 1, 0, 2, 3, 0, 2)
    inodes = metadata.pack(len(inode) | 0x8000) + inode
    ids = metadata.pack(4 | 0x8000) + struct.pack("<I", 0)
    inode_table = 96
    directory_table = inode_table + len(inodes)
    id_block = directory_table
    id_table = id_block + len(ids)
    none = 2**64 - 1
    head = struct.pack(
        "<IIIIIHHHHHHQQQQQQQQ",
        *(0x73717368, 1, 0, 131072, 0, 1, 17, 0x0002 | 0x0010, 1, 4, 0),
        *(0, id_table + 8, id_table, none, inode_table, directory_table, none, none),
    )
    return (head + inodes + ids + struct.pack("<Q", id_block)).ljust(4096, b"\0")


def test_shows_what_df_shows(in_namespace: Callable[[str], Any]) -> None:
    """Bind mounts, stacked, moved and read-only mounts: the same places as df, each once."""
    seen = in_namespace(
        """
        mkdir plain bound bound/dir over moved low 'with space' "$(printf 'new\\nline')"
        mkdir ro back parts parts/far-down-the-tree parts/near
        touch file
        mount -t tmpfs -o size=1m plain plain
        mkdir plain/sub; touch plain/file
        mount --bind plain/sub bound/dir
        mount --bind plain/file file
        mount -t tmpfs -o size=1m first over
        mount -t tmpfs -o size=2m second over
        mount -t tmpfs -o size=3m moved moved
        mount -t tmpfs -o size=4m low low
        mount --move moved low
        mount -t tmpfs -o size=1m spacy 'with space'
        mount -t tmpfs -o size=1m newline new*line
        mount -t tmpfs -o size=1m,ro ro ro
        mount -t tmpfs -o size=1m far parts/far-down-the-tree
        mkdir parts/far-down-the-tree/sub
        mount --bind parts/far-down-the-tree parts/near
        """
    )
    names = {"plain", "over", "low", "with space", "new\nline", "ro", "parts/near"}
    assert seen.shown() == names
    assert {name.replace("\n", "?") for name in names} == seen.shown_by_df()
    for name in names - {"new\nline"}:
        row, record = seen.df(name), seen.record(name)
        assert record["total_bytes"] == int(row["size"])
        # df takes the mount that is listed last for the one on top.
        assert record["device"] == ("moved" if name == "low" else row["source"])
    plain = seen.record("plain")["mount_point"]
    assert seen.hidden("bound/dir") == seen.hidden("file") == [f"the same file system as {plain}"]
    over_it = ["not reachable: another file system is mounted over it"]
    assert seen.hidden("over") == seen.hidden("low") == over_it
    assert seen.record("over")["total_bytes"] == 2 << 20
    assert seen.record("low")["total_bytes"] == 3 << 20


def test_ext4_with_a_reserve_for_root(in_namespace: Callable[[str], Any]) -> None:
    """The percentage is df's: of what is not reserved."""
    seen = in_namespace(
        """
        truncate -s 40M image; mkdir disk; /sbin/mkfs.ext4 -q -m 5 image
        mount -o loop image disk || exit 77
        head -c 30000000 /dev/zero > disk/big; sync disk/big
        """
    )
    row, record = seen.df("disk"), seen.record("disk")
    assert (record["fs_type"], record["device"]) == ("ext4", row["source"])
    assert record["total_bytes"] == int(row["size"])
    assert record["used_bytes"] == int(row["used"]) > 30_000_000
    assert record["avail_bytes"] == int(row["avail"])
    # 5 % of the image, and what the kernel keeps for itself besides.
    free = record["total_bytes"] - record["used_bytes"]
    assert record["reserved_bytes"] == free - record["avail_bytes"] > 0.05 * 40_000_000
    assert f"{math.ceil(record['used_percent'])}%" == row["pcent"]
    assert record["used_percent"] > 100 * record["used_bytes"] / record["total_bytes"] + 4
    assert (record["inodes_total"], record["inodes_used"]) == (
        int(row["itotal"]),
        int(row["iused"]),
    )


def test_full_is_critical_unless_read_only(in_namespace: Callable[[str], Any]) -> None:
    seen = in_namespace(
        """
        mkdir full ro inodes
        mount -t tmpfs -o size=64k full full
        head -c 64k /dev/zero > full/x
        mount -t tmpfs -o size=64k ro ro
        head -c 64k /dev/zero > ro/x; mount -o remount,ro ro
        mount -t tmpfs -o size=64k,nr_inodes=4 inodes inodes
        touch inodes/1 inodes/2 inodes/3
        """
    )
    full, read_only, inodes = (seen.record(name) for name in ("full", "ro", "inodes"))
    assert seen.df("full")["pcent"] == "100%"
    assert (full["used_percent"], full["avail_bytes"]) == (100.0, 0)
    assert (full["level"], full["level_by"]) == ("critical", "space")
    assert (read_only["used_percent"], read_only["read_only"]) == (100.0, True)
    assert (read_only["level"], read_only["level_by"]) == ("ok", None)
    assert (inodes["used_percent"], inodes["inodes_used_percent"]) == (0.0, 100.0)
    assert (inodes["level"], inodes["level_by"]) == ("critical", "inodes")


def test_overlay_of_a_container_is_hidden(in_namespace: Callable[[str], Any]) -> None:
    seen = in_namespace(
        """
        mkdir lower layers merged
        mount -t tmpfs -o size=1m layers layers; mkdir layers/upper layers/work
        directories=lowerdir=lower,upperdir=layers/upper,workdir=layers/work
        mount -t overlay -o $directories o merged || exit 77
        """
    )
    assert seen.shown() == {"layers"}
    assert seen.shown_by_df() == {"layers", "merged"}
    assert seen.hidden("merged") == ["a container's layers, kept on another file system"]


def test_image_is_hidden_though_full(in_namespace: Callable[[str], Any], tmp_path: Path) -> None:
    image = empty_squashfs().hex()
    python = f"import sys; sys.stdout.buffer.write(bytes.fromhex('{image}'))"
    seen = in_namespace(
        f"""
        /usr/bin/env python3 -c "{python}" > image; mkdir snap
        mount -t squashfs -o loop,ro image snap || exit 77
        """
    )
    assert seen.df("snap")["pcent"] == "100%"
    assert seen.hidden("snap") == ["a read-only image, full by nature"]
    assert seen.record("snap")["level"] == "ok"


def test_names_that_are_not_utf8(in_namespace: Callable[[str], Any]) -> None:
    """They are shown with their bytes escaped; the mount itself is measured."""
    seen = in_namespace(
        r"""
        name="$(printf 'a\377\rb')"; mkdir "$name"; mount -t tmpfs -o size=1m "$name" "$name"
        """
    )
    record = seen.record("a\\xff\rb")
    assert (record["state"], record["total_bytes"]) == ("ok", 1 << 20)
    assert record["device"] == "a\\xff\rb"


def test_autofs_trigger_is_never_touched(with_trigger: Callable[[], str], tmp_path: Path) -> None:
    output, alone, control = with_trigger().splitlines()
    (record,) = [
        one for one in json.loads(output)["records"] if one["mount_point"] == str(tmp_path)
    ]
    assert record["reason"] == "holds no data: a file system of the kernel's own"
    assert (alone, control) == ("left alone", "control: touched")


def mount(number: int, parent: int, point: bytes, device: bytes, **changes: Any) -> Mount:
    whole: dict[str, Any] = {
        "mount_id": number,
        "parent_id": parent,
        "device_number": 0,
        "root": b"/",
        "mount_point": point,
        "read_only": False,
        "fs_type": "ext4",
        "device": device,
    }
    return Mount(**{**whole, **changes})


def usage(device_number: int, blocks: int = 100) -> Usage:
    return Usage(device_number, 1024, blocks, 50, 50, 0, 0)


def hidden(*mounts: Mount, number: int = 7) -> set[bytes]:
    """Give the places that are hidden where all mounts have one device number."""
    ids = hidden_by_usage(mounts, {one.mount_id: usage(number) for one in mounts})
    return {one.mount_point for one in mounts if one.mount_id in ids}


class TestRules:
    """Rules for which no real mount can be made here."""

    def test_exports_of_one_server_are_shown_each_once(self) -> None:
        """They may have one device number; further mounts of an export are duplicates."""
        a = mount(1, 0, b"/a", b"srv:/a", fs_type="nfs4")
        b = mount(2, 0, b"/b", b"srv:/b", fs_type="nfs4")
        again = mount(3, 0, b"/mnt/a", b"srv:/a", fs_type="nfs4")
        assert hidden(a, b, again) == {b"/mnt/a"}
        assert hidden(again, b, a) == {b"/mnt/a"}

    def test_real_device_wins(self) -> None:
        assert hidden(mount(1, 0, b"/a", b"none"), mount(2, 0, b"/long", b"/dev/x")) == {b"/a"}

    def test_nearer_the_top_wins_unless_it_is_only_a_part(self) -> None:
        far, near = mount(1, 0, b"/far/off", b"/dev/x"), mount(2, 0, b"/near", b"/dev/x")
        part = mount(3, 0, b"/p", b"/dev/x", root=b"/sub")
        assert hidden(far, near) == hidden(near, far) == {b"/far/off"}
        assert hidden(far, part) == {b"/p"}

    def test_subvolumes_have_numbers_of_their_own(self) -> None:
        mounts = mount(1, 0, b"/", b"/dev/x"), mount(2, 1, b"/home", b"/dev/x", root=b"/@home")
        assert hidden_by_usage(mounts, {1: usage(50), 2: usage(51)}) == {}

    def test_no_space_is_no_file_system(self) -> None:
        one = mount(1, 0, b"/x", b"none")
        reason = "has no space of its own: a pseudo file system"
        assert hidden_by_usage((one,), {1: usage(7, blocks=0)}) == {1: reason}

    def test_what_was_not_measured_is_left_alone(self) -> None:
        mounts = mount(1, 0, b"/x", b"/dev/x"), mount(2, 0, b"/y", b"/dev/x")
        assert hidden_by_usage(mounts, {1: usage(7)}) == {}

    def test_overlay_at_the_root_is_shown(self) -> None:
        root = mount(1, 0, b"/", b"overlay", fs_type="overlay")
        inner = mount(2, 1, b"/x", b"overlay", fs_type="overlay")
        assert list(hidden_unasked((root, inner))) == [2]


def test_nothing_of_the_namespace_is_left(
    in_namespace: Callable[[str], Any], tmp_path: Path
) -> None:
    in_namespace("mkdir inner; mount -t tmpfs inner inner")
    assert list(tmp_path.iterdir()) == []
    assert os.fsencode(tmp_path) not in Path("/proc/self/mountinfo").read_bytes()
