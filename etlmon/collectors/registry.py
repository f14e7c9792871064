"""Every kind of collector, one line each. A new one is added here and nowhere else in the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.collectors import arrival, cron, disk, log, path, process, xferlog

if TYPE_CHECKING:
    from etlmon.collectors.base import Kind

KINDS: tuple[Kind, ...] = (
    disk.KIND,
    path.KIND,
    arrival.KIND,
    log.KIND,
    process.KIND,
    xferlog.KIND,
    cron.KIND,
)
