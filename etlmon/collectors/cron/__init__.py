"""Cron: the jobs of cron, anacron and systemd's timers, judged as their daemons do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.collectors.base import CollectorContext, Kind
from etlmon.collectors.cron.collector import CronCollector
from etlmon.collectors.cron.look import Observer
from etlmon.redaction import Redaction

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig


def _build(config: NodeConfig, context: CollectorContext) -> list[CronCollector]:
    if not config.cron.enabled:
        return []
    observer = Observer(
        None if config.cron.dialect == "auto" else config.cron.dialect,
        config.node.timezone or os.environ.get("TZ"),
        Path("/"),
        context.proc,
        redaction=Redaction(config.redact.patterns, defaults=config.redact.defaults),
    )
    return [CronCollector(config.cron, context, observer, Path("/"), redact=config.redact)]


KIND = Kind("cron", _build)
