"""Errors as RFC 9457 problems. Their ``type`` is stable; clients may tell them apart by it."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from etlmon.errors import ApiError, StoreError
from etlmon.records.problem import Problem

CONTENT_TYPE = b"application/problem+json"
_TYPE = "urn:etlmon:problem:"
URI_CHARACTERS = "/%:@!$&'()*+,;=~"
"""What of a path stands in ``instance`` as it came; the rest is percent-encoded."""


def encode(error: ApiError, path: str) -> bytes:
    """Give the JSON of a problem met while answering ``path``."""
    return msgspec.json.encode(
        Problem(
            type=_TYPE + error.problem,
            title=HTTPStatus(error.status).phrase,
            status=error.status,
            detail=error.detail,
            instance=path,
            token=error.token,
        )
    )


def from_exception(error: BaseException) -> ApiError | None:
    """Give the problem for an error of ours; None for one that nobody expected."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, StoreError):
        return ApiError(503, "database-unavailable", str(error), headers={"Retry-After": "5"})
    return None


def unexpected() -> ApiError:
    """Give the problem for a defect: the log has the details, the client gets none."""
    return ApiError(
        500, "internal-error", "The node met a defect while answering; its log has the details."
    )
