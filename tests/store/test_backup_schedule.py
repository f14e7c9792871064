"""Copies on the schedule: when they are made, what goes, and what a directory that hangs does."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task
from twisted.internet.error import ProcessDone
from twisted.python.failure import Failure

from etlmon.config.node import BackupSection
from etlmon.errors import StoreError
from etlmon.store.backup import back_up
from etlmon.store.backup_child import keep_copies
from etlmon.store.backup_schedule import BackupService
from etlmon.store.database import StoreService
from etlmon.store.rotation import backup_name
from etlmon.units import utc
from tests.store.test_damage import make, spoil, spoil_index

Until = Callable[[Callable[[], object]], Awaitable[None]]
Flush = Callable[..., list[Any]]
NOW = 1_800_000_000.0
NODE = "etl-01"
SILENT = (
    sys.executable,
    "-c",
    "import os, signal; signal.signal(15, signal.SIG_IGN); os.write(1, b'.\\n'); signal.pause()",
)
"""A child that says one word, and then nothing any more, whatever it is told."""
WAITING = (
    sys.executable,
    "-c",
    """if True:
        import time
        from etlmon.store import backup, backup_child
        def copy(view, target, cancelled):
            while not cancelled():
                time.sleep(0.01)
            raise backup.StoreError("given up")
        backup._copy = copy
        backup_child.main()
    """,
)
"""A child whose copy does not end."""


class Turned:
    """The reactor with a clock that the test turns."""

    def __init__(self) -> None:
        self.clock = task.Clock()
        self.seconds = self.clock.seconds
        self.callLater = self.clock.callLater
        self.getThreadPool = reactor.getThreadPool  # type: ignore[attr-defined]
        self.callFromThread = reactor.callFromThread  # type: ignore[attr-defined]
        self.spawnProcess = reactor.spawnProcess  # type: ignore[attr-defined]


class TurnedForStuck(Turned):
    """One whose children are none that a signal ends."""

    pid = 4711

    def __init__(self) -> None:
        super().__init__()
        self.spawnProcess = self._spawn
        self.started: list[Any] = []
        self.signals: list[int] = []
        """What they were sent, and 0 where one is given up."""

    def _spawn(self, protocol: Any, *_: Any) -> None:
        self.started.append(protocol)
        protocol.makeConnection(self)

    def signalProcess(self, number: int) -> None:
        self.signals.append(number)

    def loseConnection(self) -> None:
        self.signals.append(0)


class TestSchedule:
    @pytest.fixture
    def turned(self) -> Turned:
        return Turned()

    @pytest.fixture
    def service(self, store: StoreService, tmp_path: Path, turned: Turned) -> Any:
        section = BackupSection(directory=str(tmp_path / "copies"), every=3600.0, keep=2)
        service = BackupService(store, section, NODE, turned, lambda: NOW + turned.seconds())
        service.startService()
        yield service
        pytest_twisted.blockon(service.stopService())

    async def test_copies_when_due_and_keeps_the_newest(
        self, service: BackupService, turned: Turned, tmp_path: Path, until: Until
    ) -> None:
        def names() -> list[str]:
            return sorted(one.name for one in (tmp_path / "copies").glob("*.db"))

        for hour in range(4):
            await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
            assert names()[-1] == backup_name(NODE, NOW + 3600 * hour)
            turned.clock.advance(1800)
            await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
            assert names()[-1] == backup_name(NODE, NOW + 3600 * hour), "not before it is due"
            turned.clock.advance(1800)
        await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
        assert len(names()) == 2
        state = service.state()
        assert state is not None
        assert state.last_at == utc(NOW + 4 * 3600)
        assert state.next_at == utc(NOW + 5 * 3600)
        assert state.last_bytes == (tmp_path / "copies" / names()[-1]).stat().st_size

    async def test_a_clock_that_was_ahead_and_is_set_back(
        self, store: StoreService, path: Path, tmp_path: Path, turned: Turned, until: Until
    ) -> None:
        """Its copies push out none that is made now, and make no copy due each minute."""
        copies = tmp_path / "copies"
        copies.mkdir()
        for hour in (5, 6):
            back_up(path, copies / backup_name(NODE, NOW + 3600 * hour))
        section = BackupSection(directory=str(copies), every=3600.0, keep=2)
        service = BackupService(store, section, NODE, turned, lambda: NOW + turned.seconds())
        service.startService()
        for _ in range(3):
            await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
            turned.clock.advance(60)
        names = sorted(one.name for one in copies.iterdir())
        assert names == [backup_name(NODE, NOW), backup_name(NODE, NOW + 3600 * 6)]
        await service.stopService()

    async def test_after_a_reload_what_failed_is_tried_again(
        self,
        store: StoreService,
        tmp_path: Path,
        turned: Turned,
        until: Until,
        flush_logged_errors: Flush,
    ) -> None:
        """Not after an hour: somebody has just mended it, and looks whether that helped."""
        in_the_way = tmp_path / "copies"
        in_the_way.touch()
        section = BackupSection(directory=str(in_the_way), every=3600.0)
        service = BackupService(store, section, NODE, turned, lambda: NOW + turned.seconds())
        service.startService()
        await until(lambda: service.state().state == "error")  # type: ignore[union-attr]
        in_the_way.unlink()
        turned.clock.advance(60)
        assert service.state().state == "error"  # type: ignore[union-attr]
        service.section = section
        turned.clock.advance(60)
        await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
        await service.stopService()
        flush_logged_errors("No copy of the database")

    async def test_a_copy_made_before_the_start_counts(
        self, store: StoreService, path: Path, tmp_path: Path, until: Until
    ) -> None:
        copies = tmp_path / "copies"
        copies.mkdir()
        before = copies / backup_name(NODE, NOW - 1000)
        back_up(path, before)
        section = BackupSection(directory=str(copies), every=3600.0, keep=2)
        service = BackupService(store, section, NODE, Turned(), lambda: NOW)
        service.startService()
        await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
        assert list(copies.iterdir()) == [before]
        assert service.state().last_at == utc(NOW - 1000)  # type: ignore[union-attr]
        await service.stopService()

    async def test_trouble_is_told_once_and_tried_again(
        self,
        store: StoreService,
        tmp_path: Path,
        turned: Turned,
        until: Until,
        flush_logged_errors: Flush,
    ) -> None:
        (tmp_path / "copies").write_text("in the way")
        section = BackupSection(directory=str(tmp_path / "copies"), every=3600.0, keep=2)
        service = BackupService(store, section, NODE, turned, lambda: NOW + turned.seconds())
        service.startService()
        await until(lambda: service.state().state == "error")  # type: ignore[union-attr]
        assert "cannot keep copies in" in str(service.state().last_error)  # type: ignore[union-attr]
        turned.clock.advance(1800)
        (tmp_path / "copies").unlink()
        turned.clock.advance(1860)
        await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
        assert len(flush_logged_errors("No copy of the database")) == 1
        await service.stopService()

    @pytest.mark.parametrize("is_index", [False, True])
    async def test_damage_that_a_copy_shows_is_seen_to(
        self, path: Path, tmp_path: Path, until: Until, flush_logged_errors: Flush, is_index: bool
    ) -> None:
        """An index is made anew in the database, too; else it is set aside."""
        make(path)
        if is_index:
            spoil_index(path)
        else:
            spoil(path, path.stat().st_size // 8192 * 4096)  # noqa: ASYNC240 - not read at start
        store = StoreService(path, reactor, lambda: NOW)
        store.startService()
        section = BackupSection(directory=str(tmp_path / "copies"), every=3600.0, keep=2)
        service = BackupService(store, section, NODE, Turned(), lambda: NOW)
        service.startService()
        ended = "ok" if is_index else "error"
        await until(lambda: service.state().state == ended)  # type: ignore[union-attr]
        await until(lambda: is_index or store.set_aside is not None)
        await until(lambda: store.health().state == "ok")
        assert (store.set_aside is None) is is_index
        (told,) = await store.read(
            lambda cursor: cursor.execute("PRAGMA integrity_check").fetchone()
        )
        assert told == "ok"
        await service.stopService()
        await store.stopService()
        flush_logged_errors("is damaged", "No copy of the database")

    def test_leaves_room_for_the_node_on_its_own_disk(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The copy would stay there, and nothing could be stored any more."""
        make(path)
        order = {
            "database": str(path),
            "directory": str(tmp_path / "copies"),
            "node": NODE,
            "every": 3600.0,
            "keep": 2,
            "wall_seconds": NOW,
        }
        usage = type(shutil.disk_usage(path.parent))
        needed = path.stat().st_size + (64 << 20)
        free = needed - 1
        monkeypatch.setattr(shutil, "disk_usage", lambda _directory: usage(0, 0, free))
        with pytest.raises(StoreError, match=f"{needed} are needed"):
            keep_copies(order, lambda: False)
        free = needed
        assert keep_copies(order, lambda: False)["is_new"]

    def test_a_clone_that_uses_the_same_directory_has_copies_of_its_own(
        self, path: Path, tmp_path: Path
    ) -> None:
        """Else the second finds the first one's, is content with it, and takes it away later."""
        make(path)
        (tmp_path / "clone").mkdir()
        clone = shutil.copy(path, tmp_path / "clone")
        order = {"directory": str(tmp_path / "copies"), "node": NODE, "every": 3600.0, "keep": 1}
        made = [
            keep_copies(
                {**order, "database": str(database), "wall_seconds": NOW + seconds}, lambda: False
            )
            for seconds, database in enumerate((path, clone, path, clone))
        ]
        assert [one["is_new"] for one in made] == [True, True, False, False]
        assert [one["path"] for one in made[:2]] == [one["path"] for one in made[2:]]

    async def test_without_a_section_nothing_is_done(self, store: StoreService) -> None:
        service = BackupService(store, None, NODE, Turned(), lambda: NOW)
        service.startService()
        assert service.state() is None
        await service.stopService()

    async def test_a_copy_that_somebody_removed_is_made_again(
        self, service: BackupService, turned: Turned, tmp_path: Path, until: Until
    ) -> None:
        """The child looks once an hour, too, though none is due by what is known."""
        await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
        service.section = BackupSection(directory=str(tmp_path / "copies"), every=86_400.0)
        turned.clock.advance(60)
        await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
        (only,) = (tmp_path / "copies").glob("*.db")
        only.unlink()
        turned.clock.advance(60)
        assert service.state().state == "ok"  # type: ignore[union-attr]
        turned.clock.advance(3600)
        await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
        assert len([*(tmp_path / "copies").glob("*.db")]) == 1

    async def test_two_nodes_in_one_directory(
        self, store: StoreService, tmp_path: Path, turned: Turned, until: Until
    ) -> None:
        """Each makes its own, and takes none of the other's away."""
        section = BackupSection(directory=str(tmp_path / "copies"), every=3600.0, keep=1)
        services = [
            BackupService(store, section, node, turned, lambda: NOW + turned.seconds())
            for node in ("etl-01", "etl-02")
        ]
        for hour in range(2):
            for service in services:
                if not hour:
                    service.startService()
                await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]  # noqa: B023
            names = sorted(one.name for one in (tmp_path / "copies").iterdir())
            made = NOW + 3600 * hour
            assert names == [backup_name(node, made) for node in ("etl-01", "etl-02")]
            turned.clock.advance(3600)
        for service in services:
            await service.stopService()


class TestADirectoryThatHangs:
    @pytest.fixture
    def section(self, tmp_path: Path) -> BackupSection:
        return BackupSection(directory=str(tmp_path / "copies"), every=3600.0)

    async def test_is_told_and_its_child_is_killed(
        self,
        store: StoreService,
        section: BackupSection,
        until: Until,
        flush_logged_errors: Flush,
    ) -> None:
        turned = Turned()
        service = BackupService(store, section, NODE, turned, lambda: NOW, SILENT)
        service.startService()
        assert service.state().state == "running"  # type: ignore[union-attr]
        assert service.warning is None
        turned.clock.advance(60)
        assert service.state().state == "hanging"  # type: ignore[union-attr]
        assert service.warning is not None
        assert f"hangs: {section.directory} has not answered for 60 s" in service.warning
        turned.clock.advance(839)
        assert service.state().state == "hanging"  # type: ignore[union-attr]
        turned.clock.advance(1)
        await until(lambda: service.state().state == "error")  # type: ignore[union-attr]
        words = str(service.state().last_error)  # type: ignore[union-attr]
        assert (
            words == f"{section.directory} has not answered for 900 s; its process has been killed"
        )
        await service.stopService()
        assert not turned.clock.getDelayedCalls()
        flush_logged_errors("No copy of the database")

    async def test_a_stop_does_not_wait_for_it(
        self, store: StoreService, section: BackupSection, until: Until
    ) -> None:
        turned = Turned()
        service = BackupService(store, section, NODE, turned, lambda: NOW, SILENT)
        service.startService()
        stopped = service.stopService()
        assert not stopped.called
        turned.clock.advance(2)
        await stopped
        assert not turned.clock.getDelayedCalls()

    async def test_another_directory_is_gone_to_at_once(
        self, store: StoreService, section: BackupSection, tmp_path: Path, until: Until
    ) -> None:
        turned = Turned()
        service = BackupService(store, section, NODE, turned, lambda: NOW, SILENT)
        service.startService()
        service._command = (
            sys.executable,
            "-c",
            f'print(\'{{"path": "{backup_name(NODE, NOW)}", "size_bytes": 1, "is_new": false}}\')',
        )
        service.section = BackupSection(directory=str(tmp_path / "other"), every=3600.0)
        turned.clock.advance(2)
        await until(lambda: service._child is None)
        turned.clock.advance(60)
        await until(lambda: service.state().state == "ok")  # type: ignore[union-attr]
        await service.stopService()

    async def test_a_child_that_cannot_be_killed_is_left_and_no_other_begun(
        self, store: StoreService, section: BackupSection, flush_logged_errors: Flush
    ) -> None:
        turned = TurnedForStuck()
        started, signals = turned.started, turned.signals
        service = BackupService(store, section, NODE, turned, lambda: NOW, SILENT)
        service.startService()
        for seconds in (60, 840, 1, 0):
            turned.clock.advance(seconds)
        assert signals == [signal.SIGKILL, 0]
        words = str(service.state().last_error)  # type: ignore[union-attr]
        assert words.endswith(
            "process 4711 hangs there and cannot be killed, and the next copy is made when it has "
            "ended"
        )
        turned.clock.advance(7200)
        assert len(started) == 1
        started[0].processEnded(Failure(ProcessDone(0)))
        turned.clock.advance(60)
        assert len(started) == 2, "at once, not after an hour"
        stopped = service.stopService()
        for seconds in (2, 1, 0):
            turned.clock.advance(seconds)
        assert stopped.called
        assert signals[2:] == [signal.SIGTERM, signal.SIGKILL, 0]
        flush_logged_errors("No copy of the database")

    async def test_a_child_that_cannot_be_killed_keeps_nobody_from_another_directory(
        self,
        store: StoreService,
        section: BackupSection,
        tmp_path: Path,
        flush_logged_errors: Flush,
    ) -> None:
        turned = TurnedForStuck()
        started = turned.started
        service = BackupService(store, section, NODE, turned, lambda: NOW, SILENT)
        service.startService()
        for seconds in (60, 840, 1, 0):
            turned.clock.advance(seconds)
        service.section = BackupSection(directory=str(tmp_path / "other"), every=3600.0)
        turned.clock.advance(60)
        assert [child.directory for child in started] == [
            section.directory,
            str(tmp_path / "other"),
        ]
        started[0].processEnded(Failure(ProcessDone(0)))
        turned.clock.advance(10)
        turned.clock.advance(50)
        assert len(started) == 2, "the one under way is still known"
        stopped = service.stopService()
        for seconds in (2, 1, 0):
            turned.clock.advance(seconds)
        assert stopped.called
        flush_logged_errors("No copy of the database")

    async def test_a_child_that_dies_says_why(
        self,
        store: StoreService,
        section: BackupSection,
        until: Until,
        flush_logged_errors: Flush,
    ) -> None:
        dies = (sys.executable, "-c", "raise MemoryError('no more')")
        service = BackupService(store, section, NODE, Turned(), lambda: NOW, dies)
        service.startService()
        await until(lambda: service.state().state == "error")  # type: ignore[union-attr]
        words = str(service.state().last_error)  # type: ignore[union-attr]
        assert words.endswith("MemoryError: no more")
        await service.stopService()
        flush_logged_errors("No copy of the database")

    async def test_a_copy_under_way_is_given_up_and_leaves_nothing(
        self, store: StoreService, path: Path, section: BackupSection, tmp_path: Path, until: Until
    ) -> None:
        """SIGTERM of systemd reaches it, too, before the node knows."""
        turned = Turned()
        service = BackupService(store, section, NODE, turned, lambda: NOW, WAITING)
        service.startService()
        await until(lambda: [*tmp_path.glob("copies/*part*")])
        assert service._child is not None
        service._child.transport.signalProcess(signal.SIGTERM)
        await until(lambda: service._child is None)
        assert [*(tmp_path / "copies").iterdir()] == []
        assert service.state().state == "waiting"  # type: ignore[union-attr]
        await service.stopService()
