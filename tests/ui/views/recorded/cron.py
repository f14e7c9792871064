"""Jobs and files of cron."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from etlmon.records.cron import CronFile, CronJob
from tests.ui.views.recorded.base import NOW


def job(number: int, command: str, **fields: Any) -> CronJob:
    """Give a job of /etc/cron.d/etl that runs at some minutes past twelve."""
    at = NOW + timedelta(minutes=number)
    fields = {
        "schedule": f"{number} 12 * * *",
        "user": "etl",
        "source": "cron.d",
        "file": "/etc/cron.d/etl",
        "line": number,
        "next_run": at,
        "next_run_local": f"{(at + timedelta(hours=9)).isoformat()[:19]}+09:00",
        "next_run_kind": "exact",
        "next_runs": [at + timedelta(days=day) for day in range(10)],
        "runs_by_hour": [1] + [0] * 23,
        "timezone": "Asia/Seoul",
        "file_status": "active",
        "dialect": "debian",
        "last_checked": NOW,
    } | fields
    return CronJob(job_id=f"{number:012x}", command=command, **fields)


NO_RUN = {"next_run": None, "next_run_local": None, "next_runs": [], "runs_by_hour": [0] * 24}
CRON_JOBS = [
    job(
        3,
        "/srv/etl/load orders",
        last_start=NOW - timedelta(days=1, minutes=-3),
        last_end=NOW - timedelta(days=1, minutes=-8),
        last_exit=0,
        median_runtime_seconds=301.0,
        recent_runtimes_seconds=[290.0, 301.0, 300.0],
    ),
    job(5, "/srv/etl/load 한국어", user="etl", last_start=NOW - timedelta(hours=1)),
    job(
        7,
        "/srv/etl/purge",
        last_start=NOW - timedelta(hours=2),
        last_end=NOW - timedelta(hours=2),
        last_exit=1,
    ),
    job(
        10,
        "/srv/etl/poll",
        schedule="*/10 * * * *",
        runs_by_hour=[6] * 24,
        last_start=NOW - timedelta(minutes=10),
        running_pids=[4711, 4712],
        overlap=True,
        next_run_local="2026-11-24T21:10:00+09:00",
    ),
    job(
        12,
        "/srv/etl/sync",
        running_pids=[4713],
        last_start=NOW - timedelta(minutes=1),
        schedule="* * * * *",
        runs_by_hour=[60] * 24,
    ),
    job(15, "/srv/etl/wait", reason="cron is not running"),
    job(20, "/srv/etl/late", missed_at=NOW - timedelta(hours=3), dst_risk=True),
    job(
        30,
        "run-parts /etc/cron.daily",
        user="root",
        source="anacron",
        file="/etc/anacrontab",
        schedule="1 5",
        next_run_kind="window",
        window_end=NOW + timedelta(hours=2),
        runs_by_hour=[1, 1, 1, *[0] * 21],
    ),
    job(
        35,
        "logrotate.service",
        user="root",
        source="timer",
        file="/lib/systemd/system/logrotate.timer",
        line=None,
        schedule="OnCalendar=daily, RandomizedDelaySec=1h",
        next_run=NOW + timedelta(hours=3),
        next_run_local="2026-11-25T00:00:00+09:00",
        next_runs=[NOW + timedelta(hours=3)],
        runs_by_hour=[0, 0, 0, 1],
        dialect=None,
    ),
    job(
        40,
        "/srv/etl/boot",
        schedule="@reboot",
        next_run_kind="on_boot",
        history_reason="Debian's cron does not log how jobs end; add -L 15 to EXTRA_OPTS.",
        **NO_RUN,
    ),
    job(
        41,
        "/srv/etl/leap",
        schedule="0 0 30 2 *",
        next_run_kind="never",
        reason="No year has this day.",
        lint=["It can never run."],
        **NO_RUN,
    ),
    job(42, "\x1b[2J/tmp/evil", file="/etc/cron.d/a.b", file_status="ignored", last_exit=137),
]
CRON_FILES = [
    CronFile(path="/etc/crontab", source="crontab", dialect="debian", status="active", jobs=4,
             owner="root", mode="0644", changed_at=NOW - timedelta(days=90), last_checked=NOW),
    CronFile(path="/etc/cron.d/a.b", source="cron.d", dialect="debian", status="ignored", jobs=1,
             reason="its name has a dot", owner="root", mode="0644",
             changed_at=NOW - timedelta(minutes=9), last_checked=NOW),
    CronFile(path="/etc/cron.d/etl", source="cron.d", dialect="debian", status="active", jobs=7,
             owner="root", mode="0644", changed_at=NOW - timedelta(days=2),
             lint=["line 41: it can never run", "line 12: the step wraps"], last_checked=NOW),
    CronFile(path="/var/spool/cron/crontabs/gone", source="user", dialect="debian",
             status="ignored", reason="line 3: no account has this name", line=3, jobs=0,
             owner="1007", mode="0600", last_checked=NOW),
    CronFile(path="/var/spool/cron/crontabs", source="user", dialect="debian", status="unknown",
             reason="Permission denied", visibility="partial", last_checked=NOW),
]  # fmt: skip
