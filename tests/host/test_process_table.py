"""One pass over procfs, real and made up: what is read, what is spared, what is hidden."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.host.process_table import (
    ProcessTable,
    count_open_files,
    may_read_others,
    opened,
    process_name,
    read_arguments,
    read_cgroup,
    read_disk_bytes,
    read_exe,
    read_owner,
    split_arguments,
)
from etlmon.host.processes import parse_stat

PROC = Path("/proc")
REST = (
    "S 1 7 7 0 -1 {flags} 97 0 0 0 31 11 5 5 20 0 3 0 {start} 3133440 358 184467 1 2 3 4 5 0 0 0 "
    "0 0 0 0 17 1 0 0 0 0 0 9 10 11 1001 1002 13 14 768\n"
)


def stat_line(pid: int, name: str, start: int = 100, flags: int = 4194560) -> bytes:
    return f"{pid} ({name}) {REST.format(start=start, flags=flags)}".encode()


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., None]:
    def make(pid: int, name: str = "x", **fields: int) -> None:
        (tmp_path / str(pid)).mkdir(exist_ok=True)
        (tmp_path / str(pid) / "stat").write_bytes(stat_line(pid, name, **fields))

    return make


def look(table: ProcessTable, proc: Path, closely: set[int] | None = None) -> list[int]:
    with opened(proc) as directory:
        return sorted(table.look(directory, closely))


class TestLook:
    def test_all_that_ps_sees(self) -> None:
        table = ProcessTable()
        look(table, PROC)
        printed = subprocess.run(["ps", "-e", "-opid="], check=True, capture_output=True).stdout
        after = ProcessTable()
        look(after, PROC)
        lasting = {
            pid
            for pid in table.stats.keys() & after.stats.keys()
            if table.stats[pid].start_ticks == after.stats[pid].start_ticks
        }
        assert lasting
        assert lasting <= {int(pid) for pid in printed.split()}
        assert os.getpid() in lasting
        assert table.sees_all

    def test_most_are_not_read_again(self, fake, tmp_path: Path) -> None:
        for pid in range(1, 49):
            fake(pid)
        table = ProcessTable()
        counts = [len(look(table, tmp_path, {5})) for _ in range(16)]
        assert counts[:3] == [48, 48, 48]  # while they are young
        assert set(counts[3:]) <= {2, 3}  # the one that is watched, and one in 24
        assert len(table.stats) == 48
        seen: set[int] = set()
        for _ in range(24):
            seen.update(look(table, tmp_path, set()))
        assert seen == set(range(1, 49))

    def test_none_closely_is_all(self, fake, tmp_path: Path) -> None:
        fake(1)
        table = ProcessTable()
        assert [look(table, tmp_path) for _ in range(9)] == [[1]] * 9

    def test_another_process_of_the_same_pid_is_read_at_once(self) -> None:
        """As far as a test can force it: the directory of another process has another inode."""
        table = ProcessTable()
        with subprocess.Popen(["sleep", "60"]) as process:
            for _ in range(4):
                read = look(table, PROC, set())
            name, inode = str(process.pid), table._inodes[str(process.pid)]
            assert inode == Path(f"/proc/{name}").stat().st_ino
            table._inodes[name] = inode + 1
            table._counts = None
            while process.pid in read:  # now and then, it would be read anyway
                read = look(table, PROC, set())
            table._inodes[name] = inode + 1
            table._counts = None
            assert process.pid in look(table, PROC, set())
            process.kill()
        assert process.pid not in table.stats or look(table, PROC, set()) is not None
        assert process.pid not in table.stats

    def test_the_list_is_spared_while_the_kernel_counts_no_change(
        self, fake, tmp_path: Path, monkeypatch
    ) -> None:
        """One that it has not counted, as there is none, is seen within a minute all the same."""
        fake(1)
        (tmp_path / "self").symlink_to(str(os.getpid()))
        loadavg = tmp_path / "loadavg"
        loadavg.write_text("0.10 0.20 0.30 1/80 700\n")
        table, lists, scandir = ProcessTable(), [], os.scandir

        def note(directory: int) -> object:
            lists.append(1)
            return scandir(directory)

        monkeypatch.setattr(os, "scandir", note)
        look(table, tmp_path, set())
        loadavg.write_text("1.10 0.20 0.30 3/80 700\n")  # nothing began or ended
        look(table, tmp_path, set())
        assert len(lists) == 1
        for number, counts in enumerate(("1/81 700", "1/81 701"), 2):
            fake(number)
            loadavg.write_text(f"1.10 0.20 0.30 {counts}\n")
            look(table, tmp_path, set())
            assert number in table.stats
        fake(5)
        looks = 0
        while 5 not in table.stats:
            look(table, tmp_path, set())
            looks += 1
        assert 1 < looks <= 12

    @pytest.mark.parametrize(
        ("is_ours", "counts"),
        [
            (True, "0.10 0.20 0.30 0/0 0"),
            (True, "0.10 0.20 0.30"),
            (True, ""),
            (False, "0.10 0.20 0.30 1/80 700"),
        ],
    )
    def test_counts_that_are_none_or_of_other_processes_spare_nothing(
        self, fake, tmp_path: Path, is_ours: bool, counts: str
    ) -> None:
        fake(1)
        (tmp_path / "self").symlink_to(str(os.getpid()) if is_ours else "1")
        (tmp_path / "loadavg").write_text(f"{counts}\n")
        table = ProcessTable()
        look(table, tmp_path, set())
        fake(2)
        assert 2 in look(table, tmp_path, set())

    def test_what_begins_or_ends_is_seen_by_the_next_look(self) -> None:
        """The kernel's own counts, among all else that goes on on this host."""
        table = ProcessTable()
        for _ in range(30):
            look(table, PROC, set())
            with subprocess.Popen(["sleep", "60"]) as process:
                look(table, PROC, set())
                assert process.pid in table.stats
                process.kill()
            look(table, PROC, set())
            assert process.pid not in table.stats

    def test_what_is_no_process_is_passed_over(self, fake, tmp_path: Path) -> None:
        fake(1)
        (tmp_path / "self").symlink_to("1")
        (tmp_path / "12").mkdir()
        (tmp_path / "13").mkdir()
        (tmp_path / "13/stat").write_bytes(b"13 (torn")
        table = ProcessTable()
        assert look(table, tmp_path) == [1]

    def test_without_pid_1_something_is_hidden(self, fake, tmp_path: Path) -> None:
        fake(7)
        table = ProcessTable()
        look(table, tmp_path)
        assert not table.sees_all

    def test_what_may_not_be_read_is_hidden(self, fake, tmp_path: Path, monkeypatch) -> None:
        fake(1)
        fake(7)
        real = os.open

        def guarded(path, *arguments, **options):
            if path == "7/stat":
                raise PermissionError(1, "Operation not permitted")
            return real(path, *arguments, **options)

        monkeypatch.setattr(os, "open", guarded)
        table = ProcessTable()
        assert look(table, tmp_path) == [1]
        assert table.hidden == {7}
        assert not table.sees_all


class TestNames:
    def name(self, comm: str, *arguments: str, flags: int = 0) -> str:
        return process_name(parse_stat(stat_line(7, comm, flags=flags)), list(arguments))

    def test_a_cut_name_is_completed_from_what_was_executed(self) -> None:
        assert self.name("etl_worker_long", "/opt/etl_worker_long_name", "x") == (
            "etl_worker_long_name"
        )
        assert self.name("etl_worker_long", "etl_worker_long_name: part 3") == (
            "etl_worker_long_name:"
        )

    def test_a_whole_or_another_name_is_left(self) -> None:
        assert self.name("etl_work", "/opt/etl_worker") == "etl_work"
        assert self.name("etl_worker_long", "/usr/bin/python3", "a") == "etl_worker_long"
        assert self.name("etl_worker_long") == "etl_worker_long"

    def test_kernel_threads_stand_in_brackets(self) -> None:
        assert self.name("kthreadd", flags=0x00200000) == "[kthreadd]"


class TestArguments:
    def test_they_are_split_and_made_text(self) -> None:
        assert split_arguments(b"a\0b c\0\xff\n\0") == ["a", "b c", "\\xff\n"]
        assert split_arguments(b"a\0\0b\0\0\0") == ["a", "", "b"]
        assert split_arguments(b"worker: part 3\0\0\0\0") == ["worker: part 3"]
        assert split_arguments(b"") == split_arguments(b"\0\0") == []

    def test_there_is_an_end_to_them(self) -> None:
        assert len(split_arguments(b"a\0" * 50_000)) == 2001

    @given(st.lists(st.binary(min_size=1).filter(lambda one: b"\0" not in one), max_size=20))
    def test_any(self, parts: list[bytes]) -> None:
        assert len(split_arguments(b"\0".join(parts) + b"\0")) == len(parts)

    def test_long_ones_are_cut(self) -> None:
        with subprocess.Popen(["sleep", "60", "0" * 100_000]) as process:
            raw: bytes | None = b""
            with opened(PROC) as directory:
                while raw == b"":  # it has not begun yet
                    raw = read_arguments(directory, process.pid)
            process.kill()
        assert raw is not None
        assert len(raw) == 64 << 10


class TestDetails:
    @pytest.fixture
    def directory(self) -> Iterator[int]:
        with opened(PROC) as one:
            yield one

    def test_of_this_process(self, directory: int) -> None:
        pid = os.getpid()
        owner = read_owner(directory, pid)
        assert owner is not None
        assert owner[0] == os.geteuid()
        assert read_exe(directory, pid) == os.path.realpath(sys.executable)
        files = count_open_files(directory, pid)
        assert files is not None
        assert abs(files - len(list(Path("/proc/self/fd").iterdir()))) <= 1
        assert read_disk_bytes(directory, pid) is not None
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        assert read_cgroup(directory, pid) in [line.split(":", 2)[2] for line in lines]

    def test_of_none(self, directory: int) -> None:
        none = (1 << 22) + 1
        for read in (
            *(read_arguments, read_owner, read_exe, read_cgroup),
            *(count_open_files, read_disk_bytes),
        ):
            assert read(directory, none) is None

    @pytest.mark.parametrize(
        ("text", "group"),
        [
            ("0::/system.slice/etl.service\n", "/system.slice/etl.service"),
            ("1:name=systemd:/a/b\n0::/\n", "/a/b"),
            ("9:memory:/m/x\n1:name=systemd:/\n0::/\n", "/m/x"),
            ("0::/\n", "/"),
            ("0::/../other\n", "/../other"),
            ("0::/a:b\n", "/a:b"),
            ("", None),
            ("garbage", None),
        ],
    )
    def test_control_groups(self, tmp_path: Path, text: str, group: str | None) -> None:
        (tmp_path / "7").mkdir()
        (tmp_path / "7/cgroup").write_text(text)
        with opened(tmp_path) as directory:
            assert read_cgroup(directory, 7) == group

    @pytest.mark.parametrize(
        ("text", "owner"),
        [
            ("Name:\tx\nUid:\t1\t2\t3\t4\nNSpid:\t70\n", (2, None)),
            ("Name:\tUid:\nUid:\t1\t2\t3\t4\nNSpid:\t70\t8\t1\n", (2, 1)),
            ("Name:\tx\nUid:\t1\t2\t3\t4\n", (2, None)),
            ("Name:\tx\n", None),
        ],
    )
    def test_owners_and_pids_in_containers(self, tmp_path: Path, text: str, owner: object) -> None:
        (tmp_path / "7").mkdir()
        (tmp_path / "7/status").write_text(text)
        with opened(tmp_path) as directory:
            assert read_owner(directory, 7) == owner

    def test_a_program_that_was_replaced_keeps_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "7").mkdir()
        (tmp_path / "7/exe").symlink_to("/usr/bin/etl (deleted)")
        with opened(tmp_path) as directory:
            assert read_exe(directory, 7) == "/usr/bin/etl"

    def test_old_kernels_list_the_files(self, tmp_path: Path, monkeypatch) -> None:
        (tmp_path / "7/fd").mkdir(parents=True)
        for number in range(3):
            (tmp_path / f"7/fd/{number}").touch()
        real = os.stat

        def sizeless(path, **options):
            found = real(path, **options)
            return os.stat_result((*found[:6], 0, *found[7:10])) if path == "7/fd" else found

        monkeypatch.setattr(os, "stat", sizeless)
        with opened(tmp_path) as directory:
            assert count_open_files(directory, 7) == 3

    def test_the_capability(self, tmp_path: Path) -> None:
        (tmp_path / "self").mkdir()
        for text, may in (("0000000000080000", True), ("0000000000040000", False)):
            (tmp_path / "self/status").write_text(f"Name:\tx\nCapEff:\t{text}\n")
            assert may_read_others(tmp_path) is may
        assert not may_read_others(tmp_path / "none")
