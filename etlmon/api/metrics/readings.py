"""Every kind of reading, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.api.metrics.arrival import Expectations
from etlmon.api.metrics.cron import Cron
from etlmon.api.metrics.host import Filesystems, Paths, Watches
from etlmon.api.metrics.logs import Logs, Xferlogs

if TYPE_CHECKING:
    from etlmon.api.metrics.families import Reading


def readings() -> list[Reading]:
    """Give a new one of each kind of reading. Those of a new collector are added here."""
    return [Filesystems(), Paths(), Expectations(), Watches(), Logs(), Xferlogs(), Cron()]
