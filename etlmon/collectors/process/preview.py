"""What a watch would select on this host now, without a node."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.collectors.process.collector import boot_clock
from etlmon.collectors.process.observer import Observer
from etlmon.collectors.process.sampling import Now, sample, started_at
from etlmon.errors import CollectError
from etlmon.host.users import Users
from etlmon.redaction import Redaction
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from etlmon.config.watched import ProcessWatch, RedactSection
    from etlmon.records.process import ProcessSample


@dataclass(frozen=True)
class Preview:
    """What a watch selects, and whether it could be told of all processes."""

    samples: list[ProcessSample]
    processes: int
    """How many processes were looked at."""
    untold: int
    """Of so many it could not be read whether they meet the criteria."""
    sees_all: bool
    lacking: str | None
    """What the watch names and this host has not got."""


def preview(
    watch: ProcessWatch,
    redact: RedactSection,
    proc: Path,
    wall_clock: Callable[[], float],
) -> Preview:
    """Look once at all processes; raise CollectError if that cannot be done."""
    redaction = Redaction(redact.patterns, defaults=redact.defaults)
    users = Users(time.monotonic)
    observer = Observer(proc, [watch], redaction, users)
    now = Now(utc(wall_clock()), time.monotonic(), boot_clock())
    try:
        look = observer.look({})
    except (OSError, ValueError) as error:
        raise CollectError(f"cannot read {os.fspath(proc)}: {error}") from error
    selected = look.selected[watch.label]
    return Preview(
        samples=[
            sample(
                look.sightings[pid],
                now,
                None,
                watch=watch.label,
                start_time=started_at(look.sightings[pid].stat.start_ticks, now),
                signals=watch.allow_signals,
                is_child=pid in selected.children,
            )
            for pid in (*selected.met, *selected.children)
        ],
        processes=observer.processes,
        untold=len(selected.untold),
        sees_all=look.sees_all,
        lacking=_lacking(watch, users),
    )


def _lacking(watch: ProcessWatch, users: Users) -> str | None:
    if watch.user is not None and users.uid(watch.user) is None:
        return f"there is no user {watch.user} on this host"
    try:
        Path(watch.exe or "/").stat()
    except FileNotFoundError:
        return f"there is no file {watch.exe} on this host"
    except OSError:  # out of sight
        return None
    return None
