"""What one look at cron finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

from etlmon.host.crond import Daemon

if TYPE_CHECKING:
    from datetime import tzinfo

    from etlmon.collectors.cron.parse import Entry
    from etlmon.collectors.cron.schedule import Dialect
    from etlmon.host.crontabs import Stamp
    from etlmon.records.cron import CronEntry, CronFile, CronHistory


@dataclass(frozen=True)
class Script:
    """A script that run-parts starts."""

    job_id: str
    starter: str
    """The job that starts its directory."""
    directory: bytes
    changed_at: float
    """When it was last changed in any way, seconds since the epoch."""


@dataclass
class Look:
    """What was found."""

    dialect: Dialect
    daemon: Daemon = field(default_factory=lambda: Daemon(None, None))
    zone: tzinfo = UTC
    commands: dict[tuple[bytes, bytes], list[tuple[str, Entry]]] = field(default_factory=dict)
    """The jobs that the log tells of, by user and by command as it is logged."""
    anacron: dict[bytes, str] = field(default_factory=dict)
    """The jobs of anacron, by its names for them."""
    stamps: dict[str, Stamp] = field(default_factory=dict)
    """What anacron has noted of its jobs, by their ids."""
    scripts: dict[bytes, Script] = field(default_factory=dict)
    """The scripts that run-parts starts, by their paths."""
    silent: set[str] = field(default_factory=set)
    """The jobs that cron is told not to log."""
    entries: list[CronEntry] = field(default_factory=list)
    histories: list[CronHistory] = field(default_factory=list)
    files: list[CronFile] = field(default_factory=list)
    trouble: str | None = None
    """Why nothing was heard of the timers."""

    @property
    def partial(self) -> list[CronFile]:
        """What this node may not read."""
        return [file for file in self.files if file.visibility == "partial"]
