"""Cron: the jobs and when they come next, the files they stand in, and a look on command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from etlmon.api.answers import Answer
from etlmon.api.paging import page
from etlmon.api.route import Route
from etlmon.contract.cron import CRON_FILES, CRON_JOB, CRON_JOBS, REFRESH_CRON
from etlmon.errors import ApiError
from etlmon.store.tables import cron_files, cron_jobs

if TYPE_CHECKING:
    from etlmon.contract.cron import CronJobQuery, CronJobsQuery
    from etlmon.contract.query import Page, Query
    from etlmon.control.policy import Policy
    from etlmon.records.cron import CronRefreshAnswer, CronRefreshRequest
    from etlmon.store.database import StoreService


class CronRefreshes(Protocol):
    """Begins looks at the crontabs; the node has the collector that does."""

    def refresh_cron(self) -> CronRefreshAnswer:
        """Begin a look now; raise ApiError (404) where cron is not watched."""


def routes(store: StoreService, refreshes: CronRefreshes, policy: Policy) -> list[Route]:
    """Give the routes of this resource."""

    async def list_jobs(query: CronJobsQuery, _body: None) -> Answer:
        found = await store.read(
            lambda cursor: cron_jobs.newest(
                cursor,
                user=query.user,
                source=query.source,
                file=query.file,
                command=query.command,
            )
        )
        return page(CRON_JOBS, query, found, (job.last_checked for job in found))

    async def list_files(query: Page, _body: None) -> Answer:
        found = await store.read(cron_files.newest)
        return page(CRON_FILES, query, found, (file.last_checked for file in found))

    async def get_job(query: CronJobQuery, _body: None) -> Answer:
        found = await store.read(lambda cursor: cron_jobs.find(cursor, query.id))
        if found is None:
            raise ApiError(
                404, "job-not-found", f"No job has the id {query.id}; GET /api/v1/cron lists them."
            )
        return Answer(found, found.last_checked)

    async def refresh(_query: Query, body: CronRefreshRequest) -> Answer:
        with policy.counted("scan", confirmed=body.confirm):
            return Answer(refreshes.refresh_cron())

    return [
        Route(CRON_JOBS, list_jobs, tables=("cron_jobs",)),
        Route(CRON_FILES, list_files, tables=("cron_files",)),
        Route(CRON_JOB, get_job, tables=("cron_jobs",)),
        Route(REFRESH_CRON, refresh),
    ]
