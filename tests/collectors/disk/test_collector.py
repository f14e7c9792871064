"""The disk collector on a fixture mountinfo: who is asked how, and what is told of silence."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from etlmon.collectors.disk import KIND
from etlmon.config.node import NodeConfig
from etlmon.config.watched import DiskSection, MountThresholds
from etlmon.errors import CollectError
from etlmon.fsworker.failures import MountStuck, WorkerDied, WorkerFailed, WorkerTimeout
from etlmon.fsworker.pool import WorkerPool
from etlmon.host.mounts import Usage
from etlmon.units import utc

NFS = "40 1 /nfs nfs4 srv:/data"
TRIGGER = "50 1 /auto autofs systemd-1 rw,timeout=60"
TIMEOUT = WorkerTimeout("/nfs", 2.0)


def asked(host: Any) -> list[bytes]:
    """Give the paths that workers were asked for since the last time."""
    paths = [path for path, *_ in host.workers.asked]
    host.workers.asked.clear()
    return paths


class TestAsking:
    def test_mount_that_may_hang_is_asked_through_a_worker(self, host: Any) -> None:
        host.mounts(NFS)
        host.workers.tell(b"/nfs")
        record = host.look()["/nfs"]
        assert host.workers.asked == [(b"/nfs", "/nfs", 2.0)]
        assert (record.state, record.device, record.fs_type) == ("ok", "srv:/data", "nfs4")
        assert (record.total_bytes, record.used_percent) == (102_400, 100 * 60 / 95)
        assert record.collected_at == utc(host.seconds)

    def test_local_mount_behind_one_that_may_hang_is_asked_through_a_worker(
        self, host: Any
    ) -> None:
        """The way to it leads through the server; both are probes of that one mount."""
        host.mounts(NFS, "41 40 /nfs/local ext4 /dev/sdb", "42 41 /nfs/local/a xfs /dev/sdc")
        host.workers.tell(b"/nfs", device=1)
        host.workers.tell(b"/nfs/local", device=2)
        host.workers.tell(b"/nfs/local/a", device=3)
        assert {record.state for record in host.look().values()} == {"ok"}
        assert [key for _, key, _ in host.workers.asked] == ["/nfs"] * 3

    def test_local_mount_covered_by_one_that_may_hang_is_not_asked(self, host: Any) -> None:
        """A call on its place would reach the server, from a thread that nothing can end."""
        host.mounts(
            "39 1 /nfs ext4 /dev/sdb", "38 39 /nfs/below ext4 /dev/sdc", "40 39 /nfs nfs s:/"
        )
        host.workers.tell(b"/nfs")
        assert host.look()["/nfs"].fs_type == "nfs"
        assert asked(host) == [b"/nfs"]

    def test_kernels_own_and_images_are_hidden_unasked(self, host: Any) -> None:
        host.mounts("2 1 /proc proc proc", "3 1 /snap/x squashfs /dev/loop0 ro", TRIGGER)
        records = host.look()
        assert {record.state for record in records.values()} == {"hidden"}
        assert all(record.reason and record.level == "ok" for record in records.values())
        assert asked(host) == []

    def test_mounts_are_asked_all_at_once(self, host: Any) -> None:
        """A silent one does not keep the others waiting for their turn."""
        host.mounts(NFS, "41 1 /b nfs srv:/b")
        first: Deferred[Usage] = Deferred()
        host.workers.answers[b"/nfs"] = first
        host.workers.tell(b"/b")
        run = host.run()
        assert asked(host) == [b"/nfs", b"/b"]
        assert not run.called
        first.errback(TIMEOUT)
        states: list[Any] = []
        run.addCallback(lambda records: states.extend(record.state for record in records))
        assert states == ["stale", "ok"]

    def test_cancelling_ends_the_probes(self, host: Any) -> None:
        host.mounts(NFS)
        probe: Deferred[Usage] = Deferred()
        host.workers.answers[b"/nfs"] = probe
        run, result = host.run(), []
        run.addErrback(result.append)
        run.cancel()
        assert probe.called
        assert len(result) == 1

    def test_unreadable_list_is_a_collect_error(self, host: Any) -> None:
        with pytest.raises(CollectError, match=r"cannot read the list of mounts: .*mountinfo"):
            host.look()

    def test_no_mounts_is_an_empty_batch(self, host: Any) -> None:
        host.mounts()
        assert host.look() == {}

    def test_real_local_mount_is_measured(self, host: Any) -> None:
        host.mounts("1 0 / ext4 /dev/root")
        assert host.look()["/"].state == "ok"
        assert asked(host) == []


class TestLevel:
    def collector(self, host: Any, **settings: Any) -> None:
        host.collector = type(host.collector)(DiskSection(**settings), 15.0, host.context)

    def test_thresholds_of_the_mount(self, host: Any) -> None:
        self.collector(host, mounts={"/nfs": MountThresholds(warn_percent=20.0)})
        host.mounts(NFS, "41 1 /b nfs srv:/b")
        host.workers.tell(b"/nfs", device=1)
        host.workers.tell(b"/b", device=2)
        records = host.look()
        assert (records["/nfs"].level, records["/nfs"].level_by) == ("warning", "space")
        assert (records["/b"].level, records["/b"].level_by) == ("ok", None)

    @pytest.mark.parametrize(("options", "level"), [("rw", "critical"), ("ro", "ok")])
    def test_read_only_never_alarms(self, host: Any, options: str, level: str) -> None:
        host.mounts(f"{NFS} {options}")
        host.workers.tell(b"/nfs", free=5)
        record = host.look()["/nfs"]
        assert (record.level, record.used_percent) == (level, 100.0)


class TestStale:
    def test_silence_keeps_the_last_figures(self, host: Any) -> None:
        host.mounts(NFS)
        host.workers.tell(b"/nfs", free=20)
        good = host.look()["/nfs"]
        for error in (TIMEOUT, MountStuck("/nfs", utc(0)), WorkerDied("gone"), TIMEOUT):
            host.workers.answers[b"/nfs"] = error
            stale = host.look()["/nfs"]
            assert (stale.state, stale.reason) == ("stale", str(error))
            assert stale.stale_since == good.collected_at
            assert stale.collected_at == utc(host.seconds)
            assert (
                msgspec.structs.replace(
                    stale, state="ok", reason=None, stale_since=None, collected_at=good.collected_at
                )
                == good
            )
        assert good.level == "warning"

    def test_silence_is_told_after_the_figures_until_it_ends(self, host: Any) -> None:
        host.mounts(NFS, *(f"{50 + n} 1 /n{n} nfs srv:/n{n}" for n in range(6)))
        for point in (b"/nfs", *(b"/n%d" % n for n in range(6))):
            host.workers.answers[point] = TIMEOUT
        host.look()
        assert host.told == "7 mounts without an answer: /n0, /n1, /n2, /n3, /n4 ..."
        for number in range(6):
            host.workers.tell(b"/n%d" % number, device=number)
        host.look()
        assert host.told == "1 mount without an answer: /nfs"
        host.workers.tell(b"/nfs")
        host.look()
        assert host.told is None

    def test_who_was_silent_holds_nobody_up_again(self, host: Any) -> None:
        """It is asked once, for as long as it takes; its answer is taken when it has come."""
        host.mounts(NFS, "41 1 /b nfs srv:/b")
        host.workers.tell(b"/b")
        host.workers.answers[b"/nfs"] = TIMEOUT
        host.look()
        slow: Deferred[Usage] = Deferred()
        host.workers.answers[b"/nfs"] = slow
        for _ in range(3):
            records = host.look()
            assert (records["/b"].state, records["/nfs"].state) == ("ok", "stale")
            assert records["/nfs"].reason == str(TIMEOUT)
        assert asked(host).count(b"/nfs") == 2
        host.workers.tell(b"/nfs")
        slow.callback(host.workers.answers[b"/nfs"])
        assert host.look()["/nfs"].state == "ok"

    def test_the_probe_of_a_mount_that_is_gone_ends(self, host: Any) -> None:
        host.mounts(NFS)
        host.workers.answers[b"/nfs"] = TIMEOUT
        host.look()
        slow: Deferred[Usage] = Deferred()
        host.workers.answers[b"/nfs"] = slow
        host.look()
        host.mounts("1 0 / ext4 /dev/root")
        host.look()
        assert slow.called

    def test_recovery(self, host: Any) -> None:
        host.mounts(NFS)
        host.workers.answers[b"/nfs"] = TIMEOUT
        host.look()
        host.workers.tell(b"/nfs")
        record = host.look()["/nfs"]
        assert (record.state, record.reason, record.stale_since) == ("ok", None, None)

    def test_second_silence_begins_anew(self, host: Any) -> None:
        host.mounts(NFS)
        host.workers.answers[b"/nfs"] = TIMEOUT
        host.look()
        host.workers.tell(b"/nfs")
        good = host.look()["/nfs"]
        host.workers.answers[b"/nfs"] = TIMEOUT
        assert host.look()["/nfs"].stale_since == good.collected_at

    def test_never_measured_has_no_figures(self, host: Any) -> None:
        host.mounts(NFS)
        host.workers.answers[b"/nfs"] = TIMEOUT
        first = host.look()["/nfs"]
        second = host.look()["/nfs"]
        assert (first.state, first.level, first.total_bytes) == ("stale", "ok", None)
        assert second.stale_since == first.stale_since == first.collected_at

    @pytest.mark.parametrize(
        "line", ["41 1 /nfs nfs4 srv:/data", "40 1 /nfs nfs4 srv:/other", "40 1 /nfs nfs srv:/data"]
    )
    def test_new_mount_on_the_same_place_starts_afresh(self, host: Any, line: str) -> None:
        """Even with the old one's mount id, which the kernel gives out again."""
        host.mounts(NFS)
        host.workers.tell(b"/nfs")
        host.look()
        host.mounts(line)
        host.workers.answers[b"/nfs"] = TIMEOUT
        assert host.look()["/nfs"].total_bytes is None

    def test_mount_id_used_again_elsewhere(self, host: Any) -> None:
        """The figures of the one never stand under the name of the other."""
        host.mounts(NFS)
        host.workers.tell(b"/nfs")
        host.look()
        host.mounts("40 1 /other nfs4 srv:/data")
        host.workers.answers[b"/other"] = TIMEOUT
        (record,) = host.look().values()
        assert (record.mount_point, record.total_bytes) == ("/other", None)

    def test_hidden_duplicate_stays_hidden_when_its_server_falls_silent(self, host: Any) -> None:
        host.mounts(NFS, "41 1 /mnt/bound nfs4 srv:/data")
        host.workers.tell(b"/nfs")
        host.workers.tell(b"/mnt/bound")
        reason = host.look()["/mnt/bound"].reason
        assert reason == "the same file system as /nfs"
        host.workers.answers = dict.fromkeys((b"/nfs", b"/mnt/bound"), TIMEOUT)
        records = host.look()
        assert records["/nfs"].state == "stale"
        assert (records["/mnt/bound"].state, records["/mnt/bound"].reason) == ("hidden", reason)

    def test_dead_fuse_server_is_stale_with_the_systems_words(self, host: Any) -> None:
        host.mounts("40 1 /f fuse.sshfs u@h:")
        error = WorkerFailed("ENOTCONN", "/f: Transport endpoint is not connected")
        host.workers.answers[b"/f"] = error
        record = host.look()["/f"]
        assert (record.state, record.reason) == ("stale", str(error))


class TestNotOurs:
    @pytest.mark.parametrize(
        ("errno_name", "reason"),
        [
            ("EACCES", "this node may not look at it: permission denied"),
            ("EPERM", "this node may not look at it: permission denied"),
            ("ENOENT", "not reachable from where this node runs"),
        ],
    )
    def test_hidden_with_the_reason(self, host: Any, errno_name: str, reason: str) -> None:
        host.mounts("40 1 /f fuse.sshfs u@h:")
        host.workers.answers[b"/f"] = WorkerFailed(errno_name, "no")
        record = host.look()["/f"]
        assert (record.state, record.reason, record.total_bytes) == ("hidden", reason, None)

    def test_local_mount_that_is_not_there(self, host: Any) -> None:
        host.mounts("40 1 /not/here/at/all ext4 /dev/sdb")
        record = host.look()["/not/here/at/all"]
        assert (record.state, record.reason) == (
            "hidden",
            "not reachable from where this node runs",
        )

    def test_it_is_asked_again_and_may_come_back(self, host: Any) -> None:
        host.mounts(NFS)
        host.workers.answers[b"/nfs"] = WorkerFailed("EACCES", "no")
        host.look()
        host.workers.tell(b"/nfs")
        assert host.look()["/nfs"].state == "ok"


class TestAutomounts:
    MOUNTED = "51 50 /auto nfs4 srv:/data"
    BELOW = "52 51 /auto/sub nfs4 srv:/data/sub"

    def test_measured_once_and_left_in_peace(self, host: Any) -> None:
        host.mounts(TRIGGER)
        assert host.look()["/auto"].state == "hidden"
        assert asked(host) == []
        host.mounts(TRIGGER, self.MOUNTED, self.BELOW)
        host.workers.tell(b"/auto", device=1)
        host.workers.tell(b"/auto/sub", device=2)
        good = host.look()
        assert asked(host) == [b"/auto", b"/auto/sub"]
        for _ in range(3):
            records = host.look()
            assert asked(host) == []
            for point in ("/auto", "/auto/sub"):
                assert records[point].state == "stale"
                assert "keep it from being unmounted" in records[point].reason
                assert records[point].total_bytes == 102_400
                assert records[point].stale_since == good[point].collected_at

    def test_mounted_again_it_is_measured_again(self, host: Any) -> None:
        host.workers.tell(b"/auto")
        for lines in ((TRIGGER, self.MOUNTED), (TRIGGER,), (TRIGGER, self.MOUNTED)):
            host.mounts(*lines)
            host.look()
        assert asked(host) == [b"/auto", b"/auto"]

    def test_asked_again_until_it_has_answered(self, host: Any) -> None:
        host.mounts(TRIGGER, self.MOUNTED)
        host.workers.answers[b"/auto"] = TIMEOUT
        host.look()
        host.workers.tell(b"/auto")
        assert host.look()["/auto"].state == "ok"
        host.look()
        assert asked(host) == [b"/auto", b"/auto"]

    def test_refusal_is_an_answer(self, host: Any) -> None:
        host.mounts(TRIGGER, self.MOUNTED)
        host.workers.answers[b"/auto"] = WorkerFailed("EACCES", "no")
        (first, second) = (host.look()["/auto"], host.look()["/auto"])
        assert (second.state, second.reason) == (first.state, first.reason)
        assert second.collected_at == utc(host.seconds)
        assert asked(host) == [b"/auto"]

    def test_never_unmounted_it_is_measured_always(self, host: Any) -> None:
        """An automount of systemd has no TimeoutIdleSec unless one is set."""
        host.mounts(TRIGGER.replace("timeout=60", "timeout=0"), self.MOUNTED)
        host.workers.tell(b"/auto")
        assert [host.look()["/auto"].state for _ in range(3)] == ["ok"] * 3


def test_name_that_is_not_utf8(host: Any) -> None:
    """The call gets the bytes, people get text."""
    host.mounts(b"40 1 /\xff\\040x nfs4 srv:/\xfe")
    host.workers.tell(b"/\xff x")
    (record,) = host.look().values()
    assert (record.mount_point, record.device) == ("/\\xff x", "srv:/\\xfe")
    assert host.workers.asked == [(b"/\xff x", "/\\xff x", 2.0)]
    assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record


def test_configuration_makes_one_collector(host: Any) -> None:
    (collector,) = KIND.build(NodeConfig(), host.context)
    assert (collector.name, collector.instance, collector.interval_seconds) == ("disk", "", 15.0)
    assert collector.settings == DiskSection()


class TestFakeIsVerified:
    """The fake workers have the real ones' interface, and fail alike."""

    def test_signature(self, host: Any) -> None:
        real, fake = (
            inspect.signature(WorkerPool.statvfs),
            inspect.signature(type(host.workers).statvfs),
        )
        assert list(real.parameters) == list(fake.parameters)
        assert real.return_annotation == fake.return_annotation

    async def test_answers_and_failures(self, host: Any) -> None:
        pool = WorkerPool(reactor)
        host.workers.answers[b"/not/there"] = WorkerFailed("ENOENT", "x")
        host.workers.tell(b"/")
        try:
            for workers in (pool, host.workers):
                assert isinstance(await workers.statvfs(b"/", "/", 10.0), Usage)
                with pytest.raises(WorkerFailed) as caught:
                    await workers.statvfs(b"/not/there", "/not/there", 10.0)
                assert caught.value.errno_name == "ENOENT"
            waiting, held = pool.statvfs(b"/", "/", 10.0), Deferred()
            host.workers.answers[b"/held"] = held
            for one in (waiting, host.workers.statvfs(b"/held", "/held", 10.0)):
                one.cancel()
                with pytest.raises(CancelledError):
                    await one
        finally:
            await pool.stop()
