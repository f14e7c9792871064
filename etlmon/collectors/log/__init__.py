"""What is written to each configured log."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from etlmon.collectors.base import Batch, CollectorContext, Kind
from etlmon.collectors.log.collector import LogCollector
from etlmon.records.log import LogsConfigured

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig


def _build(config: NodeConfig, context: CollectorContext) -> list[LogCollector]:
    timezone = config.node.timezone
    zone = None if timezone is None else ZoneInfo(timezone)
    return [LogCollector(section, context, zone) for section in config.logs]


def _declare(config: NodeConfig) -> Batch:
    return Batch([LogsConfigured(names=tuple(section.name for section in config.logs))])


KIND = Kind("log", _build, _declare)
