"""Whether the files have arrived that are expected below each configured path today."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.collectors.arrival.collector import ArrivalCollector
from etlmon.collectors.base import CollectorContext, Kind

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig


def _build(config: NodeConfig, context: CollectorContext) -> list[ArrivalCollector]:
    return [
        ArrivalCollector(
            section, config.node.timezone, config.scan_interval(section), Path("/"), context
        )
        for section in config.paths
        if section.expect
    ]


KIND = Kind("arrival", _build)
