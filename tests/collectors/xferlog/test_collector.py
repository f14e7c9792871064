"""A log that is followed: what is stored, what is gone on with, and what is told of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import TZPATH

import pytest
from twisted.internet.task import Clock

from etlmon.collectors.xferlog import reading, start
from etlmon.errors import CollectError
from etlmon.host.watches import Watch
from etlmon.records.xferlog import XferlogFileRead
from tests.collectors.xferlog.conftest import DATE, append, line


@pytest.fixture
def small_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LINES_A_TURN", 100)


async def test_a_log_is_read_from_its_beginning_and_then_on(make, log) -> None:
    log.write_text(line(1) + line(2))
    harness = make()
    await harness.run()
    with log.open("a") as file:
        file.write(line(3) + line(3))
    await harness.run()
    entries = await harness.entries()
    assert [entry.filename for entry in entries] == ["/in/1.csv", "/in/2.csv"] + ["/in/3.csv"] * 2
    assert [entry.offset for entry in entries] == [len(line()) * place for place in range(4)]
    assert {entry.source_inode for entry in entries} == {log.stat().st_ino}
    assert {entry.created_at for entry in entries} == {datetime(2026, 11, 24, 9, 10, tzinfo=UTC)}
    found = await harness.file()
    assert (found.state, found.lines_total, found.transfers_total) == ("following", 4, 4)
    assert (found.offset, found.size, found.lag_bytes) == (len(line()) * 4, len(line()) * 4, 0)


async def test_nothing_new_is_not_told_again(make, log) -> None:
    log.write_text(line())
    harness = make()
    await harness.run()
    count = len(harness.batches)
    for _ in range(3):
        harness.times.advance(5)
        await harness.run()
    assert len(harness.batches) == count


async def test_a_log_that_is_not_there_is_waited_for(make, log) -> None:
    harness = make()
    await harness.run()
    found = await harness.file()
    assert (found.state, found.message) == ("waiting", "there is no such file yet")
    log.write_text(line())
    await harness.run()
    assert (await harness.file()).state == "following"
    assert len(await harness.entries()) == 1


async def test_a_log_that_cannot_be_read_says_so(make, log) -> None:
    log.mkdir()
    harness = make()
    with pytest.raises(CollectError, match="xferlog cannot be read"):
        await harness.run()
    found = await harness.file()
    assert found.state == "error"
    assert found.message is not None
    assert "cannot be read" in found.message
    log.rmdir()
    log.write_text(line())
    await harness.run()
    assert (await harness.file()).state == "following"
    assert len(await harness.entries()) == 1


async def test_a_restart_goes_on_where_the_last_commit_was(make, log) -> None:
    log.write_text(line(1))
    harness = make()
    await harness.run()
    await harness.collector.deafen()
    with log.open("a") as file:
        file.write(line(2))
    harness.begin_anew()
    await harness.run()
    assert [entry.filename for entry in await harness.entries()] == ["/in/1.csv", "/in/2.csv"]


@pytest.mark.parametrize("most", [0, 1, 2])
async def test_what_was_not_committed_is_read_again(make, log, most, small_turns) -> None:
    """The turn that was read ahead, too."""
    log.write_text("".join(line(number) for number in range(240)))
    harness = make()
    await harness.run(most)
    assert len(await harness.entries()) == 100 * most
    await harness.run()
    assert [entry.filename for entry in await harness.entries()] == [
        f"/in/{number}.csv" for number in range(240)
    ]


async def test_a_large_log_is_read_in_many_runs_and_progress_shows(make, log, small_turns) -> None:
    log.write_text("".join(line(number) for number in range(2_040)))
    harness = make()
    hints: list[None] = []
    harness.collector.listen(lambda: hints.append(None))
    await harness.run()
    found = await harness.file()
    assert (found.lines_total, len(hints)) == (2_000, 1)
    assert found.lag_bytes == len(log.read_bytes()) - (found.offset or 0) > 0
    assert max(batch.records[0].count for batch in harness.batches) == 100
    await harness.run()
    found = await harness.file()
    assert (found.lines_total, found.lag_bytes, len(hints)) == (2_040, 0, 1)


async def test_a_rotated_file_is_read_to_its_end_first(make, log) -> None:
    log.write_text(line(1))
    harness = make(at="2026-11-24T09:03:10Z")
    await harness.run()
    with log.open("a") as old:
        old.write(line(2))
        old.flush()
        log.rename(log.with_name("xferlog.1"))
        log.write_text(line(3))
        await harness.run()
        old.write(line(4))
        old.flush()
        await harness.run()
        found = await harness.file()
        assert found.message is not None
        assert found.message.startswith("1 rotated file is read on")
    names = [entry.filename for entry in await harness.entries()]
    assert names == ["/in/1.csv", "/in/2.csv", "/in/3.csv", "/in/4.csv"]
    inodes = [entry.source_inode for entry in await harness.entries()]
    assert inodes[0] == inodes[1] == inodes[3] != inodes[2]


async def test_files_that_were_rotated_in_downtime_are_read(make, log) -> None:
    log.write_text(line(1))
    harness = make()
    await harness.run()
    await harness.collector.deafen()
    with log.open("a") as file:
        file.write(line(2))
    log.rename(log.with_name("xferlog.2"))
    log.with_name("xferlog.1").write_text(line(3))
    log.write_text(line(4))
    harness.begin_anew()
    await harness.run()
    assert [entry.filename for entry in await harness.entries()] == [
        f"/in/{number}.csv" for number in range(1, 5)
    ]


async def test_a_log_that_was_cut_off_is_marked(make, log) -> None:
    log.write_text(line(1) + line(2))
    harness = make()
    await harness.run()
    os.truncate(log, 0)
    await harness.run()
    with log.open("a") as file:
        file.write(line(3))
    await harness.run()
    entries = await harness.entries()
    assert [entry.status for entry in entries] == ["complete", "complete", "truncated", "complete"]
    assert entries[2].reason is not None


async def test_nuls_are_one_entry(make, log) -> None:
    log.write_bytes(bytes(100_000) + line().encode())
    harness = make()
    await harness.run()
    entries = await harness.entries()
    assert [(entry.status, entry.reason) for entry in entries] == [
        ("nul_run", "100,000 NUL bytes"),
        ("complete", None),
    ]
    assert entries[1].offset == 100_000


async def test_a_line_that_is_too_long_is_cut(make, log) -> None:
    log.write_text(line(name="/" + "x" * 70_000) + line(2))
    harness = make()
    await harness.run()
    cut, whole = await harness.entries()
    assert (cut.status, cut.flags) == ("unparsed", ["cut"])
    assert cut.line is not None
    assert len(cut.line) == 65_536
    assert whole.filename == "/in/2.csv"


async def test_what_is_no_transfer_is_kept_and_counted(make, log) -> None:
    log.write_text("hello\n" + line(1) + f'{DATE} [pid 7] CONNECT: Client "::1"\n')
    harness = make()
    await harness.run()
    assert [(one.status, one.line) for one in await harness.entries()] == [
        ("unparsed", "hello"),
        ("complete", None),
    ]
    found = await harness.file()
    assert (found.lines_total, found.transfers_total) == (3, 1)
    assert (found.unparsed_total, found.events_total) == (1, 1)


async def test_what_is_older_than_parse_start_is_left_out(make, log) -> None:
    log.write_text(line(1, date="Sun Nov 22 09:03:06 2026") + line(2))
    harness = make(parse_start=datetime(2026, 11, 23, tzinfo=UTC))
    await harness.run()
    assert [entry.filename for entry in await harness.entries()] == ["/in/2.csv"]
    found = await harness.file()
    assert (found.lines_total, found.transfers_total, found.skipped_total) == (2, 1, 1)


async def test_what_is_long_before_parse_start_is_not_even_read(make, log, monkeypatch) -> None:
    """A day before it is: the lines of sessions with another offset stand out of order."""
    monkeypatch.setattr(start, "_LEAST_STEP_BYTES", 1_000)
    days = [datetime(2026, 11, day, tzinfo=UTC) for day in range(1, 25)]
    dates = [f"{day:%a %b} {day.day:2} 09:03:06 2026" for day in days]
    log.write_text(
        "".join(line(day, date=date) for day, date in enumerate(dates, 1) for _ in "ab" * 30)
    )
    parse_start = datetime(2026, 11, 20, 9, 3, 6, tzinfo=UTC)
    harness = make(parse_start=parse_start)
    await harness.run()
    entries = await harness.entries()
    assert len(entries) == 5 * 60
    assert {entry.log_time.day for entry in entries} == {20, 21, 22, 23, 24}
    found = await harness.file()
    assert found.transfers_total == 300
    assert 60 <= found.skipped_total < 4 * 60
    assert (found.offset, found.lag_bytes) == (log.stat().st_size, 0)


async def test_the_zone_is_that_of_the_log_else_that_of_the_node(make, log) -> None:
    log.write_text(line())
    harness = make(timezone="Asia/Seoul")
    await harness.run()
    (entry,) = await harness.entries()
    assert entry.log_time == datetime(2026, 11, 24, 0, 3, 6, tzinfo=UTC)


async def test_a_session_of_another_offset_is_noticed_while_following(make, log) -> None:
    harness = make(at="2026-10-25T08:05:50Z", timezone="Europe/Berlin")
    log.write_text(line(1, date="Sun Oct 25 10:05:00 2026"))
    await harness.run()
    harness.times.advance(5)
    with log.open("a") as file:
        file.write(line(2, date="Sun Oct 25 10:05:54 2026"))
        file.write(line(3, date="Sun Oct 25 09:05:54 2026"))
    await harness.run()
    entries = await harness.entries()
    assert [(entry.log_time, entry.ts_quality) for entry in entries] == [
        # Nobody can say when this one was written: it stood there already.
        (datetime(2026, 10, 25, 9, 5, 0, tzinfo=UTC), "exact"),
        (datetime(2026, 10, 25, 8, 5, 54, tzinfo=UTC), "skewed"),
        (datetime(2026, 10, 25, 8, 5, 54, tzinfo=UTC), "exact"),
    ]


async def test_a_log_in_another_zone_is_noticed_while_following(make, log) -> None:
    """Neither at its beginning nor after downtime, when nobody knows when a line was written."""
    harness = make(at="2026-11-24T00:03:10Z")
    log.write_text(line(1))
    await harness.run()
    assert (await harness.file()).message is None
    harness.times.advance(60)
    append(log, line(2, date="Tue Nov 24 09:04:08 2026") + line(3, date="Mon Nov 23 09:00:00 2026"))
    await harness.run()
    await harness.collector.deafen()
    append(log, line(4, date="Tue Nov 24 09:04:09 2026"))
    harness.begin_anew()
    await harness.run()
    entries = await harness.entries()
    assert [(entry.log_time, entry.ts_quality, entry.reason) for entry in entries] == [
        (datetime(2026, 11, 24, 9, 3, 6, tzinfo=UTC), "exact", None),
        (
            datetime(2026, 11, 24, 0, 4, 8, tzinfo=UTC),
            "skewed",
            "its time is 9 h ahead of the clock, as of UTC+09:00; corrected",
        ),
        (
            datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC),
            "unknown",
            "its time is 15 h 3 min behind the clock",
        ),
        (datetime(2026, 11, 24, 9, 4, 9, tzinfo=UTC), "exact", None),
    ]
    told = [one for batch in harness.batches for one in batch.records]
    messages = [one.message for one in told if isinstance(one, XferlogFileRead)]
    assert [message is not None for message in messages] == [False, True, False]


async def test_the_log_says_which_zone_would_fit(make, log) -> None:
    harness = make(
        at="2026-11-24T00:03:10Z", timezone="Europe/Berlin", roots={"etl": str(log.parent)}
    )
    harness.timezone = "Asia/Tokyo"
    harness.begin_anew()
    log.write_text("")
    await harness.run()
    append(log, line(2))
    await harness.run()
    found = await harness.file()
    assert (found.state, found.message) == (
        "following",
        "times in it are 8 h ahead of the clock: they are of UTC+09:00, not of Europe/Berlin; "
        "set timezone: Asia/Tokyo for it, or another zone of that offset",
    )
    (entry,) = await harness.entries()
    assert (entry.ts_quality, entry.landing) == ("skewed", "vanished")


async def test_of_a_file_that_was_not_there_nobody_knows_when_it_was_written(make, log) -> None:
    harness = make()
    await harness.run()
    log.write_text(line(1, date="Tue Nov 24 01:00:00 2026"))
    await harness.run()
    log.rename(log.with_name("xferlog.1"))
    log.write_text(line(2, date="Tue Nov 24 02:00:00 2026"))
    await harness.run()
    assert {entry.ts_quality for entry in await harness.entries()} == {"exact"}
    # What is added to it later was written since, also after it has been cut off.
    append(log, line(3, date="Tue Nov 24 05:17:00 2026"))
    await harness.run()
    os.truncate(log, 0)
    await harness.run()
    append(log, line(4, date="Tue Nov 24 05:17:00 2026"))
    await harness.run()
    entries = [entry for entry in await harness.entries() if entry.filename]
    assert [entry.ts_quality for entry in entries] == ["exact", "exact", "unknown", "unknown"]


async def test_a_new_zone_of_the_host_holds_at_once(make, log, tmp_path) -> None:
    place = tmp_path / "host/etc"
    place.mkdir(parents=True)
    (place / "localtime").symlink_to(f"{TZPATH[0]}/UTC")
    harness = make(at="2026-11-24T00:03:10Z")
    harness.timezone, harness.root = None, tmp_path / "host"
    harness.begin_anew()
    log.write_text("")
    await harness.run()
    append(log, line(1))
    await harness.run()
    assert "set timezone: Asia/Seoul for it" in (await harness.file()).message
    (place / "localtime").unlink()
    (place / "localtime").symlink_to(f"{TZPATH[0]}/Asia/Seoul")
    append(log, line(2))
    await harness.run()
    assert [entry.ts_quality for entry in await harness.entries()] == ["skewed", "exact"]
    assert (await harness.file()).message is None


def identity(directory: Path) -> tuple[int, int]:
    found = directory.stat()
    return found.st_dev, found.st_ino


class Watches:
    """Stands for what hears of directories."""

    def __init__(self) -> None:
        self.heard: dict[bytes, Callable[[], None]] = {}
        self.armed = 0

    def watch(
        self, directory: bytes, heard: Callable[[], None], heeds: Callable[[bytes], bool]
    ) -> Watch:
        self.heard[directory] = heard
        self.heeds = heeds
        return Watch(directory, heard, "inotify", heeds)

    async def arm(self, watch: Watch) -> None:
        assert watch.directory in self.heard
        watch.identity = identity(Path(os.fsdecode(watch.directory)))
        self.armed += 1

    def end(self, watch: Watch) -> None:
        del self.heard[watch.directory]


async def test_a_directory_that_is_another_is_watched_anew(make, tmp_path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    harness = make(path=str(directory / "xferlog"))
    harness.watches, harness.reactor = Watches(), Clock()
    harness.begin_anew()
    harness.collector.listen(lambda: None)
    for _ in range(3):
        await harness.run()
    assert harness.watches.armed == 1
    directory.rename(tmp_path / "away")
    directory.mkdir()
    for _ in range(3):
        await harness.run()
    assert harness.watches.armed == 2
    await harness.collector.deafen()


async def test_what_is_heard_of_a_busy_directory_makes_few_runs(make, log) -> None:
    harness = make()
    harness.watches, clock = Watches(), Clock()
    harness.reactor = clock
    harness.begin_anew()
    hints: list[float] = []
    harness.collector.listen(lambda: hints.append(clock.seconds()))
    (heard,) = harness.watches.heard.values()
    assert [*harness.watches.heard] == [os.fsencode(log.parent)]
    name = os.fsencode(log.name)
    heeds = harness.watches.heeds
    assert [heeds(one) for one in (name, name + b".1", b"other.log")] == [True, True, False]
    heard()
    clock.advance(0)
    assert hints == [0]
    await harness.run()
    assert (await harness.file()).watch_mode == "inotify"
    for _ in range(50):
        heard()
    clock.advance(0.1)
    assert hints == [0]
    clock.advance(0.11)
    assert len(hints) == 2
    heard()
    await harness.collector.deafen()
    assert harness.watches.heard == {}
    assert clock.getDelayedCalls() == []
