"""How jobs went that cron does not start itself: scripts of run-parts, and what anacron notes.

run-parts tells nothing of the single scripts, but on Red Hat. What is known of them otherwise is
how the run of their whole directory went, and which of them run now.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from etlmon.records.cron import CronHistory
from etlmon.text import host_text

if TYPE_CHECKING:
    from etlmon.collectors.cron.found import Look, Script
    from etlmon.collectors.cron.running import Running
    from etlmon.host.crontabs import Stamp

_SLACK_SECONDS = 5.0
"""anacron writes its stamp and its line in the log one after the other."""
_STAMPED = "the log of anacron does not tell of this run: the end is that of its time stamp"


def with_stamp(history: CronHistory, stamp: Stamp) -> CronHistory:
    """Give how a job of anacron went, where its time stamp knows of a later end than the log."""
    ended = datetime.fromtimestamp(stamp.written_at, UTC)
    newest = history.last_end or history.last_start
    if newest is not None and (ended - newest).total_seconds() <= _SLACK_SECONDS:
        return history
    return replace(
        history,
        last_start=None,
        last_end=ended,
        last_exit=None,
        running_pids=[],
        history_reason=history.history_reason or _STAMPED,
    )


def of_script(script: Script, path: bytes, starter: CronHistory, running: Running) -> CronHistory:
    """Give how a script went, by how its directory did."""
    directory = host_text(script.directory)
    began = starter.last_start or starter.last_end
    if began is not None and script.changed_at > began.timestamp():
        reason = f"it has been changed since {directory} was run last"
        return CronHistory(job_id=script.job_id, history_reason=reason)
    reason = f"run-parts does not log each script: the times are those of all in {directory}"
    status = starter.last_exit
    if status:
        reason = (
            f"of the scripts in {directory} one failed or more (exit status {status}); run-parts "
            "does not tell which, and the times are those of all"
        )
        status = None
    pids = running.of_script(path, starter.running_pids) if starter.running_pids else []
    return CronHistory(
        job_id=script.job_id,
        last_start=starter.last_start,
        last_end=starter.last_end,
        last_exit=status,
        running_pids=pids,
        overlap=starter.overlap,
        late_since=starter.late_since,
        missed_at=starter.missed_at,
        history_reason=starter.history_reason if began is None else reason,
    )


def complete(told: list[CronHistory], look: Look, running: Running) -> list[CronHistory]:
    """Give all histories, with what is known of anacron's jobs and of scripts besides the log."""
    by_job = {history.job_id: history for history in told}
    for job, stamp in look.stamps.items():
        by_job[job] = with_stamp(by_job[job], stamp)
    for path, script in look.scripts.items():
        starter, own = by_job.get(script.starter), by_job[script.job_id]
        if starter is None:
            continue
        if own.last_start is None:
            by_job[script.job_id] = of_script(script, path, starter, running)
        else:
            pids = running.of_script(path, starter.running_pids) if starter.running_pids else []
            by_job[script.job_id] = replace(
                own, running_pids=pids, late_since=starter.late_since, missed_at=starter.missed_at
            )
    return [by_job[history.job_id] for history in told]
