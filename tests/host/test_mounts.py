"""Mounts as mountinfo tells them: parsing, what covers what, what may hang, what to spare."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.host.mounts import (
    Mount,
    covering,
    foreign_below,
    measure,
    on_top,
    parse_mount,
    read_mounts,
    read_own_mounts,
    resolve,
    unmounted_when_idle,
    waits_for,
)

PLAIN = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"


def mount(
    mount_id: int,
    parent_id: int,
    point: str,
    fs_type: str = "ext4",
    device: int | None = None,
    *,
    idle: bool = False,
) -> Mount:
    """Give a mount; its device number is its id unless another is given."""
    return Mount(
        mount_id=mount_id,
        parent_id=parent_id,
        device_number=mount_id if device is None else device,
        root=b"/",
        mount_point=point.encode(),
        read_only=False,
        fs_type=fs_type,
        device=b"/dev/x",
        unmounts_idle=idle,
    )


class TestParse:
    def test_example_of_the_manual(self) -> None:
        assert parse_mount(PLAIN) == Mount(
            mount_id=36,
            parent_id=35,
            device_number=os.makedev(98, 0),
            root=b"/mnt1",
            mount_point=b"/mnt2",
            read_only=False,
            fs_type="ext3",
            device=b"/dev/root",
        )

    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            (rb"/a\040b", b"/a b"),
            (rb"/a\011b", b"/a\tb"),
            (rb"/a\012b", b"/a\nb"),
            (rb"/a\134b", rb"/a\b"),
            (rb"/a\134040b", rb"/a\040b"),
            (rb"/a\043b", b"/a#b"),
            (rb"/caf\303\251", "/café".encode()),
            (b"/\xff\xfe", b"/\xff\xfe"),
            (rb"/a\9b\1", rb"/a\9b\1"),
        ],
    )
    def test_octal_escapes_are_undone_once(self, written: bytes, meant: bytes) -> None:
        found = parse_mount(PLAIN.replace(b"/mnt2", written))
        assert found is not None
        assert found.mount_point == meant

    def test_root_device_and_type_are_unescaped_too(self) -> None:
        line = rb"1 2 0:3 /a\040b /m rw - fuse.my\134fs //srv/my\040share rw"
        found = parse_mount(line)
        assert found is not None
        assert (found.root, found.fs_type, found.device) == (
            b"/a b",
            r"fuse.my\fs",
            b"//srv/my share",
        )

    @pytest.mark.parametrize(
        "optional", [b"", b"shared:1 ", b"shared:1 master:2 propagate_from:3 x "]
    )
    def test_any_number_of_optional_fields(self, optional: bytes) -> None:
        found = parse_mount(PLAIN.replace(b"master:1 ", optional))
        assert found is not None
        assert (found.fs_type, found.device) == ("ext3", b"/dev/root")

    def test_dash_as_device_or_name(self) -> None:
        found = parse_mount(b"1 2 0:3 / /- rw shared:1 - tmpfs - rw")
        assert found is not None
        assert (found.mount_point, found.fs_type, found.device) == (b"/-", "tmpfs", b"-")

    def test_empty_device(self) -> None:
        """An empty source leaves two spaces."""
        found = parse_mount(b"75 45 0:46 / /q rw,relatime - tmpfs  rw")
        assert found is not None
        assert (found.device, found.read_only) == (b"", False)

    @pytest.mark.parametrize(
        ("of_mount", "of_filesystem", "read_only"),
        [
            (b"ro,nosuid", b"rw", True),
            (b"rw", b"ro", True),
            (b"rw", b"rw,ro", True),
            (b"rw,relatime", b"rw,errors=remount-ro", False),
        ],
    )
    def test_read_only_by_mount_or_by_file_system(
        self, of_mount: bytes, of_filesystem: bytes, read_only: bool
    ) -> None:
        found = parse_mount(b"1 2 0:3 / /m " + of_mount + b" - ext4 /dev/x " + of_filesystem)
        assert found is not None
        assert found.read_only is read_only

    @pytest.mark.parametrize(
        ("options", "idle"), [(b"timeout=300", True), (b"timeout=0", False), (b"direct", True)]
    )
    def test_autofs_that_never_unmounts_is_told_from_one_that_does(
        self, options: bytes, idle: bool
    ) -> None:
        found = parse_mount(b"1 2 0:3 / /m rw - autofs systemd-1 rw,fd=5," + options)
        assert found is not None
        assert found.unmounts_idle is idle

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b" ",
            b"-",
            b"36 35 98:0 /mnt1 /mnt2 rw",
            b"36 35 98:0 /mnt1 /mnt2 rw - ext3",
            b"36 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root",
            b"36 35 980 /mnt1 /mnt2 rw - ext3 /dev/root rw",
            b"36 35 9:8:0 /mnt1 /mnt2 rw - ext3 /dev/root rw",
            b"36 35 9999999999999:0 / /m rw - ext3 /dev/root rw",
            b"x 35 98:0 / /m rw - ext3 /dev/root rw",
            b"36 35 98:0 / /m rw shared:1 ext3 /dev/root rw",
        ],
    )
    def test_what_is_no_mount_is_none(self, line: bytes) -> None:
        assert parse_mount(line) is None

    @given(
        st.binary()
        | st.lists(st.sampled_from([*PLAIN.split(), b"-", b"", b"\\777", b"9" * 40])).map(b" ".join)
    )
    def test_never_raises(self, line: bytes) -> None:
        found = parse_mount(line)
        assert found is None or isinstance(found.mount_point, bytes)

    @given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
    def test_every_name_comes_back(self, name: bytes) -> None:
        """Escaped as the kernel does (mangle_path), it is parsed to itself."""
        escaped = b"".join(b"\\%03o" % c if c in b" \t\n\\#" else bytes([c]) for c in name)
        found = parse_mount(
            b"1 2 0:3 /" + escaped + b" /" + escaped + b" rw - t " + escaped + b" rw"
        )
        assert found is not None
        assert (found.root, found.mount_point, found.device) == (b"/" + name, b"/" + name, name)


class TestRead:
    def write(self, proc: Path, content: bytes) -> Path:
        (proc / "self").mkdir()
        (proc / "self" / "mountinfo").write_bytes(content)
        return proc

    def test_order_is_kept_and_bad_lines_are_passed_over(self, tmp_path: Path) -> None:
        other = PLAIN.replace(b"36 ", b"37 ", 1)
        found = read_mounts(self.write(tmp_path, PLAIN + b"\nnonsense\n\n" + other + b"\n"))
        assert [one.mount_id for one in found] == [36, 37]

    def test_carriage_return_in_a_name_does_not_end_the_line(self, tmp_path: Path) -> None:
        """The kernel does not escape it: whoever may mount there could hide the mount."""
        line = PLAIN.replace(b"/mnt2", b"/a\rb\x0bc\x85d")
        (found,) = read_mounts(self.write(tmp_path, line + b"\n"))
        assert found.mount_point == b"/a\rb\x0bc\x85d"

    def test_empty_list(self, tmp_path: Path) -> None:
        assert read_mounts(self.write(tmp_path, b"")) == ()

    def test_unreadable_proc_is_an_oserror(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="mountinfo"):
            read_mounts(tmp_path)

    def test_read_only_is_what_the_host_s_first_process_has_so(self, tmp_path: Path) -> None:
        """Nearly all is read-only, by systemd, for a hardened service; on the host it is not."""
        self.write(
            tmp_path,
            b"9 1 8:1 / / ro - ext4 /dev/a rw\n10 9 8:2 / /iso ro - iso9660 /dev/b ro\n"
            b"11 9 8:1 /x /x rw - ext4 /dev/a rw\n12 9 0:9 / /own ro - tmpfs t rw\n",
        )
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "mountinfo").write_bytes(
            b"3 1 8:1 / / rw - ext4 /dev/a rw\n4 3 8:2 / /iso ro - iso9660 /dev/b ro\n"
        )
        found = read_mounts(tmp_path)
        assert [(one.mount_id, one.read_only) for one in found] == [
            (9, False),
            (10, True),
            (11, False),
            (12, True),
        ]
        own = read_own_mounts(tmp_path)
        assert [one.mount_id for one in own] == [9, 10, 11, 12]
        assert [one.read_only for one in own] == [True, True, False, True]

    def test_where_that_is_hidden_the_file_systems_tell(self, tmp_path: Path) -> None:
        """With hidepid; but a host whose / cannot be written at all has its mounts as they are."""
        self.write(
            tmp_path,
            b"9 1 8:1 / / ro - ext4 /dev/a rw\n10 9 8:2 / /iso ro - iso9660 /dev/b ro\n"
            b"11 9 8:3 / /data ro - ext4 /dev/c rw\n",
        )
        assert [one.read_only for one in read_mounts(tmp_path)] == [False, True, False]
        (tmp_path / "self" / "mountinfo").write_bytes(
            b"9 1 8:1 / / ro - ext4 /dev/a ro\n11 9 8:3 / /data ro - ext4 /dev/c rw\n"
        )
        assert [one.read_only for one in read_mounts(tmp_path)] == [True, True]

    def test_this_host(self) -> None:
        told = b""
        while told != (told := Path("/proc/self/mountinfo").read_bytes()):  # others mount, too
            found = read_mounts(Path("/proc"))
        assert len(found) == told.count(b"\n")
        root = covering(found, b"/")
        assert root is not None
        assert root.mount_point == b"/"


class TestKind:
    @pytest.mark.parametrize(
        "fs_type", "nfs nfs4 cifs smb3 fuse fuseblk fuse.sshfs fuse.s3fs 9p ceph autofs".split()
    )
    def test_may_hang(self, fs_type: str) -> None:
        assert mount(1, 0, "/m", fs_type).may_hang

    @pytest.mark.parametrize(
        "fs_type", "ext4 xfs btrfs tmpfs overlay zfs squashfs nfsd fusectl fuse.lxcfs".split()
    )
    def test_does_not_hang(self, fs_type: str) -> None:
        assert not mount(1, 0, "/m", fs_type).may_hang

    @pytest.mark.parametrize("fs_type", "proc sysfs cgroup2 autofs fuse.lxcfs devpts".split())
    def test_kernels_own(self, fs_type: str) -> None:
        assert mount(1, 0, "/m", fs_type).is_kernel

    @pytest.mark.parametrize("fs_type", "ext4 tmpfs devtmpfs nfs fuse.sshfs".split())
    def test_holds_data(self, fs_type: str) -> None:
        assert not mount(1, 0, "/m", fs_type).is_kernel

    @pytest.mark.parametrize(("options", "image"), [(b"ro", True), (b"rw", False)])
    def test_udf_is_an_image_only_where_nobody_can_write(self, options: bytes, image: bool) -> None:
        found = parse_mount(b"1 2 0:3 / /m " + options + b" - udf /dev/sdb1 rw")
        assert found is not None
        assert found.is_image is image


ROOT = mount(1, 0, "/")
TREE = (ROOT, mount(2, 1, "/data"), mount(3, 1, "/data2", "nfs"), mount(4, 2, "/data/in/x"))


class TestCovering:
    @pytest.mark.parametrize(
        ("path", "point"),
        [
            (b"/", b"/"),
            (b"/etc", b"/"),
            (b"/data", b"/data"),
            (b"/data/in", b"/data"),
            (b"/data/in/x", b"/data/in/x"),
            (b"/data/in/x/y/z", b"/data/in/x"),
            (b"/data/in/xy", b"/data"),
            (b"/data2/in/x", b"/data2"),
            (b"/data22", b"/"),
        ],
    )
    def test_whole_names_count(self, path: bytes, point: bytes) -> None:
        for mounts in (TREE, TREE[::-1]):
            found = covering(mounts, path)
            assert found is not None
            assert found.mount_point == point

    def test_of_several_on_the_root_the_first_holds_what_no_other_does(self) -> None:
        roots = (ROOT, mount(8, 7, "/"))
        assert covering((*roots, *TREE[1:]), b"/etc") == ROOT
        assert covering((*roots[::-1], *TREE[1:]), b"/etc") == roots[1]

    def test_while_no_mount_changes_all_is_reckoned_once(self, tmp_path: Path) -> None:
        (tmp_path / "self").mkdir()
        lines = b"9 1 8:1 / / rw - ext4 /dev/a rw\n10 9 0:9 / /in rw - nfs s:/in rw\n"
        (tmp_path / "self" / "mountinfo").write_bytes(lines)
        first, again = read_own_mounts(tmp_path), read_own_mounts(tmp_path)
        assert again is first
        assert waits_for(again) is waits_for(first)
        (tmp_path / "self" / "mountinfo").write_bytes(lines.replace(b"nfs", b"xfs"))
        assert waits_for(read_own_mounts(tmp_path)) == {}

    def test_none_without_a_root(self) -> None:
        assert covering(TREE[1:], b"/etc") is None
        assert covering((), b"/") is None

    def test_stacked_mounts_by_who_is_on_whom_not_by_order(self) -> None:
        """By mount --move an old mount, listed first, comes on top of a newer one."""
        moved, below = mount(5, 6, "/y", "xfs"), mount(6, 1, "/y", "tmpfs")
        assert covering((ROOT, moved, below), b"/y/z") == moved
        assert covering((ROOT, below, moved), b"/y/z") == moved

    def test_what_a_later_mount_covers_is_not_found(self) -> None:
        """/data/in/x lies on the /data that has been mounted over."""
        over = mount(9, 2, "/data", "nfs")
        assert covering((*TREE, over), b"/data/in/x/y") == over
        assert on_top((*TREE, over)) == [ROOT, TREE[2], over]

    def test_mounted_over_a_directory_above(self) -> None:
        low, high = mount(5, 1, "/a/b/c"), mount(6, 1, "/a")
        assert on_top((ROOT, low, high)) == [ROOT, high]
        assert on_top((ROOT, low, mount(7, 5, "/a/b/c/d"), high)) == [ROOT, high]

    def test_mount_on_the_root_covers_nothing(self) -> None:
        """A path begins at the process's root, below what is mounted on it."""
        over = mount(5, 1, "/")
        assert covering((*TREE, over), b"/etc") == ROOT
        assert on_top(TREE) == list(TREE)
        assert on_top((*TREE, over)) == [*TREE, over]

    def test_parents_in_a_circle_end(self) -> None:
        one, two = mount(1, 2, "/a"), mount(2, 1, "/b")
        assert waits_for((one, two, mount(3, 3, "/"))) == {}
        assert len(on_top((one, two, mount(3, 3, "/")))) == 3


class TestWaitsFor:
    def test_itself_or_the_nearest_on_the_way(self) -> None:
        nfs = mount(2, 1, "/nfs", "nfs")
        local = mount(3, 2, "/nfs/local")
        fuse = mount(4, 3, "/nfs/local/f", "fuse.sshfs")
        deep = mount(5, 4, "/nfs/local/f/x", "tmpfs")
        assert waits_for((ROOT, nfs, local, fuse, deep)) == {2: nfs, 3: nfs, 4: fuse, 5: fuse}

    def test_automounts_are_those_below_a_trigger_that_unmounts(self) -> None:
        trigger = mount(2, 1, "/net", "autofs", idle=True)
        kept = mount(3, 1, "/home", "autofs")
        mounts = (
            ROOT,
            trigger,
            kept,
            mount(4, 2, "/net/srv", "nfs"),
            mount(5, 4, "/net/srv/export", "nfs"),
            mount(6, 3, "/home", "nfs"),
        )
        assert unmounted_when_idle(mounts) == {2, 4, 5}


class TestForeignBelow:
    def test_other_file_systems_below_relative_to_the_path(self) -> None:
        assert foreign_below(TREE, b"/", ROOT) == [b"data", b"data2", b"data/in/x"]
        assert foreign_below(TREE, b"/data", TREE[1]) == [b"in/x"]
        assert foreign_below(TREE, b"/data/in", TREE[1]) == [b"x"]
        assert foreign_below(TREE, b"/data2", TREE[2]) == []

    def test_own_mount_and_prefixes_are_not_below(self) -> None:
        assert foreign_below(TREE, b"/data/in/x", TREE[3]) == []
        assert foreign_below(TREE, b"/dat", ROOT) == []

    def test_bind_mount_of_the_same_file_system_is_walked(self) -> None:
        """As find -xdev does."""
        bound = mount(5, 1, "/data/again", device=TREE[1].device_number)
        assert foreign_below((*TREE, bound), b"/data", TREE[1]) == [b"in/x"]

    def test_unknown_own_mount_leaves_all_out(self) -> None:
        assert foreign_below(TREE, b"/data", None) == [b"in/x"]

    def test_covered_mount_is_no_reason_to_leave_out_a_directory(self) -> None:
        over = mount(9, 2, "/data", "xfs")
        assert foreign_below((*TREE, over), b"/data", over) == []


class TestResolve:
    def test_links_are_followed_as_realpath_does(self, tmp_path: Path) -> None:
        tmp_path = tmp_path.resolve()
        (tmp_path / "real" / "deep").mkdir(parents=True)
        (tmp_path / "one").symlink_to("real")
        (tmp_path / "two").symlink_to(tmp_path / "one")
        (tmp_path / "real" / "up").symlink_to("../two/deep")
        for path in ("two/deep", "two/up", "one/../one//./deep/", "missing/x", "real/deep/.."):
            written = os.fsencode(tmp_path / "x")[:-1] + path.encode()
            assert resolve((ROOT,), written) == os.path.realpath(written)
        assert resolve((ROOT,), b"/") == b"/"

    def test_loop_ends_with_the_path_as_written(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop/x")
        written = os.fsencode(tmp_path / "loop")
        assert resolve((ROOT,), written) == written

    def test_link_into_a_mount_that_may_hang_is_seen_and_no_further(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing on the hanging mount is touched, not even its root."""
        tmp_path = tmp_path.resolve()
        (tmp_path / "data").symlink_to(tmp_path / "nfs" / "x")
        nfs = mount(2, 1, str(tmp_path / "nfs"), "nfs")
        touched = []
        real = os.readlink
        monkeypatch.setattr(os, "readlink", lambda path: touched.append(path) or real(path))
        found = resolve((ROOT, nfs), os.fsencode(tmp_path / "data" / "y" / ".." / "z"))
        assert found == os.fsencode(tmp_path / "nfs" / "x" / "z")
        assert covering((ROOT, nfs), found) == nfs
        assert not [path for path in touched if path.startswith(nfs.mount_point)]


def test_measure_is_statvfs_with_the_device(tmp_path: Path) -> None:
    found, judge = measure(os.fsencode(tmp_path)), os.statvfs(tmp_path)
    assert found.device_number == tmp_path.stat().st_dev
    assert (found.block_bytes, found.blocks, found.inodes) == (
        judge.f_frsize,
        judge.f_blocks,
        judge.f_files,
    )
    assert found.blocks >= found.blocks_free >= found.blocks_avail > 0
    with pytest.raises(FileNotFoundError):
        measure(os.fsencode(tmp_path / "missing"))
