"""Errors as RFC 9457 problems. Their ``type`` is stable; clients may tell them apart by it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from etlmon.contract.endpoint import PREFIX
from etlmon.errors import ApiError, StoreError
from etlmon.records.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    """Give the problem for an error of ours or the router's; None for one that nobody expected."""
    match error:
        case ApiError():
            return error
        case StoreError():
            return ApiError(503, "database-unavailable", str(error), headers={"Retry-After": "5"})
        case MethodNotAllowed():
            return method_not_allowed(sorted(error.valid_methods or ()))
        case HTTPException():
            return no_such_path()
    return None


def no_such_path() -> ApiError:
    """Give the problem for a path that is none of the contract's."""
    return ApiError(
        404, "not-found", f"There is no such path; {PREFIX}/openapi.json lists all there are."
    )


def method_not_allowed(allowed: Iterable[str]) -> ApiError:
    """Give the problem for a method that a path does not take."""
    methods = ", ".join(allowed)
    return ApiError(
        405, "method-not-allowed", f"This path takes {methods}.", headers={"Allow": methods}
    )


def unexpected() -> ApiError:
    """Give the problem for a defect: the log has the details, the client gets none."""
    return ApiError(
        500, "internal-error", "The node met a defect while answering; its log has the details."
    )
