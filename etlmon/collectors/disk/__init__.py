"""Disk usage of every mounted file system, by df's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.collectors.base import CollectorContext, Kind
from etlmon.collectors.disk.collector import DiskCollector

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig


def _build(config: NodeConfig, context: CollectorContext) -> list[DiskCollector]:
    return [DiskCollector(config.disk, config.refresh.disk, context)]


KIND = Kind("disk", _build)
