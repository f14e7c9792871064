"""The audit: every command that came, who gave it, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from etlmon.records.base import Record, about

AuditOutcome = Literal["begun", "done", "refused", "failed", "interrupted"]

NOBODY = "-"
"""Who gave a command that nobody had to identify for."""


class AuditEvent(Record, frozen=True, kw_only=True):
    """One command, or several equal ones that were refused."""

    requested_at: Annotated[datetime, about("When it came, UTC.")]
    who: Annotated[
        str,
        about(
            "Name of the token; uid:N, the peer of a unix socket; key:..., who has this SSH key; "
            "- where nobody is known."
        ),
    ]
    origin: Annotated[str, about("Where it came from: an IP address, or unix and a pid.")]
    command: Annotated[
        str,
        about("The API's name of the command, for example kill_process; console for a session."),
    ]
    target: Annotated[
        str, about("What it was sent to: the path below /api/v1; the address of the console.")
    ]
    arguments: Annotated[
        str | None,
        about(
            "What else was asked for, as JSON; null if nothing was, and where the command was "
            "refused unread: without a token that is known, at a wrong host, or for a body that is "
            "wrong."
        ),
    ] = None
    reason: Annotated[
        str | None, about("The reason that the caller gave; null as arguments are.")
    ] = None
    outcome: Annotated[
        str,
        about(
            "done; refused; failed: the node was at fault; begun: not over yet; interrupted: "
            "the node ended before the command did."
        ),
    ]
    status: Annotated[int | None, about("The HTTP status of the answer.")] = None
    problem: Annotated[str | None, about("Why not: the last part of the problem's type.")] = None
    detail: Annotated[str | None, about("What was done, or why it was not, in words.")] = None
    duration_ms: Annotated[int | None, about("How long it took, milliseconds.")] = None
    attempts: Annotated[
        int, about("How many there were; more than 1 only for refusals that come in masses.")
    ] = 1


class AuditEntry(AuditEvent, frozen=True, kw_only=True):
    """One row of the audit."""

    id: Annotated[
        int,
        about(
            "Number of the row: never given twice, and without holes but at the old end, where "
            "rows of routine have gone before those of kills and consoles."
        ),
    ]
