"""Logs are paused and resumed on command."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from etlmon.collectors.base import Batch, CollectorContext, Kind
from etlmon.config.node import NodeConfig
from etlmon.errors import ApiError
from etlmon.node.service import NodeService
from etlmon.records.log import LogSaved, LogSwitchAnswer
from tests.node.conftest import config, until


class FakeLog:
    """A collector of a log: tells what it was told, and reads nothing."""

    name = "log"
    instance = "app"
    interval_seconds = 3600.0
    settings = None

    def __init__(self, context: CollectorContext) -> None:
        self.context = context
        self.told: list[str] = []

    async def collect(self, next_run_at: Any) -> AsyncGenerator[Batch, None]:
        (saved,) = await self.context.saved(LogSaved, "app")
        self.told.append(f"run, paused: {saved.paused}")
        yield Batch([])

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")


async def test_a_log_is_paused_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stored before the collector hears of it, which then runs."""
    built: list[FakeLog] = []

    def build(_config: NodeConfig, context: CollectorContext) -> list[FakeLog]:
        built.append(FakeLog(context))
        return built[-1:]

    monkeypatch.setattr("etlmon.node.collectors.KINDS", (Kind("log", build),))
    more = "logs: [{name: app, path: /var/log/app.log, buffer_lines: 7}]\n"
    service = NodeService(config(tmp_path, more), reactor)
    service.startService()
    await until(lambda: built[0].told)
    assert (service.logs.buffer_lines("app"), service.logs.buffer_lines("nope")) == (7, None)
    assert await service.logs.switch_log("app", paused=True) == LogSwitchAnswer(
        name="app", paused=True
    )
    await until(lambda: len(built[0].told) == 3)
    assert await service.logs.switch_log("app", paused=False) == LogSwitchAnswer(
        name="app", paused=False
    )
    await until(lambda: len(built[0].told) == 5)
    assert built[0].told == [
        "run, paused: None",
        "pause",
        "run, paused: True",
        "resume",
        "run, paused: False",
    ]
    with pytest.raises(ApiError, match="nope is not a configured log"):
        await service.logs.switch_log("nope", paused=True)
    await service.stopService()
