"""Runs whose thread stores itself what it has read: whatever ends them, each line comes once."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor, task
from twisted.internet.threads import deferToThread

from etlmon.collectors.base import CollectorContext
from etlmon.collectors.log.collector import LogCollector
from etlmon.config.node import LogSection
from etlmon.runner import CollectorService
from etlmon.store.database import StoreService
from etlmon.store.loan import Loan

ROUNDS = 60


async def test_a_run_that_is_cancelled_at_any_moment(tmp_path: Path, monkeypatch: Any) -> None:
    """It may be reading, about to store, storing, or told: the next one goes on just there."""
    log = tmp_path / "app.log"
    log.touch()
    clock: Any = reactor
    store = StoreService(tmp_path / "etlmon.db", reactor, clock.seconds)
    store.startService()
    context: Any = CollectorContext(
        wall_clock=clock.seconds,
        monotonic_clock=clock.seconds,
        in_thread=deferToThread,  # type: ignore[arg-type]
        workers=None,  # type: ignore[arg-type]
        proc=Path("/proc"),
        saved=store.saved,
        lend=store.lend,
    )
    used: list[bool] = []
    stored_by = Loan.store

    def noted(loan: Loan, records: Any) -> Any:
        stored = stored_by(loan, records)
        used.append(stored is not None)
        return stored

    monkeypatch.setattr(Loan, "store", noted)
    settings = LogSection(name="app", path=str(log), start="beginning")
    collector = LogCollector(settings, context, None)
    service = CollectorService(collector, store, reactor, clock.seconds)
    service.startService()
    chance, cut, written = Random(7), 0, 0
    for seconds in (0.04, None) * ROUNDS:  # a run to its end first: what is cut short begins anew
        with log.open("a") as file:
            for _ in range(chance.randrange(1, 40)):
                file.write(f"{written}\n")
                written += 1
        collector._heard()  # as a change in the directory is heard of
        await task.deferLater(reactor, seconds or chance.random() * 0.006)
        if seconds is None:
            cut += await service.cancel_run() is not None
    stored: list[tuple[str]] = []
    while len(stored) < written:
        collector._heard()
        await task.deferLater(reactor, 0.02)
        stored = await store.read(
            lambda cursor: cursor.execute("SELECT line FROM log_lines ORDER BY id").fetchall()
        )
    await service.stopService()
    await store.stopService()
    assert [int(line) for (line,) in stored] == list(range(written))
    assert cut
    assert any(used)
