"""The audit: who gave which command, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from etlmon.api.answers import Answer
from etlmon.api.route import Route
from etlmon.contract.audit import AUDIT
from etlmon.contract.query import MOST_ITEMS
from etlmon.store.tables import audit_log

if TYPE_CHECKING:
    from etlmon.contract.audit import AuditQuery
    from etlmon.store.database import StoreService


def routes(store: StoreService) -> list[Route]:
    """Give the routes of this resource."""

    async def list_audit(query: AuditQuery, _body: None) -> Answer:
        limit = min(query.limit, MOST_ITEMS)
        found = await store.read(lambda cursor: audit_log.find(cursor, query, limit))
        headers = {"X-Total-Count": str(found.total)}
        if found.has_more:
            # By id and not by offset: what comes meanwhile moves no row to another page.
            place = "before" if query.after is None else "after"
            following = replace(query, limit=limit, offset=0, **{place: found.entries[-1].id})
            headers["Link"] = f'<{AUDIT.target(following)}>; rel="next"'
        moments = (entry.requested_at for entry in found.entries)
        return Answer(found.entries, max(moments, default=None), headers)

    return [Route(AUDIT, list_audit, tables=("audit_log",))]
