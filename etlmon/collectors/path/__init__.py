"""File counts below each configured path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from etlmon.collectors.base import Batch, CollectorContext, Kind
from etlmon.collectors.path.collector import PathCollector
from etlmon.records.path import PathsConfigured

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig, PathSection


def _build(config: NodeConfig, context: CollectorContext) -> list[PathCollector]:
    return [
        PathCollector(
            # Only what a path says itself makes its scans incremental on NFS.
            section if config.rescan_of(section) == "incremental" else _always_full(section),
            config.scan_interval(section),
            context,
        )
        for section in config.paths
    ]


def _always_full(section: PathSection) -> PathSection:
    return msgspec.structs.replace(section, rescan="full")


def _declare(config: NodeConfig) -> Batch:
    return Batch(
        [
            PathsConfigured(
                paths=tuple(section.path for section in config.paths),
                expecting=tuple(section.path for section in config.paths if section.expect),
            )
        ]
    )


KIND = Kind("path", _build, _declare)
