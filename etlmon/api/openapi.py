"""The OpenAPI 3.1 document, printed from the contract."""

from __future__ import annotations

from http import HTTPStatus
from types import NoneType
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from etlmon import __version__
from etlmon.contract.all import ENDPOINTS
from etlmon.contract.endpoint import PREFIX, Endpoint
from etlmon.contract.pages import PLAIN_PAGES, PlainPage
from etlmon.records.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

_REF = "#/components/schemas/{name}"
_EVERY = (400, 401, 406, 413, 421, 500)
_EVERY_PAGE = (400, 413, 421, 500)
_EVERY_COMMAND = (403, 429, 503)

_TOTAL_HEADER = {
    "X-Total-Count": {
        "description": "How many items there are in all.",
        "schema": {"type": "integer"},
    },
}
_NEXT_HEADER = {
    "Link": {
        "description": 'The next page, rel="next", if there is one.',
        "schema": {"type": "string"},
    },
}
_ORDERED_LINK = {
    "description": 'Where to go on: rel="prev" to older items, rel="next" to newer ones.',
    "schema": {"type": "string"},
}


def document() -> dict[str, Any]:
    """Give the document: one operation for each endpoint, one schema for each record."""
    types = [
        kind
        for endpoint in ENDPOINTS
        for kind in (endpoint.answer, endpoint.body)
        if kind is not NoneType
    ]
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
    by_type = dict(zip(types, schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        operations = paths.setdefault(PREFIX + endpoint.path, {})
        operations[endpoint.method.lower()] = _operation(endpoint, by_type)
    for page in PLAIN_PAGES:
        for path in page.paths:
            paths[path] = {"get": _page(page, path)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "etlmon",
            "version": __version__,
            "description": (
                "What an etlmon node sees of its host. Within /api/v1 fields and parameters are "
                "added, never removed or re-typed; ignore fields that you do not know."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(endpoint: Endpoint[Any, Any, Any], schemas: dict[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {
        "description": endpoint.summary,
        "content": {"application/json": {"schema": schemas[endpoint.answer]}},
    }
    responses: dict[str, Any] = {str(endpoint.status): success}
    if "limit" in endpoint.query.__struct_fields__:
        # Rows that go on for ever are paged by their ids, and not counted.
        is_counted = "offset" in endpoint.query.__struct_fields__
        success["headers"] = (_TOTAL_HEADER if is_counted else {}) | _NEXT_HEADER
    if endpoint.follows:
        success["headers"] = {"Link": _ORDERED_LINK}
        success["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    problems = {*_EVERY, *endpoint.problems}
    if endpoint.body is not NoneType:
        problems.add(415)
    if endpoint.is_command:
        problems.update(_EVERY_COMMAND)
    else:
        responses["304"] = {"description": "Unchanged: If-None-Match names this answer."}
    responses |= _problems(problems)
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": _parameters(endpoint),
        "responses": responses,
    }
    if endpoint.body is not NoneType:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas[endpoint.body]}},
        }
    return operation


def _page(page: PlainPage, path: str) -> dict[str, Any]:
    """Give the operation of a page that is no JSON, at one of its paths."""
    content = {kind: {"schema": {"type": "string"}} for kind in page.content_types}
    responses: dict[str, Any] = {
        str(status): {
            "description": page.summary if status == 200 else HTTPStatus(status).phrase,
            "content": content,
        }
        for status in page.statuses
    }
    problems = {*_EVERY_PAGE, *((401,) if page.needs_token else ())}
    return {
        "operationId": page.name + ("_api" if path.startswith(PREFIX) else ""),
        "summary": page.summary,
        "parameters": [],
        "responses": responses | _problems(problems),
    }


def _problems(statuses: Iterable[int]) -> dict[str, Any]:
    problem = {"schema": {"$ref": _REF.format(name="Problem")}}
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": problem},
        }
        for status in sorted(statuses)
    }


def _parameters(endpoint: Endpoint[Any, Any, Any]) -> list[dict[str, Any]]:
    hints = get_type_hints(endpoint.query, include_extras=True)
    parameters = []
    for field in msgspec.structs.fields(endpoint.query):
        schema = msgspec.json.schema(hints[field.encode_name])
        description = schema.pop("description", "")
        # One that may be left out is None in Python; a query string has no null.
        schema = schema.get("anyOf", [schema])[0]
        if not field.required and field.default is not None:
            schema["default"] = field.default
        parameters.append(
            {
                "name": field.encode_name,
                "in": "path" if field.name in endpoint.in_path else "query",
                "required": field.required,
                "description": description,
                "schema": schema,
            }
        )
    return parameters
