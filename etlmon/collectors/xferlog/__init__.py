"""The transfers of FTP servers, from the logs that they write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.collectors.base import Batch, CollectorContext, Kind
from etlmon.collectors.xferlog.collector import XferlogCollector
from etlmon.records.xferlog import XferlogsConfigured

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig


def _build(config: NodeConfig, context: CollectorContext) -> list[XferlogCollector]:
    return [
        XferlogCollector(section, config.node.timezone, Path("/"), context)
        for section in config.xferlog
    ]


def _declare(config: NodeConfig) -> Batch:
    return Batch([XferlogsConfigured(paths=tuple(section.path for section in config.xferlog))])


KIND = Kind("xferlog", _build, _declare)
