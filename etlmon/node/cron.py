"""What commands do with the crontabs: a look at them begins here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.errors import ApiError
from etlmon.records.cron import CronRefreshAnswer

if TYPE_CHECKING:
    from etlmon.node.collectors import Collectors


class CronLooks:
    """Begins looks at the crontabs, where the node has the collector that does."""

    def __init__(self, collectors: Collectors) -> None:
        self._collectors = collectors

    def refresh_cron(self) -> CronRefreshAnswer:
        """Begin a look now. Raises ApiError (404) where cron is not watched."""
        for service in self._collectors.named("cron").values():
            if service.run_now():
                return CronRefreshAnswer(started=True)
            return CronRefreshAnswer(started=False, reason="a look at them is under way")
        raise ApiError(
            404,
            "cron-not-watched",
            "Cron is not watched on this node: cron.enabled is false in its node.yaml.",
        )
