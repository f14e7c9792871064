"""The cron collector: what it gives anew, what it says once, and of what it hears."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from etlmon.collectors.base import CollectorContext, Hinted
from etlmon.collectors.cron import KIND
from etlmon.collectors.cron.assembly import Look
from etlmon.collectors.cron.collector import CronCollector
from etlmon.collectors.cron.look import Observer
from etlmon.config.node import NodeConfig
from etlmon.config.watched import CronSection
from etlmon.errors import CollectError
from etlmon.host.watches import DirectoryWatches
from etlmon.records.cron import CronEntry, CronFile, CronHistory, CronListing
from etlmon.units import utc

NOW = datetime(2026, 11, 26, 14, 7, 30, tzinfo=UTC).timestamp()


def in_thread(function: Callable[[], Any]) -> Deferred[Any]:
    try:
        return succeed(function())
    except Exception as error:
        return fail(error)


class Node:
    """A collector on crontabs of the test's own; its clocks are turned by the test."""

    def __init__(self, root: Path, watches: DirectoryWatches | None = None) -> None:
        self.root = root
        self.clock = Clock()
        self.seconds = NOW
        self.hints = 0
        for place in ("etc/cron.d", "usr/sbin", "run", "42"):
            (root / place).mkdir(parents=True)
        (root / "usr/sbin/cron").touch()
        (root / "run/crond.pid").write_text("42\n")
        (root / "42/comm").write_text("cron\n")
        context = CollectorContext(
            wall_clock=lambda: self.seconds,
            monotonic_clock=self.clock.seconds,
            in_thread=in_thread,
            workers=None,  # type: ignore[arg-type]
            proc=root,
            watches=watches,
            reactor=self.clock,
        )
        self.observer = Observer("debian", "UTC", root, root, find_uid=lambda _: 0)
        self.collector = CronCollector(CronSection(), context, self.observer, root)

    def write(self, name: str, content: str) -> None:
        (self.root / "etc/cron.d" / name).write_text(content)

    def hint(self) -> None:
        self.hints += 1

    async def run(self, *, is_committed: bool = True) -> list[Any]:
        """Make a run and give its records."""
        batches = self.collector.collect(utc(self.seconds + 60))
        batch = await batches.__anext__()
        if not is_committed:
            await batches.aclose()
            return list(batch.records)
        with pytest.raises(StopAsyncIteration):
            await batches.__anext__()
        return list(batch.records)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def kinds(records: list[Any]) -> list[str]:
    return [type(record).__name__ for record in records]


async def test_the_first_run_gives_all_and_the_next_what_is_new(node: Node) -> None:
    node.write("a", "0 5 * * * root load\n")
    first = await node.run()
    assert kinds(first) == ["CronEntry", "CronFile", "CronListing", "CronHistory"]
    node.seconds += 60
    (only,) = await node.run()
    assert isinstance(only, CronListing)
    assert only.last_checked == utc(node.seconds)
    assert (only.job_ids, only.paths) == ((first[0].job_id,), ("/etc/cron.d/a",))
    node.write("a", "0 6 * * * root load\n")
    assert kinds(await node.run())[0] == "CronEntry"


async def test_what_was_not_committed_is_given_again(node: Node) -> None:
    node.write("a", "0 5 * * * root load\n")
    lost = await node.run(is_committed=False)
    assert kinds(await node.run()) == kinds(lost)


async def test_what_is_gone_is_not_listed(node: Node) -> None:
    node.write("a", "0 5 * * * root load\n")
    await node.run()
    (node.root / "etc/cron.d/a").unlink()
    (listing,) = await node.run()
    assert (listing.job_ids, listing.paths) == ((), ())


async def test_how_it_went_is_null_with_a_reason(node: Node) -> None:
    node.write("a", "0 5 * * * root load\n")
    went = (await node.run())[-1]
    assert isinstance(went, CronHistory)
    assert went.last_start is None
    assert went.history_reason


async def test_partial_sight_is_said_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        said.append(str(formatEvent(event)))

    def look(now: float) -> Look:
        file = CronFile(
            path="/var/spool/cron/crontabs",
            source="user",
            dialect="debian",
            status="unknown",
            reason="it needs root",
            visibility="partial",
            last_checked=utc(now),
        )
        return Look("debian", files=[file])

    monkeypatch.setattr(node.observer, "look", look)
    globalLogPublisher.addObserver(observe)
    try:
        for _ in range(3):
            await node.run()
    finally:
        globalLogPublisher.removeObserver(observe)
    assert [line for line in said if "crontabs: it needs root" in line] == said
    assert len(said) == 1


async def test_a_trouble_is_told_after_what_is_known_was_given(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        node.observer, "look", lambda _: Look("debian", trouble="systemctl did not answer")
    )
    batches = node.collector.collect(utc(NOW))
    assert kinds(list((await batches.__anext__()).records)) == ["CronListing"]
    with pytest.raises(CollectError, match="did not answer"):
        await batches.__anext__()


class TestHearing:
    async def test_it_looks_again_when_a_run_has_passed(self, node: Node) -> None:
        node.write("a", "8 * * * * root load\n9 * * * * root later\n")
        node.collector.listen(node.hint)
        await node.run()
        node.clock.advance(30)  # 14:08:00
        assert node.hints == 0
        node.clock.advance(1)
        assert node.hints == 1
        await node.collector.deafen()
        assert not node.clock.getDelayedCalls()

    async def test_it_waits_for_no_run_that_its_turn_comes_before(self, node: Node) -> None:
        node.write("a", "0 5 * * * root load\n")
        node.collector.listen(node.hint)
        await node.run()
        assert not node.clock.getDelayedCalls()

    async def test_it_hears_of_changes_in_the_directories(self, tmp_path: Path) -> None:
        watches = DirectoryWatches(reactor, in_thread, Path("/proc"))
        node = Node(tmp_path / "host", watches)
        heard: Deferred[None] = Deferred()
        node.collector.listen(lambda: None if heard.called else heard.callback(None))
        await node.run()
        node.clock.advance(1)
        node.write("new", "0 5 * * * root load\n")
        await heard
        await node.collector.deafen()
        await task.deferLater(reactor, 0)
        assert watches._watches == []

    async def test_it_hears_of_a_directory_that_comes_later(self, tmp_path: Path) -> None:
        watches = DirectoryWatches(reactor, in_thread, Path("/proc"))
        node = Node(tmp_path / "host", watches)
        heard: list[Deferred[None]] = [Deferred()]
        node.collector.listen(lambda: heard and heard.pop().callback(None))
        await node.run()
        spool = node.root / "var/spool/cron/crontabs"
        spool.mkdir(parents=True)
        await node.run()
        node.clock.advance(1)
        waiting = heard[0]
        (spool / "root").write_text("0 5 * * * load\n")
        await waiting
        await node.collector.deafen()


async def test_a_crontab_that_changes_all_the_time_does_not_keep_it_busy(node: Node) -> None:
    node.collector.listen(node.hint)
    looks = node.observer.look

    def slow(now: float) -> Any:
        node.clock.advance(0.5)
        return looks(now)

    node.observer.look = slow  # type: ignore[method-assign]
    node.collector._stir()
    assert node.hints == 1, "the first one at once"
    await node.run()
    for _ in range(9):
        node.collector._stir()
    node.clock.advance(4.9)
    assert node.hints == 1
    node.clock.advance(0.1)
    assert node.hints == 2, "none is lost"
    node.clock.advance(60)
    assert node.hints == 2
    node.collector._stir()
    assert node.hints == 3
    await node.run()
    node.collector._stir()
    await node.collector.deafen()
    assert node.clock.getDelayedCalls() == []


def test_it_is_built_as_configured(node: Node) -> None:
    assert isinstance(node.collector, Hinted)
    context: Any = node.collector._context
    assert KIND.build(NodeConfig(cron=CronSection(enabled=False)), context) == []
    (built,) = KIND.build(NodeConfig(cron=CronSection(interval=7.0)), context)
    assert (built.name, built.instance, built.interval_seconds) == ("cron", "", 7.0)


async def test_a_week_of_runs_is_told_in_time(node: Node) -> None:
    """Whenever it looks, what comes next is later than now."""
    node.write("a", "*/7 * * * * root load\n")
    known: dict[str, CronEntry] = {}
    for _ in range(200):
        for record in await node.run():
            if isinstance(record, CronEntry):
                known[record.job_id] = record
        (entry,) = known.values()
        assert entry.next_run is not None
        ahead = entry.next_run - utc(node.seconds)
        assert timedelta(0) < ahead <= timedelta(minutes=7)
        node.seconds += 50
