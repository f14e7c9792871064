"""Each endpoint once, with types that go over the wire and come back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import msgspec
import pytest

from etlmon.contract.all import ENDPOINTS, find_query
from etlmon.contract.endpoint import Endpoint
from etlmon.contract.paths import PATH_HISTORY
from etlmon.errors import ApiError

endpoints = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)


def test_names_and_calls_are_unique() -> None:
    assert len({endpoint.name for endpoint in ENDPOINTS}) == len(ENDPOINTS)
    assert len({(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}) == len(ENDPOINTS)


@endpoints
def test_an_endpoint_is_whole(endpoint: Endpoint[Any, Any, Any]) -> None:
    assert re.fullmatch(r"(/[a-z.{}]+)+", endpoint.path)
    assert endpoint.summary.endswith(".")
    required = {field.name for field in msgspec.structs.fields(endpoint.query) if field.required}
    assert set(endpoint.in_path) <= required
    assert (endpoint.body is not NoneType) == (endpoint.method == "POST")
    said_in = {"GET": (), "POST": (endpoint.body,), "DELETE": (endpoint.query,)}[endpoint.method]
    assert all("confirm" in kind.__struct_fields__ for kind in said_in)
    if endpoint.item is not None:
        assert set(endpoint.columns) <= set(endpoint.item.__struct_fields__)
    else:
        assert endpoint.columns == ()


def sample(kind: Any) -> Any:
    """Give a value of a type, with something in every field."""
    return sample_of(msgspec.inspect.type_info(kind))


def sample_of(info: Any) -> Any:
    match info:
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return cls(**{field.name: sample_of(field.type) for field in fields})
        case msgspec.inspect.Metadata(type=inner):
            return sample_of(inner)
        case msgspec.inspect.UnionType(types=types):
            return sample_of(next(t for t in types if not isinstance(t, msgspec.inspect.NoneType)))
        case msgspec.inspect.ListType(item_type=item):
            return [sample_of(item)]
        case msgspec.inspect.DictType():
            return {"a": 1}
        case msgspec.inspect.LiteralType(values=values):
            return values[0]
        case msgspec.inspect.IntType():
            return 7
        case msgspec.inspect.FloatType():
            return 7.5
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.StrType():
            return "ü/?&"
        case msgspec.inspect.DateTimeType():
            return datetime(2026, 1, 31, 12, 0, 0, 123_000, tzinfo=UTC)
    raise AssertionError(info)


@endpoints
def test_bodies_and_answers_round_trip(endpoint: Endpoint[Any, Any, Any]) -> None:
    for kind in (endpoint.body, endpoint.answer):
        if kind is NoneType:
            continue
        value = sample(kind)
        assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value


@endpoints
def test_answers_with_fields_of_a_later_version_are_read(endpoint: Endpoint[Any, Any, Any]) -> None:
    value = sample(endpoint.answer)
    plain = msgspec.to_builtins(value)
    for item in plain if isinstance(plain, list) else [plain]:
        item["added_later"] = {"nested": [1]}
    again = msgspec.json.decode(msgspec.json.encode(plain), type=endpoint.answer)
    assert again == value or isinstance(again, dict)


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("fs", "list_filesystems"),
        ("/fs/", "list_filesystems"),
        ("fs/history", "get_filesystem_history"),
        ("paths", "list_paths"),
        ("health", "get_health"),
        ("openapi.json", "get_openapi"),
    ],
)
def test_resources_are_found_by_their_path(resource: str, name: str) -> None:
    endpoint, segments = find_query(resource)
    assert (endpoint.name, segments) == (name, {})


@pytest.mark.parametrize("segment", ["0123456789ab", "a%2Fb c", "ü"])
def test_resources_are_found_by_a_path_with_an_id(segment: str) -> None:
    found = find_query(f"paths/{segment}/history")
    assert found == (PATH_HISTORY, {"id": segment.replace("%2F", "/")})


@pytest.mark.parametrize(
    ("resource", "says"),
    [
        ("paths/7/histroy", "did you mean paths/{id}/history?"),
        ("path", "There is no resource path; did you mean paths?"),
        ("paths/scan", "There is no resource paths/scan; did you mean paths?"),
        (
            "",
            "There is no resource ; there are fs, fs/history, paths, paths/{id}/history,",
        ),
        ("zzz\x1b", r"There is no resource zzz\x1b; there are fs,"),
    ],
)
def test_an_unknown_resource_gets_a_suggestion(resource: str, says: str) -> None:
    with pytest.raises(ApiError) as caught:
        find_query(resource)
    assert says in caught.value.detail
