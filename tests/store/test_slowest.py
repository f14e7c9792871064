"""The slowest reads and commits: few, each kind once, the slowest first."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from twisted.internet import reactor

from etlmon.records.health import CollectorRun
from etlmon.store.database import StoreService
from etlmon.store.slowest import Slowest, place_of
from etlmon.units import utc


def test_of_each_kind_the_slowest_is_kept() -> None:
    slowest = Slowest(lambda: 7.0)
    for seconds in (0.2, 0.5, 0.1):
        slowest.note("read", "fs", seconds, detail=f"SQL {seconds}")
    slowest.note("commit", "fs", 0.3)
    found = [(one.kind, one.what, one.seconds, one.detail) for one in slowest.worst_first()]
    assert found == [("read", "fs", 0.5, "SQL 0.5"), ("commit", "fs", 0.3, "")]


def test_there_are_never_more_than_twenty() -> None:
    slowest = Slowest(lambda: 7.0)
    for number in [*range(50), *range(30)]:
        slowest.note("read", str(number), float(number), detail="x" * 1000)
    assert [one.seconds for one in slowest.worst_first()] == [float(n) for n in range(49, 29, -1)]
    assert max(len(one.detail) for one in slowest.worst_first()) == 300


def test_a_function_has_a_place() -> None:
    assert place_of(partial(place_of, 1)).startswith("store.slowest:")
    assert place_of(partial(place_of, 1)).endswith(" place_of")
    assert place_of(object()).endswith(" object")


async def test_the_store_tells_what_it_did_and_what_waits(tmp_path: Path) -> None:
    store = StoreService(tmp_path / "etlmon.db", reactor, lambda: 1000.0)
    store.startService()
    run = CollectorRun(
        collector="disk",
        instance="",
        started_at=utc(1),
        duration_ms=1,
        state="ok",
        error_message=None,
        records=0,
    )
    written = store.write([run])
    (waiting,) = store.queued()
    assert (waiting.state, waiting.tables, waiting.records) == ("waiting", {"collector_run"}, 1)
    await written
    assert store.queued() == []
    await store.read(lambda cursor: cursor.execute("SELECT 'needle'").fetchall())
    await store.stopService()
    found = {one.kind: one for one in store.slowest.worst_first()}
    assert (found["commit"].what, found["commit"].detail) == (
        "collector_run",
        "1 records, 1 batches",
    )
    assert found["read"].detail == "SELECT 'needle'"
    assert ":" in found["read"].what
