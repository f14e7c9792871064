"""Looks at the crontabs on command."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet import reactor

from etlmon.errors import ApiError
from etlmon.node.cron import CronLooks
from etlmon.node.service import NodeService
from etlmon.records.cron import CronRefreshAnswer
from tests.node.conftest import config, until


async def test_cron_is_looked_at_on_command(tmp_path: Path) -> None:
    service = NodeService(config(tmp_path, "cron: {interval: 1h}\n"), reactor)
    service.startService()
    cron = await until(lambda: [one for one in service.health().collectors if one.runs][1:])
    assert [(one.name, one.runs) for one in cron] == [("cron", 1)]
    looks = CronLooks(service.collectors)
    assert looks.refresh_cron() == CronRefreshAnswer(started=True)
    assert looks.refresh_cron().reason == "a look at them is under way"
    await until(lambda: service.health().collectors[-1].runs == 2)
    await service.reload(lambda: config(tmp_path))
    with pytest.raises(ApiError, match=r"cron\.enabled is false"):
        looks.refresh_cron()
    await service.stopService()
