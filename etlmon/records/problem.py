"""Errors as the API answers them (RFC 9457, application/problem+json)."""

from __future__ import annotations

from typing import Annotated

from etlmon.records.base import Record, about


class Problem(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A request that was not fulfilled; ``type`` is stable, ``detail`` is for people."""

    type: Annotated[str, about("A stable name of the kind of problem: urn:etlmon:problem:...")]
    title: Annotated[str, about("The HTTP status in words.")]
    status: Annotated[int, about("The HTTP status.")]
    detail: Annotated[str, about("What is wrong here, and what to do.")]
    instance: Annotated[str, about("The path that was asked for.")]
    token: Annotated[
        str | None,
        about("Of confirmation-token-required alone: what the second call carries."),
    ] = None
