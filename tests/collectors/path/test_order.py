"""What the path collector orders of the workers, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from etlmon.collectors.path.collector import PathCollector
from etlmon.collectors.path.exclude import compile_exclude
from etlmon.config.watched import PathSection
from etlmon.fsworker.failures import WorkerTimeout
from etlmon.fsworker.scan import ScanOrder
from tests.collectors.path.conftest import Host, run


class TestOrder:
    def test_settings_are_passed_on(self, host: Host) -> None:
        assert host.order(
            max_depth=3, max_files_per_scan=10, timeout=5.0, exclude=("*.tmp", "old/")
        ) == ScanOrder(
            path=b"/data",
            mount_point="/",
            timeout_seconds=5.0,
            silence_seconds=120.0,
            max_depth=3,
            exclude=compile_exclude(["*.tmp", "old/"]),
            max_files=10,
            skip=[],
            one_at_a_time=False,
            remember=True,
            generation=1,
        )
        assert host.order(max_ops_per_second=7.5).max_ops_per_second == 7.5

    @pytest.mark.parametrize(
        ("kind", "rescan", "remembered", "settle_seconds"),
        [
            ("ext4", None, True, 2),
            ("ext4", "full", False, 2),
            ("nfs4", None, False, 120),
            ("nfs4", "incremental", True, 120),
            ("cifs", "incremental", False, 2),
            ("fuse.sshfs", "incremental", False, 2),
            ("proc", "incremental", False, 2),
        ],
    )
    def test_directories_are_reused_where_their_times_tell(
        self, host: Host, kind: str, rescan: Any, remembered: bool, settle_seconds: float
    ) -> None:
        host.mounts(f"2 1 /data {kind}")
        order = host.order(rescan=rescan)
        assert (order.remember, order.settle_seconds) == (remembered, settle_seconds)

    @pytest.mark.parametrize(("kind", "seconds"), [("ext4", 120), ("nfs4", 30), ("fuse.x", 30)])
    def test_silence_is_borne_longer_where_a_mount_is_merely_busy(
        self, host: Host, kind: str, seconds: float
    ) -> None:
        host.mounts(f"2 1 /data {kind}")
        assert host.order().silence_seconds == seconds

    @pytest.mark.parametrize(
        ("kind", "given", "calls"),
        [("ext4", None, 1), ("ext4", 8, 1), ("nfs", None, 4), ("fuse.x", 1, 1), ("cifs", 8, 8)],
    )
    def test_calls_at_a_time_are_for_what_answers_from_afar(
        self, host: Host, kind: str, given: int | None, calls: int
    ) -> None:
        host.mounts(f"2 1 /data {kind}")
        assert host.order(parallelism=given).parallelism == calls

    def test_all_is_listed_anew_as_often_as_is_asked_for(self, host: Host) -> None:
        """Each scan takes 2.5 seconds, and 2.5 seconds later the next one begins."""
        collector = host.collector(full_every=10.0)
        for _ in range(6):
            run(collector)
        assert [order.generation for order in host.workers.orders] == [1, 1, 2, 2, 3, 3]

    @pytest.mark.parametrize(
        ("kind", "device", "server"),
        [
            ("nfs4", "filer:/export/a", "filer"),
            ("nfs", "[fe80::1]:/a", "[fe80::1]"),
            ("cifs", "//win/share", "win"),
            ("fuse.sshfs", "user@host:/", None),
        ],
    )
    def test_server_of_a_mount(
        self, host: Host, kind: str, device: str, server: str | None
    ) -> None:
        host.mountinfo.write_text(
            f"1 0 0:1 / / rw - ext4 dev rw\n2 1 0:2 / /data rw - {kind} {device} rw\n"
        )
        assert host.order().server == server

    def spread(self, host: Host, path: str = "/data", interval: float = 300.0) -> float:
        """Give how much later a path's schedule begins."""
        collector = PathCollector(PathSection(path=path), interval, host.context)
        given: list[float] = []
        Deferred.fromCoroutine(collector.spread_seconds()).addCallback(given.append)
        return given[0]

    def test_schedules_on_a_server_are_spread_by_host_and_path(self, host: Host) -> None:
        names = host.mountinfo.parent.parent / "sys" / "kernel"
        names.mkdir(parents=True)
        (names / "hostname").write_text("one\n")
        host.mountinfo.write_text(
            "1 0 0:1 / / rw - ext4 dev rw\n2 1 0:2 / /data rw - nfs4 filer:/export rw\n"
        )
        spreads = [self.spread(host, f"/data/{number}") for number in range(100)]
        assert len(set(spreads)) == 100
        assert 0 <= min(spreads) < 5
        assert 25 < max(spreads) < 30
        assert self.spread(host, "/data/0") == spreads[0]
        assert self.spread(host, "/data/0", 86400.0) == pytest.approx(2 * spreads[0])
        assert self.spread(host, "/local") == 0
        (names / "hostname").write_text("two\n")
        assert self.spread(host, "/data/0") != spreads[0]
        host.mountinfo.unlink()
        assert self.spread(host) == 0

    @pytest.mark.parametrize(
        ("path", "raw"),
        [("/", b"/"), ("//", b"/"), ("/data/", b"/data"), ("/d é", "/d é".encode())],
    )
    def test_path_as_bytes_without_the_last_slash(self, host: Host, path: str, raw: bytes) -> None:
        assert host.order(path).path == raw

    def test_path_is_echoed_as_configured(self, host: Host) -> None:
        assert host.scan("/data/").path == "/data/"

    def test_other_file_systems_and_triggers_below_are_not_opened(self, host: Host) -> None:
        host.mounts(
            "2 1 /data xfs",
            "3 2 /data/nfs nfs",
            "4 2 /data/a/auto autofs",
            "5 1 /data2 xfs",
            "6 1 /elsewhere nfs",
        )
        order = host.order("/data/")
        assert (order.mount_point, order.skip) == ("/data", [b"nfs", b"a/auto"])
        assert order.one_at_a_time is False
        assert host.order("/").skip[0] == b"data"

    @pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "autofs"])
    def test_mount_that_may_hang_is_scanned_one_at_a_time(self, host: Host, kind: str) -> None:
        host.mounts(f"2 1 /data {kind}")
        order = host.order("/data/in")
        assert (order.mount_point, order.one_at_a_time) == ("/data", True)

    def test_mount_that_may_hang_is_asked_first(self, host: Host) -> None:
        """A scan that hangs would hold a child that scans of other paths wait for."""
        host.mounts("2 1 /data nfs4")
        host.order("/data/in")
        assert host.workers.probed == [(b"/data/in", "/data")]
        host.workers.silent = WorkerTimeout("/data", 5.0)
        scanned = host.scan("/data/in")
        assert (scanned.status, scanned.file_count) == ("ERROR", None)
        assert scanned.error_message == "no answer within 5 s from /data"
        assert host.workers.orders == []
        host.order("/local")
        assert len(host.workers.probed) == 2

    def test_local_mount_behind_a_server_counts_as_the_server(self, host: Host) -> None:
        host.mounts("2 1 /nfs nfs", "3 2 /nfs/local ext4")
        order = host.order("/nfs/local/x")
        assert (order.mount_point, order.one_at_a_time) == ("/nfs", True)

    def test_link_to_a_server_counts_as_the_server(self, host: Host, tmp_path: Path) -> None:
        """Else a hang there would close the mount that the link is on for every other scan."""
        tmp_path = tmp_path.resolve()
        (tmp_path / "link").symlink_to(tmp_path / "nfs" / "in")
        host.mounts(f"2 1 {tmp_path}/nfs nfs", f"3 2 {tmp_path}/nfs/in/auto autofs")
        order = host.order(f"{tmp_path}/link")
        assert (order.mount_point, order.one_at_a_time) == (f"{tmp_path}/nfs", True)
        assert order.skip == [b"auto"]
        assert order.path == bytes(tmp_path / "link")

    def test_no_root_in_the_list(self, host: Host) -> None:
        host.mountinfo.write_text("")
        order = host.order()
        assert (order.mount_point, order.skip) == ("/", [])
