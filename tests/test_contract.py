"""The contract: each endpoint once, with types that go over the wire and come back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import NoneType
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.contract import (
    ENDPOINTS,
    FILESYSTEM_HISTORY,
    FILESYSTEMS,
    HEALTH,
    OPENAPI,
    PATH_HISTORY,
    PREFIX,
    Endpoint,
    FilesystemHistoryQuery,
    FilesystemsQuery,
    Page,
    find_query,
    in_words,
    read_query,
)
from etlmon.errors import ApiError
from etlmon.records.base import Record

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


def arrived(endpoint: Endpoint[Any, Any, Any], query: Any) -> Any:
    path, _, text = endpoint.target(query).partition("?")
    segments = endpoint.segments(path.removeprefix(PREFIX))
    assert segments is not None
    return read_query(parse_qsl(text, keep_blank_values=True), endpoint.query, segments)


@given(st.integers(1, (1 << 53) - 1), st.integers(0, (1 << 53) - 1), st.booleans())
def test_queries_of_lists_round_trip(limit: int, offset: int, hidden: bool) -> None:
    query = FilesystemsQuery(limit=limit, offset=offset, all=hidden)
    assert arrived(FILESYSTEMS, query) == query


MOMENTS = st.none() | st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(9999, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(st.text(st.characters(codec="utf-8")), MOMENTS, MOMENTS, st.integers(1, 1000))
def test_queries_of_the_history_round_trip(
    mount_point: str, since: datetime | None, until: datetime | None, points: int
) -> None:
    query = FilesystemHistoryQuery(mount_point=mount_point, since=since, until=until, points=points)
    assert arrived(FILESYSTEM_HISTORY, query) == query


class LinesQuery(Page, frozen=True, kw_only=True):
    name: str
    pid: int


LINES = Endpoint(
    name="lines",
    method="GET",
    path="/logs/{name}/of/{pid}",
    summary="",
    query=LinesQuery,
    body=NoneType,
    answer=list[str],
)


@given(
    st.text(st.characters(codec="utf-8"), min_size=1), st.integers(0, 1 << 53), st.integers(1, 9)
)
def test_fields_in_the_path_round_trip(name: str, pid: int, limit: int) -> None:
    query = LinesQuery(name=name, pid=pid, limit=limit)
    assert arrived(LINES, query) == query


def test_fields_in_the_path_are_one_segment_each() -> None:
    query = LinesQuery(name="a/b c?%&/ü", pid=7, offset=3)
    assert LINES.target(query) == f"{PREFIX}/logs/a%2Fb%20c%3F%25%26%2F%C3%BC/of/7?offset=3"
    assert LINES.in_path == ("name", "pid")
    assert LINES.needs_parameters


@pytest.mark.parametrize(
    "resource",
    ["", "logs", "logs/a/of", "logs//of/7", "logs/a/of/7/8", "logs/a/or/7", "log/a/of/7"],
)
def test_another_path_has_no_segments(resource: str) -> None:
    assert LINES.segments(resource) is None


@pytest.mark.parametrize(
    ("segments", "pairs", "says"),
    [
        ({"name": "a", "pid": "x"}, [], "pid: must be a whole number."),
        ({"name": "a", "pid": "7"}, [("pid", "7")], "The parameter pid is given twice."),
        ({"name": "\udcff", "pid": "7"}, [], "name: must be UTF-8."),
    ],
)
def test_a_bad_field_in_the_path_is_named(
    segments: dict[str, str], pairs: list[tuple[str, str]], says: str
) -> None:
    with pytest.raises(ApiError) as caught:
        read_query(pairs, LinesQuery, segments)
    assert caught.value.detail == says


def test_parameters_at_their_default_are_not_sent() -> None:
    assert FILESYSTEMS.target() == FILESYSTEMS.target(FilesystemsQuery()) == f"{PREFIX}/fs"
    assert FILESYSTEMS.target(FilesystemsQuery(limit=5)) == f"{PREFIX}/fs?limit=5"


@given(st.lists(st.tuples(st.text(), st.text())))
def test_whatever_is_asked_gets_a_query_or_a_sentence(pairs: list[tuple[str, str]]) -> None:
    try:
        read_query(pairs, FilesystemHistoryQuery)
    except ApiError as error:
        assert error.status == 400  # noqa: PT017 - both ways are right
        assert error.detail.endswith((".", "?"))  # noqa: PT017
        assert error.detail.isprintable()  # noqa: PT017


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


def test_msgspecs_words_become_a_sentence() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"limit": 0}, Page)
    assert in_words(caught.value) == "limit: Expected int >= 1."
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert([], Page)
    assert in_words(caught.value) == "Expected object, got array."


def test_which_answers_are_lists() -> None:
    assert issubclass(FILESYSTEMS.item, Record)
    assert issubclass(FILESYSTEM_HISTORY.item, Record)
    assert issubclass(PATH_HISTORY.item, Record)
    assert HEALTH.item is None
    assert OPENAPI.item is None
