"""What the processes of a watch use together, for now and for the history. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from etlmon.records.process import ProcessUsage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from etlmon.records.process import ProcessSample, ProcessWatchStatus

_MOST_IN_HISTORY = 20
"""Processes of a watch that have a history of their own; its sums hold all."""


class Sums(NamedTuple):
    """What processes use together; None where that is not known."""

    process_count: int
    cpu_percent: float | None
    cpu_share: float | None
    mem_rss_bytes: int
    threads: int
    open_files: int | None


def sum_up(alive: Sequence[ProcessSample]) -> Sums:
    """Sum processes up. CPU is that of those of which it is known, if there is one."""
    measured = [one for one in alive if one.cpu_percent is not None]
    unknown = bool(alive) and not measured
    open_files = [one.open_files for one in alive]
    return Sums(
        process_count=len(alive),
        cpu_percent=None if unknown else round(sum(one.cpu_percent or 0 for one in measured), 2),
        cpu_share=None if unknown else round(sum(one.cpu_share or 0 for one in measured), 4),
        mem_rss_bytes=sum(one.mem_rss_bytes for one in alive),
        threads=sum(one.threads for one in alive),
        open_files=None if None in open_files else sum(one or 0 for one in open_files),
    )


def usages(
    status: ProcessWatchStatus, alive: Sequence[ProcessSample], at: datetime
) -> list[ProcessUsage]:
    """Give what the history keeps: the sums, and the first of the processes themselves."""
    return [
        ProcessUsage(
            watch=status.watch,
            collected_at=at,
            process_count=status.process_count,
            cpu_percent=status.cpu_percent,
            cpu_share=status.cpu_share,
            mem_rss_bytes=status.mem_rss_bytes,
            threads=status.threads,
            open_files=status.open_files,
        ),
        *(
            ProcessUsage(
                watch=status.watch,
                pid=one.pid,
                identity=one.identity,
                collected_at=at,
                process_count=1,
                cpu_percent=one.cpu_percent,
                cpu_share=one.cpu_share,
                mem_rss_bytes=one.mem_rss_bytes,
                threads=one.threads,
                open_files=one.open_files,
            )
            for one in alive[:_MOST_IN_HISTORY]
        ),
    ]
