"""Runs of the collector: pauses, hints, file systems that hang, runs that are cut short."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from etlmon.collectors.base import Batch
from etlmon.collectors.log import search, stream
from etlmon.errors import CollectedInPart, CollectError
from etlmon.host.follow import Follower
from etlmon.host.watches import Watch
from etlmon.records.log import LogBlock
from etlmon.units import utc
from tests.collectors.log.conftest import NOW, Follow, Harness, done, open_files, write
from tests.waiting import wait_for_tick


def identity(directory: bytes) -> tuple[int, int]:
    status = Path(os.fsdecode(directory)).stat()
    return status.st_dev, status.st_ino


class Watches:
    """Directories that are watched; a test makes itself heard."""

    def __init__(self) -> None:
        self.all: list[Watch] = []
        self.armed: list[bytes] = []
        self.arms: Callable[[], object] = lambda: None

    def watch(self, directory: bytes, heard: Callable[[], None], heeds: Any, came: Any) -> Watch:
        self.all.append(Watch(directory, heard, "inotify", heeds, came))
        return self.all[-1]

    async def arm(self, *watches: Watch) -> None:
        for watch in watches:
            self.armed.append(watch.directory)
            watch.identity = identity(watch.directory)
        self.arms()

    def end(self, watch: Watch) -> None:
        self.all.remove(watch)


class TestPause:
    def test_nothing_is_read_and_what_waits_is_told(self, follow: Follow, logs: Path) -> None:
        write(logs / "app.log", "before")
        one = follow()
        one.run()
        one.collector.pause()
        write(logs / "app.log", "a", "b")
        assert one.run() == []
        told = one.told["app.log"]
        assert (told.state, told.lag_bytes, told.size) == ("paused", 4, 11)
        one.collector.resume()
        assert one.run() == ["a", "b"]
        assert (one.told["app.log"].state, one.told["app.log"].lag_bytes) == ("following", 0)

    def test_in_the_midst_of_a_run(self, follow: Follow, logs: Path) -> None:
        one = follow(buffer_lines=2, start="beginning")
        write(logs / "app.log", *range(6))
        commit = one._commit
        one._commit = lambda records: (one.collector.pause(), commit(records))[1]  # type: ignore[method-assign]
        assert one.run() == ["0", "1"]
        assert one.told["app.log"].state == "paused"

    @pytest.mark.parametrize("pattern", ["app.log", "*.gone"])
    @pytest.mark.parametrize("restart", [False, True])
    def test_is_told_where_there_is_nothing_to_read(
        self, follow: Follow, logs: Path, pattern: str, restart: bool
    ) -> None:
        """Whoever does not see that it is paused cannot resume it."""
        (logs / "app.log").mkdir()
        one = follow(pattern)
        with suppress(CollectedInPart):
            one.run()
        (before,) = one.told.values()
        assert before.state in ("error", "waiting")
        if restart:
            one.end()
            one.begin_anew()
        one.collector.pause()
        with suppress(CollectedInPart):
            one.run()
        (told,) = one.told.values()
        assert (told.state, told.error_message) == ("paused", before.error_message)
        one.collector.resume()
        with suppress(CollectedInPart):
            one.run()
        (told,) = one.told.values()
        assert told.state == before.state

    def test_is_told_where_the_files_cannot_be_looked_at(self, follow: Follow, logs: Path) -> None:
        one = follow()
        one.run()
        one.mounts.set(f"2 1 0:2 / {logs} rw - nfs srv:/x rw")
        one.workers.error = CollectError("no answer")
        one.collector.pause()
        with suppress(CollectError):
            one.run()
        told = one.told["app.log"]
        assert (told.state, told.error_message) == ("paused", "no answer")

    @pytest.mark.parametrize("pattern", ["app.log", "*.log", "*.gone"])
    @pytest.mark.parametrize("restart", [False, True])
    def test_each_switch_is_told_while_the_files_cannot_be_looked_at(
        self, follow: Follow, logs: Path, pattern: str, restart: bool
    ) -> None:
        """Else a log that was resumed while its server was silent would be shown as paused."""
        write(logs / "app.log", "a")
        one = follow(pattern)
        one.run()
        before = dict(one.told)
        one.mounts.set(f"2 1 0:2 / {logs} rw - nfs srv:/x rw")
        one.workers.error = CollectError("no answer")
        seen = []
        for switch in ("pause", "resume", "pause", "resume"):
            if restart:
                one.end()
                one.begin_anew()
            getattr(one.collector, switch)()
            with pytest.raises(CollectError):
                one.run(0.1)
            seen += [(told.state, told.error_message) for told in one.told.values()]
        assert seen == [("paused", "no answer"), ("error", "no answer")] * 2
        one.workers.error = None
        write(logs / "app.log", "b")
        one.run()
        assert {name: told.state for name, told in one.told.items()} == {
            name: told.state for name, told in before.items()
        }
        assert one.lines.get("app.log", []) == ([] if pattern == "*.gone" else ["b"])

    def test_the_trouble_of_files_that_cannot_be_looked_at_is_told_once(
        self, follow: Follow, logs: Path
    ) -> None:
        one = follow()
        one.mounts.set(f"2 1 0:2 / {logs} rw - nfs srv:/x rw")
        one.workers.error = CollectError("no answer")
        for _ in range(3):
            with pytest.raises(CollectError):
                one.run()
        assert [type(record).__name__ for batch in one.batches for record in batch] == ["LogUnseen"]
        (told,) = one.told.values()
        assert (told.log_path, told.state) == (str(logs / "app.log"), "error")

    def test_holds_over_a_restart(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning")
        one.paused = True
        write(logs / "app.log", "a")
        assert one.run() == []
        one.collector.resume()
        assert one.run() == ["a"]

    @pytest.mark.parametrize("multiline", [None, {}])
    def test_files_that_are_not_followed_are_read_to_what_has_no_end(
        self, follow: Follow, logs: Path, multiline: dict[str, Any] | None
    ) -> None:
        one = follow(follow=False, start="beginning", multiline=multiline)
        write(logs / "app.log", "first", "last")
        with (logs / "app.log").open("ab") as file:
            file.write(b" and part")
        found = [line for _ in range(5) for line in one.run()]
        assert "\n".join(map(str, found)) == "first\nlast\n and part"
        assert (one.told["app.log"].state, one.told["app.log"].lag_bytes) == ("paused", 0)

    def test_files_that_are_not_followed_are_not_waited_for_without_end(
        self, follow: Follow, logs: Path
    ) -> None:
        one = follow(follow=False, start="beginning", multiline={})
        for _ in range(10):
            write(logs / "app.log", "more")
            one.run()
        assert one.told["app.log"].state == "paused"

    def test_files_that_are_not_followed(self, follow: Follow, logs: Path) -> None:
        """Read to the end at the start and at each resume, and only then."""
        one = follow(follow=False, start="beginning", buffer_lines=2)
        write(logs / "app.log", "a", "b", "c")
        assert one.run() == ["a", "b", "c"]
        assert one.told["app.log"].state == "paused"
        write(logs / "app.log", "d")
        assert one.run() == []
        one.collector.resume()
        assert one.run() == ["d"]
        write(logs / "app.log", "e")
        assert one.run() == []


class TestMountsThatMayHang:
    def test_are_asked_about_by_a_worker_first(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning")
        one.mounts.set(f"2 1 0:2 / {logs} rw - nfs4 server:/x rw")
        write(logs / "app.log", "a")
        assert one.run() == ["a"]
        assert one.workers.asked == [(bytes(logs), str(logs))]

    def test_without_an_answer_nothing_is_touched(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning")
        one.mounts.set(f"2 1 0:2 / {logs} rw - nfs4 server:/x rw")
        write(logs / "app.log", "a")
        one.run()
        one.workers.error = CollectError("no answer within 5 s")
        write(logs / "app.log", "b")
        with pytest.raises(CollectError, match="no answer"):
            one.run()
        assert one.lines["app.log"] == ["a"]
        told = one.told["app.log"]
        assert (told.state, told.error_message) == ("error", "no answer within 5 s")
        one.workers.error = None
        assert one.run() == ["b"]
        assert one.told["app.log"].state == "following"

    def test_also_where_the_file_is_a_link_to_one(self, follow: Follow, logs: Path) -> None:
        shared = logs.parent / "shared"
        shared.mkdir()
        write(shared / "real.log", "a")
        (logs / "app.log").symlink_to(shared / "real.log")
        one = follow(start="beginning")
        one.mounts.set(f"2 1 0:2 / {shared} rw - nfs4 server:/x rw")
        assert one.run() == ["a"]
        assert one.workers.asked == [(bytes(shared), str(shared))]

    def test_other_mounts_are_not(self, follow: Follow, logs: Path) -> None:
        one = follow()
        one.mounts.set(f"2 1 0:2 / {logs}/elsewhere rw - nfs4 server:/x rw")
        one.run()
        assert one.workers.asked == []


@contextmanager
def closed(directory: Path) -> Iterator[None]:
    """Let this process enter a directory no more, root's too."""
    mode, user = directory.stat().st_mode, os.geteuid()
    directory.chmod(0)
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)
        directory.chmod(mode)


class TestFilesThatCannotBeRead:
    def test_fail_the_run_until_they_can(self, follow: Follow, logs: Path) -> None:
        write(logs / "app.log", "a")
        one = follow(start="beginning")
        with (
            closed(logs),
            pytest.raises(
                CollectedInPart, match=r"^cannot be read: .*/app\.log: Permission denied$"
            ),
        ):
            one.run()
        assert one.run() == ["a"]

    @pytest.mark.parametrize("most", [500, 1])
    def test_after_all_others_are_read(
        self, follow: Follow, logs: Path, monkeypatch: pytest.MonkeyPatch, most: int
    ) -> None:
        """Also where no more files may be open at a time than there are of those."""
        look = Follower.look

        def refused(self: Follower, now: float, came: int = 0) -> None:
            if b"bad" in self.path:
                raise PermissionError(13, "Permission denied")
            look(self, now, came)

        monkeypatch.setattr(Follower, "look", refused)
        for name in ("bad1.log", "bad2.log", "good.log"):
            write(logs / name, "a")
            if "bad" in name:  # those that were written last come first
                os.utime(logs / name, (2e9, 2e9))
        one = follow("*.log", start="beginning", max_open_files=most)
        for _ in range(4):
            with pytest.raises(CollectedInPart, match=r"bad.\.log: Permission denied"):
                one.run()
        assert one.lines == {"good.log": ["a"]}
        assert [one.told[f"bad{number}.log"].state for number in (1, 2)] == ["error"] * 2

    def test_a_directory_with_a_pattern(self, follow: Follow, logs: Path) -> None:
        write(logs / "app.log", "a")
        one = follow("*.log", start="beginning")
        for _ in range(2):
            with (
                closed(logs),
                pytest.raises(
                    CollectedInPart, match=r"cannot be read: .*/logs: Permission denied$"
                ),
            ):
                one.run()
        told = one.told["*.log"]
        assert (told.state, told.error_message) == ("error", f"{logs}: Permission denied")
        assert one.run() == ["a"]
        assert set(one.told) == {"app.log"}

    def test_a_directory_that_is_not_there_is_no_trouble(self, follow: Follow) -> None:
        one = follow("later/*.log")
        one.run()
        assert one.told["*.log"].error_message == "no file matches"

    def test_hints_tell_no_news_of_it(self, follow: Follow, logs: Path) -> None:
        """Else whoever changes the files would fill the node's log."""
        one = follow(start="beginning")
        one.run()
        (logs / "app.log").symlink_to("app.log")
        one.run(0.01)
        with pytest.raises(CollectedInPart):
            one.run()
        (logs / "app.log").unlink()
        with pytest.raises(CollectedInPart):
            one.run(0.01)
        one.run()


class TestRunsCutShort:
    def test_what_was_not_committed_is_read_again(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning", buffer_lines=2)
        write(logs / "app.log", *range(6))
        one.run(most=1)
        assert one.lines["app.log"] == ["0", "1"]
        one.run(0.01)
        assert one.lines["app.log"] == ["0", "1", "2", "3", "4", "5"]

    def test_a_new_collector_goes_on_where_the_last_commit_was(
        self, follow: Follow, logs: Path
    ) -> None:
        one = follow(start="beginning", buffer_lines=2)
        write(logs / "app.log", *range(4))
        one.run(most=1)
        one.end()
        one.begin_anew()
        assert one.run() == ["2", "3"]

    @pytest.mark.parametrize("paused", [False, True])
    def test_positions_that_were_lost_are_told_once(
        self, follow: Follow, logs: Path, paused: bool
    ) -> None:
        """With a damaged database they go, and what was not read then is behind the beginning."""
        one = follow(start="end")
        one.missed, one.paused = "the database was begun anew", paused
        write(logs / "app.log", *range(4))
        assert one.run() == ([] if paused else [None])
        one.end()
        one.begin_anew()
        one.collector.resume()
        one.paused = False
        write(logs / "app.log", 4)
        assert one.run() == ([None, "4"] if paused else ["4"])
        assert one.flags == [("gap",)]

    def test_a_log_that_only_goes_on_goes_on_behind_what_was_lost(
        self, follow: Follow, logs: Path
    ) -> None:
        """Its position was saved, as far as is known; a file that comes later has none."""
        one = follow("*.log", start="saved")
        one.missed = "the database was begun anew"
        write(logs / "app.log", *range(4))
        assert one.run() == [None]
        for restarted in (False, True):
            write(logs / f"later-{restarted}.log", 5)
            write(logs / "app.log", 4)
            assert one.run() == ["4"]
            one.end()
            one.begin_anew()
        assert one.flags == [("gap",)]

    def test_nothing_was_lost_where_all_is_read_again(self, follow: Follow, logs: Path) -> None:
        one = follow(start="beginning")
        one.missed = "the database was begun anew"
        write(logs / "app.log", *range(2))
        assert one.run() == ["0", "1"]

    def test_a_resume_by_command_outlives_it(self, follow: Follow, logs: Path) -> None:
        """What is saved of the pause counts at the start only."""
        one = follow(start="beginning", buffer_lines=2)
        one.paused = True
        write(logs / "app.log", *range(4))
        one.run()
        one.collector.resume()
        one.run(most=1)
        assert one.run() == ["2", "3"]


class TestHints:
    def test_of_the_directories_of_the_log(self, follow: Follow, logs: Path) -> None:
        (logs / "deep").mkdir()
        (logs / "deep" / "target.log").touch()
        (logs / "app.log").symlink_to("deep/target.log")
        watches, hints = Watches(), []
        one = follow(watches=watches)
        one.collector.listen(lambda: hints.append(1))
        one.run()
        assert {watch.directory for watch in watches.all} == {bytes(logs), bytes(logs / "deep")}
        assert set(watches.armed) == {bytes(logs), bytes(logs / "deep")}
        assert one.told["app.log"].watch_mode == "inotify"
        write(logs / "app.log", "a")
        watches.all[0].heard()
        assert hints == [1]
        assert one.run(0.01) == ["a"]
        one.end()
        assert watches.all == []
        assert open_files(logs) == 0

    def test_of_a_directory_that_another_has_replaced(self, follow: Follow, logs: Path) -> None:
        """What stands where it stood is not armed again, and all files are looked at."""
        write(logs / "app.log", "a")
        watches = Watches()
        one = follow(watches=watches)
        one.collector.listen(lambda: None)
        one.run()
        watches.armed.clear()
        write(logs / "app.log", "b")
        assert one.run() == ["b"]
        assert watches.armed == []
        logs.rename(logs.with_name("before"))
        logs.mkdir()
        write(logs / "app.log", "c")
        watches.all[0].came(b"app.log")  # type: ignore[misc]
        assert one.run() == ["c"]
        assert watches.armed == [bytes(logs)]
        assert one.flags == []

    def test_other_names_that_come_and_go_make_no_work(
        self, follow: Follow, logs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A directory of many files is not looked through for each; for one of ours it is."""
        for number in range(1_000):
            (logs / f"{number}.tmp").touch()
        watches = Watches()
        one = follow("*.log", watches=watches)
        one.collector.listen(lambda: None)
        one.run()
        look, looks = search.glob.glob, []
        monkeypatch.setattr(
            search.glob, "glob", lambda *a, **options: looks.append(a) or look(*a, **options)
        )

        def come(name: str) -> None:
            wait_for_tick()
            write(logs / name, name)
            for watch in watches.all:
                watch.came(name.encode())  # type: ignore[misc]
                watch.heard()

        for number in range(10):
            come(f"other {number}.tmp")
            assert one.run(0.04) == []
        assert looks == []
        come("a.log")
        assert one.run(0.04) == ["a.log"]
        looks.clear()
        come("one more.tmp")
        one.run(0.6)
        assert looks != []
        for _ in range(2):
            one.run()
        looks.clear()
        one.run()
        assert looks == [], "nothing has changed"
        wait_for_tick()
        write(logs / "b.log", "b")
        assert one.run() == ["b"]

    def test_one_that_comes_within_the_tick_of_a_look_is_found_at_once(
        self, follow: Follow, logs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its directory has the time that it had before, on kernels before 6.13."""
        monkeypatch.setattr(search, "changed_ns", lambda _: 7)
        watches = Watches()
        one = follow("*.log", watches=watches)
        one.collector.listen(lambda: None)
        one.run()
        write(logs / "a.log", "a")
        (directory,) = watches.all
        assert directory.came is not None
        directory.came(b"a.log")
        assert one.run(0.04) == ["a"]

    def test_what_happens_before_they_are_heard_is_seen(self, follow: Follow, logs: Path) -> None:
        def rotate() -> None:
            watches.arms = lambda: None
            (logs / "app.log").rename(logs / "app.log.1")
            write(logs / "app.log", "b")

        watches = Watches()
        one = follow(watches=watches, start="beginning")
        one.collector.listen(lambda: None)
        write(logs / "app.log", "a")
        watches.arms = rotate
        assert one.run() == ["a", "b"]

    def test_links_that_lead_elsewhere_for_a_moment_leave_a_gap(
        self, follow: Follow, logs: Path
    ) -> None:
        """Where they led to cannot be known any more; that they did was heard."""
        link = logs / "app.log"

        def switch(*names: str) -> None:
            for name in names:
                write(logs / name, name)
                link.unlink(missing_ok=True)
                link.symlink_to(name)
                for watch in watches.all:
                    assert watch.came is not None
                    watch.came(b"app.log")
                    watch.came(b"other.log")
                    watch.heard()

        watches = Watches()
        one = follow(watches=watches, start="beginning")
        one.collector.listen(lambda: None)
        switch("first")
        assert one.run() == ["first"]
        switch("second")
        assert one.run(0.01) == ["second"]
        assert one.flags == []
        switch("third", "fourth", "fifth")
        assert one.run(0.01) == [None, "fifth"]
        assert one.flags == [("gap",)]
        switch("sixth")
        assert one.run(0.01) == ["sixth"]
        assert one.flags == [("gap",)]
        switch("seventh", "sixth")
        assert one.run(0.01) == [None, "sixth"]
        assert one.flags == [("gap",)] * 2

    def test_files_that_rotation_has_renamed_are_found_and_no_gap(
        self, follow: Follow, logs: Path
    ) -> None:
        watches = Watches()
        one = follow(watches=watches, start="beginning")
        one.collector.listen(lambda: None)
        write(logs / "app.log", "a")
        one.run()
        for text in ("b", "c"):
            if (logs / "app.log.1").exists():
                (logs / "app.log.1").rename(logs / "app.log.2")
            (logs / "app.log").rename(logs / "app.log.1")
            write(logs / "app.log", text)
            assert watches.all[0].came is not None
            watches.all[0].came(b"app.log")
        watches.all[0].heard()
        assert one.run(0.01) == ["b", "c"]
        assert one.flags == []

    def test_only_files_of_the_log_matter(self, follow: Follow, logs: Path) -> None:
        watches = Watches()
        one = follow(watches=watches)
        one.collector.listen(lambda: None)
        write(logs / "app.log", "a")
        one.run()
        (watch,) = watches.all
        assert watch.heeds is not None
        assert watch.heeds(b"app.log")
        assert not watch.heeds(b"other.log")
        # Somebody writes to the file under its new name.
        with (logs / "app.log").open("a"):
            (logs / "app.log").rename(logs / "other.log")
            watch.heard()
            one.run(0.01)
            assert watch.heeds(b"other.log")

    def test_only_files_that_the_pattern_names_matter(self, follow: Follow, logs: Path) -> None:
        watches = Watches()
        one = follow("[ab]*.log", watches=watches)
        one.collector.listen(lambda: None)
        write(logs / "a.log", "a")
        one.run()
        heeds = watches.all[0].heeds
        assert heeds is not None
        names = [b"a.log", b"b\xff\n.log", b"c.log", b"a.log.gz"]
        assert [heeds(name) for name in names] == [True, True, False, False]

    def test_without_watches_files_are_looked_at_in_their_turn(
        self, follow: Follow, logs: Path
    ) -> None:
        one = follow(start="beginning")
        one.run()
        write(logs / "app.log", "a")
        assert one.run() == ["a"]
        assert one.told["app.log"].watch_mode == "poll"


def test_settings_that_do_not_fit_are_told(follow: Follow) -> None:
    one = follow(time_format="%Q")
    with pytest.raises(CollectError, match="has %Q"):
        one.run()


class Loan:
    """Stores in the thread that calls, or lets others go first."""

    def __init__(self, *, is_called_in: bool = False) -> None:
        self.is_called_in = is_called_in
        self.asked: list[list[Any]] = []
        self.stored: Deferred[None] = Deferred()

    def store(self, records: Sequence[Any]) -> Deferred[None] | None:
        self.asked.append(list(records))
        return None if self.is_called_in or not records else self.stored


class TestLoan:
    """What a thread has read it stores itself, if the store is lent to it."""

    @pytest.mark.parametrize("is_called_in", [False, True])
    def test_what_is_stored_is_what_the_batch_holds(
        self, follow: Follow, logs: Path, *, is_called_in: bool
    ) -> None:
        one = follow(start="beginning")
        one.run()
        write(logs / "app.log", "a", "b")
        loan = Loan(is_called_in=is_called_in)
        one.lend = lambda: loan
        one.begin_anew()
        batches = done(batches_of(one))
        (batch,) = batches
        assert loan.asked == [list(batch.records)]
        assert batch.stored is (None if is_called_in else loan.stored)
        assert any(isinstance(record, LogBlock) for record in batch.records)

    def test_without_lines_it_is_given_back(self, follow: Follow, logs: Path) -> None:
        write(logs / "app.log", "a")
        one = follow()
        one.run()
        loan = Loan()
        one.collector._context = replace(one.collector._context, lend=lambda: loan)
        one.monotonic += 0.1
        assert done(batches_of(one)) == []
        assert loan.asked == [[]]


async def batches_of(one: Harness) -> list[Batch]:
    async with aclosing(one.collector.collect(utc(NOW))) as batches:
        return [batch async for batch in batches]


def test_deafen_closes_the_files(follow: Follow, logs: Path) -> None:
    write(logs / "app.log", "a")
    one = follow()
    one.run()
    assert open_files(logs) == 1
    done(one.collector.deafen())
    assert open_files(logs) == 0


class TestPausedForLong:
    """It rotates meanwhile: neither descriptors nor room on disk are held without bound."""

    @pytest.fixture
    def paused(self, follow: Follow, logs: Path) -> Harness:
        one = follow(start="beginning")
        one.run()
        one.collector.pause()
        return one

    def rotate(self, logs: Path, most: int) -> None:
        for number in range(most, 0, -1):
            if (logs / f"app.log.{number}").exists():
                (logs / f"app.log.{number}").rename(logs / f"app.log.{number + 1}")
        (logs / f"app.log.{most + 1}").unlink(missing_ok=True)
        (logs / "app.log").rename(logs / "app.log.1")

    @pytest.mark.parametrize("restart", [False, True])
    def test_all_is_read_that_rotation_keeps(
        self, paused: Harness, logs: Path, restart: bool
    ) -> None:
        for number in range(30):
            write(logs / "app.log", number)
            paused.run()
            if number < 29:
                self.rotate(logs, 100)
            assert open_files(logs) <= 18
        told = paused.told["app.log"]
        assert (told.state, told.lag_bytes) == ("paused", 2 * 30 + 20)
        if restart:
            paused.end()
            paused.begin_anew()
        paused.collector.resume()
        assert paused.run(0.1) == [str(number) for number in range(30)]
        assert paused.flags == []

    def test_what_rotation_deletes_is_told(
        self, paused: Harness, logs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is read while it takes little room."""
        for number in range(10):
            write(logs / "app.log", number)
            paused.run()
            self.rotate(logs, 2)
        write(logs / "app.log", "last")
        paused.run()
        assert open_files(logs) > 3
        monkeypatch.setattr(stream, "_MOST_DELETED_BYTES", 10)
        paused.run()
        write(logs / "app.log", "more")
        paused.run()
        assert open_files(logs) == 3
        assert paused.told["app.log"].lag_bytes == 2 + 2 + 10
        paused.collector.resume()
        assert [line for line in paused.run() if line is not None] == ["8", "9", "last", "more"]
        assert paused.flags == [("gap",)] * 8
