"""Signals to processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from etlmon.api.answers import Answer
from etlmon.api.route import Route
from etlmon.contract.kill import KILL_PROCESS

if TYPE_CHECKING:
    from etlmon.contract.kill import ProcessKillQuery
    from etlmon.control.audit import Attempt
    from etlmon.records.kill import KillAnswer, KillRequest


class SendsSignals(Protocol):
    """Sends a signal to a process, if that may be done."""

    async def kill(self, pid: int, asked: KillRequest, attempt: Attempt) -> KillAnswer:
        """Tell what became of it; raise ApiError where it may not be."""


def routes(kills: SendsSignals) -> list[Route]:
    """Give the routes of this resource."""

    async def kill_process(query: ProcessKillQuery, body: KillRequest, attempt: Attempt) -> Answer:
        answer = await kills.kill(query.pid, body, attempt)
        how = "" if answer.by_pidfd else ", without pidfd"
        what = f"pid {answer.pid} ({answer.process_name}, {answer.identity}{how})"
        return Answer(answer, summary=f"{', '.join(answer.signals)} to {what}: {answer.message}")

    return [Route(KILL_PROCESS, kill_process, takes_attempt=True)]
