"""Processes that are watched: what they use, how many there are, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.collectors.base import Batch, CollectorContext, Kind
from etlmon.collectors.process.collector import ProcessCollector
from etlmon.config.signals import allowed_signals
from etlmon.records.process import WatchesConfigured

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig


def _build(config: NodeConfig, context: CollectorContext) -> list[ProcessCollector]:
    if not config.process_watch:
        return []
    return [
        ProcessCollector(
            config.process_watch,
            config.redact,
            config.refresh.process,
            context,
            allowed_signals(config),
        )
    ]


def _declare(config: NodeConfig) -> Batch:
    return Batch([WatchesConfigured(watches=tuple(one.label for one in config.process_watch))])


KIND = Kind("process", _build, _declare)
