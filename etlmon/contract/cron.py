"""Jobs of cron, anacron and systemd's timers, and the files that they stand in."""

from __future__ import annotations

from typing import Annotated, Literal

from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import Page, Query
from etlmon.records.base import about
from etlmon.records.cron import CronFile, CronJob, CronRefreshAnswer, CronRefreshRequest


class CronJobsQuery(Page, frozen=True, kw_only=True):
    """Which jobs."""

    user: Annotated[str | None, about("Only jobs that run as this account, exactly.")] = None
    source: Annotated[
        Literal["crontab", "cron.d", "user", "run-parts", "anacron", "timer"] | None,
        about("Only jobs of these: crontab, cron.d, user, run-parts, anacron or timer."),
    ] = None
    file: Annotated[str | None, about("Only jobs of this file, exactly.")] = None
    command: Annotated[
        str | None,
        about("Only jobs with this in their command; upper and lower case of any letter are one."),
    ] = None


class CronJobQuery(Query, frozen=True, kw_only=True):
    """Which job."""

    id: Annotated[
        str, about("The job's job_id, as GET /cron gives it.", min_length=12, max_length=12)
    ]


CRON_JOBS = Endpoint(
    name="list_cron_jobs",
    method="GET",
    path="/cron",
    summary="Every job of cron, anacron and systemd's timers; the next one to run first.",
    query=CronJobsQuery,
    body=type(None),
    answer=list[CronJob],
    columns=(
        "next_run",
        "next_run_kind",
        "schedule",
        "user",
        "command",
        "last_start",
        "last_exit",
        "source",
        "file",
        "line",
        "reason",
        "job_id",
    ),
    problems=(503,),
)
CRON_FILES = Endpoint(
    name="list_cron_files",
    method="GET",
    path="/cron/files",
    summary="Every file of cron, and what its daemon makes of it; those ignored first.",
    query=Page,
    body=type(None),
    answer=list[CronFile],
    columns=("path", "status", "reason", "jobs", "owner", "mode", "changed_at", "lint"),
    problems=(503,),
)
CRON_JOB = Endpoint(
    name="get_cron_job",
    method="GET",
    path="/cron/{id}",
    summary="One job of cron.",
    query=CronJobQuery,
    body=type(None),
    answer=CronJob,
    problems=(404, 503),
)
REFRESH_CRON = Endpoint(
    name="refresh_cron",
    method="POST",
    path="/cron/refresh",
    summary="Look at the crontabs now.",
    query=Query,
    body=CronRefreshRequest,
    answer=CronRefreshAnswer,
    status=202,
    problems=(404,),
)
